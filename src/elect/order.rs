//! Which tags of a list a policy puts above the version that stands.
//!
//! This is the part of an election that only changes with the list, the policy or what stands, so that it can be kept.

use std::borrow::Cow;
use std::cmp::Ordering;

use ::semver::Version;
use jiff::Timestamp;

use super::filter::Sieve;
use super::number::Number;
use super::semver::version_of;
use crate::config::{ImagePolicy, Order, Policy};
use crate::model::{BuildTag, Tag, Tags};

/// What a policy makes of a list of tags, seen from the version that stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ahead {
    /// The places in the list of the tags above what stands, best first.
    pub above: Vec<u32>,
    /// Whether the policy can elect any tag of the list.
    pub any: bool,
    /// Whether what stands is in the list, and the policy could elect it.
    pub stands: bool,
    /// Whether the policy can order what stands; an overlay that names no tag is below everything.
    pub ordered: bool,
}

/// What a policy compares.
#[derive(Debug, Clone)]
pub(super) enum Key {
    Version(Version),
    Number(Number),
    Text(String),
    Date(Timestamp),
}

/// A policy that reads tags.
pub(super) struct Ranker<'p> {
    policy: &'p Policy,
    sieve: Option<Sieve<'p>>,
}

impl<'p> Ranker<'p> {
    pub(super) fn new(rule: &'p ImagePolicy) -> Self {
        Self { policy: &rule.policy, sieve: rule.filter.as_ref().map(super::filter::Filter::sieve) }
    }

    /// What the filter leaves of a tag. Nothing of a local build's: it is elected when it is pushed, by who has built it.
    pub(super) fn text<'t>(&mut self, text: &'t str) -> Option<Cow<'t, str>> {
        if text.starts_with(BuildTag::PREFIX) && text.parse().is_ok_and(|tag| BuildTag::of(&tag).is_some()) {
            return None;
        }
        match &mut self.sieve {
            None => Some(Cow::Borrowed(text)),
            Some(sieve) => sieve.pass(text),
        }
    }

    /// What is compared of a tag; none if the policy can't order it.
    fn key(&mut self, tag: &str) -> Option<Key> {
        let text = self.text(tag)?;
        match self.policy {
            Policy::Semver { .. } => version_of(&text).map(Key::Version),
            Policy::Numerical { .. } => Number::parse(&text).map(Key::Number),
            Policy::Alphabetical { .. } => Some(Key::Text(text.into_owned())),
            Policy::Newest | Policy::Digest { .. } => None,
        }
    }

    fn elects(&self, key: &Key) -> bool {
        match (self.policy, key) {
            (Policy::Semver { range }, Key::Version(version)) => range.matches(version),
            _ => true,
        }
    }

    /// `Greater` where the policy prefers `a`.
    pub(super) fn compare(&self, a: &Key, b: &Key) -> Ordering {
        let order = match (a, b) {
            (Key::Version(a), Key::Version(b)) => a.cmp_precedence(b),
            (Key::Number(a), Key::Number(b)) => a.cmp(b),
            (Key::Text(a), Key::Text(b)) => a.cmp(b),
            (Key::Date(a), Key::Date(b)) => a.cmp(b),
            // Keys of one policy are of one kind.
            _ => Ordering::Equal,
        };
        match self.policy {
            Policy::Numerical { order: Order::Descending }
            | Policy::Alphabetical { order: Order::Descending } => order.reverse(),
            _ => order,
        }
    }

    /// What is above `standing` among the keys of `tags`; the inner option is none for a tag that is never elected.
    ///
    /// Of equal ones the shortest tag comes first, then the first in byte order, so that the list's order plays no part.
    pub(super) fn above<'t>(
        &self,
        keyed: impl Iterator<Item = (u32, &'t str, Key)>,
        current: Option<&str>,
        standing: Option<&Key>,
    ) -> Ahead {
        let mut ahead = Ahead { ordered: current.is_none() || standing.is_some(), ..Ahead::default() };
        let mut above = Vec::new();
        let mut order: Vec<(u128, usize)> = Vec::new();
        for (place, tag, key) in keyed {
            ahead.any = true;
            ahead.stands |= current == Some(tag);
            let better = match standing {
                Some(standing) => self.compare(&key, standing).is_gt(),
                None => current.is_none(),
            };
            if better {
                order.push((self.brief(&key), above.len()));
                above.push((place, tag, key));
            }
        }
        order.sort_unstable_by(|(brief, one), (other_brief, other)| {
            other_brief.cmp(brief).then_with(|| {
                let ((_, tag, key), (_, other_tag, other)) = (&above[*one], &above[*other]);
                let length = |tag: &str, other: &str| tag.len().cmp(&other.len());
                self.compare(other, key).then_with(|| length(tag, other_tag)).then_with(|| tag.cmp(other_tag))
            })
        });
        ahead.above = order.into_iter().map(|(_, index)| above[index].0).collect();
        ahead
    }

    /// The beginning of a key as a number that never contradicts [`Ranker::compare`]: nearly all comparisons end there.
    fn brief(&self, key: &Key) -> u128 {
        let brief = match key {
            Key::Version(version) => super::semver::brief(version),
            Key::Number(number) => number.brief(),
            Key::Text(text) => text
                .bytes()
                .chain(std::iter::repeat(0))
                .take(16)
                .fold(0, |brief, byte| (brief << 8) | u128::from(byte)),
            Key::Date(date) => date.as_nanosecond().cast_unsigned() ^ (1 << 127),
        };
        match self.policy {
            Policy::Numerical { order: Order::Descending }
            | Policy::Alphabetical { order: Order::Descending } => !brief,
            _ => brief,
        }
    }
}

/// What is above `current`, for a policy that orders tags by their text; empty for the others.
pub fn ahead(rule: &ImagePolicy, tags: &Tags, current: Option<&Tag>) -> Ahead {
    let mut ranker = Ranker::new(rule);
    let current = current.map(Tag::as_str);
    let standing = current.and_then(|tag| ranker.key(tag));
    let mut keyed = Vec::new();
    for (place, tag) in (0_u32..).zip(tags.texts()) {
        let Some(key) = ranker.key(tag).filter(|key| ranker.elects(key)) else { continue };
        // What is not above what stands need not be kept; one is, to show that there are any.
        let kept = current.is_none() || keyed.is_empty() || current == Some(tag);
        if kept || standing.as_ref().is_some_and(|standing| ranker.compare(&key, standing).is_gt()) {
            keyed.push((place, tag, key));
        }
    }
    ranker.above(keyed.into_iter(), current, standing.as_ref())
}

/// How a policy orders two tags, `Greater` where it prefers `a`; none where their text does not tell.
pub fn compare(rule: &ImagePolicy, a: &Tag, b: &Tag) -> Option<Ordering> {
    let mut ranker = Ranker::new(rule);
    let (a, b) = (ranker.key(a.as_str())?, ranker.key(b.as_str())?);
    Some(ranker.compare(&a, &b))
}

/// The version that a tag means to a semver policy, as its filter shows it.
pub(super) fn version(rule: &ImagePolicy, tag: &Tag) -> Option<Version> {
    match Ranker::new(rule).key(tag.as_str())? {
        Key::Version(version) => Some(version),
        _ => None,
    }
}

#[cfg(test)]
#[path = "order_tests.rs"]
pub(super) mod tests;
