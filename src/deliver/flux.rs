//! Flux: the source is asked by one annotation; what the Kustomization did is read from its fields, never from its
//! messages.
//!
//! Source and Kustomization are never asked together: the Kustomization would run at once on the old artifact and
//! report our request as handled. A suspended object reports a request as handled, too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::cluster::{Changes, Cluster, Unseen, Watched};
use super::{CustomId, DeliverError, Delivery, WorkloadId, WorkloadKind, revision};
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
}

impl Flux {
    /// Begins to watch.
    pub fn watch(cluster: Arc<Cluster>, target: FluxTarget) -> Self {
        let kustomizations = cluster.objects(&kustomizations(), &target.namespace);
        Self { cluster, target, kustomizations, sources: Mutex::default(), asked: Mutex::default() }
    }

    /// The cluster.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    fn kustomization(&self) -> Result<Kustomization, DeliverError> {
        let target = &self.target;
        let found = self.kustomizations.get(&target.name).map_err(|unseen| self.unseen(unseen))?;
        let object = found.ok_or_else(|| {
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
        })?;
        Ok(read(&object))
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

    /// What Flux has done so far.
    pub fn delivery(&self) -> Result<Delivery, DeliverError> {
        let kustomization = self.kustomization()?;
        let (namespace, name) = self.source_of(&kustomization)?;
        let sources = self.sources_in(&namespace);
        let source = sources.get(&name).map_err(|unseen| self.unseen(unseen))?.map(|object| read(&object));
        Ok(judge(&self.target, &kustomization, (&namespace, &name), source.as_ref()))
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
        let (namespace, name) = self.source_of(&self.kustomization()?)?;
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

/// Reads the fields that matter; a missing or odd one is as if it were not there yet.
fn read<T: DeserializeOwned + Default>(object: &DynamicObject) -> T {
    serde_json::from_value(object.data.clone()).unwrap_or_default()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Kustomization {
    spec: KustomizationSpec,
    status: KustomizationStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct KustomizationSpec {
    suspend: bool,
    source_ref: SourceRef,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SourceRef {
    kind: String,
    name: String,
    namespace: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct KustomizationStatus {
    last_applied_revision: String,
    last_attempted_revision: String,
    conditions: Vec<Condition>,
    inventory: Option<Inventory>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    reason: String,
    message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Inventory {
    entries: Vec<InventoryEntry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InventoryEntry {
    id: String,
    #[serde(rename = "v")]
    version: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GitRepository {
    spec: GitRepositorySpec,
    status: GitRepositoryStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GitRepositorySpec {
    suspend: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GitRepositoryStatus {
    conditions: Vec<Condition>,
}

fn condition<'c>(conditions: &'c [Condition], kind: &str) -> Option<&'c Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

/// What the two objects say together.
fn judge(
    target: &FluxTarget,
    kustomization: &Kustomization,
    source_id: (&str, &str),
    source: Option<&GitRepository>,
) -> Delivery {
    let (namespace, name) = (&target.namespace, &target.name);
    let (source_namespace, source_name) = source_id;
    let status = &kustomization.status;
    let inventory = || status.inventory.iter().flat_map(|inventory| &inventory.entries);
    let mut delivery = Delivery {
        workloads: inventory().filter_map(workload).collect(),
        others: inventory().filter_map(custom).collect(),
        ..Delivery::default()
    };
    let resume = |kind: &str, word: &str, namespace: &str, name: &str| {
        format!(
            "{kind} {namespace}/{name} is suspended; `flux resume {word} {name} -n {namespace}` lets it go on"
        )
    };
    if kustomization.spec.suspend {
        delivery.suspended = Some(resume("Kustomization", "kustomization", namespace, name));
    } else if source.is_some_and(|source| source.spec.suspend) {
        delivery.suspended = Some(resume("GitRepository", "source git", source_namespace, source_name));
    }
    let ready = condition(&status.conditions, "Ready");
    let healthy = condition(&status.conditions, "Healthy");
    let words = |condition: &Condition| {
        format!("{}: {}", printable(&condition.reason, 60), shorten(condition.message.trim()))
    };
    if let Some(stalled) = condition(&status.conditions, "Stalled").filter(|stalled| stalled.status == "True")
    {
        delivery.stalled = Some(format!("Kustomization {namespace}/{name} is stalled: {}", words(stalled)));
    }
    delivery.applied = revision::commit(&status.last_applied_revision);
    let attempted = revision::commit(&status.last_attempted_revision);
    let attempted_now = attempted.clone();
    if attempted != delivery.applied
        && let Some(attempted) = attempted
    {
        let failed = ready.filter(|ready| ready.status == "False");
        match failed.map(|ready| ready.reason.as_str()) {
            // Applied, and its workloads are not healthy: they tell the reason better.
            Some("HealthCheckFailed" | "HealthCheckCanceled") => delivery.applied = Some(attempted),
            // An image never keeps manifests from being built: somebody else broke them, and mending them lets the same
            // commit through.
            Some("BuildFailed") => delivery.broken = failed.map(words),
            Some("ReconciliationFailed" | "PruneFailed") => {
                delivery.refused = failed.map(|ready| (attempted, words(ready)));
            }
            _ => {
                // `Healthy` of the former revision stays until the new one is applied; only the wait for this
                // revision's health names it.
                let waiting = healthy.is_some_and(|healthy| {
                    healthy.status == "Unknown" && healthy.message.contains(attempted.as_str())
                });
                if waiting {
                    delivery.applied = Some(attempted);
                }
            }
        }
    }
    let source_ready = source.and_then(|source| condition(&source.status.conditions, "Ready"));
    let awaits = healthy.filter(|healthy| healthy.status == "Unknown").and(attempted_now.as_ref());
    delivery.doing = match (source, source_ready, ready) {
        (Some(_), _, _) if awaits.is_some() => format!(
            "Kustomization {namespace}/{name} waits for the health of {} first, for as long as its `spec.timeout` lets it; \
             `wait: false`, a shorter timeout, or the feature gate CancelHealthCheckOnNewRevision of kustomize-controller \
             lets the next commit through at once",
            awaits.map(CommitId::short).unwrap_or_default()
        ),
        (None, _, _) => format!("GitRepository {source_namespace}/{source_name} does not exist"),
        (_, Some(source_ready), _) if source_ready.status == "False" => {
            format!("GitRepository {source_namespace}/{source_name}: {}", words(source_ready))
        }
        (_, _, Some(ready)) => format!("Kustomization {namespace}/{name}: {}", words(ready)),
        _ => format!("Kustomization {namespace}/{name} has not run yet"),
    };
    delivery
}

/// A message without its middle: the cause stands at the end of kustomize's, behind every folder on the way to it.
fn shorten(message: &str) -> String {
    let length = message.chars().count();
    if length <= 400 {
        return printable(message, 400);
    }
    let start: String = message.chars().take(100).collect();
    let end: String = message.chars().skip(length - 290).collect();
    printable(&format!("{start} … {end}"), 400)
}

/// The parts of an inventory's entry, which reads `NAMESPACE_NAME_GROUP_KIND`.
fn parts(entry: &InventoryEntry) -> Option<[&str; 4]> {
    let mut parts = entry.id.splitn(4, '_');
    Some([parts.next()?, parts.next()?, parts.next()?, parts.next()?])
}

/// A workload in an inventory.
fn workload(entry: &InventoryEntry) -> Option<WorkloadId> {
    let [namespace, name, group, kind] = parts(entry)?;
    let kind = match (group, kind) {
        ("apps", "Deployment") => WorkloadKind::Deployment,
        ("apps", "StatefulSet") => WorkloadKind::StatefulSet,
        ("apps", "DaemonSet") => WorkloadKind::DaemonSet,
        ("batch", "Job") => WorkloadKind::Job,
        ("batch", "CronJob") => WorkloadKind::CronJob,
        _ => return None,
    };
    Some(WorkloadId { kind, namespace: namespace.to_owned(), name: name.to_owned() })
}

/// Groups whose objects run nothing: they route, deliver, or issue certificates.
const RUN_NOTHING: [&str; 7] = [
    "cert-manager.io",
    "external-secrets.io",
    "fluxcd.io",
    "istio.io",
    "k8s.io",
    "linkerd.io",
    "monitoring.coreos.com",
];

/// An object in a namespace, of a kind that is not Kubernetes' own and that may run something.
fn custom(entry: &InventoryEntry) -> Option<CustomId> {
    let [namespace, name, group, kind] = parts(entry)?;
    let is_within =
        |known: &str| group.strip_suffix(known).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let may_run = group.contains('.') && !RUN_NOTHING.iter().any(|known| is_within(known));
    (may_run && !namespace.is_empty()).then(|| CustomId {
        group: group.to_owned(),
        version: entry.version.clone(),
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const OLD: &str = "main@sha1:1111111111111111111111111111111111111111";
    const NEW: &str = "main@sha1:2222222222222222222222222222222222222222";

    fn target() -> FluxTarget {
        FluxTarget { namespace: "flux-system".to_owned(), name: "apps".to_owned() }
    }

    fn judged(spec: &str, status: &str) -> Delivery {
        let json =
            format!("{{\"spec\": {spec}, \"status\": {status}}}").replace("OLD", OLD).replace("NEW", NEW);
        let kustomization: Kustomization = serde_json::from_str(&json).unwrap();
        judge(&target(), &kustomization, ("flux-system", "git"), Some(&GitRepository::default()))
    }

    fn is(commit: Option<&crate::model::CommitId>, revision: &str) -> bool {
        commit.cloned() == revision::commit(revision)
    }

    #[test]
    fn a_revision_is_applied_once_the_field_says_so() {
        let delivery = judged("{}", r#"{"lastAppliedRevision": "NEW", "lastAttemptedRevision": "NEW"}"#);
        assert!(is(delivery.applied.as_ref(), NEW));
    }

    #[test]
    fn a_revision_whose_health_is_awaited_is_applied() {
        let delivery = judged(
            "{}",
            r#"{"lastAppliedRevision": "OLD", "lastAttemptedRevision": "NEW", "conditions": [
                {"type": "Ready", "status": "Unknown", "reason": "Progressing"},
                {"type": "Healthy", "status": "Unknown", "message": "Running health checks for revision NEW with a timeout"}]}"#,
        );
        assert!(is(delivery.applied.as_ref(), NEW));
        assert!(delivery.doing.contains("waits for the health of 2222222"), "{}", delivery.doing);
    }

    #[test]
    fn health_of_the_former_revision_does_not_count() {
        let delivery = judged(
            "{}",
            r#"{"lastAppliedRevision": "OLD", "lastAttemptedRevision": "NEW", "conditions": [
                {"type": "Ready", "status": "Unknown", "reason": "Progressing"},
                {"type": "Healthy", "status": "True", "message": "Health check passed for OLD"}]}"#,
        );
        assert!(is(delivery.applied.as_ref(), OLD));
        assert_eq!(delivery.refused, None);
    }

    #[test]
    fn a_revision_that_cannot_be_applied_is_refused_with_the_reason() {
        let delivery = judged(
            "{}",
            r#"{"lastAppliedRevision": "OLD", "lastAttemptedRevision": "NEW", "conditions": [
                {"type": "Ready", "status": "False", "reason": "ReconciliationFailed", "message": "dry-run failed"},
                {"type": "Healthy", "status": "True"}]}"#,
        );
        let (commit, words) = delivery.refused.unwrap();
        assert!(is(Some(&commit), NEW));
        assert_eq!(words, "ReconciliationFailed: dry-run failed");
    }

    #[test]
    fn manifests_that_cannot_be_built_are_waited_for() {
        let delivery = judged(
            "{}",
            r#"{"lastAppliedRevision": "OLD", "lastAttemptedRevision": "NEW", "conditions": [
                {"type": "Ready", "status": "False", "reason": "BuildFailed", "message": "accumulating resources"}]}"#,
        );
        assert_eq!(delivery.refused, None);
        assert_eq!(delivery.broken.unwrap(), "BuildFailed: accumulating resources");
    }

    #[test]
    fn failed_health_checks_mean_applied_and_leave_the_verdict_to_the_workloads() {
        let delivery = judged(
            "{}",
            r#"{"lastAppliedRevision": "OLD", "lastAttemptedRevision": "NEW", "conditions": [
                {"type": "Ready", "status": "False", "reason": "HealthCheckFailed", "message": "timeout"}]}"#,
        );
        assert!(is(delivery.applied.as_ref(), NEW));
        assert_eq!(delivery.refused, None);
    }

    #[test]
    fn a_suspended_kustomization_is_told_with_the_way_to_go_on() {
        let delivery = judged(r#"{"suspend": true}"#, r#"{"lastAppliedRevision": "OLD"}"#);
        assert_eq!(
            delivery.suspended.unwrap(),
            "Kustomization flux-system/apps is suspended; `flux resume kustomization apps -n flux-system` lets it go on"
        );
    }

    #[test]
    fn workloads_come_from_the_inventory() {
        let delivery = judged(
            "{}",
            r#"{"inventory": {"entries": [{"id": "shop_web_apps_Deployment", "v": "v1"}, {"id": "shop_web__Service"},
                {"id": "_shop__Namespace"}, {"id": "odd"}, {"id": "shop_nightly_batch_CronJob", "v": "v1"},
                {"id": "shop_db_postgresql.cnpg.io_Cluster", "v": "v1"}, {"id": "_all_example.org_Widget", "v": "v1"},
                {"id": "shop_web_networking.istio.io_VirtualService", "v": "v1"}]}}"#,
        );
        let names: Vec<_> = delivery.workloads.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["Deployment shop/web", "CronJob shop/nightly"]);
        let others: Vec<_> = delivery.others.iter().map(ToString::to_string).collect();
        assert_eq!(others, ["Cluster shop/db"], "what is in no namespace or only routes runs nothing");
    }

    #[test]
    fn odd_objects_are_as_if_nothing_had_happened_yet() {
        let object: Kustomization = serde_json::from_str("{}").unwrap();
        let delivery = judge(&target(), &object, ("flux-system", "git"), None);
        assert_eq!(delivery.doing, "GitRepository flux-system/git does not exist");
        assert_eq!(delivery.applied, None);
    }
}
