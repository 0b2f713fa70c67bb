//! Kubernetes objects reduced to what the judgement needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod as KubePod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::ResourceExt as _;

use super::pods::{Container, Pod};
use super::workload::Workload;
use crate::deliver::cluster::{Cluster, Watched};
use crate::deliver::{WorkloadId, WorkloadKind};
use crate::model::{Repository, printable};

/// A workload that uses the images under judgement, with its new pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The rollout.
    pub workload: Workload,
    /// The pods of the new version.
    pub pods: Vec<Pod>,
    /// The containers' images as the cluster has them, of the repositories under judgement.
    pub images: Vec<String>,
}

/// The watches that a judgement needs, held as long as it lasts.
#[derive(Debug, Default)]
pub struct Watches {
    deployments: BTreeMap<String, Arc<Watched<Deployment>>>,
    stateful_sets: BTreeMap<String, Arc<Watched<StatefulSet>>>,
    daemon_sets: BTreeMap<String, Arc<Watched<DaemonSet>>>,
    pods: BTreeMap<String, Arc<Watched<KubePod>>>,
}

impl Watches {
    /// What the cluster shows of those `workloads` that use an image of `repositories`.
    ///
    /// An error is the API server's silence, in words: it proves nothing about the version.
    pub fn look(
        &mut self,
        cluster: &Cluster,
        workloads: &[WorkloadId],
        repositories: &[Repository],
    ) -> Result<Vec<Seen>, String> {
        let mut seen = Vec::new();
        // All watches are begun before the first is read, so that they list side by side.
        for id in workloads {
            let namespace = id.namespace.as_str();
            let key = || namespace.to_owned();
            match id.kind {
                WorkloadKind::Deployment => {
                    self.deployments.entry(key()).or_insert_with(|| cluster.deployments(namespace));
                }
                WorkloadKind::StatefulSet => {
                    self.stateful_sets.entry(key()).or_insert_with(|| cluster.stateful_sets(namespace));
                }
                WorkloadKind::DaemonSet => {
                    self.daemon_sets.entry(key()).or_insert_with(|| cluster.daemon_sets(namespace));
                }
            }
            self.pods.entry(key()).or_insert_with(|| cluster.pods(namespace));
        }
        for id in workloads {
            let reduced = match id.kind {
                WorkloadKind::Deployment => {
                    find(&self.deployments, id)?.and_then(|found| deployment(id, &found))
                }
                WorkloadKind::StatefulSet => {
                    find(&self.stateful_sets, id)?.and_then(|found| stateful_set(id, &found))
                }
                WorkloadKind::DaemonSet => {
                    find(&self.daemon_sets, id)?.and_then(|found| daemon_set(id, &found))
                }
            };
            let Some(Reduced { mut workload, selector, template }) = reduced else { continue };
            let images = judged_images(&template, repositories);
            if images.is_empty() {
                continue;
            }
            let pods = match self.pods.get(&id.namespace) {
                Some(pods) => pods.read(|pods| {
                    pods.values()
                        .filter(|pod| matches(&selector, pod.labels()) && same_images(pod, &template))
                        .map(|pod| reduce_pod(pod, repositories))
                        .collect()
                })?,
                None => Vec::new(),
            };
            if id.kind == WorkloadKind::StatefulSet {
                workload.stuck = self.pods.get(&id.namespace).map_or(Ok(None), |pods| {
                    pods.read(|pods| {
                        let stuck = pods.values().find(|pod| {
                            matches(&selector, pod.labels()) && !same_images(pod, &template) && !is_ready(pod)
                        })?;
                        Some((id.namespace.clone(), stuck.name_any()))
                    })
                })?;
            }
            seen.push(Seen { workload, pods, images });
        }
        Ok(seen)
    }
}

fn find<K>(watches: &BTreeMap<String, Arc<Watched<K>>>, id: &WorkloadId) -> Result<Option<Arc<K>>, String>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    watches.get(&id.namespace).map_or(Ok(None), |watched| watched.get(&id.name))
}

struct Reduced {
    workload: Workload,
    selector: LabelSelector,
    template: PodTemplateSpec,
}

fn deployment(id: &WorkloadId, found: &Deployment) -> Option<Reduced> {
    let spec = found.spec.as_ref()?;
    let status = found.status.clone().unwrap_or_default();
    let wanted = spec.replicas.unwrap_or(1);
    let conditions = status.conditions.unwrap_or_default();
    let condition = |kind: &str, value: &str| {
        conditions.iter().find(|condition| condition.type_ == kind && condition.status == value)
    };
    let message = |text: &Option<String>| printable(text.as_deref().unwrap_or_default(), 300);
    let workload = Workload {
        name: id.to_string(),
        generation: found.metadata.generation.unwrap_or_default(),
        observed: status.observed_generation.unwrap_or_default(),
        wanted,
        total: status.replicas.unwrap_or_default(),
        updated: status.updated_replicas.unwrap_or_default(),
        ready: status.ready_replicas.unwrap_or_default(),
        available: status.available_replicas.unwrap_or_default(),
        wanted_updated: wanted,
        paused: spec.paused.unwrap_or_default(),
        on_delete: false,
        stuck: None,
        deadline_exceeded: condition("Progressing", "False")
            .filter(|condition| condition.reason.as_deref() == Some("ProgressDeadlineExceeded"))
            .map(|condition| message(&condition.message)),
        cannot_create: condition("ReplicaFailure", "True").map(|condition| {
            let since = condition.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, instant);
            (since, message(&condition.message))
        }),
    };
    Some(Reduced { workload, selector: spec.selector.clone(), template: spec.template.clone() })
}

fn stateful_set(id: &WorkloadId, found: &StatefulSet) -> Option<Reduced> {
    let spec = found.spec.as_ref()?;
    let status = found.status.clone().unwrap_or_default();
    let wanted = spec.replicas.unwrap_or(1);
    let strategy = spec.update_strategy.as_ref();
    let partition = strategy
        .and_then(|strategy| strategy.rolling_update.as_ref())
        .and_then(|rolling| rolling.partition)
        .unwrap_or_default();
    // Where the current revision is the update's one, after an update and after a way back, pods may be counted as
    // current alone.
    let same = status.current_revision.is_some() && status.current_revision == status.update_revision;
    let current = if same { status.current_replicas.unwrap_or_default() } else { 0 };
    let updated = status.updated_replicas.unwrap_or_default().max(current);
    let workload = Workload {
        name: id.to_string(),
        generation: found.metadata.generation.unwrap_or_default(),
        observed: status.observed_generation.unwrap_or_default(),
        wanted,
        total: status.replicas,
        updated,
        ready: status.ready_replicas.unwrap_or_default(),
        available: status.available_replicas.unwrap_or_default(),
        wanted_updated: (wanted - partition).max(0),
        on_delete: strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete"),
        ..Workload::default()
    };
    Some(Reduced { workload, selector: spec.selector.clone(), template: spec.template.clone() })
}

fn daemon_set(id: &WorkloadId, found: &DaemonSet) -> Option<Reduced> {
    let spec = found.spec.as_ref()?;
    let status = found.status.clone().unwrap_or_default();
    let wanted = status.desired_number_scheduled;
    let strategy = spec.update_strategy.as_ref();
    let workload = Workload {
        name: id.to_string(),
        generation: found.metadata.generation.unwrap_or_default(),
        observed: status.observed_generation.unwrap_or_default(),
        wanted,
        total: status.current_number_scheduled,
        updated: status.updated_number_scheduled.unwrap_or_default(),
        ready: status.number_ready,
        available: status.number_available.unwrap_or_default(),
        wanted_updated: wanted,
        on_delete: strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete"),
        ..Workload::default()
    };
    Some(Reduced { workload, selector: spec.selector.clone(), template: spec.template.clone() })
}

/// A Kubernetes time as an instant; k8s-openapi keeps the same type under its own name.
fn instant(time: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Time) -> Timestamp {
    time.0
}

/// Whether an image reference is of one of the repositories.
fn is_judged(image: &str, repositories: &[Repository]) -> bool {
    let name = image.split('@').next().unwrap_or_default();
    repositories.iter().any(|repository| {
        let repository = repository.to_string();
        name.strip_prefix(repository.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    })
}

fn template_images(template: &PodTemplateSpec) -> Vec<(String, String)> {
    let Some(spec) = &template.spec else { return Vec::new() };
    let named = |container: &k8s_openapi::api::core::v1::Container| {
        (container.name.clone(), container.image.clone().unwrap_or_default())
    };
    spec.init_containers.iter().flatten().chain(&spec.containers).map(named).collect()
}

fn judged_images(template: &PodTemplateSpec, repositories: &[Repository]) -> Vec<String> {
    template_images(template)
        .into_iter()
        .map(|(_, image)| image)
        .filter(|image| is_judged(image, repositories))
        .collect()
}

/// Whether a pod is of the template's version: each container of the template has the same image in the pod.
///
/// A pod may have more containers, which something injected.
fn same_images(pod: &KubePod, template: &PodTemplateSpec) -> bool {
    let Some(spec) = &pod.spec else { return false };
    template_images(template).iter().all(|(name, image)| {
        spec.init_containers
            .iter()
            .flatten()
            .chain(&spec.containers)
            .any(|container| container.name == *name && container.image.as_deref() == Some(image))
    })
}

fn is_ready(pod: &KubePod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn reduce_pod(pod: &KubePod, repositories: &[Repository]) -> Pod {
    let status = pod.status.clone().unwrap_or_default();
    let unschedulable = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| {
            condition.type_ == "PodScheduled"
                && condition.status == "False"
                && condition.reason.as_deref() == Some("Unschedulable")
        })
        .map(|condition| printable(condition.message.as_deref().unwrap_or_default(), 300));
    let wanted: BTreeMap<&str, &str> = pod
        .spec
        .iter()
        .flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers))
        .map(|container| (container.name.as_str(), container.image.as_deref().unwrap_or_default()))
        .collect();
    let containers = status
        .init_container_statuses
        .iter()
        .flatten()
        .chain(status.container_statuses.iter().flatten())
        .map(|container| {
            let image = wanted.get(container.name.as_str()).copied().unwrap_or_default();
            reduce_container(container, is_judged(image, repositories))
        })
        .collect();
    Pod {
        name: pod.name_any(),
        created: pod.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, instant),
        ending: pod.metadata.deletion_timestamp.is_some(),
        unschedulable,
        containers,
    }
}

fn reduce_container(status: &ContainerStatus, judged: bool) -> Container {
    let state = status.state.clone().unwrap_or_default();
    let short = |text: Option<String>| printable(text.as_deref().unwrap_or_default().trim(), 300);
    let last =
        status.last_state.clone().and_then(|last| last.terminated).or_else(|| state.terminated.clone());
    Container {
        name: printable(&status.name, 80),
        judged,
        image_id: printable(&status.image_id, 300),
        ready: status.ready,
        restarts: status.restart_count,
        waiting: state.waiting.map(|waiting| (short(waiting.reason), short(waiting.message))),
        last_end: last.map(|end| (short(end.reason), end.exit_code)),
    }
}

/// Whether labels are selected; an empty selector selects nothing here, since it would claim foreign pods.
fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let exact = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let expressions = selector.match_expressions.iter().flatten();
    let mut count = selector.match_labels.as_ref().map_or(0, BTreeMap::len);
    let met = expressions.inspect(|_| count += 1).all(|requirement| meets(requirement, labels));
    exact && met && count > 0
}

fn meets(requirement: &LabelSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(&requirement.key);
    let among = || value.is_some_and(|value| requirement.values.iter().flatten().any(|known| known == value));
    match requirement.operator.as_str() {
        "In" => among(),
        "NotIn" => !among(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}
