//! `newest`: what was built last, by the time in the image.
//!
//! The times are foreign: whoever builds an image writes what they like into it. One in the future can't be true and is
//! left out; one of 1980 or before is what builders write who want none (the epoch, zip's first day).

use jiff::{SignedDuration, Timestamp};

use super::order::{Ahead, Key, Ranker};
use super::{Ask, Candidates, Knowledge, Known};
use crate::config::ImagePolicy;
use crate::discover::Depth;
use crate::model::{Digest, Tag};

/// How far ahead of the clock a time may be.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);
/// 1980-01-02T00:00:00Z.
const NO_TIME: i64 = 315_619_200;
/// More tags than this are not dated.
pub const MOST: usize = 5_000;

/// What stands before an order can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undated {
    /// These must be asked for first.
    Ask(Vec<Ask>),
    /// That many tags pass the filter.
    TooMany(usize),
}

/// Whether a time can be that of a build.
pub fn is_credible(created: Timestamp, now: Timestamp) -> bool {
    created.as_second() > NO_TIME && !is_future(created, now)
}

/// Whether a time is so far ahead that it can't be true.
pub fn is_future(created: Timestamp, now: Timestamp) -> bool {
    created.duration_since(now) > AHEAD
}

/// What is above the version that stands, once everything that passes the filter has a date.
pub fn ahead(rule: &ImagePolicy, over: &Candidates<'_>, known: &Knowledge<'_>) -> Result<Ahead, Undated> {
    let mut ranker = Ranker::new(rule);
    let mut asks = Vec::new();
    let standing = match (over.current.digest, over.current.tag) {
        (Some(digest), _) => {
            date(digest, known, over.now).map_err(|()| asks.push(Ask::Digest(digest.clone())))
        }
        (None, Some(tag)) => dated(tag, over, known).map_err(|()| asks.push(Ask::Tag(tag.clone()))),
        (None, None) => Ok(None),
    };
    let mut keyed = Vec::new();
    let mut passed = 0;
    // Backwards: names that grow with time end with the latest, which is what most people wait for.
    for (place, text) in over.tags.texts().enumerate().rev() {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        let Some(tag) = over.tags.get(place).filter(|_| ranker.text(text).is_some()) else { continue };
        passed += 1;
        match dated(&tag, over, known) {
            Ok(Some(date)) => keyed.push((place, text, Key::Date(date))),
            Ok(None) => {}
            Err(()) => asks.push(Ask::Tag(tag)),
        }
    }
    if passed > MOST {
        return Err(Undated::TooMany(passed));
    }
    let (true, Ok(standing)) = (asks.is_empty(), standing) else { return Err(Undated::Ask(asks)) };
    let ordered = over.current.tag.is_none() && over.current.digest.is_none() || standing.is_some();
    let ahead =
        ranker.above(keyed.into_iter(), over.current.tag.map(Tag::as_str), standing.map(Key::Date).as_ref());
    Ok(Ahead { ordered, ..ahead })
}

/// The date of a tag, if it has one that counts; an error if nobody knows yet.
fn dated(tag: &Tag, over: &Candidates<'_>, known: &Knowledge<'_>) -> Result<Option<Timestamp>, ()> {
    match known.of(over.repository, tag) {
        Known::Digest(digest) => date(&digest, known, over.now),
        Known::Absent | Known::Unusable(_) => Ok(None),
        Known::NotAsked => Err(()),
    }
}

fn date(digest: &Digest, known: &Knowledge<'_>, now: Timestamp) -> Result<Option<Timestamp>, ()> {
    let facts = known.facts(digest, Depth::Created).ok_or(())?;
    Ok(facts.created.filter(|created| facts.other.is_none() && is_credible(*created, now)))
}

#[cfg(test)]
#[path = "newest_tests.rs"]
mod tests;
