//! Word from outside that repositories have something new: which of them a feed looks at before their time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::model::{RegistryHost, Repository};

/// Repositories to look at now. What is told many times is looked at once, so there are never more than there are
/// repositories.
#[derive(Debug, Clone)]
pub struct Nudges {
    waiting: Arc<Mutex<BTreeSet<Repository>>>,
    told: watch::Sender<()>,
}

impl Default for Nudges {
    fn default() -> Self {
        Self { waiting: Arc::default(), told: watch::Sender::new(()) }
    }
}

impl Nudges {
    /// Has these looked at now.
    pub fn add(&self, repositories: impl IntoIterator<Item = Repository>) {
        self.waiting().extend(repositories);
        self.told.send_replace(());
    }

    /// Forgets what no longer is to be looked at.
    pub fn retain(&self, keep: impl Fn(&Repository) -> bool) {
        self.waiting().retain(|repository| keep(repository));
    }

    /// Word of each next addition.
    pub(super) fn told(&self) -> watch::Receiver<()> {
        self.told.subscribe()
    }

    /// Takes those of one registry.
    pub(super) fn take(&self, host: &RegistryHost) -> Vec<Repository> {
        let mut waiting = self.waiting();
        let taken: Vec<Repository> =
            waiting.iter().filter(|repository| repository.host() == host).cloned().collect();
        for repository in &taken {
            waiting.remove(repository);
        }
        taken
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeSet<Repository>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
