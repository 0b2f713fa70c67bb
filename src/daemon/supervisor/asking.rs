//! What elections have to know first: it is asked of registries, and what they answer is kept.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};

use super::{Answer, Done, Supervisor};
use crate::discover::{Depth, DiscoverError, Facts};
use crate::elect::{Ask, Known, newest};
use crate::model::{Digest, Exit, Image, Repository, Tag};

/// How many questions about the times of one repository's images a pass may cost, so that a long list takes several.
const DATED_AT_A_PASS: usize = 200;
/// A tag that is listed without a manifest, or with one that lacks a platform, is asked for again after this long, then after twice as long, …
const ABSENT: Duration = Duration::from_secs(1);
/// … so often without waiting for the registry's next poll (a webhook comes before the push is over) …
const ABSENT_FOLLOWED: u32 = 4;
/// … and at the latest after this long.
const ABSENT_LONGEST: Duration = Duration::from_mins(10);

/// When what can't be read is read.
const LATER: &str = "it is asked for again at one of the next passes";

impl Supervisor {
    /// Starts to ask for what is not being asked for already: the digest first, then what the image is.
    pub(super) fn ask(&mut self, resolve: BTreeMap<(Repository, Ask), Depth>) {
        for ((repository, ask), depth) in resolve {
            if self.resolving.contains(&(repository.clone(), ask.clone())) {
                continue;
            }
            if depth == Depth::Created && !self.mode.once {
                let asked = self.dated.entry(repository.clone()).or_default();
                if *asked >= DATED_AT_A_PASS {
                    continue;
                }
                *asked += 1;
            }
            let digest = match &ask {
                Ask::Digest(digest) => Some(digest.clone()),
                Ask::Tag(tag) => match self.digests.get(&(repository.clone(), tag.clone())) {
                    Some(Known::Digest(digest)) => Some(digest.clone()),
                    _ => None,
                },
            };
            self.question(repository, ask, digest, depth);
        }
    }

    /// Asks what the image of `digest` is, or without one where a tag points to.
    fn question(&mut self, repository: Repository, ask: Ask, digest: Option<Digest>, depth: Depth) {
        self.resolving.insert((repository.clone(), ask.clone()));
        // What takes long holds up its own app only.
        self.gathering.begin(Instant::now());
        let (registries, asking) = (self.context.registries.clone(), self.asking.clone());
        self.tasks.spawn(async move {
            let _turn = asking.acquire_owned().await;
            registries.pace(repository.host()).await;
            let answer = match (digest, &ask) {
                (Some(digest), _) => registries
                    .facts(&repository, &digest, depth)
                    .await
                    .map(|facts| Answer::Image(digest, Box::new(facts))),
                (None, Ask::Tag(tag)) => registries
                    .digest(&repository, tag)
                    .await
                    .map(|digest| Answer::Tag(digest.map_or(Known::Absent, Known::Digest))),
                (None, Ask::Digest(_)) => Ok(Answer::Tag(Known::NotAsked)),
            };
            Done::Resolved(repository, ask, answer)
        });
    }

    pub(super) fn resolved(
        &mut self,
        repository: Repository,
        ask: Ask,
        answer: Result<Answer, DiscoverError>,
    ) {
        self.resolving.remove(&(repository.clone(), ask.clone()));
        self.answers += 1;
        let failed = ask.clone();
        match (answer, ask) {
            (Ok(Answer::Image(digest, facts)), _) => {
                if let Some(created) =
                    facts.created.filter(|created| newest::is_future(*created, Timestamp::now()))
                {
                    tracing::warn!(
                        %repository, %digest, %created,
                        "an image says that it was built in the future; `newest` leaves it out until then"
                    );
                }
                self.facts.insert(digest, *facts);
            }
            (Ok(Answer::Tag(mut known)), Ask::Tag(tag)) => {
                if let Known::Digest(digest) = &known {
                    self.seen.note(&repository, digest, Timestamp::now());
                } else if self.ask_later(&repository, &tag) > ABSENT_FOLLOWED {
                    // No push takes that long between a tag and its manifest.
                    known = Known::Unusable(format!("{}; {LATER}", Known::LISTED_ALONE));
                }
                self.digests.insert((repository, tag), known);
            }
            (Ok(Answer::Tag(_)), Ask::Digest(_)) => {}
            // One image that can't be read says nothing about the others of its repository.
            (
                Err(error @ (DiscoverError::NotFound { .. } | DiscoverError::Garbage { .. })),
                Ask::Tag(tag),
            ) => {
                self.ask_later(&repository, &tag);
                let words = format!("{error}; {LATER}");
                self.digests.insert((repository, tag), Known::Unusable(words));
            }
            (
                Err(error @ (DiscoverError::NotFound { .. } | DiscoverError::Garbage { .. })),
                Ask::Digest(digest),
            ) => {
                tracing::debug!(%repository, %digest, %error, "what stands can't be read");
                let facts =
                    Facts { depth: Depth::Created, other: None, platforms: Vec::new(), created: None };
                self.facts.insert(digest, facts);
            }
            (Err(error), _) => {
                self.end(Exit::Unreachable);
                // The next pass asks again: the list counts as not seen.
                self.tags.remove(&repository);
                self.unread.entry(repository).or_default().failed(&failed, error.state());
                self.tell_unread();
            }
        }
        self.gathering.hear(Instant::now());
        if self.is_gathered() {
            self.proceed();
        }
    }

    /// Has a tag asked for again; how often that was now.
    fn ask_later(&mut self, repository: &Repository, tag: &Tag) -> u32 {
        let key = (repository.clone(), tag.clone());
        let (tries, next) = self.absent.entry(key).or_insert((0, Instant::now()));
        *next = Instant::now() + ABSENT.saturating_mul(1 << *tries).min(ABSENT_LONGEST);
        *tries = (*tries + 1).min(16);
        let (tries, next) = (*tries, *next);
        if tries <= ABSENT_FOLLOWED && !self.mode.once {
            let (nudges, repository) = (self.mode.receivers.nudges(), repository.clone());
            tokio::spawn(async move {
                sleep_until(next).await;
                nudges.add([repository]);
            });
        }
        tries
    }

    /// Forgets the digests of versions that have waited long enough: one is taken only if it is still what was first seen.
    pub(super) fn look_again_at_what_waited(&mut self, now: Timestamp) {
        for (until, repository, tag) in std::mem::take(&mut self.waiting) {
            if until <= now {
                self.digests.remove(&(repository, tag));
            }
        }
    }

    /// Sees to it that versions which do not run where they would go are asked for again: an image for one platform may be the
    /// first part of a push for several.
    pub(super) fn look_again_at_unfit(&mut self, unfit: BTreeSet<Image>) {
        for image in &unfit {
            let key = (image.repository.clone(), image.tag.clone());
            if self.absent.get(&key).is_none_or(|(_, next)| *next <= Instant::now()) {
                self.ask_later(&image.repository, &image.tag);
            }
        }
        self.unfit = unfit;
    }

    /// When the first of those that wait has waited long enough.
    pub(super) fn wakes(&self) -> Instant {
        let long = Duration::from_hours(1);
        let wait = self.waiting.first().map_or(long, |(until, ..)| {
            Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default().min(long)
        });
        // Not before: a clock that runs a little behind must not wake this again and again.
        Instant::now() + wait + Duration::from_millis(50)
    }

    /// Begins a pass: what only the present asks for is asked for again, and what nobody points to is forgotten.
    pub(super) fn begin_pass(&mut self) {
        self.dated.clear();
        let wanted =
            self.snapshot.config.environments.values().any(|settings| settings.gates.min_age.is_some());
        if wanted {
            self.seen.save();
        }
        if self.facts.len() > 1000 + 2 * self.digests.len() {
            let mut named: HashSet<&Digest> = self
                .digests
                .values()
                .filter_map(|known| match known {
                    Known::Digest(digest) => Some(digest),
                    _ => None,
                })
                .collect();
            let standing = self.snapshot.desired.values().flat_map(|desired| desired.images.values());
            named.extend(standing.filter_map(|written| written.digest.as_ref()));
            self.facts.retain(|digest, _| named.contains(digest));
        }
    }
}
