//! A cluster: the way to its API server, and watches that all who look at the same objects share.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::{DeliverError, connection};
use crate::config;
use crate::model::{printable, with_causes};

/// A connected cluster. Watches live as long as somebody looks.
pub struct Cluster {
    name: String,
    client: Client,
    changed: watch::Sender<u64>,
    deployments: Shared<Deployment>,
    stateful_sets: Shared<StatefulSet>,
    daemon_sets: Shared<DaemonSet>,
    pods: Shared<Pod>,
    dynamic: Shared<DynamicObject>,
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
            changed: watch::Sender::new(0),
            deployments: Shared::default(),
            stateful_sets: Shared::default(),
            daemon_sets: Shared::default(),
            pods: Shared::default(),
            dynamic: Shared::default(),
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

    /// Word of every change of anything that is watched.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
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
        self.deployments.get(namespace, self, || Api::namespaced(self.client.clone(), namespace))
    }

    /// The `StatefulSets` of a namespace.
    pub fn stateful_sets(&self, namespace: &str) -> Arc<Watched<StatefulSet>> {
        self.stateful_sets.get(namespace, self, || Api::namespaced(self.client.clone(), namespace))
    }

    /// The `DaemonSets` of a namespace.
    pub fn daemon_sets(&self, namespace: &str) -> Arc<Watched<DaemonSet>> {
        self.daemon_sets.get(namespace, self, || Api::namespaced(self.client.clone(), namespace))
    }

    /// The Pods of a namespace.
    pub fn pods(&self, namespace: &str) -> Arc<Watched<Pod>> {
        self.pods.get(namespace, self, || Api::namespaced(self.client.clone(), namespace))
    }

    /// The objects of a kind that has no type here.
    pub(super) fn objects(&self, resource: &ApiResource, namespace: &str) -> Arc<Watched<DynamicObject>> {
        let key = format!("{}/{namespace}", resource.plural);
        self.dynamic.get(&key, self, || Api::namespaced_with(self.client.clone(), namespace, resource))
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
    fn get(&self, key: &str, cluster: &Cluster, api: impl FnOnce() -> Api<K>) -> Arc<Watched<K>> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watched) = shared.get(key).and_then(Weak::upgrade) {
            return watched;
        }
        shared.retain(|_, watched| watched.strong_count() > 0);
        let watched = Arc::new(Watched::start(api(), cluster.changed.clone()));
        shared.insert(key.to_owned(), Arc::downgrade(&watched));
        watched
    }
}

/// The objects of one kind in one namespace, kept up to date by a watch.
#[derive(Debug)]
pub struct Watched<K> {
    state: Arc<Mutex<State<K>>>,
    task: AbortHandle,
}

#[derive(Debug)]
struct State<K> {
    objects: BTreeMap<String, Arc<K>>,
    listed: bool,
    error: Option<String>,
}

impl<K> Drop for Watched<K> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<K> Watched<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    fn start(api: Api<K>, changed: watch::Sender<u64>) -> Self {
        let state = Arc::new(Mutex::new(State { objects: BTreeMap::new(), listed: false, error: None }));
        let kept = state.clone();
        let task = tokio::spawn(async move {
            let mut fresh = BTreeMap::new();
            let mut stream = pin!(watcher(api, watcher::Config::default().page_size(200)).default_backoff());
            while let Some(event) = stream.next().await {
                {
                    let mut state = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    match event {
                        Ok(watcher::Event::Init) => fresh.clear(),
                        Ok(watcher::Event::InitApply(object)) => {
                            _ = fresh.insert(object.name_any(), slim(object));
                        }
                        Ok(watcher::Event::InitDone) => {
                            state.objects = std::mem::take(&mut fresh);
                            (state.listed, state.error) = (true, None);
                        }
                        Ok(watcher::Event::Apply(object)) => {
                            state.objects.insert(object.name_any(), slim(object));
                            state.error = None;
                        }
                        Ok(watcher::Event::Delete(object)) => _ = state.objects.remove(&object.name_any()),
                        Err(error) => state.error = Some(words(&error)),
                    }
                }
                changed.send_modify(|count| *count += 1);
            }
        });
        Self { state, task: task.abort_handle() }
    }

    /// The object of that name; an error as long as the API server did not answer.
    pub fn get(&self, name: &str) -> Result<Option<Arc<K>>, String> {
        self.read(|objects| objects.get(name).cloned())
    }

    /// What `pick` takes from all objects.
    pub fn read<T>(&self, pick: impl FnOnce(&BTreeMap<String, Arc<K>>) -> T) -> Result<T, String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &state.error {
            Some(error) => Err(error.clone()),
            None if !state.listed => Err("not listed yet".to_owned()),
            None => Ok(pick(&state.objects)),
        }
    }
}

/// Drops what is never read and can be half of an object.
fn slim<K: Resource>(mut object: K) -> Arc<K> {
    object.meta_mut().managed_fields = None;
    Arc::new(object)
}
