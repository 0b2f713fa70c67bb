//! What Flux's objects say, read from their fields.

use kube::api::DynamicObject;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::{CustomId, Delivery, WorkloadId, WorkloadKind, revision};
use crate::config::FluxTarget;
use crate::model::{CommitId, printable};

/// Reads the fields that matter; a missing or odd one is as if it were not there yet.
pub(super) fn read<T: DeserializeOwned + Default>(object: &DynamicObject) -> T {
    serde_json::from_value(object.data.clone()).unwrap_or_default()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Kustomization {
    pub(super) spec: KustomizationSpec,
    status: KustomizationStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct KustomizationSpec {
    suspend: bool,
    pub(super) source_ref: SourceRef,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SourceRef {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) namespace: Option<String>,
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
pub(super) struct GitRepository {
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
pub(super) fn judge(
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
#[path = "objects_tests.rs"]
mod tests;
