//! A release that is made up: its requests, second by second.

use rand::rngs::ChaCha8Rng;
use rand_distr::{Beta, Binomial, Distribution as _, Poisson};

/// How long a release is watched, in seconds.
pub(crate) const WATCHED: u32 = 1200;

/// One kind of release.
#[derive(Debug, Clone)]
pub(crate) struct Release {
    pub(crate) name: String,
    /// Requests per second of the new version.
    pub(crate) rate: f64,
    /// The old version's, where it is another rate.
    pub(crate) old_rate: Option<f64>,
    /// The share of the new version's requests that fail, and of the old one's.
    pub(crate) bad: f64,
    pub(crate) bad_before: f64,
    /// What both shares are multiplied by in a second.
    pub(crate) both: fn(u32) -> f64,
    /// The precision of the beta distribution that each version's share has in each quarter of a minute.
    pub(crate) precision: Option<f64>,
    /// For so many seconds the old version serves beside the new one.
    pub(crate) beside: u32,
    /// The share that the gate and Flagger's rule allow.
    pub(crate) allowed: f64,
}

impl Default for Release {
    fn default() -> Self {
        Self {
            name: String::new(),
            rate: 1.0,
            old_rate: None,
            bad: 0.005,
            bad_before: 0.005,
            both: |_| 1.0,
            precision: None,
            beside: WATCHED,
            allowed: 0.01,
        }
    }
}

/// Requests, and how many of them failed, in each second.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) new: Vec<(u64, u64)>,
    pub(crate) old: Vec<(u64, u64)>,
}

/// How a rule ended a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// After so many seconds.
    TakenBack(u32),
    Accepted,
    /// Neither.
    Open,
}

impl Release {
    pub(crate) fn is_healthy(&self) -> bool {
        self.bad <= self.bad_before
    }

    pub(crate) fn draw(&self, rng: &mut ChaCha8Rng) -> Served {
        let mut served = Served { new: Vec::new(), old: Vec::new() };
        let (mut new, mut old) = (self.bad, self.bad_before);
        for second in 0..WATCHED {
            if second % 15 == 0 {
                (new, old) = (self.share(rng, self.bad, second), self.share(rng, self.bad_before, second));
            }
            let old_rate = if second < self.beside { self.old_rate.unwrap_or(self.rate) } else { 0.0 };
            served.new.push(requests(rng, self.rate, new));
            served.old.push(requests(rng, old_rate, old));
        }
        served
    }

    fn share(&self, rng: &mut ChaCha8Rng, mean: f64, second: u32) -> f64 {
        let mean = (mean * (self.both)(second)).min(1.0);
        let Some(precision) = self.precision else { return mean };
        Beta::new(mean * precision, (1.0 - mean) * precision).map_or(mean, |spread| spread.sample(rng))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a Poisson number is small and whole"
)]
fn requests(rng: &mut ChaCha8Rng, rate: f64, bad: f64) -> (u64, u64) {
    let all = Poisson::new(rate).map_or(0, |count| count.sample(rng) as u64);
    (all, Binomial::new(all, bad).map_or(0, |count| count.sample(rng)))
}
