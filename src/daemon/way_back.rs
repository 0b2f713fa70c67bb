//! Which version a person's rollback puts back, and the hold that keeps it there.

use std::collections::BTreeMap;

use super::promotion::At;
use crate::edit::{Hold, Written};
use crate::model::{AppName, Digest, EnvironmentName, ImageName, Source, Verdict, VerdictNote};
use crate::publish::{Desired, Images, Move, Verdicts, reference, version};

/// What a rollback comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// These images move.
    Moves(Vec<Move>),
    /// That version stands there, in words.
    Stands(String),
    /// Nothing in Git tells of the version that was named.
    NotInGit,
    /// It may not come back; in words, with the next step.
    Refused(String),
    /// There is nothing to go back to; in words, with the next step.
    Nothing(String),
}

/// What `app` goes back to in `environment`: the version before, or the one that is named.
pub fn target(
    app: &AppName,
    environment: &EnvironmentName,
    desired: &Desired,
    verdicts: &Verdicts,
    at: Option<&At>,
) -> Target {
    match at {
        Some(at) => named(app, environment, desired, verdicts, at),
        None => previous(app, environment, desired, verdicts),
    }
}

/// The hold of a version that a person has put back.
pub fn hold(moves: &[Move], reason: String, by: Option<String>) -> Hold {
    let images: Vec<String> = moves.iter().map(|step| reference(&step.image, &step.to)).collect();
    Hold { reason: Some(reason), by, until: None, image: Some(images.join(", ")) }
}

/// The moves to a set of images, as far as the app still has them.
pub fn moves_to(desired: &Desired, set: &Images) -> Vec<Move> {
    let step = |(image, now): (&ImageName, &Written)| {
        let to = set.get(image).filter(|to| *to != now)?;
        Some(Move { image: image.clone(), from: now.clone(), to: to.clone() })
    };
    desired.images.iter().filter_map(step).collect()
}

/// The quarantine's word on what a rollback would bring.
pub fn forbidden(app: &AppName, desired: &Desired, moves: &[Move]) -> Option<String> {
    let mut entries = desired.record.quarantine.iter();
    let entry =
        entries.find(|entry| moves.iter().any(|step| step.to.digest.as_ref() == Some(&entry.digest)))?;
    let reason = entry.reason.as_deref().unwrap_or("no reason given");
    let at = entry.tag.as_ref().map_or_else(|| entry.digest.to_string(), ToString::to_string);
    Some(format!(
        "{at} is quarantined ({reason}); `promote unquarantine --app {app} --at {at} --reason …` takes it out first"
    ))
}

fn previous(app: &AppName, environment: &EnvironmentName, desired: &Desired, verdicts: &Verdicts) -> Target {
    let says_something = |written: &Written| written.new_tag.is_some() || written.digest.is_some();
    let Some(newest) = desired.origin() else {
        return Target::Nothing(format!(
            "the commit that brought {app} to {environment} was not found; name a version with --at"
        ));
    };
    let by_rollback =
        newest.trailers.as_ref().is_some_and(|trailers| matches!(trailers.source, Source::Rollback { .. }));
    let put_back = desired.record.hold.as_ref().is_some_and(|hold| hold.image.is_some());
    if by_rollback && put_back {
        return Target::Stands(versions(desired));
    }
    // What stands may have been put back by a rollback: the version before it is the one before it first came.
    let stands = |images: &Images| desired.images.iter().all(|(image, now)| images.get(image) == Some(now));
    let Some(first) = desired.events.iter().rposition(|event| stands(&event.after)) else {
        return Target::Nothing("nothing tells what stood before; name a version with --at".to_owned());
    };
    let bad = |image: &ImageName, digest: &Digest| {
        desired.record.quarantine.iter().any(|entry| entry.digest == *digest)
            || verdicts
                .latest(app, environment, image, digest)
                .is_some_and(|note| note.verdict == Verdict::Failed)
    };
    let mut set = BTreeMap::new();
    let Some(event) = desired.events.get(first) else { return Target::NotInGit };
    for (image, now) in &desired.images {
        if event.before.get(image) == Some(now) {
            continue;
        }
        let older = desired.events[first..].iter().filter_map(|event| event.before.get(image));
        let mut usable = older.filter(|written| {
            let is_bad = written.digest.as_ref().is_some_and(|digest| bad(image, digest));
            says_something(written) && *written != now && !is_bad
        });
        let Some(to) = usable.next() else {
            return Target::Nothing(format!(
                "there is no version of {image} before {} in {environment} that did not fail; name one with --at",
                version(now)
            ));
        };
        set.insert(image.clone(), to.clone());
    }
    Target::Moves(moves_to(desired, &set))
}

fn named(
    app: &AppName,
    environment: &EnvironmentName,
    desired: &Desired,
    verdicts: &Verdicts,
    at: &At,
) -> Target {
    let is = |written: &Written| match at {
        At::Tag(tag) => written.new_tag.as_ref() == Some(tag),
        At::Digest(digest) => written.digest.as_ref() == Some(digest),
    };
    if desired.images.values().any(is) {
        return Target::Stands(versions(desired));
    }
    let sets = desired.events.iter().flat_map(|event| [&event.after, &event.before]);
    let set = sets.into_iter().find(|set| set.values().any(is)).cloned();
    let Some(set) = set.or_else(|| judged(app, environment, verdicts, at)) else { return Target::NotInGit };
    let moves = moves_to(desired, &set);
    match forbidden(app, desired, &moves) {
        Some(words) => Target::Refused(words),
        None if moves.is_empty() => Target::NotInGit,
        None => Target::Moves(moves),
    }
}

/// The images that stood together with the one that is named, as the verdicts on their commit tell.
fn judged(app: &AppName, environment: &EnvironmentName, verdicts: &Verdicts, at: &At) -> Option<Images> {
    let here = |note: &&VerdictNote| note.app == *app && note.environment == *environment;
    let is = |note: &&VerdictNote| match at {
        At::Tag(tag) => note.tag == *tag,
        At::Digest(digest) => note.digest == *digest,
    };
    let newest = verdicts.all().filter(here).filter(is).max_by_key(|note| note.times.decided)?;
    let together = verdicts.of_commit(&newest.commit).iter().filter(here).map(|note| {
        let written = Written {
            new_name: Some(note.reference.to_string()),
            new_tag: Some(note.tag.clone()),
            digest: Some(note.digest.clone()),
        };
        (note.image.clone(), written)
    });
    Some(together.collect())
}

fn versions(desired: &Desired) -> String {
    desired.images.values().map(version).collect::<Vec<_>>().join(", ")
}
