//! Workloads of every kind reduced to what decides, and who owns their new pods.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde_json::Value;

use super::super::workload::{Conditions, Replicas, Run, State, Workload};
use super::template::{judged_images, judged_texts, same_template};
use crate::deliver::{CustomId, REVISION, WorkloadId};
use crate::model::{Repository, printable};

/// A workload, and how its pods are found.
pub(super) struct Reduced {
    pub(super) workload: Workload,
    pub(super) owner: Owner,
    pub(super) selector: LabelSelector,
    pub(super) template: PodTemplateSpec,
    pub(super) images: Vec<String>,
    pub(super) told_by: Vec<String>,
}

/// Whose the pods of the new version are.
pub(super) enum Owner {
    /// Of the object with this UID, all of them; there is none yet where it is not known.
    Uid(Option<String>),
    /// Of the object with this UID, those with this `controller-revision-hash`.
    Revision(String, String),
    /// Of the object with this UID, those with the template's images.
    Set(String),
    /// Those that the selector picks, with the template's images.
    Selector,
    /// Those with the images.
    Images,
}

/// A Kubernetes time as an instant; k8s-openapi keeps the same type under its own name.
pub(super) fn instant(time: &Time) -> Timestamp {
    time.0
}

fn message(text: Option<&String>) -> String {
    printable(text.map_or("", String::as_str), 300)
}

/// The images under judgement; none where it has none, so that what concerns others costs nothing.
fn used(template: &PodTemplateSpec, repositories: &[Repository]) -> Option<Vec<String>> {
    Some(judged_images(template, repositories)).filter(|images| !images.is_empty())
}

fn named(id: &WorkloadId, state: State, generation: Option<i64>, observed: Option<i64>) -> Workload {
    Workload { name: id.to_string(), generation: generation.unwrap_or_default(), observed, state }
}

pub(super) fn deployment(
    id: &WorkloadId,
    found: &Deployment,
    repositories: &[Repository],
) -> Option<Reduced> {
    let spec = found.spec.as_ref()?;
    let images = used(&spec.template, repositories)?;
    let status = found.status.as_ref();
    let number = |pick: fn(&k8s_openapi::api::apps::v1::DeploymentStatus) -> Option<i32>| {
        status.and_then(pick).unwrap_or_default()
    };
    let wanted = spec.replicas.unwrap_or(1);
    let condition = |kind: &str, value: &str| {
        let mut conditions = status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.find(|condition| condition.type_ == kind && condition.status == value)
    };
    let replicas = Replicas {
        wanted,
        total: number(|status| status.replicas),
        updated: number(|status| status.updated_replicas),
        ready: number(|status| status.ready_replicas),
        available: number(|status| status.available_replicas),
        wanted_updated: wanted,
        paused: spec.paused.unwrap_or_default(),
        deadline_exceeded: condition("Progressing", "False")
            .filter(|condition| condition.reason.as_deref() == Some("ProgressDeadlineExceeded"))
            .map(|condition| {
                let since = condition.last_update_time.as_ref().or(condition.last_transition_time.as_ref());
                (since.map_or(Timestamp::MAX, instant), message(condition.message.as_ref()))
            }),
        cannot_create: condition("ReplicaFailure", "True").map(|condition| {
            let since = condition.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, instant);
            (since, message(condition.message.as_ref()))
        }),
        ..Replicas::default()
    };
    let observed = status.and_then(|status| status.observed_generation).unwrap_or_default();
    Some(Reduced {
        workload: named(id, State::Replicas(replicas), found.metadata.generation, Some(observed)),
        owner: Owner::Selector,
        selector: spec.selector.clone(),
        images,
        template: spec.template.clone(),
        told_by: vec![id.name.clone()],
    })
}

/// The `ReplicaSet` of a Deployment's present template: of those that it owns with the same images, the one of the highest
/// revision. The template is compared, too, since the two watches may be a moment apart.
pub(super) fn newest<'s>(
    deployment: &Deployment,
    sets: impl Iterator<Item = &'s Arc<ReplicaSet>>,
) -> Option<Arc<ReplicaSet>> {
    let uid = deployment.uid()?;
    let template = &deployment.spec.as_ref()?.template;
    let revision =
        |set: &ReplicaSet| set.annotations().get(REVISION).and_then(|revision| revision.parse::<u64>().ok());
    sets.filter(|set| {
        let is_owned =
            set.owner_references().iter().any(|owner| owner.controller == Some(true) && owner.uid == uid);
        let of_set = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
        is_owned && of_set.is_some_and(|of_set| same_template(of_set, template))
    })
    .max_by_key(|set| revision(set))
    .cloned()
}

pub(super) fn stateful_set(
    id: &WorkloadId,
    found: &StatefulSet,
    repositories: &[Repository],
) -> Option<Reduced> {
    let spec = found.spec.as_ref()?;
    let images = used(&spec.template, repositories)?;
    let status = found.status.clone().unwrap_or_default();
    let wanted = spec.replicas.unwrap_or(1);
    let strategy = spec.update_strategy.as_ref();
    let on_delete = strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete");
    let partition = strategy
        .and_then(|strategy| strategy.rolling_update.as_ref())
        .and_then(|rolling| rolling.partition)
        .unwrap_or_default();
    // Where the current revision is the update's one, after an update and after a way back, pods may be counted as
    // current alone.
    let same = status.current_revision.is_some() && status.current_revision == status.update_revision;
    let current = if same { status.current_replicas.unwrap_or_default() } else { 0 };
    let replicas = Replicas {
        wanted,
        total: status.replicas,
        updated: status.updated_replicas.unwrap_or_default().max(current),
        ready: status.ready_replicas.unwrap_or_default(),
        available: status.available_replicas.unwrap_or_default(),
        wanted_updated: wanted.saturating_sub(partition).max(0),
        on_delete,
        settling: !on_delete && partition == 0 && status.update_revision.is_some() && !same,
        ..Replicas::default()
    };
    let owner = match (found.uid(), status.update_revision) {
        (Some(uid), Some(revision)) => Owner::Revision(uid, revision),
        (Some(uid), None) => Owner::Set(uid),
        (None, _) => Owner::Selector,
    };
    let observed = Some(status.observed_generation.unwrap_or_default());
    Some(Reduced {
        workload: named(id, State::Replicas(replicas), found.metadata.generation, observed),
        owner: observed_only(owner, found.metadata.generation, observed),
        selector: spec.selector.clone(),
        images,
        template: spec.template.clone(),
        told_by: vec![id.name.clone()],
    })
}

/// A status of an older generation names an older revision, whose pods are not the new ones.
fn observed_only(owner: Owner, generation: Option<i64>, observed: Option<i64>) -> Owner {
    if observed.unwrap_or_default() < generation.unwrap_or_default() { Owner::Uid(None) } else { owner }
}

pub(super) fn daemon_set(id: &WorkloadId, found: &DaemonSet, repositories: &[Repository]) -> Option<Reduced> {
    let spec = found.spec.as_ref()?;
    let images = used(&spec.template, repositories)?;
    let status = found.status.clone().unwrap_or_default();
    let wanted = status.desired_number_scheduled;
    let strategy = spec.update_strategy.as_ref();
    let replicas = Replicas {
        wanted,
        total: status.current_number_scheduled,
        updated: status.updated_number_scheduled.unwrap_or_default(),
        ready: status.number_ready,
        available: status.number_available.unwrap_or_default(),
        wanted_updated: wanted,
        on_delete: strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete"),
        ..Replicas::default()
    };
    let observed = Some(status.observed_generation.unwrap_or_default());
    Some(Reduced {
        workload: named(id, State::Replicas(replicas), found.metadata.generation, observed),
        owner: found.uid().map_or(Owner::Selector, Owner::Set),
        selector: spec.selector.clone(),
        images,
        template: spec.template.clone(),
        told_by: vec![id.name.clone()],
    })
}

pub(super) fn job(id: &WorkloadId, found: &Job, repositories: &[Repository]) -> Option<Reduced> {
    let spec = found.spec.as_ref()?;
    let images = used(&spec.template, repositories)?;
    Some(Reduced {
        workload: named(id, State::Job(run(found)), None, None),
        owner: Owner::Uid(found.uid()),
        selector: LabelSelector::default(),
        images,
        template: spec.template.clone(),
        told_by: vec![id.name.clone()],
    })
}

/// A `CronJob` with the newest of its Jobs that has the images of its present template.
pub(super) fn cron_job<'j>(
    id: &WorkloadId,
    found: &CronJob,
    jobs: impl Iterator<Item = &'j Arc<Job>>,
    repositories: &[Repository],
) -> Option<Reduced> {
    let template = &found.spec.as_ref()?.job_template.spec.as_ref()?.template;
    let images = used(template, repositories)?;
    let uid = found.uid();
    let newest = jobs
        .filter(|job| {
            let is_owned = job.owner_references().iter().any(|owner| Some(&owner.uid) == uid.as_ref());
            is_owned && job.spec.as_ref().is_some_and(|spec| same_template(&spec.template, template))
        })
        .max_by_key(|job| job.metadata.creation_timestamp.as_ref().map(instant));
    let mut told_by = vec![id.name.clone()];
    told_by.extend(newest.map(|job| job.name_any()));
    Some(Reduced {
        workload: named(id, State::Schedule(newest.map(|job| run(job))), None, None),
        owner: Owner::Uid(newest.and_then(|job| job.uid())),
        selector: LabelSelector::default(),
        images,
        template: template.clone(),
        told_by,
    })
}

fn run(job: &Job) -> Run {
    let status = job.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let condition = |kind: &str| {
        conditions.iter().find(|condition| condition.type_ == kind && condition.status == "True")
    };
    Run {
        name: job.name_any(),
        complete: condition("Complete").is_some(),
        failed: condition("Failed").map(|condition| {
            format!(
                "{}: {}",
                printable(condition.reason.as_deref().unwrap_or_default(), 60),
                message(condition.message.as_ref())
            )
        }),
        suspended: job.spec.as_ref().and_then(|spec| spec.suspend).unwrap_or_default(),
        pods: (status.active.unwrap_or_default(), status.failed.unwrap_or_default()),
    }
}

/// An object of a kind that nobody here knows. Its fields may be of any form: what is odd is as if it were not there.
pub(super) fn custom(id: &CustomId, found: &DynamicObject, repositories: &[Repository]) -> Reduced {
    let status = &found.data["status"];
    let condition = |kind: &str| {
        let conditions = status["conditions"].as_array()?;
        let found = conditions.iter().find(|condition| condition["type"] == kind)?;
        let text = |value: &Value, limit| printable(value.as_str().unwrap_or_default(), limit);
        Some((text(&found["status"], 20), text(&found["message"], 300)))
    };
    let conditions = Conditions {
        ready: condition("Ready"),
        reconciling: condition("Reconciling"),
        stalled: condition("Stalled"),
    };
    Reduced {
        workload: Workload {
            name: id.to_string(),
            generation: found.metadata.generation.unwrap_or_default(),
            observed: status["observedGeneration"].as_i64(),
            state: State::Custom(conditions),
        },
        owner: Owner::Images,
        selector: LabelSelector::default(),
        template: PodTemplateSpec::default(),
        images: judged_texts(&found.data["spec"], repositories),
        told_by: vec![id.name.clone()],
    }
}
