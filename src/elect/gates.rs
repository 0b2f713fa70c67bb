//! The gates that an election judges by itself: how long a version is known, how large a step it is, and who approved it.

use jiff::{SignedDuration, Timestamp};

use super::order;
use super::semver::jump;
use crate::config::{Gates, ImagePolicy, duration};
use crate::model::Tag;

/// What a gate demands that a version does not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// Its key in `gates`.
    pub gate: &'static str,
    /// What it demands, and what is missing.
    pub words: String,
    /// When it is met, if time alone is missing.
    pub until: Option<Timestamp>,
}

/// Whether the step from `current` to `tag` is larger than is allowed without a person.
pub fn step(gates: &Gates, rule: &ImagePolicy, current: Option<&Tag>, tag: &Tag) -> Option<Unmet> {
    let most = gates.max_jump?;
    let (from, to) = (order::version(rule, current?)?, order::version(rule, tag)?);
    let jump = jump(&from, &to);
    (jump > most).then(|| Unmet {
        gate: "maxJump",
        words: format!("is a {jump} step, and gates.maxJump allows {most}; a person may take it"),
        until: None,
    })
}

/// Whether a version that was first seen then is too young; what nobody has seen yet begins now.
///
/// A time in the future is that of a clock that was wrong, and begins anew as well.
pub fn age(gates: &Gates, first_seen: Option<Timestamp>, now: Timestamp) -> Option<Unmet> {
    let least = gates.min_age?;
    let seen = first_seen.unwrap_or(now).min(now);
    let until = seen.checked_add(SignedDuration::try_from(least).unwrap_or(SignedDuration::MAX)).ok()?;
    (until > now).then(|| Unmet {
        gate: "minAge",
        words: format!("waits until {:.0}: gates.minAge is {}", until, duration::format(least)),
        until: Some(until),
    })
}

/// Whether fewer people than must have approved a version; `by` names each of them once.
pub fn approvals(gates: &Gates, by: &[String]) -> Option<Unmet> {
    let (needed, given) = (usize::try_from(gates.approvals?).ok()?, by.len());
    let whose = if by.is_empty() { String::new() } else { format!(" (by {})", by.join(", ")) };
    (given < needed).then(|| Unmet {
        gate: "approvals",
        words: format!(
            "has {given} of the {needed} approvals that gates.approvals demands{whose}; `promote approve` adds one"
        ),
        until: None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;
    use crate::config::{Jump, Policy, RepositoryName};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn semver() -> ImagePolicy {
        ImagePolicy {
            repository: RepositoryName::Relative("wiki".to_owned()),
            policy: Policy::Semver { range: "*-0".parse().unwrap() },
            filter: None,
            platforms: Vec::new(),
            interval: None,
            build: None,
        }
    }

    #[test]
    fn a_version_is_old_enough_from_the_very_instant_on() {
        let gates = Gates { min_age: Some(Duration::from_hours(2)), ..Gates::default() };
        let seen = at("2026-03-29T00:30:00Z");
        let unmet = age(&gates, Some(seen), at("2026-03-29T02:29:59Z")).unwrap();
        assert_eq!(unmet.until, Some(at("2026-03-29T02:30:00Z")));
        assert_eq!(unmet.words, "waits until 2026-03-29T02:30:00Z: gates.minAge is 2h");
        assert_eq!(age(&gates, Some(seen), at("2026-03-29T02:30:00Z")), None);
        assert_eq!(age(&Gates::default(), None, seen), None);
    }

    #[test]
    fn what_nobody_has_seen_or_was_seen_in_the_future_begins_now() {
        let gates = Gates { min_age: Some(Duration::from_mins(1)), ..Gates::default() };
        let now = at("2038-01-19T03:14:08Z");
        for seen in [None, Some(at("2100-02-28T23:59:59Z"))] {
            assert_eq!(age(&gates, seen, now).unwrap().until, Some(at("2038-01-19T03:15:08Z")));
        }
    }

    #[test]
    fn a_step_is_as_large_as_the_first_number_that_changes() {
        let gates = |jump| Gates { max_jump: Some(jump), ..Gates::default() };
        let current: Tag = "1.2.3".parse().unwrap();
        for (tag, least) in [
            ("1.2.4", Jump::Patch),
            ("1.2.4-rc.1", Jump::Patch),
            ("1.3.0", Jump::Minor),
            ("v2.0.0", Jump::Major),
            ("10.2.3", Jump::Major),
        ] {
            for allowed in [Jump::Patch, Jump::Minor, Jump::Major] {
                let unmet = step(&gates(allowed), &semver(), Some(&current), &tag.parse().unwrap());
                assert_eq!(unmet.is_some(), least > allowed, "{tag} {allowed}");
            }
        }
        let words =
            step(&gates(Jump::Patch), &semver(), Some(&current), &"1.3.0".parse().unwrap()).unwrap().words;
        assert_eq!(words, "is a minor step, and gates.maxJump allows patch; a person may take it");
    }

    #[test]
    fn as_many_people_as_are_asked_for_must_have_approved() {
        let gates = Gates { approvals: Some(2), ..Gates::default() };
        let by = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let words = |names: &[&str]| approvals(&gates, &by(names)).map(|unmet| unmet.words);
        assert_eq!(
            words(&[]).unwrap(),
            "has 0 of the 2 approvals that gates.approvals demands; `promote approve` adds one"
        );
        assert!(words(&["Ann <a@x>"]).unwrap().contains("has 1 of the 2 approvals"));
        assert!(words(&["Ann <a@x>"]).unwrap().contains("(by Ann <a@x>)"));
        assert_eq!(words(&["Ann <a@x>", "Bob <b@x>"]), None);
        assert_eq!(approvals(&Gates::default(), &[]), None);
    }

    #[test]
    fn the_first_version_of_an_environment_is_no_step() {
        let gates = Gates { max_jump: Some(Jump::Patch), ..Gates::default() };
        assert_eq!(step(&gates, &semver(), None, &"9.0.0".parse().unwrap()), None);
    }
}
