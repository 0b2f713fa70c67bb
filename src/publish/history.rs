//! What the branch's history says about one app in one environment.
//!
//! The overlay at the head says what shall run. Its history says since which commit, who brought it, what stood there
//! before, and which versions a person has taken away. Only the first parents are walked, newest first, until every
//! app has come to a version of ours that still stands: whatever a person did before that is older than it, and a
//! policy never goes down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use git2::{DiffOptions, Oid, Repository};
use jiff::Timestamp;

use super::message::{self, Trailers};
use super::mirror::Entry;
use super::objects;
use crate::edit::{self, Written};
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

/// All events of all apps, newest first, as far back as they matter.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    traces: BTreeMap<Key, Trace>,
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
    /// The events of one app in one environment, newest first.
    pub(super) fn of(&self, key: &Key) -> Arc<Vec<Event>> {
        self.traces.get(key).map(|trace| trace.events.clone()).unwrap_or_default()
    }

    /// Walks from `head` to `known` (what this history already covers) or to where everything is settled.
    ///
    /// `overlays` maps the path of each kustomization at the head to its app and environment.
    pub(super) fn extend(
        &self,
        repository: &Repository,
        head: Oid,
        known: Option<Oid>,
        overlays: &BTreeMap<String, Key>,
    ) -> Result<Self, git2::Error> {
        let mut fresh: BTreeMap<&Key, Vec<Event>> = BTreeMap::new();
        let mut open: BTreeSet<&str> = overlays.keys().map(String::as_str).collect();
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
            for (path, event) in events_of(repository, id, &open, overlays)? {
                let Some((path, key)) = overlays.get_key_value(&path) else { continue };
                let events = fresh.entry(key).or_default();
                events.push(event);
                if is_settled(events) {
                    open.remove(path.as_str());
                }
            }
        }
        let mut traces = BTreeMap::new();
        for (path, key) in overlays {
            let mut events = fresh.remove(key).unwrap_or_default();
            let mut whole = open.contains(path.as_str());
            if reached_known && whole {
                let before = self.traces.get(key).cloned().unwrap_or_default();
                events.extend(before.events.iter().cloned());
                whole = before.whole;
            }
            traces.insert(key.clone(), Trace { events: Arc::new(events), whole });
        }
        // A rollback or a person's commit brings back what stood before the part that is known: look further.
        if traces.values().any(|trace| !trace.whole && !trace.is_settled()) {
            return Self::default().extend(repository, head, None, overlays);
        }
        Ok(Self { traces })
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

/// What one commit changed in the `open` overlays.
fn events_of(
    repository: &Repository,
    id: Oid,
    open: &BTreeSet<&str>,
    overlays: &BTreeMap<String, Key>,
) -> Result<Vec<(String, Event)>, git2::Error> {
    let commit = repository.find_commit(id)?;
    let tree = commit.tree()?;
    let parent = if commit.parent_count() == 0 { None } else { Some(commit.parent(0)?.tree()?) };
    let mut options = DiffOptions::new();
    options.skip_binary_check(true).ignore_submodules(true).context_lines(0);
    let diff = repository.diff_tree_to_tree(parent.as_ref(), Some(&tree), Some(&mut options))?;
    let touched: BTreeSet<String> = diff
        .deltas()
        .flat_map(|delta| [delta.old_file().path(), delta.new_file().path()])
        .flatten()
        .filter_map(|path| path.to_str())
        .filter(|path| open.contains(path))
        .map(str::to_owned)
        .collect();
    if touched.is_empty() {
        return Ok(Vec::new());
    }
    let groups = message::parse(&String::from_utf8_lossy(commit.message_bytes()));
    let author = commit.author();
    let mut events = Vec::new();
    for path in touched {
        let before = parent.as_ref().map(|tree| images(repository, tree, &path)).unwrap_or_default();
        let after = images(repository, &tree, &path);
        let Some((app, environment)) = overlays.get(&path) else { continue };
        if before == after {
            continue;
        }
        let trailers =
            groups.iter().find(|group| group.app == *app && group.environment == *environment).cloned();
        let event = Event {
            commit: commit_id(id),
            parent: commit.parent_id(0).ok().map(commit_id),
            time: Timestamp::from_second(commit.time().seconds()).unwrap_or_default(),
            author: printable(
                &format!(
                    "{} <{}>",
                    String::from_utf8_lossy(author.name_bytes()),
                    String::from_utf8_lossy(author.email_bytes())
                ),
                200,
            ),
            trailers,
            before,
            after,
        };
        events.push((path, event));
    }
    Ok(events)
}

/// The images of the kustomization at `path`; what cannot be read has none.
fn images(repository: &Repository, tree: &git2::Tree<'_>, path: &str) -> Images {
    objects::file(repository, tree, path)
        .ok()
        .flatten()
        .and_then(|file| edit::image_entries(&file.content).ok())
        .map(|entries| read_images(&entries))
        .unwrap_or_default()
}

/// Entries whose name and fields are legal.
pub(super) fn read_images(entries: &[edit::ImageEntry]) -> Images {
    entries
        .iter()
        .filter_map(|entry| Some((entry.name.parse().ok()?, Written::try_from(entry).ok()?)))
        .collect()
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
