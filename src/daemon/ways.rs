//! The ways to the registries of local clusters, as the clusters publish them.
//!
//! They stand in for `--registry-endpoint` where a person has given none for that name. A cluster is asked until it has
//! answered, and again every ten minutes; from within a Pod the way would lead nowhere, so that a Pod does not ask its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::clusters::Clusters;
use crate::config::{Cluster, Config};
use crate::deliver::hosting;
use crate::discover::Registries;
use crate::model::{EnvironmentName, RegistryHost};

/// How long is waited for the answers.
const PATIENCE: Duration = Duration::from_secs(3);

/// A cluster that is made anew under its old name publishes another way.
const ASK_AGAIN: Duration = Duration::from_mins(10);

/// What was given by flags, and which clusters have answered.
#[derive(Debug, Default)]
pub struct Ways {
    given: BTreeSet<RegistryHost>,
    /// Which clusters have answered for which registry, and when.
    answered: Mutex<BTreeMap<String, Instant>>,
}

impl Ways {
    /// `given` are the registries whose ways are set by flags.
    pub fn new(given: BTreeSet<RegistryHost>) -> Self {
        Self { given, answered: Mutex::default() }
    }

    /// Asks the clusters of the environments that are served (all if empty) that have not answered yet, for a few seconds at most.
    pub async fn learn(
        &self,
        clusters: &Clusters,
        registries: &Registries,
        config: &Config,
        served: &BTreeSet<EnvironmentName>,
    ) {
        let questions = config.environments.iter().filter_map(|(name, environment)| {
            let cluster = environment.cluster.as_ref()?;
            let registry = &environment.registry.host;
            let asks = (served.is_empty() || served.contains(name))
                && !matches!(cluster, Cluster::None | Cluster::InCluster)
                && !self.given.contains(registry);
            asks.then(|| self.question(clusters, registries, cluster, registry))
        });
        let questions: Vec<_> = questions.collect();
        _ = tokio::time::timeout(PATIENCE, futures::future::join_all(questions)).await;
    }

    async fn question(
        &self,
        clusters: &Clusters,
        registries: &Registries,
        cluster: &Cluster,
        registry: &RegistryHost,
    ) {
        let key = format!("{cluster:?} {registry}");
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        if answered.is_some_and(|answered| answered.elapsed() < ASK_AGAIN) {
            return;
        }
        let answer = match clusters.cluster(cluster).await {
            Ok(connected) => hosting::read(&connected).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(Some(found)) if found.name == *registry => {
                match registries.set_endpoint(found.name.clone(), found.way.as_str()) {
                    Ok(()) => tracing::info!(registry = %found.name, way = %found.way,
                        "the cluster publishes the way to its registry"),
                    Err(error) => tracing::debug!(%error, "the way to a registry can't be used"),
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, %registry, "no word of a way to the registry");
                return;
            }
        }
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Instant::now());
    }
}
