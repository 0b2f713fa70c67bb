//! What stands in for a version that failed.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::config::OnFailure;
use crate::edit::{Amendment, Hold, Quarantined, Written};
use crate::model::{AppName, CommitId, Digest, EnvironmentName, Source};
use crate::publish::message::Trailers;
use crate::publish::{Change, Entry, Event, Move, version};

/// Why a failed version stays where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// `onFailure: hold`.
    Asked,
    /// The failed version is itself the one that was put back: going back and forth helps nobody.
    AlreadyRolledBack,
    /// A person brought it by hand, and decides.
    Person(String),
    /// There is nothing to go back to.
    NothingBefore,
    /// Versions were taken back so often within an hour that one more helps nobody.
    TooOften,
}

/// How many versions of an app are taken back within [`WINDOW`]; after that, a person has to look.
const MOST: usize = 2;
/// See [`MOST`].
pub const WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// What stands around a rollback.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// `verify.onFailure`.
    pub on_failure: OnFailure,
    /// How many versions of this app were taken back in this environment within [`WINDOW`], as Git's history has it.
    pub recent: usize,
    /// Now.
    pub now: Timestamp,
}

/// How many of our commits `since` took back a version of `app` in `environment`.
pub fn count(entries: &[Entry], app: &AppName, environment: &EnvironmentName, since: Timestamp) -> usize {
    let is_one = |entry: &&Entry| {
        entry.time >= since
            && entry.groups.iter().any(|group| {
                let here = group.app == *app && group.environment == *environment;
                here && group.is_automatic_rollback()
            })
    };
    entries.iter().filter(is_one).count()
}

/// Whether we held `app` in `environment` since `commit`: a person who released it meanwhile has looked.
pub fn was_held(entries: &[Entry], app: &AppName, environment: &EnvironmentName, commit: &CommitId) -> bool {
    let is_hold = |group: &Trailers| {
        let here = group.app == *app && group.environment == *environment;
        here && group.is_automatic() && group.record.as_deref() == Some("held")
    };
    let since = entries.iter().take_while(|entry| entry.commit != *commit);
    since.flat_map(|entry| &entry.groups).any(is_hold)
}

impl std::fmt::Display for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Asked => f.write_str("`onFailure: hold` leaves it to a person"),
            Self::AlreadyRolledBack => f.write_str(
                "it is the version that was put back, so that the image is not the cause; nothing more is rolled back",
            ),
            Self::Person(author) => write!(f, "{author} brought it by hand; revert that commit to take it back"),
            Self::NothingBefore => f.write_str("there is no version before it"),
            Self::TooOften => write!(
                f,
                "{MOST} versions of it were taken back within an hour, so that a person has to look before one more is"
            ),
        }
    }
}

/// The change that holds an app where it is: versions were taken back too often, and the next one that comes by itself would
/// most likely fail as well.
pub fn hold(app: &AppName, environment: &EnvironmentName, reason: &str) -> Change {
    let reason = format!("{}: {reason}", Kept::TooOften);
    let hold =
        Hold { reason: Some(reason.clone()), by: Some("promoted".to_owned()), until: None, image: None };
    Change {
        app: app.clone(),
        environment: environment.clone(),
        moves: Vec::new(),
        source: Source::Manual,
        actor: None,
        reason: Some(reason),
        amendments: vec![Amendment::Hold(hold)],
    }
}

/// The change that takes back what `events` (newest first) brought last, if it may be taken back.
///
/// `bad` tells of digests that are known to have failed: they are passed over on the way back.
pub fn of(
    app: &AppName,
    environment: &EnvironmentName,
    events: &[Event],
    circumstances: Circumstances,
    reason: &str,
    bad: impl Fn(&Digest) -> bool,
) -> Result<Change, Kept> {
    let Circumstances { on_failure, recent, now } = circumstances;
    let Some(failed) = events.first() else { return Err(Kept::NothingBefore) };
    match &failed.trailers {
        None => return Err(Kept::Person(failed.author.clone())),
        Some(trailers) if matches!(trailers.source, Source::Rollback { .. }) => {
            return Err(Kept::AlreadyRolledBack);
        }
        Some(_) if on_failure == OnFailure::Hold => return Err(Kept::Asked),
        Some(_) if recent >= MOST => return Err(Kept::TooOften),
        Some(_) => {}
    }
    let changed: BTreeMap<_, _> =
        failed.after.iter().filter(|(image, now)| failed.before.get(*image) != Some(*now)).collect();
    let mut moves = Vec::new();
    let mut amendments = Vec::new();
    for (image, from) in changed {
        let usable = |written: &&Written| {
            let says_something = written.new_tag.is_some() || written.digest.is_some();
            says_something && *written != from && !written.digest.as_ref().is_some_and(&bad)
        };
        let to = events.iter().filter_map(|event| event.before.get(image)).find(usable);
        let Some(to) = to else { return Err(Kept::NothingBefore) };
        moves.push(Move { image: image.clone(), from: from.clone(), to: to.clone() });
        amendments.extend(from.digest.clone().map(|digest| {
            Amendment::Quarantine(Quarantined {
                digest,
                tag: from.new_tag.clone(),
                reason: Some(reason.to_owned()),
                at: Some(now),
            })
        }));
    }
    if moves.is_empty() {
        return Err(Kept::NothingBefore);
    }
    let versions: Vec<String> = moves.iter().map(|step| version(&step.from)).collect();
    Ok(Change {
        app: app.clone(),
        environment: environment.clone(),
        moves,
        source: Source::Rollback { commit: failed.commit.clone() },
        actor: None,
        reason: Some(format!("{} failed: {reason}", versions.join(", "))),
        amendments,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn written(tag: &str) -> Written {
        let digit = tag.chars().last().unwrap().to_string();
        Written {
            new_name: Some("registry/wiki".to_owned()),
            new_tag: Some(tag.parse().unwrap()),
            digest: Some(format!("sha256:{}", digit.repeat(64)).parse().unwrap()),
        }
    }

    fn event(before: &str, after: &str, source: Option<Source>) -> Event {
        let images = |tag: &str| BTreeMap::from([("wiki".parse().unwrap(), written(tag))]);
        Event {
            parent: None,
            commit: "c".repeat(40).parse().unwrap(),
            time: Timestamp::UNIX_EPOCH,
            author: "A Person <person@example.org>".to_owned(),
            trailers: source.map(|source| Trailers {
                app: "wiki".parse().unwrap(),
                environment: "local".parse().unwrap(),
                images: Vec::new(),
                source,
                actor: "promoted".to_owned(),
                reason: None,
                record: None,
            }),
            before: images(before),
            after: images(after),
        }
    }

    fn back(events: &[Event], on_failure: OnFailure, bad: &str) -> Result<String, Kept> {
        let bad = written(bad).digest.unwrap();
        let (app, environment) = ("wiki".parse().unwrap(), "local".parse().unwrap());
        let circumstances = Circumstances { on_failure, ..calm() };
        of(&app, &environment, events, circumstances, "crash loop", |digest| *digest == bad)
            .map(|change| version(&change.moves[0].to))
    }

    fn calm() -> Circumstances {
        Circumstances { on_failure: OnFailure::Rollback, recent: 0, now: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn the_previous_version_comes_back_and_the_failed_digest_is_quarantined() {
        let events = [event("1.1", "1.2", Some(Source::Registry))];
        let (app, environment) = ("wiki".parse().unwrap(), "local".parse().unwrap());
        let change = of(&app, &environment, &events, calm(), "crash loop", |_| false).unwrap();
        assert_eq!(change.moves[0].to, written("1.1"));
        let [Amendment::Quarantine(entry)] = &change.amendments[..] else {
            panic!("{:?}", change.amendments)
        };
        assert_eq!(Some(&entry.digest), written("1.2").digest.as_ref());
        assert_eq!(change.reason.unwrap(), "1.2 failed: crash loop");
        assert_eq!(change.source, Source::Rollback { commit: "c".repeat(40).parse().unwrap() });
    }

    #[test]
    fn a_version_that_failed_before_is_passed_over_on_the_way_back() {
        let events =
            [event("1.2", "1.3", Some(Source::Registry)), event("1.1", "1.2", Some(Source::Registry))];
        assert_eq!(back(&events, OnFailure::Rollback, "1.2").unwrap(), "1.1");
    }

    #[test]
    fn there_is_no_ping_pong() {
        let source = Source::Rollback { commit: "d".repeat(40).parse().unwrap() };
        assert_eq!(
            back(&[event("1.2", "1.1", Some(source))], OnFailure::Rollback, "1.9"),
            Err(Kept::AlreadyRolledBack)
        );
    }

    #[test]
    fn two_versions_are_taken_back_in_an_hour_and_the_third_stays() {
        let events = [event("1.1", "1.2", Some(Source::Registry))];
        let (app, environment) = ("wiki".parse().unwrap(), "local".parse().unwrap());
        let back =
            |recent| of(&app, &environment, &events, Circumstances { recent, ..calm() }, "", |_| false);
        assert!(back(1).is_ok());
        assert_eq!(back(2), Err(Kept::TooOften));

        let entry = |app: &str, source: Source, second| Entry {
            commit: "c".repeat(40).parse().unwrap(),
            time: Timestamp::from_second(second).unwrap(),
            groups: vec![Trailers {
                app: app.parse().unwrap(),
                environment: "local".parse().unwrap(),
                images: Vec::new(),
                source,
                actor: "promoted".to_owned(),
                reason: None,
                record: None,
            }],
        };
        let rollback = || Source::Rollback { commit: "d".repeat(40).parse().unwrap() };
        let entries = [
            entry("wiki", rollback(), 100),
            entry("wiki", Source::Registry, 90),
            entry("shop", rollback(), 80),
            entry("wiki", rollback(), 10),
        ];
        let since = |second| count(&entries, &app, &environment, Timestamp::from_second(second).unwrap());
        assert_eq!((since(0), since(50), since(101)), (2, 1, 0));
    }

    #[test]
    fn an_app_is_held_once_for_a_failure_and_not_again_after_a_person_has_looked() {
        let (app, environment): (AppName, EnvironmentName) =
            ("wiki".parse().unwrap(), "local".parse().unwrap());
        let entry = |digit: &str, actor: &str, record: Option<&str>| Entry {
            commit: digit.repeat(40).parse().unwrap(),
            time: Timestamp::UNIX_EPOCH,
            groups: vec![Trailers {
                app: app.clone(),
                environment: environment.clone(),
                images: Vec::new(),
                source: Source::Manual,
                actor: actor.to_owned(),
                reason: None,
                record: record.map(str::to_owned),
            }],
        };
        let failed: CommitId = "b".repeat(40).parse().unwrap();
        let before = [entry("b", "promoted", None), entry("a", "promoted", Some("held"))];
        assert!(!was_held(&before, &app, &environment, &failed));
        let by_a_person = [&[entry("c", "Ann <a@x>", Some("held"))], &before[..]].concat();
        assert!(!was_held(&by_a_person, &app, &environment, &failed));
        let released = [entry("d", "Ann <a@x>", Some("released")), entry("c", "promoted", Some("held"))];
        let released = [&released[..], &before[..]].concat();
        assert!(was_held(&released, &app, &environment, &failed));
        assert!(!was_held(&released, &"shop".parse().unwrap(), &environment, &failed));
    }

    #[test]
    fn a_persons_commit_is_not_taken_back() {
        let kept = back(&[event("1.1", "1.2", None)], OnFailure::Rollback, "1.9").unwrap_err();
        assert!(kept.to_string().starts_with("A Person"), "{kept}");
    }

    #[test]
    fn hold_leaves_it_to_a_person() {
        let events = [event("1.1", "1.2", Some(Source::Registry))];
        assert_eq!(back(&events, OnFailure::Hold, "1.9"), Err(Kept::Asked));
        assert_eq!(back(&[], OnFailure::Rollback, "1.9"), Err(Kept::NothingBefore));
    }
}
