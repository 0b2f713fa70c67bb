//! The memory of one registry host: its challenge, its tokens, and whether it asked to be left alone.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;

use super::DiscoverError;
use super::backoff;
use super::challenge::Challenge;
use super::token::Slot;
use crate::model::RegistryHost;

/// What was learned about one registry host.
pub(crate) struct Host {
    pub(crate) name: RegistryHost,
    pub(crate) challenge: Mutex<Option<Challenge>>,
    /// Tokens by scope.
    pub(crate) slots: Mutex<BTreeMap<String, Arc<Slot>>>,
    /// The largest page that this host grants, by place in the list of sizes.
    pub(crate) page_size: AtomicUsize,
    pause: Mutex<Pause>,
}

#[derive(Default)]
struct Pause {
    until: Option<(Instant, Timestamp)>,
    failures: u32,
}

impl Host {
    pub(crate) fn new(name: RegistryHost) -> Self {
        Self {
            name,
            challenge: Mutex::default(),
            slots: Mutex::default(),
            page_size: AtomicUsize::new(0),
            pause: Mutex::default(),
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

    /// Starts a pause, as long as `Retry-After` asks or growing with every refusal. Its end.
    pub(crate) fn pause(&self, retry_after: Option<&str>) -> Timestamp {
        let now = Timestamp::now();
        let asked = retry_after.and_then(|value| backoff::retry_after(value, now));
        let mut pause = lock(&self.pause);
        pause.failures = pause.failures.saturating_add(1);
        let length =
            asked.unwrap_or_else(|| backoff::exponential(pause.failures, RandomState::new().hash_one(())));
        let until = now + length;
        pause.until = Some((Instant::now() + length, until));
        until
    }

    /// Notes a good answer: the next pause is a short one again.
    pub(crate) fn answered(&self) {
        lock(&self.pause).failures = 0;
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
