//! Who is looked at next: those that take long wait for each other, and for nobody else.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::Repository;

/// How many repositories of one registry are asked at the same time …
const AT_ONCE: usize = 16;
/// … and besides, how many of those that took long the last time.
const SLOW_AT_ONCE: usize = 16;
/// How many looks may take long at the same time without taking room from others: more is a registry that is ill.
const SLOW_LIMIT: usize = 128;
/// A look that takes longer is a slow one.
pub(super) const SLOW: Duration = Duration::from_secs(3);

/// The repositories that wait for their look, and those that are looked at. First due, first asked: where a pass takes
/// longer than the interval, each repository still has its turn.
#[derive(Default)]
pub(super) struct Lanes {
    pub(super) quick: VecDeque<Repository>,
    pub(super) slow: VecDeque<Repository>,
    /// When each look began, and whether it counts as slow.
    pub(super) running: BTreeMap<Repository, (Instant, bool)>,
}

impl Lanes {
    /// Adds one to the end of its lane.
    pub(super) fn add(&mut self, repository: Repository, slow: bool) {
        if slow { &mut self.slow } else { &mut self.quick }.push_back(repository);
    }

    /// The next repository to look at, if there is room for it.
    pub(super) fn start(&mut self, now: Instant) -> Option<Repository> {
        let mut slow = self.running.values().filter(|(_, slow)| *slow).count();
        for (began, is_slow) in self.running.values_mut() {
            if !*is_slow && slow < SLOW_LIMIT && *began + SLOW <= now {
                *is_slow = true;
                slow += 1;
            }
        }
        let quick = self.running.len() - slow;
        let (next, is_slow) = if quick < AT_ONCE && !self.quick.is_empty() {
            (self.quick.pop_front()?, false)
        } else if slow < SLOW_AT_ONCE {
            (self.slow.pop_front()?, true)
        } else {
            return None;
        };
        self.running.insert(next.clone(), (now, is_slow));
        Some(next)
    }

    /// When there may be room again without any look having ended.
    pub(super) fn room(&self) -> Option<Instant> {
        let began = self.running.values().filter(|(_, slow)| !*slow).map(|(began, _)| *began).min();
        began.filter(|_| !self.quick.is_empty()).map(|began| began + SLOW)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn repository(number: usize) -> Repository {
        Repository::new("localhost:1".parse().unwrap(), &format!("app-{number}")).unwrap()
    }

    #[test]
    fn repositories_that_hang_take_no_room_from_those_that_answer() {
        let now = Instant::now();
        let mut lanes = Lanes { quick: (0..50).map(repository).collect(), ..Lanes::default() };
        assert_eq!(std::iter::from_fn(|| lanes.start(now)).count(), AT_ONCE);
        // None of them answers.
        assert_eq!(lanes.room(), Some(now + SLOW));
        for pass in 1..=3 {
            let later = now + SLOW * pass;
            let started = std::iter::from_fn(|| lanes.start(later)).count();
            assert_eq!(started, if pass < 3 { AT_ONCE } else { 50 - 3 * AT_ONCE });
        }
        // In the next pass those that hung wait for each other alone.
        let mut lanes = Lanes {
            quick: (100..110).map(repository).collect(),
            slow: (0..50).map(repository).collect(),
            ..Lanes::default()
        };
        let first: Vec<_> = std::iter::from_fn(|| lanes.start(now)).collect();
        assert_eq!(first.len(), 10 + SLOW_AT_ONCE);
        assert!((100..110).map(repository).all(|repository| first.contains(&repository)));
        lanes.quick.push_back(repository(200));
        assert_eq!(lanes.start(now), Some(repository(200)));
    }
}
