//! Waiting until nothing changes any more, with a limit.

use std::time::Duration;

use tokio::time::Instant;

/// A silence of this length ends the wait: an editor or a checkout is done.
const SILENCE: Duration = Duration::from_millis(200);
/// The wait ends at the latest after this long, whatever still changes.
const LONGEST: Duration = Duration::from_secs(10);

/// A wait that every further change prolongs, up to the limit.
#[derive(Debug, Default, Clone, Copy)]
pub struct Quiet(Option<(Instant, Instant)>);

impl Quiet {
    /// Something changed.
    pub fn hear(&mut self, now: Instant) {
        let latest = self.0.map_or(now + LONGEST, |(_, latest)| latest);
        self.0 = Some(((now + SILENCE).min(latest), latest));
    }

    /// When the wait ends if nothing more changes; none where nothing is waited for.
    pub fn until(&self) -> Option<Instant> {
        self.0.map(|(until, _)| until)
    }

    /// Ends the wait.
    pub fn end(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_prolongs_the_wait_up_to_the_limit() {
        let start = Instant::now();
        let mut quiet = Quiet::default();
        assert_eq!(quiet.until(), None);
        let mut now = start;
        while now < start + LONGEST * 2 {
            quiet.hear(now);
            assert_eq!(quiet.until(), Some((now + SILENCE).min(start + LONGEST)));
            now += SILENCE / 2;
        }
        quiet.end();
        quiet.hear(now);
        assert_eq!(quiet.until(), Some(now + SILENCE), "a new wait has a limit of its own");
    }
}
