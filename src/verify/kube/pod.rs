//! A Pod reduced to what decides.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container as KubeContainer, ContainerStateTerminated, ContainerStatus, Pod as KubePod, PodStatus,
};
use kube::ResourceExt as _;

use super::super::pods::{Container, End, Pod};
use super::template::is_judged;
use super::workloads::instant;
use crate::model::{Repository, printable};

/// Whether the object of that UID manages the pod.
pub(super) fn is_owned(pod: &KubePod, uid: &str) -> bool {
    pod.owner_references().iter().any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

/// Whether a container of the pod has one of the images.
pub(super) fn uses(pod: &KubePod, images: &[String]) -> bool {
    containers(pod).any(|container| container.image.as_ref().is_some_and(|image| images.contains(image)))
}

fn containers(pod: &KubePod) -> impl Iterator<Item = &KubeContainer> {
    pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers))
}

fn condition<'s>(status: &'s PodStatus, kind: &str) -> Option<&'s k8s_openapi::api::core::v1::PodCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

pub(super) fn is_ready(pod: &KubePod) -> bool {
    let ready = pod.status.as_ref().and_then(|status| condition(status, "Ready"));
    ready.is_some_and(|condition| condition.status == "True")
}

/// Reduces a pod whose containers are judged where their image is of one of the repositories.
pub fn reduce(pod: &KubePod, repositories: &[Repository]) -> Pod {
    let created = pod.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, instant);
    let mut reduced = Pod {
        namespace: pod.namespace().unwrap_or_default(),
        name: pod.name_any(),
        since: created,
        ending: pod.metadata.deletion_timestamp.is_some(),
        finished: false,
        ready: is_ready(pod),
        unschedulable: None,
        containers: Vec::new(),
    };
    let Some(status) = &pod.status else { return reduced };
    reduced.since = status.start_time.as_ref().map_or(created, instant);
    let phase = status.phase.as_deref().unwrap_or_default();
    // A node that had to let a pod go gives the reason; a Job's pod that failed has none.
    let is_sent_away = phase == "Failed" && status.reason.is_some();
    reduced.ending |= is_sent_away;
    reduced.finished = matches!(phase, "Succeeded" | "Failed");
    reduced.unschedulable = condition(status, "PodScheduled")
        .filter(|condition| {
            condition.status == "False" && condition.reason.as_deref() == Some("Unschedulable")
        })
        .map(|condition| printable(condition.message.as_deref().unwrap_or_default(), 300));
    let all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    reduced.containers = all
        .map(|status| {
            let image = containers(pod).find(|container| container.name == status.name);
            let image = image.and_then(|container| container.image.as_deref()).unwrap_or_default();
            reduce_container(status, is_judged(image, repositories))
        })
        .collect();
    reduced
}

fn short(text: Option<&str>) -> String {
    printable(text.unwrap_or_default().trim(), 300)
}

fn reduce_container(status: &ContainerStatus, judged: bool) -> Container {
    let state = status.state.as_ref();
    let waiting = state.and_then(|state| state.waiting.as_ref());
    let last = status.last_state.as_ref().and_then(|last| last.terminated.as_ref());
    let last = last.or_else(|| state.and_then(|state| state.terminated.as_ref()));
    Container {
        name: printable(&status.name, 80),
        judged,
        image_id: printable(&status.image_id, 300),
        ready: status.ready,
        restarts: status.restart_count,
        waiting: waiting.map(|waiting| (short(waiting.reason.as_deref()), short(waiting.message.as_deref()))),
        last_end: last.map(reduce_end),
    }
}

fn reduce_end(end: &ContainerStateTerminated) -> End {
    End {
        reason: short(end.reason.as_deref()),
        message: short(end.message.as_deref()),
        code: end.exit_code,
        at: end.finished_at.as_ref().map(instant),
    }
}
