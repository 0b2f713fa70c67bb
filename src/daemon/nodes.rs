//! What the clusters' nodes run on: the platforms that a version must be there for, where promote.yaml names none.
//!
//! A cluster that does not tell, or whose account may not list nodes, asks for no platform: the rollout will show.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::clusters::Clusters;
use crate::config::{Cluster, Config};
use crate::deliver::nodes;
use crate::discover::Platform;
use crate::model::EnvironmentName;

/// How long is waited for the answers.
const PATIENCE: Duration = Duration::from_secs(3);
/// Nodes come and go; a new kind of them is known after this long.
const LOOK_AGAIN: Duration = Duration::from_mins(10);

/// What the clusters have said, by what the configuration calls them.
#[derive(Debug, Default)]
pub struct Nodes(Mutex<BTreeMap<String, Told>>);

#[derive(Debug)]
struct Told {
    platforms: Arc<[Platform]>,
    since: Instant,
}

impl Nodes {
    /// The platforms of a cluster's nodes; empty where they are not known.
    pub fn of(&self, cluster: Option<&Cluster>) -> Arc<[Platform]> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = cluster.and_then(|cluster| told.get(&key(cluster)));
        told.map(|told| told.platforms.clone()).unwrap_or_default()
    }

    /// Asks the clusters of the environments that are served (all if empty) and have not told lately, for a few seconds at most.
    pub async fn learn(&self, clusters: &Clusters, config: &Config, served: &BTreeSet<EnvironmentName>) {
        let is_meant = |name: &EnvironmentName| served.is_empty() || served.contains(name);
        let asked: BTreeMap<String, &Cluster> = config
            .environments
            .iter()
            .filter(|(name, _)| is_meant(name))
            .filter_map(|(_, environment)| environment.cluster.as_ref())
            .filter(|cluster| **cluster != Cluster::None && !self.is_fresh(cluster))
            .map(|cluster| (key(cluster), cluster))
            .collect();
        let questions = asked.into_values().map(|cluster| self.question(clusters, cluster));
        _ = tokio::time::timeout(PATIENCE, futures::future::join_all(questions)).await;
    }

    fn is_fresh(&self, cluster: &Cluster) -> bool {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.get(&key(cluster)).is_some_and(|told| told.since.elapsed() < LOOK_AGAIN)
    }

    async fn question(&self, clusters: &Clusters, cluster: &Cluster) {
        let answer = match clusters.cluster(cluster).await {
            Ok(connected) => nodes::platforms(&connected).await.map(|told| (connected, told)),
            Err(error) => Err(error),
        };
        let (connected, told) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%error, "no word of the nodes' platforms");
                return;
            }
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.get(&key(cluster)).map(|told| told.platforms.clone());
        let platforms: Arc<[Platform]> = told.clone().unwrap_or_default().into();
        if before.as_ref() != Some(&platforms) {
            let words: Vec<String> = platforms.iter().map(Platform::to_string).collect();
            if told.is_some() {
                tracing::debug!(
                    cluster = connected.name(),
                    platforms = words.join(", "),
                    "versions must be there for the nodes' platforms"
                );
            } else {
                tracing::info!(
                    cluster = connected.name(),
                    "this account may not list nodes, so that no platform is asked for; grant it, or name `platforms`"
                );
            }
        }
        known.insert(key(cluster), Told { platforms, since: Instant::now() });
    }
}

fn key(cluster: &Cluster) -> String {
    format!("{cluster:?}")
}
