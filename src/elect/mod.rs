//! Election: which version should run?
//!
//! In: the tags of a repository, what stands in the overlay, what is known of digests, and what must not run. Out: a
//! [`Choice`], with the reason when nothing moves. An election never goes down, and takes nothing from a list that is
//! empty: "no tags" means "not known".

pub mod build;
pub mod range;
pub mod semver;
pub mod upstream;

use std::cmp::Ordering;
use std::fmt;

use crate::config::Policy;
use crate::model::{Digest, Image, Repository, Tag};

/// A version as it stands somewhere: in an overlay, or in a list of versions that must not run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standing<'a> {
    /// The repository by name; none if the overlay has no `newName`.
    pub name: Option<&'a str>,
    /// The tag.
    pub tag: Option<&'a Tag>,
    /// The digest.
    pub digest: Option<&'a Digest>,
}

/// What is known of a tag's digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// The registry told.
    Digest(Digest),
    /// The registry has no such tag (any more).
    Absent,
    /// Nobody has asked yet.
    NotAsked,
}

/// What an election is held over.
pub struct Candidates<'a> {
    /// Where the image is.
    pub repository: &'a Repository,
    /// The complete list of its tags.
    pub tags: &'a [Tag],
    /// What stands in the overlay.
    pub current: Standing<'a>,
    /// Digests that failed here.
    pub quarantined: &'a [Digest],
    /// Versions that a person took away here.
    pub barred: &'a [Standing<'a>],
}

/// The outcome of an election.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// This image shall run.
    Move(Image),
    /// This tag is next; its digest must be known first.
    Resolve(Tag),
    /// What stands there stays.
    Stay(Why),
}

/// Why nothing moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The best version is the one that stands there.
    UpToDate,
    /// The registry lists no tags, which may mean anything.
    NoTags,
    /// No tag matches the policy.
    NoMatch,
    /// What stands there cannot be compared with the candidates.
    OrderUnknown(String),
    /// The better versions must not run: the best of them, and why not.
    Excluded {
        /// The best version that the policy would elect.
        tag: Tag,
        /// `quarantined` or `taken away by a person`.
        because: &'static str,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UpToDate => f.write_str("up to date"),
            Self::NoTags => f.write_str("the registry lists no tags; nothing is concluded from that"),
            Self::NoMatch => f.write_str("no tag matches the policy"),
            Self::OrderUnknown(tag) => {
                write!(
                    f,
                    "the policy cannot tell whether anything is newer than \"{tag}\"; commit a version that it can"
                )
            }
            Self::Excluded { tag, because } => write!(f, "{tag} is {because}"),
        }
    }
}

/// Holds the election; `known` tells what is known of a tag's digest.
pub fn choose(policy: &Policy, over: &Candidates<'_>, known: impl Fn(&Tag) -> Known) -> Choice {
    let Policy::Semver { range } = policy;
    if over.tags.is_empty() {
        return Choice::Stay(Why::NoTags);
    }
    let ranked = semver::ranked(range, over.tags);
    if ranked.is_empty() {
        return Choice::Stay(Why::NoMatch);
    }
    if let Some(why) = unordered(&over.current) {
        return Choice::Stay(why);
    }
    let mut excluded = None;
    for (_, tag) in ranked {
        let order =
            over.current.tag.and_then(|current| semver::compare(tag, current)).unwrap_or(Ordering::Greater);
        let same = over.current.tag == Some(tag);
        if order == Ordering::Less || (order == Ordering::Equal && !same) || (same && complete(over)) {
            break;
        }
        let digest = match known(tag) {
            Known::Digest(digest) => digest,
            Known::Absent => continue,
            Known::NotAsked => return Choice::Resolve(tag.clone()),
        };
        let candidate = Image { repository: over.repository.clone(), tag: tag.clone(), digest };
        let because = if over.quarantined.contains(&candidate.digest) {
            "quarantined"
        } else if over.barred.iter().any(|barred| is(&candidate, barred)) {
            "taken away by a person"
        } else if same && over.current.digest.is_some_and(|digest| *digest != candidate.digest) {
            // A tag that was pushed again: only what was verified under it may go on running.
            "pushed again with other content"
        } else {
            return Choice::Move(candidate);
        };
        excluded.get_or_insert(Why::Excluded { tag: tag.clone(), because });
    }
    Choice::Stay(excluded.unwrap_or(Why::UpToDate))
}

/// Whether the policy can order what stands there; an entry that says nothing yet is below everything.
fn unordered(current: &Standing<'_>) -> Option<Why> {
    match (current.tag, current.digest) {
        (Some(tag), _) if semver::version_of(tag).is_none() => Some(Why::OrderUnknown(tag.to_string())),
        (None, Some(digest)) => Some(Why::OrderUnknown(digest.short().to_owned())),
        _ => None,
    }
}

/// Whether name and digest stand there beside the tag.
fn complete(over: &Candidates<'_>) -> bool {
    over.current.digest.is_some() && over.current.name == Some(over.repository.to_string().as_str())
}

/// Whether the candidate is the version that was taken away; what the person's overlay left open matches anything.
fn is(candidate: &Image, barred: &Standing<'_>) -> bool {
    let tag = barred.tag.is_none_or(|tag| *tag == candidate.tag);
    let digest = barred.digest.is_none_or(|digest| *digest == candidate.digest);
    tag && digest && (barred.tag.is_some() || barred.digest.is_some())
}

#[cfg(test)]
mod tests;
