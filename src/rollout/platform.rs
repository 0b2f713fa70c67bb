//! Do so many apps fail together that the platform is the likelier cause?
//!
//! A node image, a registry or a network that fails takes healthy versions with it. To take them all back would help nobody and
//! blame the wrong ones, so that their judgement waits until it is over.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::model::AppName;

/// Failures within this time are together.
const TOGETHER: SignedDuration = SignedDuration::from_mins(5);
/// Once the platform is suspected, a failure counts this long: judgements are made anew meanwhile, and renew it.
const COUNTS: SignedDuration = SignedDuration::from_mins(15);
/// So many apps are never a coincidence.
const MANY: usize = 3;
/// What a reason says that blames the platform.
const BLAME: &str = "which points at the platform and not at their versions";

/// Whether a verdict's reasons blame the platform, so that the version was not taken back.
pub fn is_blamed(reasons: &[String]) -> bool {
    reasons.first().is_some_and(|words| words.contains(BLAME))
}

/// The apps of one environment that failed lately.
#[derive(Debug, Clone, Default)]
pub struct Failures {
    failed: BTreeMap<AppName, Timestamp>,
    suspected: bool,
}

impl Failures {
    /// Takes note of a failure.
    pub fn note(&mut self, app: &AppName, now: Timestamp) {
        self.failed.insert(app.clone(), now);
    }

    /// Takes note of a version that is good: what failed there before is over.
    pub fn forget(&mut self, app: &AppName) {
        self.failed.remove(app);
    }

    /// Why the platform is suspected, if so; `apps` is how many the environment has.
    pub fn weigh(&mut self, apps: usize, now: Timestamp) -> Option<String> {
        let counts = if self.suspected { COUNTS } else { TOGETHER };
        self.failed.retain(|_, at| now.duration_since(*at) < counts);
        let count = self.failed.len();
        // Two of three are an accident; a share tells something only of more.
        let is_large_share = count >= 2 && apps > MANY && count * 10 > apps * 3;
        self.suspected = count >= MANY || is_large_share;
        self.suspected.then(|| {
            let names: Vec<&str> = self.failed.keys().take(5).map(AppName::as_str).collect();
            format!(
                "{count} of {apps} apps fail together ({}), {BLAME}; nothing is rolled back until that is over. Mend what \
                 they share, and they are judged again; `promote rollback` takes one back all the same",
                names.join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn after(seconds: i64) -> Timestamp {
        now() + SignedDuration::from_secs(seconds)
    }

    fn failing(count: usize) -> Failures {
        let mut failures = Failures::default();
        for number in 0..count {
            failures.note(&format!("app-{number}").parse().unwrap(), now());
        }
        failures
    }

    #[test]
    fn three_apps_at_once_or_a_third_of_some_are_the_platforms_failure() {
        for (count, apps, expected) in [
            (1, 1, false),
            (2, 2, false),
            (2, 3, false),
            (2, 4, true),
            (2, 6, true),
            (2, 7, false),
            (3, 3, true),
            (3, 100, true),
        ] {
            assert_eq!(failing(count).weigh(apps, now()).is_some(), expected, "{count} of {apps}");
        }
    }

    #[test]
    fn failures_that_are_far_apart_are_not_together() {
        assert!(failing(3).weigh(3, after(299)).is_some());
        assert_eq!(failing(3).weigh(3, after(300)), None);
    }

    #[test]
    fn a_suspicion_lasts_while_the_same_apps_are_judged_anew_and_ends_when_they_are_good() {
        let mut failures = failing(3);
        assert!(failures.weigh(9, now()).is_some());
        failures.note(&"app-0".parse().unwrap(), after(310));
        assert!(failures.weigh(9, after(310)).is_some(), "the others are to be judged again first");
        failures.forget(&"app-1".parse().unwrap());
        assert_eq!(failures.weigh(9, after(320)), None);
    }

    #[test]
    fn an_app_that_fails_twice_is_one_app() {
        let mut failures = failing(2);
        failures.note(&"app-0".parse().unwrap(), now());
        assert_eq!(failures.weigh(10, now()), None);
        failures.note(&"app-2".parse().unwrap(), now());
        let words = failures.weigh(10, now()).unwrap();
        assert!(words.starts_with("3 of 10 apps fail together (app-0, app-1, app-2)"), "{words}");
        assert!(is_blamed(&[words, "crash loop".to_owned()]));
        assert!(!is_blamed(&["crash loop".to_owned()]) && !is_blamed(&[]));
    }
}
