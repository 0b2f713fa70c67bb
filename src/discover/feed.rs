//! The feed of one registry: which repositories to look at, when, and what was seen.
//!
//! All repositories of a registry that are due are asked together, so that what was pushed together is elected
//! together. A repository that answers slowly delays nobody: it is left out of the next passes until it has answered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::{DiscoverError, Registries, TagList};
use crate::model::{RegistryHost, Repository};

/// How many repositories of one registry are asked at the same time.
const AT_ONCE: usize = 16;

/// The repositories to look at, and how often.
pub type Targets = BTreeMap<Repository, Duration>;

/// What one look at a repository showed.
#[derive(Debug)]
pub struct Sighting {
    /// The repository.
    pub repository: Repository,
    /// Its complete list of tags.
    pub result: Result<TagList, DiscoverError>,
    /// How long the registry took.
    pub took: Duration,
    /// How many looks of the same pass have not come back yet.
    pub waiting: usize,
}

/// When a repository was last begun to be looked at, and what was seen.
#[derive(Default)]
struct Track {
    due: Option<Instant>,
    known: Option<TagList>,
}

/// Looks at the targets of `host` until nobody listens to `sightings` any more.
///
/// With `once` each target is looked at one time.
pub async fn run(
    host: RegistryHost,
    registries: Registries,
    mut targets: watch::Receiver<Targets>,
    sightings: mpsc::Sender<Sighting>,
    once: bool,
) {
    let mut tracks: BTreeMap<Repository, Track> = BTreeMap::new();
    // First due, first asked: where a pass takes longer than the interval, each repository still has its turn.
    let mut queue: VecDeque<Repository> = VecDeque::new();
    let mut asked: BTreeSet<Repository> = BTreeSet::new();
    let mut looks = JoinSet::new();
    let mut wanted = ours(&targets.borrow_and_update(), &host);
    // All repositories are gone through when one is due, and not for each answer.
    let mut next = Some(Instant::now());
    loop {
        let now = Instant::now();
        if next.is_some_and(|next| next <= now) {
            next = None;
            for (repository, interval) in &wanted {
                let track = tracks.entry(repository.clone()).or_default();
                let due = track.due.is_none_or(|due| due <= now && !once);
                if due && !asked.contains(repository) {
                    // The next look is counted from this one's due time, so that a pass keeps its rhythm.
                    let from = track.due.filter(|due| *due + *interval > now).unwrap_or(now);
                    track.due = Some(from + *interval);
                    asked.insert(repository.clone());
                    queue.push_back(repository.clone());
                }
                if !once {
                    // What is still being asked is looked at again when its answer has come.
                    next = earlier(next, track.due.filter(|due| *due > now));
                }
            }
        }
        while looks.len() < AT_ONCE
            && let Some(repository) = queue.pop_front()
        {
            let known = tracks.get(&repository).and_then(|track| track.known.clone());
            let registries = registries.clone();
            looks.spawn(async move {
                let began = Instant::now();
                let result = registries.tags(&repository, known.as_ref()).await;
                (repository, result, began.elapsed())
            });
        }
        tokio::select! {
            Some(look) = looks.join_next() => {
                let Ok((repository, result, took)) = look else { continue };
                asked.remove(&repository);
                if let Some(track) = tracks.get_mut(&repository) {
                    if let Ok(list) = &result {
                        track.known = Some(list.clone());
                    }
                    next = earlier(next, track.due.filter(|_| !once));
                }
                let sighting = Sighting { repository, result, took, waiting: asked.len() };
                if sightings.send(sighting).await.is_err() {
                    return;
                }
            }
            changed = targets.changed() => {
                if changed.is_err() {
                    return;
                }
                wanted = ours(&targets.borrow_and_update(), &host);
                tracks.retain(|repository, _| wanted.contains_key(repository));
                next = Some(Instant::now());
            }
            () = until(next) => {}
            () = sightings.closed() => return,
        }
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    [one, other].into_iter().flatten().min()
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

fn ours(targets: &Targets, host: &RegistryHost) -> Targets {
    targets
        .iter()
        .filter(|(repository, _)| repository.host() == host)
        .map(|(repository, interval)| (repository.clone(), *interval))
        .collect()
}
