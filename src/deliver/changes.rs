//! Word of changes: what changes in a namespace of a cluster is told to those whom it concerns.
//!
//! Hundreds of rollouts may be under way in one namespace, each with a hundred changes of its own. If all looked at each
//! change, a wave of them would cost its square.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::sync::watch;

/// More names than this are not kept apart: `ReplicaSets` and Jobs have new ones all the time.
const NAMES: usize = 4096;

/// The changes of one namespace, numbered.
#[derive(Debug, Default)]
pub(super) struct Told {
    latest: Mutex<Latest>,
    word: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Latest {
    number: u64,
    /// The latest change that concerns everybody.
    of_all: u64,
    /// The latest change that concerns who looks at a workload of that name.
    of: HashMap<String, u64>,
}

impl Told {
    /// Something changed that may concern everybody.
    pub(super) fn everybody(&self) {
        self.tell(|latest| latest.of_all = latest.number);
    }

    /// Something changed that concerns who looks at workloads of these names.
    pub(super) fn those(&self, names: Vec<String>) {
        self.tell(|latest| {
            if latest.of.len() > NAMES {
                latest.of.clear();
                latest.of_all = latest.number;
            }
            latest.of.extend(names.into_iter().map(|name| (name, latest.number)));
        });
    }

    fn tell(&self, note: impl FnOnce(&mut Latest)) {
        let number = {
            let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
            latest.number += 1;
            note(&mut latest);
            latest.number
        };
        self.word.send_replace(number);
    }

    /// Whether there was a change after `since` that concerns who looks at these workloads; none: at all of them.
    fn concerns(&self, names: Option<&BTreeSet<String>>, since: u64) -> bool {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        match names {
            None => latest.number > since,
            Some(names) => {
                latest.of_all > since
                    || names.iter().any(|name| latest.of.get(name).is_some_and(|number| *number > since))
            }
        }
    }
}

/// Whom a change of an object concerns.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whom {
    /// All who look at anything in its namespace.
    Everybody,
    /// Those who look at the workload that it is, or belongs to.
    Workload,
}

impl Whom {
    /// The names of the workloads; none for everybody.
    pub(super) fn of(self, object: &ObjectMeta) -> Option<Vec<String>> {
        match self {
            Self::Everybody => None,
            Self::Workload => Some(workloads(object)),
        }
    }
}

/// The names of the workloads that an object tells of: its own, or its owner's. A `ReplicaSet` is named after its Deployment,
/// and a Job may be after its `CronJob`, which its pods do not name.
fn workloads(object: &ObjectMeta) -> Vec<String> {
    let mut names = Vec::new();
    for owner in object.owner_references.iter().flatten() {
        if let ("ReplicaSet" | "Job", Some((maker, _))) = (owner.kind.as_str(), owner.name.rsplit_once('-')) {
            names.push(maker.to_owned());
        }
        names.push(owner.name.clone());
    }
    if names.is_empty() {
        names.extend(object.name.clone());
    }
    names
}

/// Waits for word of changes in some namespaces of a cluster.
#[derive(Debug, Default)]
pub struct Changes {
    heard: BTreeMap<String, Heard>,
    /// Only changes of these workloads, and those that concern everybody; none: all changes.
    names: Option<BTreeSet<String>>,
}

#[derive(Debug)]
struct Heard {
    told: Arc<Told>,
    since: u64,
    word: watch::Receiver<u64>,
}

impl Changes {
    /// Listens to one more namespace, from now on.
    pub(super) fn add(&mut self, namespace: &str, told: impl FnOnce() -> Arc<Told>) {
        if !self.heard.contains_key(namespace) {
            let told = told();
            let word = told.word.subscribe();
            let since = *word.borrow();
            self.heard.insert(namespace.to_owned(), Heard { told, since, word });
        }
    }

    /// Listens only to what concerns the workloads of these names.
    pub fn only(&mut self, names: BTreeSet<String>) {
        self.names = Some(names);
    }

    /// Waits for the next change; for ever where no namespace is listened to.
    pub async fn next(&mut self) {
        let names = self.names.as_ref();
        let waits: Vec<_> = self.heard.values_mut().map(|heard| Box::pin(heard.next(names))).collect();
        if waits.is_empty() {
            std::future::pending::<()>().await;
        }
        futures::future::select_all(waits).await;
    }
}

impl Heard {
    async fn next(&mut self, names: Option<&BTreeSet<String>>) {
        while self.word.changed().await.is_ok() {
            if self.told.concerns(names, self.since) {
                return;
            }
        }
    }
}

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
