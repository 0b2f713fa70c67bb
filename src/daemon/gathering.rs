//! Waiting for what belongs together, so that one commit serves all of it.

use std::time::Duration;

use tokio::time::Instant;

/// How long a silence ends the wait: more than a busy registry needs for a small answer.
const SILENCE: Duration = Duration::from_millis(400);
/// How long the wait lasts at most, whatever still comes in.
const LONGEST: Duration = Duration::from_secs(1);

/// A wait that every further arrival prolongs, up to a limit.
#[derive(Debug, Default)]
pub struct Gathering(Option<Wait>);

#[derive(Debug, Clone, Copy)]
struct Wait {
    until: Instant,
    latest: Instant,
}

impl Gathering {
    /// Begins to wait, or goes on with it.
    pub fn begin(&mut self, now: Instant) {
        let latest = self.0.map_or(now + LONGEST, |wait| wait.latest);
        self.0 = Some(Wait { until: (now + SILENCE).min(latest), latest });
    }

    /// Something came in that may have company; prolongs a wait that is under way.
    pub fn hear(&mut self, now: Instant) {
        if self.is_open() {
            self.begin(now);
        }
    }

    /// Ends the wait; whether there was one.
    pub fn end(&mut self) -> bool {
        self.0.take().is_some()
    }

    /// Whether something waits.
    pub fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// When the wait ends if nothing more comes in.
    pub fn until(&self) -> Option<Instant> {
        self.0.map(|wait| wait.until)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_silence_ends_the_wait_and_what_comes_in_prolongs_it() {
        let start = Instant::now();
        let mut gathering = Gathering::default();
        gathering.hear(start);
        assert!(!gathering.is_open(), "nothing waits before it begins");
        gathering.begin(start);
        assert_eq!(gathering.until(), Some(start + SILENCE));
        gathering.hear(start + SILENCE / 2);
        assert_eq!(gathering.until(), Some(start + SILENCE / 2 + SILENCE));
        assert!(gathering.end() && !gathering.is_open() && !gathering.end());
    }

    #[test]
    fn nothing_is_kept_waiting_longer_than_the_limit() {
        let start = Instant::now();
        let mut gathering = Gathering::default();
        gathering.begin(start);
        let mut now = start;
        while now < start + LONGEST * 2 {
            gathering.hear(now);
            now += SILENCE / 3;
        }
        assert_eq!(gathering.until(), Some(start + LONGEST));
    }
}
