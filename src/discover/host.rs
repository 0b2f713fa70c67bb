//! The memory of one registry host: its challenge, its tokens, and whether it asked to be left alone.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::DiscoverError;
use super::backoff;
use super::challenge::Challenge;
use super::ecr::Ecr;
use super::quota::Quota;
use super::token::Slot;
use crate::model::RegistryHost;

/// Ends of a pause that lie closer together than this are one.
const SAME_PAUSE: Duration = Duration::from_secs(1);

/// What was learned about one registry host.
pub(crate) struct Host {
    pub(crate) name: RegistryHost,
    /// Whose passwords come from AWS where no file has one.
    pub(crate) ecr: Option<Ecr>,
    pub(crate) challenge: Mutex<Option<Challenge>>,
    /// Tokens by scope.
    pub(crate) slots: Mutex<BTreeMap<String, Arc<Slot>>>,
    /// How this host gives lists of tags, by place in the list of ways.
    pub(crate) listing: AtomicUsize,
    /// Held by the one answer of this host that takes much memory.
    pub(crate) large: Arc<Semaphore>,
    pause: Mutex<Pause>,
    quota: Mutex<Option<Quota>>,
    /// When the last question went out that had to wait for its turn.
    paced: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Pause {
    until: Option<(Instant, Timestamp)>,
    failures: u32,
}

impl Host {
    pub(crate) fn new(name: RegistryHost) -> Self {
        Self {
            ecr: Ecr::of(&name),
            name,
            challenge: Mutex::default(),
            slots: Mutex::default(),
            listing: AtomicUsize::new(0),
            large: Arc::new(Semaphore::new(1)),
            pause: Mutex::default(),
            quota: Mutex::default(),
            paced: tokio::sync::Mutex::default(),
        }
    }

    /// An error as long as a pause lasts.
    pub(crate) fn not_paused(&self) -> Result<(), DiscoverError> {
        match lock(&self.pause).until {
            Some((end, until)) if Instant::now() < end => {
                Err(DiscoverError::BackingOff { registry: self.name.clone(), until })
            }
            _ => Ok(()),
        }
    }

    /// Starts a pause, as long as `Retry-After` asks or growing with every refusal. Its end, and whether it is news: the
    /// refusals of questions that were on their way together are one.
    pub(crate) fn pause(&self, retry_after: Option<&str>) -> (Timestamp, bool) {
        let (now, clock) = (Timestamp::now(), Instant::now());
        let asked = retry_after.and_then(|value| backoff::retry_after(value, now));
        let mut pause = lock(&self.pause);
        let running = pause.until.filter(|(end, _)| clock < *end);
        if running.is_none() {
            pause.failures = pause.failures.saturating_add(1);
        }
        let length =
            asked.unwrap_or_else(|| backoff::exponential(pause.failures, RandomState::new().hash_one(())));
        match running {
            Some((end, until)) if asked.is_none() || clock + length <= end + SAME_PAUSE => (until, false),
            _ => {
                let until = now + length;
                pause.until = Some((clock + length, until));
                (until, true)
            }
        }
    }

    /// Forgets a challenge that led to no token: what stands between here and the registry for a moment can have made it up,
    /// and only a question without a token shows what the registry wants now.
    pub(crate) fn doubts(&self, challenge: &Challenge, error: &DiscoverError) {
        let mut known = lock(&self.challenge);
        if error.until().is_none() && known.as_ref() == Some(challenge) {
            *known = None;
        }
    }

    /// Takes note of what the registry still grants.
    pub(crate) fn grants(&self, quota: Quota) {
        *lock(&self.quota) = Some(quota);
    }

    /// How long to wait between two questions so that what the registry still grants lasts.
    pub(crate) fn spacing(&self) -> Option<Duration> {
        lock(&self.quota).as_ref().and_then(|quota| quota.spacing(Instant::now()))
    }

    /// Waits until the next question may go out, where the registry grants few more.
    pub(crate) async fn pace(&self) {
        let Some(spacing) = self.spacing() else { return };
        let mut paced = self.paced.lock().await;
        if let Some(last) = *paced {
            tokio::time::sleep_until((last + spacing).into()).await;
        }
        *paced = Some(Instant::now());
    }

    /// Notes a good answer: the next pause is a short one again. Whether there was one before.
    pub(crate) fn answered(&self) -> bool {
        std::mem::take(&mut lock(&self.pause).failures) > 0
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
