//! Kubernetes objects reduced to what the judgement needs.

pub mod mesh;
mod pod;
mod template;
mod workloads;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod as KubePod;
use kube::ResourceExt as _;
use kube::api::{DynamicObject, GroupVersionKind};

use self::pod::is_owned;
pub use self::pod::reduce as reduce_pod;
use self::template::{matches, same_images};
use self::workloads::{Owner, Reduced};
use super::pods::Pod;
use super::workload::{State, Workload};
use crate::deliver::cluster::{Cluster, Unseen, Watched};
use crate::deliver::{CustomId, WorkloadId, WorkloadKind};
use crate::model::Repository;

/// A workload that uses the images under judgement, with its new pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The rollout.
    pub workload: Workload,
    /// Its namespace.
    pub namespace: String,
    /// The objects whose events tell of it: its own name, and that of the `ReplicaSet` of its new version.
    pub told_by: Vec<String>,
    /// The pods of the new version.
    pub pods: Vec<Pod>,
    /// The workload's other pods, which are of another version.
    pub others: Vec<Other>,
    /// The containers' images as the cluster has them, of the repositories under judgement.
    pub images: Vec<String>,
}

/// A pod of another version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// Its name.
    pub name: String,
    /// It is ready and stays.
    pub serves: bool,
}

/// What a look at the cluster shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// The workloads that use the images under judgement.
    pub seen: Vec<Seen>,
    /// What this account must not see, in the API server's words.
    pub hidden: Vec<String>,
}

/// One watch per namespace, of one kind.
type Each<K> = BTreeMap<String, Arc<Watched<K>>>;

/// The watches that a judgement needs, held as long as it lasts.
#[derive(Debug, Default)]
pub struct Watches {
    deployments: Each<Deployment>,
    replica_sets: Each<ReplicaSet>,
    stateful_sets: Each<StatefulSet>,
    daemon_sets: Each<DaemonSet>,
    jobs: Each<Job>,
    cron_jobs: Each<CronJob>,
    pods: Each<KubePod>,
    custom: BTreeMap<CustomId, Arc<Watched<DynamicObject>>>,
}

impl Watches {
    /// Begins to watch what the workloads are judged by, so that all lists are on their way side by side.
    pub async fn begin(&mut self, cluster: &Cluster, workloads: &[WorkloadId], others: &[CustomId]) {
        for id in workloads {
            let namespace = id.namespace.as_str();
            match id.kind {
                WorkloadKind::Deployment => {
                    hold(&mut self.deployments, namespace, || cluster.deployments(namespace));
                    hold(&mut self.replica_sets, namespace, || cluster.replica_sets(namespace));
                }
                WorkloadKind::StatefulSet => {
                    hold(&mut self.stateful_sets, namespace, || cluster.stateful_sets(namespace));
                }
                WorkloadKind::DaemonSet => {
                    hold(&mut self.daemon_sets, namespace, || cluster.daemon_sets(namespace));
                }
                WorkloadKind::CronJob => {
                    hold(&mut self.cron_jobs, namespace, || cluster.cron_jobs(namespace));
                    hold(&mut self.jobs, namespace, || cluster.jobs(namespace));
                }
                WorkloadKind::Job => hold(&mut self.jobs, namespace, || cluster.jobs(namespace)),
            }
            hold(&mut self.pods, namespace, || cluster.pods(namespace));
        }
        for id in others {
            if !self.custom.contains_key(id) {
                let kind = GroupVersionKind::gvk(&id.group, &id.version, &id.kind);
                if let Some(resource) = cluster.resource(&kind).await {
                    self.custom.insert(id.clone(), cluster.objects(&resource, &id.namespace));
                    hold(&mut self.pods, &id.namespace, || cluster.pods(&id.namespace));
                }
            }
        }
    }

    /// What the cluster shows of those `workloads` and `others` that use an image of `repositories`.
    ///
    /// An error is the API server's silence, in words: it proves nothing about the version.
    pub fn look(
        &self,
        workloads: &[WorkloadId],
        others: &[CustomId],
        repositories: &[Repository],
    ) -> Result<View, Unseen> {
        let mut view = View::default();
        for id in workloads {
            let reduced = self.reduce(id, repositories, &mut view.hidden);
            let Some(Some(reduced)) = visible(reduced, &mut view.hidden)? else { continue };
            let seen = self.with_pods(&id.namespace, reduced, repositories, &mut view.hidden)?;
            view.seen.push(seen);
        }
        for id in others {
            let Some(watched) = self.custom.get(id) else { continue };
            let Some(Some(object)) = visible(watched.get(&id.name), &mut view.hidden)? else { continue };
            let reduced = workloads::custom(id, &object, repositories);
            if !reduced.images.is_empty() {
                let seen = self.with_pods(&id.namespace, reduced, repositories, &mut view.hidden)?;
                view.seen.push(seen);
            }
        }
        Ok(view)
    }

    fn reduce(
        &self,
        id: &WorkloadId,
        repositories: &[Repository],
        hidden: &mut Vec<String>,
    ) -> Result<Option<Reduced>, Unseen> {
        Ok(match id.kind {
            WorkloadKind::Deployment => match find(&self.deployments, id)? {
                Some(found) => self.deployment(id, &found, repositories, hidden)?,
                None => None,
            },
            WorkloadKind::StatefulSet => find(&self.stateful_sets, id)?
                .and_then(|found| workloads::stateful_set(id, &found, repositories)),
            WorkloadKind::DaemonSet => {
                find(&self.daemon_sets, id)?.and_then(|found| workloads::daemon_set(id, &found, repositories))
            }
            WorkloadKind::Job => {
                find(&self.jobs, id)?.and_then(|found| workloads::job(id, &found, repositories))
            }
            WorkloadKind::CronJob => match (find(&self.cron_jobs, id)?, self.jobs.get(&id.namespace)) {
                (Some(found), Some(jobs)) => {
                    jobs.read(|jobs| workloads::cron_job(id, &found, jobs.values(), repositories))?
                }
                _ => None,
            },
        })
    }

    fn deployment(
        &self,
        id: &WorkloadId,
        found: &Deployment,
        repositories: &[Repository],
        hidden: &mut Vec<String>,
    ) -> Result<Option<Reduced>, Unseen> {
        let Some(mut reduced) = workloads::deployment(id, found, repositories) else { return Ok(None) };
        let sets = self.replica_sets.get(&id.namespace);
        let newest = sets.map(|sets| sets.read(|sets| workloads::newest(found, sets.values())));
        // Without the right to see ReplicaSets, pods are told apart by their images.
        if let Some(newest) = newest.and_then(|newest| visible(newest, hidden).transpose()) {
            let newest = newest?;
            reduced.told_by.extend(newest.as_ref().map(|set| set.name_any()));
            reduced.owner = Owner::Uid(newest.and_then(|set| set.uid()));
        }
        Ok(Some(reduced))
    }

    /// Finds the new pods of a workload.
    fn with_pods(
        &self,
        namespace: &str,
        reduced: Reduced,
        repositories: &[Repository],
        hidden: &mut Vec<String>,
    ) -> Result<Seen, Unseen> {
        let Reduced { mut workload, owner, selector, template, images, told_by } = reduced;
        let of_this = |pod: &KubePod| match &owner {
            Owner::Uid(uid) => uid.as_deref().is_some_and(|uid| is_owned(pod, uid)),
            Owner::Revision(uid, revision) => {
                is_owned(pod, uid) && pod.labels().get("controller-revision-hash") == Some(revision)
            }
            Owner::Set(uid) => is_owned(pod, uid) && same_images(pod, &template),
            Owner::Selector => matches(&selector, pod.labels()) && same_images(pod, &template),
            Owner::Images => pod::uses(pod, &images),
        };
        let stuck = |pod: &KubePod| match &owner {
            Owner::Revision(uid, _) => is_owned(pod, uid) && !of_this(pod) && !pod::is_ready(pod),
            _ => false,
        };
        let other = |pod: &KubePod| Other {
            name: pod.name_any(),
            serves: pod::is_ready(pod) && pod.metadata.deletion_timestamp.is_none(),
        };
        let read = self.pods.get(namespace).map_or(Ok((Vec::new(), Vec::new(), None)), |pods| {
            pods.read(|pods| {
                let new = pods.values().filter(|pod| of_this(pod));
                let new: Vec<Pod> = new.map(|pod| reduce_pod(pod, repositories)).collect();
                let others = pods.values().filter(|pod| matches(&selector, pod.labels()) && !of_this(pod));
                let others: Vec<Other> = others.map(|pod| other(pod)).collect();
                let stuck = pods.values().find(|pod| stuck(pod));
                (new, others, stuck.map(|pod| (namespace.to_owned(), pod.name_any())))
            })
        });
        let (pods, others, stuck) = visible(read, hidden)?.unwrap_or_default();
        if let State::Replicas(replicas) = &mut workload.state {
            replicas.stuck = stuck;
        }
        Ok(Seen { workload, namespace: namespace.to_owned(), told_by, pods, others, images })
    }
}

/// What is forbidden is taken note of, and the rest works; only silence is an error.
fn visible<T>(read: Result<T, Unseen>, hidden: &mut Vec<String>) -> Result<Option<T>, Unseen> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(Unseen::Forbidden(words)) => {
            if !hidden.contains(&words) {
                hidden.push(words);
            }
            Ok(None)
        }
        Err(Unseen::NoSuchKind) => Ok(None),
        Err(unseen) => Err(unseen),
    }
}

/// Keeps a watch of a namespace; most looks find that there is one.
fn hold<K>(watches: &mut Each<K>, namespace: &str, start: impl FnOnce() -> Arc<Watched<K>>) {
    if !watches.contains_key(namespace) {
        watches.insert(namespace.to_owned(), start());
    }
}

fn find<K>(watches: &Each<K>, id: &WorkloadId) -> Result<Option<Arc<K>>, Unseen>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    watches.get(&id.namespace).map_or(Ok(None), |watched| watched.get(&id.name))
}

#[cfg(test)]
mod tests;
