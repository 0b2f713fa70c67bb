//! Flux: the source is asked by one annotation; what the Kustomization did is read from its fields, never from its
//! messages.
//!
//! Source and Kustomization are never asked together: the Kustomization would run at once on the old artifact and
//! report our request as handled. A suspended object reports a request as handled, too.

mod objects;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use tokio::time::timeout;

use self::objects::{Kustomization, judge, read};
use super::cluster::{Changes, Cluster, Unseen, Watched};
use super::{DeliverError, Delivery};
use crate::config::FluxTarget;
use crate::model::{CommitId, printable};

/// The annotation that Flux's controllers take as a request.
const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";

fn kustomizations() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("kustomize.toolkit.fluxcd.io", "v1", "Kustomization"))
}

fn git_repositories() -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("source.toolkit.fluxcd.io", "v1", "GitRepository"),
        "gitrepositories",
    )
}

/// A Kustomization of Flux, watched together with its source.
#[derive(Debug)]
pub struct Flux {
    cluster: Arc<Cluster>,
    target: FluxTarget,
    kustomizations: Arc<Watched<DynamicObject>>,
    /// The watch of the source's namespace, which only the Kustomization tells; held so that it goes on.
    sources: Mutex<Option<(String, Arc<Watched<DynamicObject>>)>>,
    /// The commits that were asked for, and when.
    asked: Mutex<HashMap<CommitId, Instant>>,
    known: Mutex<Option<Known>>,
}

/// What the last look found.
#[derive(Debug)]
struct Known {
    object: Arc<DynamicObject>,
    source: Option<Arc<DynamicObject>>,
    kustomization: Arc<Kustomization>,
    delivery: Arc<Delivery>,
}

impl Flux {
    /// Begins to watch.
    pub fn watch(cluster: Arc<Cluster>, target: FluxTarget) -> Self {
        let kustomizations = cluster.objects(&kustomizations(), &target.namespace);
        Self {
            cluster,
            target,
            kustomizations,
            sources: Mutex::default(),
            asked: Mutex::default(),
            known: Mutex::default(),
        }
    }

    /// The cluster.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    fn object(&self) -> Result<Arc<DynamicObject>, DeliverError> {
        let target = &self.target;
        let found = self.kustomizations.get(&target.name).map_err(|unseen| self.unseen(unseen))?;
        found.ok_or_else(|| {
            let names = self.kustomizations.read(|objects| objects.keys().cloned().collect::<Vec<_>>());
            let there = match names.unwrap_or_default().as_slice() {
                [] => format!("{} has none", target.namespace),
                names => format!("{} has {}", target.namespace, names.join(", ")),
            };
            DeliverError::Target(format!(
                "cluster {}: there is no Kustomization {}/{} ({there}); correct `deploy.flux.kustomization` or create it",
                self.cluster.name(),
                target.namespace,
                target.name
            ))
        })
    }

    fn unseen(&self, unseen: Unseen) -> DeliverError {
        let cluster = self.cluster.name().to_owned();
        match unseen {
            Unseen::Listing => DeliverError::Listing { cluster },
            Unseen::Forbidden(cause) => DeliverError::Hidden { cluster, cause },
            Unseen::NoSuchKind => DeliverError::Target(format!(
                "cluster {cluster} does not know Flux's kinds; install Flux there or correct `deploy`"
            )),
            Unseen::Silent(cause) => DeliverError::Unreachable { cluster, cause },
        }
    }

    /// Word of changes of what Flux does.
    pub fn changes(&self) -> Changes {
        let mut changes = Changes::default();
        self.cluster.listen(&mut changes, &self.target.namespace);
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((namespace, _)) = &*sources {
            self.cluster.listen(&mut changes, namespace);
        }
        changes
    }

    /// The source's namespace and name.
    fn source_of(&self, kustomization: &Kustomization) -> Result<(String, String), DeliverError> {
        let source = &kustomization.spec.source_ref;
        if source.kind != "GitRepository" {
            return Err(DeliverError::Target(format!(
                "Kustomization {}/{} takes its manifests from a {}, not from a GitRepository; a commit does not reach it",
                self.target.namespace,
                self.target.name,
                printable(&source.kind, 60)
            )));
        }
        let namespace = source.namespace.clone().unwrap_or_else(|| self.target.namespace.clone());
        Ok((namespace, source.name.clone()))
    }

    fn sources_in(&self, namespace: &str) -> Arc<Watched<DynamicObject>> {
        let mut held = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        match &*held {
            Some((known, sources)) if known == namespace => sources.clone(),
            _ => {
                let sources = self.cluster.objects(&git_repositories(), namespace);
                *held = Some((namespace.to_owned(), sources.clone()));
                sources
            }
        }
    }

    /// What Flux has done so far. As long as nothing changes, it is the same one.
    pub fn delivery(&self) -> Result<Arc<Delivery>, DeliverError> {
        let object = self.object()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // An inventory of hundreds of workloads takes a millisecond to read.
        let kustomization = match &*known {
            Some(known) if Arc::ptr_eq(&known.object, &object) => known.kustomization.clone(),
            _ => Arc::new(read(&object)),
        };
        let (namespace, name) = self.source_of(&kustomization)?;
        let source = self.sources_in(&namespace).get(&name).map_err(|unseen| self.unseen(unseen))?;
        let same =
            |a: &Option<Arc<DynamicObject>>| a.as_ref().map(Arc::as_ptr) == source.as_ref().map(Arc::as_ptr);
        if let Some(known) = &*known
            && Arc::ptr_eq(&known.object, &object)
            && same(&known.source)
        {
            return Ok(known.delivery.clone());
        }
        let read_source = source.as_deref().map(read);
        let delivery =
            Arc::new(judge(&self.target, &kustomization, (&namespace, &name), read_source.as_ref()));
        *known = Some(Known { object, source, kustomization, delivery: delivery.clone() });
        Ok(delivery)
    }

    /// Asks the source to look at its repository for `commit`, unless that was asked within `patience`: many apps of
    /// one commit need one request.
    pub async fn ask(&self, commit: &CommitId, patience: Duration) -> Result<(), DeliverError> {
        {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.retain(|_, at| at.elapsed() < patience);
            if asked.contains_key(commit) {
                return Ok(());
            }
            asked.insert(commit.clone(), Instant::now());
        }
        let result = self.annotate(Timestamp::now()).await;
        if result.is_err() {
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(commit);
        }
        result
    }

    /// Sets the annotation; the only request of this program that changes anything in a cluster.
    async fn annotate(&self, now: Timestamp) -> Result<(), DeliverError> {
        let (namespace, name) = self.source_of(&read(self.object()?.as_ref()))?;
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.cluster.client().clone(), &namespace, &git_repositories());
        let patch = serde_json::json!({"metadata": {"annotations": {REQUESTED_AT: now.to_string()}}});
        match api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Err(DeliverError::Target(format!(
                "cluster {}: there is no GitRepository {namespace}/{name}, which Kustomization {}/{} takes its manifests \
                 from; create it",
                self.cluster.name(),
                self.target.namespace,
                self.target.name
            ))),
            Err(error) => Err(self.cluster.explain(&error, "patch", "gitrepositories", &namespace)),
        }
    }

    /// Whether this account sees what delivers. The API server is asked only where the watches do not tell.
    pub async fn usable(&self) -> Result<(), DeliverError> {
        let silent = |error: &DeliverError| !matches!(error, DeliverError::Target(_));
        if !self.delivery().as_ref().is_err_and(silent) {
            return Ok(());
        }
        self.listed(&kustomizations(), &self.target.namespace, "kustomizations").await?;
        let sources = self
            .sources
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map(|(namespace, _)| namespace.clone());
        match sources {
            Some(namespace) => self.listed(&git_repositories(), &namespace, "gitrepositories").await,
            None => Ok(()),
        }
    }

    /// Lists one object of a kind, which shows the way to the cluster and the right to look.
    async fn listed(
        &self,
        resource: &ApiResource,
        namespace: &str,
        kind: &'static str,
    ) -> Result<(), DeliverError> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.cluster.client().clone(), namespace, resource);
        let answer = api.list(&ListParams::default().limit(1)).await;
        answer.map(|_| ()).map_err(|error| self.cluster.explain(&error, "list", kind, namespace))
    }

    /// Waits until the watches have listed what [`Flux::ask`] and [`Flux::delivery`] need, or say why they cannot.
    pub async fn ready(&self) -> Result<(), DeliverError> {
        loop {
            let mut changes = self.changes();
            match self.delivery() {
                Err(DeliverError::Listing { .. }) => {}
                Err(error) => return Err(error),
                Ok(_) => return Ok(()),
            }
            // The first look tells only now where the source is, whose list may have come before it is listened to.
            _ = timeout(Duration::from_millis(200), changes.next()).await;
        }
    }
}
