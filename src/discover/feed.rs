//! The feed of one registry: which repositories to look at, when, and what was seen.
//!
//! All repositories of a registry that are due are asked together, so that what was pushed together is elected
//! together. A repository that answers slowly delays nobody: it is left out of the next passes until it has answered, and
//! is asked in a lane of its own from then on.
//!
//! A list of tags does not tell that a tag was pushed again with other content; only its digest does, which costs a
//! request (HEAD) per tag. So that a pass stays at one request per repository, the tags that stand in Git are asked for
//! at the first look, when the list has changed, when somebody told of the repository, and else once in ten to twenty
//! looks, at most every five minutes. The repositories do so at different times. A tag that a policy follows is asked for
//! at every look.

mod lanes;
mod look;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use self::lanes::{Lanes, SLOW};
use self::look::{Looked, watch_again};
use super::webhook::bucket::Bucket;
use super::{DiscoverError, Named, Nudges, Registries, TagList};
use crate::model::{Digest, RegistryHost, Repository, Tag};

/// Looks per second, and at once, that nudges may cause for one repository: an image for many platforms is pushed in parts,
/// each of which is told.
const NUDGED: (u32, u32) = (1, 5);
/// When a nudge whose look showed nothing new is followed once more: distribution tells of a push before it lists the tag.
const NUDGE_SETTLES: Duration = Duration::from_secs(1);
/// When a nudge whose look failed is followed again, unless the registry says when.
const NUDGE_AGAIN: Duration = Duration::from_secs(30);

/// The repositories to look at, and how.
pub type Targets = BTreeMap<Repository, Look>;

/// How a repository is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// How often its tags are listed.
    pub interval: Duration,
    /// Tags that stand in Git: that they were pushed again is to be told, soon but not at once.
    pub watched: BTreeSet<Tag>,
    /// Tags whose digest a policy follows: asked for at every look.
    pub followed: BTreeSet<Tag>,
}

impl Look {
    /// Looks at the list alone.
    pub fn every(interval: Duration) -> Self {
        Self { interval, watched: BTreeSet::new(), followed: BTreeSet::new() }
    }
}

/// What one look at a repository showed.
#[derive(Debug)]
pub struct Sighting {
    /// The repository.
    pub repository: Repository,
    /// Its complete list of tags.
    pub result: Result<TagList, DiscoverError>,
    /// What the watched and followed tags name now, as far as they were asked for and are there.
    pub digests: BTreeMap<Tag, Digest>,
    /// The tags that the registry lists and could not be asked for.
    pub unnamed: BTreeMap<Tag, DiscoverError>,
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
    /// What single tags named when they were last asked for.
    named: BTreeMap<Tag, Named>,
    /// When the watched tags are asked for if nothing else happens.
    watch: Option<Instant>,
    /// Whether the last look was a slow one.
    slow: bool,
    /// Somebody said that there is something new, and no look has succeeded since.
    nudged: bool,
    /// Somebody said so, and it was not seen yet.
    unseen: bool,
    /// How many more looks nudges may cause now.
    allowed: Option<Bucket>,
}

impl Track {
    /// Counts a look before its time; an error is how long it has to wait.
    fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let now = now.into_std();
        self.allowed.get_or_insert_with(|| Bucket::new(NUDGED.0, NUDGED.1, now)).take(now)
    }
}

/// Looks at the targets of `host` until nobody listens to `sightings` any more.
///
/// With `once` each target is looked at one time.
pub async fn run(
    host: RegistryHost,
    registries: Registries,
    mut targets: watch::Receiver<Targets>,
    nudges: Nudges,
    sightings: mpsc::Sender<Sighting>,
    once: bool,
) {
    let mut tracks: BTreeMap<Repository, Track> = BTreeMap::new();
    let mut lanes = Lanes::default();
    let mut asked: BTreeSet<Repository> = BTreeSet::new();
    let mut looks = JoinSet::new();
    let mut began: Option<Instant> = None;
    let seed = RandomState::new();
    let mut wanted = ours(&targets.borrow_and_update(), &host);
    let mut told = nudges.told();
    // All repositories are gone through when one is due, and not for each answer.
    let mut next = Some(Instant::now());
    loop {
        let now = Instant::now();
        if next.is_some_and(|next| next <= now) {
            next = None;
            for (repository, Look { interval, .. }) in &wanted {
                let track = tracks.entry(repository.clone()).or_default();
                let due = track.due.is_none_or(|due| due <= now && !once);
                if due && !asked.contains(repository) {
                    // The next look is counted from this one's due time, so that a pass keeps its rhythm.
                    let from = track.due.filter(|due| *due + *interval > now).unwrap_or(now);
                    track.due = Some(from + *interval);
                    asked.insert(repository.clone());
                    lanes.add(repository.clone(), track.slow);
                }
                if !once {
                    // What is still being asked is looked at again when its answer has come.
                    next = earlier(next, track.due.filter(|due| *due > now));
                }
            }
        }
        // A registry that grants little more is asked one question after the other, with pauses.
        let mut free = None;
        loop {
            if let Some(spacing) = registries.spacing(&host) {
                free = began.map(|began| began + spacing).filter(|free| *free > now);
                if free.is_some() || !lanes.running.is_empty() {
                    break;
                }
            }
            let Some(repository) = lanes.start(now) else { break };
            let Some(look) = wanted.get(&repository).cloned() else {
                lanes.running.remove(&repository);
                asked.remove(&repository);
                continue;
            };
            began = Some(now);
            let (known, named, watch) = match tracks.get(&repository) {
                // Who pushes a tag again is heard of by the same way.
                Some(track) => {
                    (track.known.clone(), track.named.clone(), track.watch.filter(|_| !track.nudged))
                }
                None => Default::default(),
            };
            looks.spawn(look::look(registries.clone(), repository, look, known, named, watch));
        }
        let room = earlier(free, lanes.room().filter(|room| *room > now));
        tokio::select! {
            Some(look) = looks.join_next() => {
                let Ok(Looked { repository, result, named, unnamed, watched, took }) = look else { continue };
                asked.remove(&repository);
                lanes.running.remove(&repository);
                let digests = named.iter().map(|(tag, named)| (tag.clone(), named.digest.clone())).collect();
                if let Some(track) = tracks.get_mut(&repository) {
                    track.slow = took >= SLOW;
                    match &result {
                        Ok(list) => {
                            track.known = Some(list.clone());
                            track.named.extend(named);
                            track.nudged = false;
                            let now = Instant::now();
                            // What was said during this look is for the next one.
                            let is_last = track.due.is_none_or(|due| due > now);
                            if is_last && std::mem::take(&mut track.unseen) && list.unchanged {
                                track.due = earlier(track.due, Some(now + NUDGE_SETTLES));
                            }
                        }
                        Err(error) if track.nudged => {
                            let again = Instant::now() + error.until().map_or(NUDGE_AGAIN, pause);
                            track.due = earlier(track.due, Some(again));
                        }
                        Err(_) => {}
                    }
                    if let Some(look) = wanted.get(&repository) {
                        track.named.retain(|tag, _| look.watched.contains(tag) || look.followed.contains(tag));
                        // What could not be asked for is asked for at the next look.
                        if !unnamed.is_empty() {
                            track.watch = None;
                        } else if watched {
                            let wait = watch_again(look.interval, seed.hash_one(&repository));
                            track.watch = Some(Instant::now() + wait);
                        }
                    }
                    next = earlier(next, track.due.filter(|_| !once));
                }
                let sighting = Sighting { repository, result, digests, unnamed, took, waiting: asked.len() };
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
            Ok(()) = told.changed() => {
                let now = Instant::now();
                for repository in nudges.take(&host) {
                    let (Some(look), Some(track)) = (wanted.get(&repository), tracks.get_mut(&repository))
                    else {
                        continue;
                    };
                    (track.nudged, track.unseen) = (true, true);
                    let looking = lanes.running.contains_key(&repository);
                    let waits = asked.contains(&repository) && !looking;
                    if waits || track.due.is_some_and(|due| due <= now) {
                        continue;
                    }
                    // No more than this: what the registry allows is for each look to obey.
                    match track.take(now) {
                        // What comes during a look may have come too late for it.
                        Ok(()) if looking => track.due = Some(now),
                        Ok(()) => {
                            track.due = Some(now + look.interval);
                            asked.insert(repository.clone());
                            lanes.add(repository, track.slow);
                        }
                        Err(wait) => track.due = earlier(track.due, Some(now + wait)),
                    }
                    next = earlier(next, track.due);
                }
            }
            () = until(earlier(next, room)) => {}
            () = sightings.closed() => return,
        }
    }
}

/// How long it is until then, and a moment more, so that the registry's clock agrees.
fn pause(until: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default()
        + Duration::from_millis(100)
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
        .map(|(repository, look)| (repository.clone(), look.clone()))
        .collect()
}
