//! Evidence over time: is the new version worse than it may be, and is enough known to say that it is not?

use super::bet::{CAP, Null, add_logs, float};

/// Bets are placed on this many odds ratios at once, since nobody knows how much worse a bad version is.
const RATIOS: usize = 12;
/// The smallest and the largest of them; the others lie between in equal steps of their logarithm.
const SMALLEST: f64 = 1.25;
const LARGEST: f64 = 100.0;

/// A version whose share of bad requests is as large as what is excluded is accepted at most this often.
pub const MISSED: f64 = 0.01;
/// What is excluded is this many times what is allowed.
const EXCLUDED: f64 = 10.0;
/// With more evidence than this that a version is worse, it is not accepted.
pub const DOUBT: f64 = 3.0;
/// The old version's own share counts from this many requests on.
const KNOWN: u64 = 100;
/// Fewer bad requests, or windows that have some, are no ground to fail a version.
const LEAST_BAD: u64 = 3;

/// Requests, and how many of them were bad.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub all: u64,
    /// The bad ones; at most `all`.
    pub bad: u64,
}

impl Counts {
    /// Adds more requests.
    pub fn add(&mut self, more: Self) {
        self.all = self.all.saturating_add(more.all);
        self.bad = self.bad.saturating_add(more.bad);
    }
}

/// What a version must meet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Goal {
    /// The share of requests that may be bad, between 0 and 1.
    pub allowed: f64,
    /// How often a version that is not worse may be blamed, between 0 and 1.
    pub alpha: f64,
}

impl Goal {
    /// The share of bad requests that an accepted version does not have, with [`MISSED`] as the only exception.
    pub fn excluded(&self) -> f64 {
        (self.allowed * EXCLUDED).min(f64::midpoint(self.allowed, 1.0))
    }

    /// How many requests without a bad one are enough to accept a version.
    pub fn enough(&self) -> u64 {
        let each = ((1.0 - self.excluded()) / (1.0 - self.allowed)).ln();
        super::bet::whole((MISSED.ln() / each).ceil())
    }
}

/// How a version stands at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is worse.
    Worse,
    /// It meets its goal.
    Accepted,
    /// More requests are needed.
    Open,
}

/// One property of requests, such as that they fail, followed over one rollout.
#[derive(Debug, Clone)]
pub struct Evidence {
    goal: Goal,
    /// Logarithms of the product of all windows' payments, by odds ratio.
    products: [f64; RATIOS],
    new: Counts,
    old: Counts,
    judged_bad: u64,
    bad_windows: u64,
}

impl Evidence {
    /// Nothing is known yet.
    pub fn new(goal: Goal) -> Self {
        let none = Counts::default();
        Self { goal, products: [0.0; RATIOS], new: none, old: none, judged_bad: 0, bad_windows: 0 }
    }

    /// Requests of the old version from before anything was compared.
    pub fn history(&mut self, old: Counts) {
        self.old.add(old);
    }

    /// A window of requests; `old` is there where pods of the old version served beside the new ones.
    ///
    /// A window is a stratum: what hits both versions alike, such as an outage, cancels out.
    pub fn window(&mut self, new: Counts, old: Option<Counts>) {
        let null = match old {
            Some(old) if new.all == 0 || old.all == 0 || new.bad + old.bad == 0 => None,
            Some(old) => Some(Null::among(new.all, old.all, new.bad + old.bad)),
            None if new.all == 0 => None,
            None => Some(Null::at_most(new.all, self.reference())),
        };
        self.new.add(new);
        self.old.add(old.unwrap_or_default());
        let Some(null) = null else { return };
        for (index, product) in self.products.iter_mut().enumerate() {
            *product += null.pays(ratio(index), CAP, new.bad);
        }
        self.judged_bad += new.bad;
        self.bad_windows += u64::from(new.bad > 0);
    }

    /// What is allowed, or what the old version had: a version is not to blame for a goal that the one before it missed.
    fn reference(&self) -> f64 {
        let known = (float(self.old.bad) + 0.5) / (float(self.old.all) + 1.0);
        if self.old.all >= KNOWN { known.max(self.goal.allowed).min(0.99) } else { self.goal.allowed }
    }

    /// How many times more likely what was seen is if the version is worse. 1 says nothing.
    pub fn value(&self) -> f64 {
        let sum = self.products.iter().fold(f64::NEG_INFINITY, |sum, product| add_logs(sum, *product));
        (sum - float(RATIOS as u64).ln()).exp()
    }

    /// The answer now; it may be asked for at any time, and as often as one likes.
    pub fn standing(&self) -> Standing {
        let value = self.value();
        if value >= 1.0 / self.goal.alpha && self.judged_bad >= LEAST_BAD && self.bad_windows >= LEAST_BAD {
            return Standing::Worse;
        }
        if self.against() <= MISSED.ln() && value < DOUBT { Standing::Accepted } else { Standing::Open }
    }

    /// Whether nothing speaks against the version, be there enough requests or not.
    pub fn is_clean(&self) -> bool {
        self.against() <= 0.0 && self.value() < DOUBT
    }

    /// Wald's sequential test of what is excluded against what is allowed: the logarithm of their likelihood ratio.
    fn against(&self) -> f64 {
        let (allowed, excluded) = (self.goal.allowed, self.goal.excluded());
        let good = float(self.new.all.saturating_sub(self.new.bad));
        float(self.new.bad) * (excluded / allowed).ln() + good * ((1.0 - excluded) / (1.0 - allowed)).ln()
    }

    /// What must be met.
    pub fn goal(&self) -> Goal {
        self.goal
    }

    /// The requests of the new version, and of the old one.
    pub fn counts(&self) -> (Counts, Counts) {
        (self.new, self.old)
    }
}

/// The odds ratio of that number.
fn ratio(index: usize) -> f64 {
    let place = float(index as u64) / float(RATIOS as u64 - 1);
    SMALLEST * (LARGEST / SMALLEST).powf(place)
}

#[cfg(test)]
#[path = "evidence_tests.rs"]
mod tests;
