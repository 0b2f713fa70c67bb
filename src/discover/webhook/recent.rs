//! What came in a moment ago, so that a repetition costs nothing: providers send what they are not sure of twice, and
//! tell of one push by several events.

use std::collections::hash_map::RandomState;
use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, Hash};
use std::time::{Duration, Instant};

/// How long something counts as a repetition. Whoever presses "redeliver" by hand is slower.
const WINDOW: Duration = Duration::from_secs(30);
/// The most that is remembered, some hundred kilobytes; beyond it the oldest is forgotten.
const MOST: usize = 20_000;

/// Fingerprints of what came in, with their times.
#[derive(Debug, Default)]
pub struct Recent {
    hasher: RandomState,
    order: VecDeque<(Instant, u64)>,
    known: HashSet<u64>,
}

impl Recent {
    /// Whether `thing` came in within the window before `now`; if not, it does now.
    pub fn repeats(&mut self, thing: impl Hash, now: Instant) -> bool {
        while let Some((when, fingerprint)) = self.order.front().copied()
            && (self.order.len() >= MOST || now.saturating_duration_since(when) >= WINDOW)
        {
            self.order.pop_front();
            self.known.remove(&fingerprint);
        }
        let fingerprint = self.hasher.hash_one(thing);
        let new = self.known.insert(fingerprint);
        if new {
            self.order.push_back((now, fingerprint));
        }
        !new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repetition_is_known_within_the_window_alone() {
        let start = Instant::now();
        let mut recent = Recent::default();
        assert!(!recent.repeats(("ghcr", "1"), start));
        assert!(recent.repeats(("ghcr", "1"), start + WINDOW / 2));
        assert!(!recent.repeats(("quay", "1"), start + WINDOW / 2));
        assert!(!recent.repeats(("ghcr", "1"), start + WINDOW));
        assert!(recent.repeats(("ghcr", "1"), start + WINDOW));
    }

    #[test]
    fn a_flood_is_remembered_up_to_a_limit() {
        let start = Instant::now();
        let mut recent = Recent::default();
        for number in 0..3 * MOST {
            recent.repeats(number, start);
        }
        assert_eq!((recent.order.len(), recent.known.len()), (MOST, MOST));
        assert!(recent.repeats(3 * MOST - 1, start) && !recent.repeats(0, start));
    }
}
