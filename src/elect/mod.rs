//! Election: which version should run?
//!
//! In: the tags of a repository, what stands in the overlay, what is known of digests and images, and what must not run.
//! Out: a [`Choice`], with the reason when nothing moves. An election never goes down, and takes nothing from a list that
//! is empty: "no tags" means "not known".

pub mod build;
pub mod filter;
pub mod gates;
pub mod newest;
pub mod number;
pub mod order;
pub mod pattern;
pub mod platform;
pub mod range;
pub mod semver;
pub mod upstream;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use jiff::Timestamp;

use self::newest::Undated;
pub use self::order::Ahead;
use crate::config::{Gates, ImagePolicy, Policy};
use crate::discover::{Depth, Facts, Platform};
use crate::model::{Digest, Image, Repository, Tag, Tags};

/// How many versions are looked at, best first, before an election gives up: each costs its registry up to three requests,
/// once. A gate of age over a registry of many pushes has to pass over all that are too young.
const LOOKED_AT: usize = 256;

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
    /// The registry has something that can't be read, in its words.
    Unusable(String),
    /// Nobody has asked yet.
    NotAsked,
}

/// What is known beyond the lists of tags.
#[derive(Debug, Clone, Copy)]
pub struct Knowledge<'a> {
    /// The digests that were asked for.
    pub digests: &'a HashMap<(Repository, Tag), Known>,
    /// What the images are.
    pub facts: &'a HashMap<Digest, Facts>,
    /// When images were first seen here.
    pub first_seen: &'a HashMap<(Repository, Digest), Timestamp>,
}

impl Known {
    /// What is wrong with a tag that stays [`Known::Absent`].
    pub const LISTED_ALONE: &str = "the registry lists it and has no manifest for it";
}

impl Knowledge<'_> {
    fn of(&self, repository: &Repository, tag: &Tag) -> Known {
        self.digests.get(&(repository.clone(), tag.clone())).cloned().unwrap_or(Known::NotAsked)
    }

    fn facts(&self, digest: &Digest, depth: Depth) -> Option<&Facts> {
        self.facts.get(digest).filter(|facts| facts.depth >= depth)
    }
}

/// What an election is held over.
#[derive(Debug)]
pub struct Candidates<'a> {
    /// Where the image is.
    pub repository: &'a Repository,
    /// The complete list of its tags.
    pub tags: &'a Tags,
    /// What stands in the overlay.
    pub current: Standing<'a>,
    /// Digests that failed here.
    pub quarantined: &'a [Digest],
    /// Versions that a person took away here.
    pub barred: &'a [Standing<'a>],
    /// What a version must be there for; empty where that is not known.
    pub platforms: &'a [Platform],
    /// What a version must meet before it comes here.
    pub gates: &'a Gates,
    /// Who approved which version here.
    pub approved: &'a BTreeMap<Digest, Vec<String>>,
    /// The present.
    pub now: Timestamp,
}

/// Something to ask a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ask {
    /// The digest of a tag, and what the image is.
    Tag(Tag),
    /// What the image of this digest is.
    Digest(Digest),
}

/// The outcome of an election.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// This image shall run.
    Move(Image),
    /// These must be known first.
    Resolve(Vec<Ask>),
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
    /// The tag that is followed is not listed.
    NoSuchTag(Tag),
    /// That many tags would have to be dated.
    TooManyToDate(usize),
    /// What stands there cannot be compared with the candidates.
    OrderUnknown(String),
    /// The better versions must not run: the best of them, and why not.
    Excluded {
        /// The best version that the policy would elect.
        tag: Tag,
        /// `quarantined`, `taken away by a person`, …
        because: String,
    },
    /// The better versions do not run here: the best of them as it was read, which may be half of a push, and why not.
    Unfit {
        /// The image.
        image: Image,
        /// What it lacks.
        because: String,
    },
    /// None of the best versions that were looked at can be taken, for this reason the first of them.
    Exhausted(Box<Self>),
    /// The better versions may not come here yet, or not without a person: the best of them, and what it does not meet.
    Gated {
        /// The best version that the policy would elect.
        tag: Tag,
        /// All that it does not meet.
        unmet: Vec<gates::Unmet>,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UpToDate => f.write_str("up to date"),
            Self::NoTags => f.write_str(
                "the registry lists no tags; nothing is concluded from that, and it is asked again at the next pass",
            ),
            Self::NoMatch => f.write_str("no tag matches the policy"),
            Self::NoSuchTag(tag) => {
                write!(
                    f,
                    "the registry has no tag {tag}; nothing is concluded from that, and it is asked again at the next pass"
                )
            }
            Self::TooManyToDate(count) => {
                write!(
                    f,
                    "{count} tags would have to be dated, at most {} are; narrow filterTags",
                    newest::MOST
                )
            }
            Self::OrderUnknown(tag) => {
                write!(
                    f,
                    "the policy cannot tell whether anything is newer than \"{tag}\"; commit a version that it can"
                )
            }
            Self::Excluded { tag, because } => write!(f, "{tag} is {because}"),
            Self::Unfit { image, because } => write!(f, "{} is {because}", image.tag),
            Self::Exhausted(first) => {
                write!(
                    f,
                    "{first}; nor can any other of the {LOOKED_AT} best be taken, and no more are looked at"
                )
            }
            Self::Gated { tag, unmet } => {
                let words: Vec<&str> = unmet.iter().map(|unmet| unmet.words.as_str()).collect();
                write!(f, "{tag} {}", words.join("; and "))
            }
        }
    }
}

/// How much of an image must be known before it is elected.
pub fn depth(rule: &ImagePolicy, over: &Candidates<'_>) -> Depth {
    match &rule.policy {
        Policy::Newest => Depth::Created,
        _ if over.platforms.is_empty() => Depth::Kind,
        _ => Depth::Platforms,
    }
}

/// What is above the version that stands; an error says why that can't be told yet, or at all.
///
/// Without `newest` it depends on the policy, the list and what stands alone, so that it may be kept as long as they are.
pub fn ahead(rule: &ImagePolicy, over: &Candidates<'_>, known: &Knowledge<'_>) -> Result<Ahead, Choice> {
    match &rule.policy {
        Policy::Newest => newest::ahead(rule, over, known).map_err(|undated| match undated {
            Undated::Ask(asks) => Choice::Resolve(asks),
            Undated::TooMany(count) => Choice::Stay(Why::TooManyToDate(count)),
        }),
        Policy::Digest { tag } => Ok(match over.tags.place(tag) {
            Some(place) => {
                Ahead { above: vec![place], any: true, stands: over.current.tag == Some(tag), ordered: true }
            }
            None => Ahead { ordered: true, ..Ahead::default() },
        }),
        _ => Ok(order::ahead(rule, over.tags, over.current.tag)),
    }
}

/// Holds the election over what is [`ahead`].
pub fn choose(rule: &ImagePolicy, over: &Candidates<'_>, ahead: &Ahead, known: &Knowledge<'_>) -> Choice {
    let follows = matches!(rule.policy, Policy::Digest { .. });
    if let Some(why) = undecidable(rule, over, ahead) {
        return Choice::Stay(why);
    }
    let above = ahead.above.iter().filter_map(|place| over.tags.get(*place));
    // What stands there without a name or a digest is pinned, if nothing better is to be had.
    let pinned = over.current.tag.cloned().filter(|_| ahead.stands && !follows && !is_complete(over));
    let mut best = None;
    let (mut looked_at, mut exhausted, mut hopeless) = (0, false, false);
    for tag in above.chain(pinned) {
        if hopeless && over.current.tag != Some(&tag) {
            continue;
        }
        if let Some(unmet) = gates::step(over.gates, rule, over.current.tag, &tag) {
            best.get_or_insert(Why::Gated { tag, unmet: vec![unmet] });
            continue;
        }
        looked_at += 1;
        if looked_at > LOOKED_AT {
            exhausted = true;
            break;
        }
        let digest = match known.of(over.repository, &tag) {
            Known::Digest(digest) => digest,
            Known::Absent => {
                if follows {
                    best.get_or_insert(Why::NoSuchTag(tag.clone()));
                }
                continue;
            }
            Known::Unusable(because) => {
                let because = format!("not usable: {because}");
                best.get_or_insert(Why::Excluded { tag, because });
                continue;
            }
            Known::NotAsked => return Choice::Resolve(vec![Ask::Tag(tag)]),
        };
        let candidate = Image { repository: over.repository.clone(), tag: tag.clone(), digest };
        if follows
            && is_complete(over)
            && over.current.tag == Some(&tag)
            && over.current.digest == Some(&candidate.digest)
        {
            return Choice::Stay(Why::UpToDate);
        }
        if let Some(because) = excluded(over, &candidate, follows) {
            best.get_or_insert(Why::Excluded { tag, because: because.to_owned() });
            continue;
        }
        let Some(facts) = known.facts(&candidate.digest, depth(rule, over)) else {
            return Choice::Resolve(vec![Ask::Tag(tag)]);
        };
        if let Some(because) = unfit(over, facts) {
            best.get_or_insert(Why::Unfit { image: candidate, because });
            continue;
        }
        let first_seen = known.first_seen.get(&(over.repository.clone(), candidate.digest.clone())).copied();
        let by = over.approved.get(&candidate.digest).map(Vec::as_slice).unwrap_or_default();
        let age = gates::age(over.gates, first_seen, over.now);
        let unmet: Vec<_> = age.into_iter().chain(gates::approvals(over.gates, by)).collect();
        // What stands there already gains nothing by waiting.
        if unmet.is_empty() || (over.current.tag == Some(&tag) && !follows) {
            return Choice::Move(candidate);
        }
        // Where nothing is approved, the registry need not be asked for one version after the other.
        hopeless |= over.gates.approvals.is_some() && over.approved.is_empty();
        best.get_or_insert(Why::Gated { tag, unmet });
    }
    Choice::Stay(match best {
        Some(first) if exhausted => Why::Exhausted(Box::new(first)),
        Some(first) => first,
        None => Why::UpToDate,
    })
}

/// How many versions the policy puts above what stands.
pub fn behind(rule: &ImagePolicy, over: &Candidates<'_>, ahead: &Ahead, known: &Knowledge<'_>) -> usize {
    match &rule.policy {
        Policy::Digest { tag } => match (known.of(over.repository, tag), over.current.digest) {
            (Known::Digest(digest), Some(current)) => usize::from(digest != *current),
            (Known::Digest(_), None) => 1,
            _ => 0,
        },
        _ => ahead.above.len(),
    }
}

/// Why no election can be held.
fn undecidable(rule: &ImagePolicy, over: &Candidates<'_>, ahead: &Ahead) -> Option<Why> {
    match (&rule.policy, over.current.tag, over.current.digest) {
        _ if over.tags.is_empty() => Some(Why::NoTags),
        (Policy::Digest { tag }, ..) => (!ahead.any).then(|| Why::NoSuchTag(tag.clone())),
        _ if !ahead.any => Some(Why::NoMatch),
        (_, Some(tag), _) if !ahead.ordered => Some(Why::OrderUnknown(tag.to_string())),
        (Policy::Newest, None, Some(digest)) if !ahead.ordered => {
            Some(Why::OrderUnknown(digest.short().to_owned()))
        }
        (Policy::Newest, ..) => None,
        (_, None, Some(digest)) => Some(Why::OrderUnknown(digest.short().to_owned())),
        _ => None,
    }
}

/// Why a candidate must not run here.
fn excluded(over: &Candidates<'_>, candidate: &Image, follows: bool) -> Option<&'static str> {
    let moved = over.current.tag == Some(&candidate.tag)
        && over.current.digest.is_some_and(|digest| *digest != candidate.digest);
    if over.quarantined.contains(&candidate.digest) {
        Some("quarantined")
    } else if over.barred.iter().any(|barred| is(candidate, barred)) {
        Some("taken away by a person")
    } else if moved && !follows {
        // A tag that was pushed again: only what was verified under it may go on running.
        Some("pushed again with other content")
    } else {
        None
    }
}

/// Why an image is none that the nodes could run.
fn unfit(over: &Candidates<'_>, facts: &Facts) -> Option<String> {
    if let Some(other) = &facts.other {
        return Some(format!("no image but {other}"));
    }
    let lacking = platform::lacking(over.platforms, &facts.platforms)?;
    Some(format!("not there for {lacking}"))
}

/// Whether name and digest stand there beside the tag.
fn is_complete(over: &Candidates<'_>) -> bool {
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
