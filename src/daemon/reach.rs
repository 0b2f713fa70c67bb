//! Whether the clusters that are watched can be used, for `/readyz` of a daemon that has nothing to roll out.
//!
//! The watch that a delivery needs is held from the start, and costs no request. Only where it has told of trouble is the API
//! server asked: a watch that was taken up again may have nothing to say for an hour. A server that takes connections and
//! says nothing is noticed when the watch's own time is over, after some five minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::clusters::Clusters;
use super::health::Health;
use crate::config::{Config, Environment};
use crate::deliver::DeliverError;
use crate::model::EnvironmentName;

/// How long an API server has for its answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// The clusters that were looked at last, as [`Health`] names them.
#[derive(Debug, Default)]
pub struct Reach(Mutex<BTreeSet<String>>);

impl Reach {
    /// Looks at the clusters of the environments that are served (all if empty), for a few seconds at most, and tells `health`.
    pub async fn look(
        &self,
        clusters: &Clusters,
        config: &Config,
        served: &BTreeSet<EnvironmentName>,
        health: &Health,
    ) {
        let ours = |name: &EnvironmentName| served.is_empty() || served.contains(name);
        let environments = config.environments.iter().filter(|(name, _)| ours(name));
        let looks = environments.map(|(_, environment)| look_at(clusters, environment));
        let found = by_part(futures::future::join_all(looks).await.into_iter().flatten());
        let known = found.keys().cloned().collect();
        let before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), known);
        for part in before.iter().filter(|part| !found.contains_key(*part)) {
            health.forget(part);
        }
        for (part, problem) in found {
            health.set(&part, problem);
        }
    }
}

/// A cluster, and what keeps it from being used.
type Seen = (String, Option<String>);

/// One word on each cluster: several environments may be in one, and the first that has a problem is told.
fn by_part(seen: impl Iterator<Item = Seen>) -> BTreeMap<String, Option<String>> {
    let mut found: BTreeMap<String, Option<String>> = BTreeMap::new();
    for (cluster, problem) in seen {
        let told = found.entry(format!("cluster {cluster}")).or_default();
        *told = told.take().or(problem);
    }
    found
}

/// The cluster of an environment that something delivers to.
async fn look_at(clusters: &Clusters, environment: &Environment) -> Option<Seen> {
    let flux = match clusters.flux(environment).await {
        Ok(flux) => flux?,
        Err(error) => return Some((error.cluster()?.to_owned(), Some(error.to_string()))),
    };
    let cluster = flux.cluster().name().to_owned();
    let answer = tokio::time::timeout(PATIENCE, flux.usable()).await.unwrap_or_else(|_| {
        let cause = format!("no answer within {} s", PATIENCE.as_secs());
        Err(DeliverError::Unreachable { cluster: cluster.clone(), cause })
    });
    Some((cluster, answer.err().map(|error| error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_of_several_environments_is_usable_only_for_all_of_them() {
        let seen = |cluster: &str, problem: Option<&str>| (cluster.to_owned(), problem.map(str::to_owned));
        let found = by_part(
            [seen("one", None), seen("two", None), seen("one", Some("refused")), seen("one", None)]
                .into_iter(),
        );
        let expected = [("cluster one", Some("refused")), ("cluster two", None)];
        assert_eq!(
            found,
            expected.map(|(part, problem)| (part.to_owned(), problem.map(str::to_owned))).into()
        );
    }
}
