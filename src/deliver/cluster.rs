//! A cluster: the way to its API server, and watches that all who look at the same objects share.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;

pub use super::changes::Changes;
use super::changes::{Told, Whom};
pub use super::watched::{Unseen, Watched};
use super::{DeliverError, connection, slim};
use crate::config;
use crate::model::{printable, with_causes};

/// How long the API server may take to tell what a kind is.
const ANSWER: Duration = Duration::from_secs(5);

/// A connected cluster. Watches live as long as somebody looks.
pub struct Cluster {
    name: String,
    client: Client,
    /// Word of every change of what is watched, by namespace.
    changed: Mutex<HashMap<String, Arc<Told>>>,
    deployments: Shared<Deployment>,
    replica_sets: Shared<ReplicaSet>,
    stateful_sets: Shared<StatefulSet>,
    daemon_sets: Shared<DaemonSet>,
    jobs: Shared<Job>,
    cron_jobs: Shared<CronJob>,
    pods: Shared<Pod>,
    dynamic: Shared<DynamicObject>,
    /// The kinds that are not Kubernetes' own, as the API server has told them; none where it does not know one.
    kinds: tokio::sync::Mutex<HashMap<GroupVersionKind, Option<ApiResource>>>,
    /// Whether an API was there when it was last asked for.
    served: Mutex<HashMap<&'static str, (bool, Instant)>>,
}

impl Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Connects as the configuration says; no request is made yet.
    ///
    /// `programs` says whether a kubeconfig's `exec` plugin may be started.
    pub async fn connect(
        from: &config::Cluster,
        secrets: Option<&Path>,
        programs: bool,
    ) -> Result<Self, DeliverError> {
        let (name, client) = connection::connect(from, secrets, programs).await?;
        Ok(Self {
            name,
            client,
            changed: Mutex::default(),
            deployments: Shared::default(),
            replica_sets: Shared::default(),
            stateful_sets: Shared::default(),
            daemon_sets: Shared::default(),
            jobs: Shared::default(),
            cron_jobs: Shared::default(),
            pods: Shared::default(),
            dynamic: Shared::default(),
            kinds: tokio::sync::Mutex::default(),
            served: Mutex::default(),
        })
    }

    /// The context's or kubeconfig's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The client, for the one write that `deliver` makes.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Has `changes` tell of what changes in a namespace, too; of what is watched in all namespaces where it is empty.
    pub fn listen(&self, changes: &mut Changes, namespace: &str) {
        changes.add(namespace, || self.changed_in(namespace));
    }

    fn changed_in(&self, namespace: &str) -> Arc<Told> {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.entry(namespace.to_owned()).or_default().clone()
    }

    /// Whether the API server answers this account.
    pub async fn reachable(&self) -> Result<(), DeliverError> {
        self.client
            .apiserver_version()
            .await
            .map(|_| ())
            .map_err(|error| self.explain(&error, "get", "version", ""))
    }

    /// The Deployments of a namespace.
    pub fn deployments(&self, namespace: &str) -> Arc<Watched<Deployment>> {
        self.typed(&self.deployments, namespace, slim::deployment)
    }

    /// The `ReplicaSets` of a namespace.
    pub fn replica_sets(&self, namespace: &str) -> Arc<Watched<ReplicaSet>> {
        self.typed(&self.replica_sets, namespace, slim::replica_set)
    }

    /// The `StatefulSets` of a namespace.
    pub fn stateful_sets(&self, namespace: &str) -> Arc<Watched<StatefulSet>> {
        self.typed(&self.stateful_sets, namespace, slim::stateful_set)
    }

    /// The `DaemonSets` of a namespace.
    pub fn daemon_sets(&self, namespace: &str) -> Arc<Watched<DaemonSet>> {
        self.typed(&self.daemon_sets, namespace, slim::daemon_set)
    }

    /// The Jobs of a namespace.
    pub fn jobs(&self, namespace: &str) -> Arc<Watched<Job>> {
        self.typed(&self.jobs, namespace, slim::job)
    }

    /// The `CronJobs` of a namespace.
    pub fn cron_jobs(&self, namespace: &str) -> Arc<Watched<CronJob>> {
        self.typed(&self.cron_jobs, namespace, slim::cron_job)
    }

    /// The Pods of a namespace, without what no judgement reads: see [`slim`].
    pub fn pods(&self, namespace: &str) -> Arc<Watched<Pod>> {
        self.typed(&self.pods, namespace, slim::pod)
    }

    fn typed<K>(&self, shared: &Shared<K>, namespace: &str, slim: fn(&mut K)) -> Arc<Watched<K>>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + Sync
            + 'static,
    {
        shared.get(namespace, || {
            let api = Api::namespaced(self.client.clone(), namespace);
            Watched::start(api, self.changed_in(namespace), Whom::Workload, slim)
        })
    }

    /// How the API server names the objects of a kind; none if it does not know it, or does not answer now.
    pub async fn resource(&self, kind: &GroupVersionKind) -> Option<ApiResource> {
        let mut kinds = self.kinds.lock().await;
        if let Some(known) = kinds.get(kind) {
            return known.clone();
        }
        let asked = kube::discovery::pinned_kind(&self.client, kind);
        let found = match tokio::time::timeout(ANSWER, asked).await.ok()? {
            Ok((resource, _)) => Some(resource),
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(kube::Error::Discovery(_)) => None,
            Err(_) => return None,
        };
        kinds.insert(kind.clone(), found.clone());
        found
    }

    /// The objects of a kind that has no type here.
    pub fn objects(&self, resource: &ApiResource, namespace: &str) -> Arc<Watched<DynamicObject>> {
        let key = format!("{}.{}/{namespace}", resource.plural, resource.group);
        self.dynamic.get(&key, || {
            let api = Api::namespaced_with(self.client.clone(), namespace, resource);
            Watched::start(api, self.changed_in(namespace), Whom::Everybody, |_| {})
        })
    }

    /// Whether the cluster has kinds of that API, such as `networking.istio.io/v1`.
    pub async fn serves(&self, group_version: &'static str) -> Result<bool, DeliverError> {
        let known = self.served.lock().unwrap_or_else(PoisonError::into_inner).get(group_version).copied();
        // What is there stays; what is missing may be installed at any time.
        if let Some((there, at)) = known
            && (there || at.elapsed() < Duration::from_mins(1))
        {
            return Ok(there);
        }
        let there = match self.client.list_api_group_resources(group_version).await {
            Ok(_) => true,
            Err(kube::Error::Api(status)) if status.code == 404 => false,
            Err(error) => return Err(self.explain(&error, "get", "APIs", "")),
        };
        let mut known = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(group_version, (there, Instant::now()));
        Ok(there)
    }

    /// The labels of a namespace; one that is not there has none.
    pub async fn namespace_labels(&self, namespace: &str) -> Result<BTreeMap<String, String>, DeliverError> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let found = api.get_metadata_opt(namespace).await;
        let found = found.map_err(|error| self.explain(&error, "get", "namespaces", namespace))?;
        Ok(found.and_then(|found| found.metadata.labels).unwrap_or_default())
    }

    /// The client's error as ours.
    pub(super) fn explain(
        &self,
        error: &kube::Error,
        verb: &'static str,
        kind: &'static str,
        namespace: &str,
    ) -> DeliverError {
        let cluster = self.name.clone();
        match error {
            kube::Error::Api(status) if status.code == 403 => DeliverError::Forbidden {
                cluster,
                verb,
                kind,
                namespace: namespace.to_owned(),
                cause: printable(&status.message, 300),
            },
            kube::Error::Api(status) if status.code == 401 => DeliverError::Access {
                cluster,
                cause: format!("it refuses the credentials: {}", printable(&status.message, 300)),
                next: "renew the token or certificate in the kubeconfig",
            },
            other => DeliverError::Unreachable { cluster, cause: words(other) },
        }
    }
}

/// An error with its causes, made safe and short.
pub(super) fn words(error: &dyn std::error::Error) -> String {
    with_causes(error, 400)
}

/// One watch per key, as long as somebody holds it.
struct Shared<K>(Mutex<HashMap<String, Weak<Watched<K>>>>);

impl<K> Default for Shared<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K> Shared<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    fn get(&self, key: &str, start: impl FnOnce() -> Watched<K>) -> Arc<Watched<K>> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watched) = shared.get(key).and_then(Weak::upgrade) {
            return watched;
        }
        shared.retain(|_, watched| watched.strong_count() > 0);
        let watched = Arc::new(start());
        shared.insert(key.to_owned(), Arc::downgrade(&watched));
        watched
    }
}
