//! What the branch's history says about one app in one environment.
//!
//! The overlay at the head says what shall run. Its history says since which commit, who brought it, what stood there
//! before, and which versions a person has taken away. Only the first parents are walked, newest first, until every
//! app has come to a version of ours that still stands: whatever a person did before that is older than it, and a
//! policy never goes down.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use git2::{Oid, Repository};
use jiff::Timestamp;

use super::message::{self, Trailers};
use super::mirror::Entry;
use super::objects::Files;
use super::overlay::{self, Memory};
use super::places::Overlays;
use crate::edit::Written;
use crate::model::{AppName, CommitId, EnvironmentName, ImageName, Source, printable};

/// How far back a start looks. A version that a person took away longer ago than that can be elected again.
const WALK_LIMIT: usize = 2_000;

/// An app in an environment.
pub(super) type Key = (AppName, EnvironmentName);
/// The images of an overlay, as far as they could be read.
pub type Images = BTreeMap<ImageName, Written>;

/// One commit that changed the images of an app in an environment.
#[derive(Debug, Clone)]
pub struct Event {
    /// The commit.
    pub commit: CommitId,
    /// The commit before it on the branch; none for the first.
    pub parent: Option<CommitId>,
    /// When it was made.
    pub time: Timestamp,
    /// The author, as `NAME <EMAIL>`.
    pub author: String,
    /// What its trailers say; none if it is a person's commit.
    pub trailers: Option<Trailers>,
    /// The images before it.
    pub before: Images,
    /// The images after it.
    pub after: Images,
}

impl Event {
    fn is_election(&self) -> bool {
        matches!(&self.trailers, Some(trailers) if !matches!(trailers.source, Source::Rollback { .. }))
    }
}

/// The commit that brought what stands in the overlay now.
pub type Origin = Event;

/// A version that a person took away from an environment, so that it is not elected there again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Barred {
    /// The image.
    pub image: ImageName,
    /// What was taken away.
    pub version: Written,
    /// The person's commit.
    pub commit: CommitId,
    /// The person.
    pub author: String,
}

/// All events of all places, newest first, as far back as they matter.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    /// By the number of the place.
    traces: Vec<Trace>,
}

/// The events of one app in one environment.
#[derive(Debug, Clone, Default)]
struct Trace {
    events: Arc<Vec<Event>>,
    /// There is nothing before them, or nothing that is looked at.
    whole: bool,
}

impl Trace {
    /// Whether nothing older matters: a version of ours that was elected stands again (or still), and whatever a
    /// person took away before that election is older than it.
    fn is_settled(&self) -> bool {
        is_settled(&self.events)
    }
}

fn is_settled(events: &[Event]) -> bool {
    let Some(newest) = events.first() else { return false };
    events.iter().any(|event| event.is_election() && event.after == newest.after)
}

impl History {
    /// The events of one place, newest first.
    pub(super) fn of(&self, place: usize) -> Arc<Vec<Event>> {
        self.traces.get(place).map(|trace| trace.events.clone()).unwrap_or_default()
    }

    /// Walks from `head` to `known` (what this history already covers) or to where everything is settled; the places
    /// whose events are others now.
    pub(super) fn extend(
        &mut self,
        repository: &Repository,
        head: Oid,
        known: Option<Oid>,
        overlays: &Overlays,
        memory: &mut Memory,
    ) -> Result<BTreeSet<usize>, git2::Error> {
        let count = overlays.places.len();
        let mut fresh: BTreeMap<usize, Vec<Event>> = BTreeMap::new();
        let mut open: BTreeSet<usize> = (0..count).collect();
        let mut walk = repository.revwalk()?;
        walk.push(head)?;
        walk.simplify_first_parent()?;
        let mut reached_known = false;
        for id in walk.take(WALK_LIMIT) {
            let id = id?;
            if Some(id) == known {
                reached_known = true;
                break;
            }
            if open.is_empty() {
                break;
            }
            for (place, event) in events_of(repository, id, &open, overlays, memory)? {
                let events = fresh.entry(place).or_default();
                events.push(event);
                if is_settled(events) {
                    open.remove(&place);
                }
            }
        }
        let changed = if reached_known && self.traces.len() == count {
            fresh.keys().copied().collect()
        } else {
            let nothing = Trace { events: Arc::default(), whole: true };
            self.traces = vec![nothing; count];
            (0..count).collect::<BTreeSet<_>>()
        };
        let mut unsettled = false;
        for (place, mut events) in fresh {
            let Some(trace) = self.traces.get_mut(place) else { continue };
            let mut whole = false;
            if open.contains(&place) {
                events.extend(trace.events.iter().cloned());
                whole = trace.whole;
            }
            *trace = Trace { events: Arc::new(events), whole };
            unsettled |= !trace.whole && !trace.is_settled();
        }
        // A rollback or a person's commit brings back what stood before the part that is known: look further.
        if unsettled && known.is_some() {
            self.traces.clear();
            return self.extend(repository, head, None, overlays, memory);
        }
        Ok(changed)
    }
}

/// Our commits since `since`, newest first.
pub(super) fn entries(
    repository: &Repository,
    head: Oid,
    since: Timestamp,
) -> Result<Vec<Entry>, git2::Error> {
    let mut walk = repository.revwalk()?;
    walk.push(head)?;
    walk.simplify_first_parent()?;
    let mut entries = Vec::new();
    for id in walk {
        let id = id?;
        let commit = repository.find_commit(id)?;
        let time = Timestamp::from_second(commit.time().seconds()).unwrap_or_default();
        if time < since {
            break;
        }
        let groups = message::parse(&String::from_utf8_lossy(commit.message_bytes()));
        if !groups.is_empty() {
            entries.push(Entry { commit: commit_id(id), time, groups });
        }
    }
    Ok(entries)
}

/// What one commit changed in the `open` places.
fn events_of(
    repository: &Repository,
    id: Oid,
    open: &BTreeSet<usize>,
    overlays: &Overlays,
    memory: &mut Memory,
) -> Result<Vec<(usize, Event)>, git2::Error> {
    let commit = repository.find_commit(id)?;
    let tree = commit.tree()?;
    let parent = if commit.parent_count() == 0 { None } else { Some(commit.parent(0)?.tree()?) };
    let mut touched = overlays.changed(repository, parent.as_ref(), &tree)?;
    touched.retain(|place| open.contains(place));
    if touched.is_empty() {
        return Ok(Vec::new());
    }
    let groups = message::parse(&String::from_utf8_lossy(commit.message_bytes()));
    let groups: HashMap<_, _> = groups
        .into_iter()
        .rev()
        .map(|group| ((group.app.clone(), group.environment.clone()), group))
        .collect();
    let author = author(&commit);
    let time = Timestamp::from_second(commit.time().seconds()).unwrap_or_default();
    let before = parent.map(|tree| Files::of(repository, tree));
    let after = Files::of(repository, tree);
    let mut events = Vec::new();
    for index in touched {
        let Some(place) = overlays.places.get(index) else { continue };
        let mut images = |files: &Files<'_>| overlay::read(files, memory, overlays, place).images;
        let (before, after) = (before.as_ref().map(&mut images).unwrap_or_default(), images(&after));
        if before == after {
            continue;
        }
        let event = Event {
            commit: commit_id(id),
            parent: commit.parent_id(0).ok().map(commit_id),
            time,
            author: author.clone(),
            trailers: groups.get(&place.key).cloned(),
            before,
            after,
        };
        events.push((index, event));
    }
    Ok(events)
}

/// The author of a commit, as `NAME <EMAIL>`.
pub(super) fn author(commit: &git2::Commit<'_>) -> String {
    let author = commit.author();
    let (name, email) = (author.name_bytes(), author.email_bytes());
    let text = format!("{} <{}>", String::from_utf8_lossy(name), String::from_utf8_lossy(email));
    printable(&text, 200)
}

/// libgit2's identifier as ours.
pub(super) fn commit_id(id: Oid) -> CommitId {
    // An Oid prints as 40 lower-case digits, which is what the grammar asks for.
    #[expect(clippy::expect_used, reason = "an Oid is a legal commit identifier by construction")]
    id.to_string().parse().expect("an object id is 40 hexadecimal digits")
}

/// The versions that people took away, newest first.
pub(super) fn barred(events: &[Event]) -> Vec<Barred> {
    let taken = |event: &Event| {
        event
            .before
            .iter()
            .filter(|(image, version)| {
                (version.new_tag.is_some() || version.digest.is_some())
                    && event.after.get(*image).is_some_and(|now| now != *version && !leaves(now, version))
            })
            .map(|(image, version)| Barred {
                image: image.clone(),
                version: version.clone(),
                commit: event.commit.clone(),
                author: event.author.clone(),
            })
            .collect::<Vec<_>>()
    };
    events.iter().filter(|event| event.trailers.is_none()).flat_map(taken).collect()
}

/// Whether `now` is still `version`, of which a person took only the digest or the name away.
fn leaves(now: &Written, version: &Written) -> bool {
    let same_name = now.new_name.is_none() || now.new_name == version.new_name;
    let same_digest = now.digest.is_none() || now.digest == version.digest;
    now.new_tag.is_some() && now.new_tag == version.new_tag && same_name && same_digest
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
