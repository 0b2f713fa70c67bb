//! What a registry still grants in its present window (`ratelimit-limit`, `ratelimit-remaining`, as Docker Hub sends them).

use std::time::{Duration, Instant};

/// The window of a registry that names none; Docker Hub's.
const WINDOW: Duration = Duration::from_hours(6);
/// What is said of a quota counts for this long, and then it is found out again at full speed.
const FRESH: Duration = Duration::from_mins(15);
/// The longest wait between two questions.
const LONGEST: Duration = Duration::from_mins(1);
/// Below this part of the limit it is asked more slowly …
const LOW: u64 = 10;
/// … or below this number where no limit is told.
const LOW_NUMBER: u64 = 10;

/// What was last said of a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) remaining: u64,
    limit: Option<u64>,
    window: Duration,
    told: Instant,
}

impl Quota {
    /// Reads `100;w=21600` of both headers; `None` where they tell no number.
    pub(crate) fn read(remaining: Option<&str>, limit: Option<&str>, now: Instant) -> Option<Self> {
        let number = |header: Option<&str>| header?.split(';').next()?.trim().parse::<u64>().ok();
        let window = |header: Option<&str>| {
            header?.split(';').skip(1).find_map(|word| word.trim().strip_prefix("w=")?.parse().ok())
        };
        Some(Self {
            remaining: number(remaining)?,
            limit: number(limit),
            window: window(limit).or_else(|| window(remaining)).map_or(WINDOW, Duration::from_secs),
            told: now,
        })
    }

    /// The wait between two questions that lets what remains last for the window, where little remains.
    pub(crate) fn spacing(&self, now: Instant) -> Option<Duration> {
        let low = self.limit.map_or(LOW_NUMBER, |limit| limit / LOW);
        if self.remaining > low || now.duration_since(self.told) > FRESH {
            return None;
        }
        let questions = u32::try_from(self.remaining).unwrap_or(u32::MAX).saturating_add(1);
        Some((self.window / questions).min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn little_that_remains_is_spread_over_the_window_and_plenty_slows_nothing() {
        let now = Instant::now();
        let spacing = |remaining: &str, limit: Option<&str>| {
            Quota::read(Some(remaining), limit, now).unwrap().spacing(now).map(|wait| wait.as_secs())
        };
        for (remaining, limit, seconds) in [
            ("76;w=21600", Some("100;w=21600"), None),
            ("11", Some("100"), None),
            ("10", Some("100;w=110"), Some(10)),
            ("3;w=40", None, Some(10)),
            ("0;w=21600", Some("100;w=21600"), Some(60)),
            ("0", Some("18446744073709551615;w=18446744073709551615"), Some(60)),
            ("11", None, None),
        ] {
            assert_eq!(spacing(remaining, limit), seconds, "{remaining} of {limit:?}");
        }
        let old = Quota::read(Some("0"), Some("100"), now).unwrap();
        assert_eq!(old.spacing(now + FRESH * 2), None);
        for garbage in [None, Some(""), Some("many"), Some("-1")] {
            assert_eq!(Quota::read(garbage, Some("100"), now), None);
        }
    }
}
