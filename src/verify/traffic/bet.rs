//! What one window of requests is worth as evidence, exactly.
//!
//! A bet on an odds ratio pays `min(CAP, c·ratio^bad)`, with `c` such that it pays 1 on average where the version is not
//! worse. So the product of the payments of many windows is a test martingale: it reaches `1/α` with a probability of at
//! most α, whenever one looks (Ville 1939). Without the cap the payment is the likelihood ratio of Fisher's non-central
//! hypergeometric distribution, or of the binomial one. The cap keeps bursts, which are no independent requests, from being
//! worth more than the window that they fall into.

/// The most that one window can pay.
pub const CAP: f64 = 3.0;

/// Weights below this part of the mode's do not change a sum of doubles.
const NEGLIGIBLE: f64 = 1e-25;

/// How many requests of the new version fail in a window, where it is not worse: a distribution around its mode.
#[derive(Debug, Clone, PartialEq)]
pub struct Null {
    first: u64,
    shares: Vec<f64>,
}

impl Null {
    /// As the `bad` ones of `new + old` requests fall to the new version by chance (hypergeometric).
    ///
    /// `bad` is at most `new + old`.
    pub fn among(new: u64, old: u64, bad: u64) -> Self {
        let (low, high) = (bad.saturating_sub(old), new.min(bad));
        let mode = (float(bad) + 1.0) * (float(new) + 1.0) / (float(new) + float(old) + 2.0);
        Self::around(mode, low, high, |j| {
            (float(new) - float(j)) * (float(bad) - float(j))
                / ((float(j) + 1.0) * (float(old) - float(bad) + float(j) + 1.0))
        })
    }

    /// As each of `requests` fails with the probability `allowed`, which lies between 0 and 1 (binomial).
    pub fn at_most(requests: u64, allowed: f64) -> Self {
        let mode = (float(requests) + 1.0) * allowed;
        let odds = allowed / (1.0 - allowed);
        Self::around(mode, 0, requests, |j| (float(requests) - float(j)) / (float(j) + 1.0) * odds)
    }

    /// `step` is the weight of the next number, of this one's.
    fn around(mode: f64, low: u64, high: u64, step: impl Fn(u64) -> f64) -> Self {
        let mode = whole(mode).clamp(low, high);
        let mut below = Vec::new();
        let (mut weight, mut first) = (1.0, mode);
        while first > low {
            weight /= step(first - 1);
            if weight < NEGLIGIBLE {
                break;
            }
            first -= 1;
            below.push(weight);
        }
        below.reverse();
        let mut shares = below;
        shares.push(1.0);
        weight = 1.0;
        for j in mode..high {
            weight *= step(j);
            if weight < NEGLIGIBLE {
                break;
            }
            shares.push(weight);
        }
        let sum: f64 = shares.iter().sum();
        for share in &mut shares {
            *share /= sum;
        }
        Self { first, shares }
    }

    /// The logarithm of what a bet on `ratio`, above 1, pays where `bad` requests of the new version failed.
    pub fn pays(&self, ratio: f64, cap: f64, bad: u64) -> f64 {
        let (step, limit) = (ratio.ln(), cap.ln());
        // Logarithms of the sums of share·ratio^j below each number.
        let mut sums = Vec::with_capacity(self.shares.len());
        let mut sum = f64::NEG_INFINITY;
        for (j, share) in self.shares.iter().enumerate() {
            sum = add_logs(sum, share.ln() + float(j as u64) * step);
            sums.push(sum);
        }
        // From the top: whatever pays more than the cap pays the cap, and the rest shares what is left of 1.
        let (mut left, mut constant) = (1.0_f64, 0.0);
        for (j, sum) in sums.iter().enumerate().rev() {
            constant = left.ln() - sum;
            if constant + float(j as u64) * step <= limit {
                break;
            }
            left -= cap * self.shares[j];
        }
        let place = float(bad) - float(self.first);
        (constant + place * step).min(limit)
    }

    /// The smallest number that counts, and the shares of it and the numbers after it.
    #[cfg(test)]
    fn shares(&self) -> (u64, &[f64]) {
        (self.first, &self.shares)
    }
}

/// ln(e^a + e^b).
pub(super) fn add_logs(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// Counts of requests stay far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts of requests stay far below 2^53")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates, as it should")]
pub(super) fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
#[path = "bet_tests.rs"]
mod tests;
