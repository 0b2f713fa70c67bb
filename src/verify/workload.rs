//! Is the rollout of a workload complete, at the generation that was asked for?
//!
//! As kubectl and kstatus read the fields, with the gaps closed that they leave: a paused Deployment, pods that cannot
//! be created, zero replicas, `OnDelete`, a Job that has only begun. Whether a pod that is not ready is the version's fault is
//! for [`super::pods`] to say: here nothing is blamed for it.

use jiff::{SignedDuration, Timestamp};

use super::Judgement;

/// An object that runs the images under judgement, reduced to what decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Kind, namespace and name, for people.
    pub name: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// `status.observedGeneration`; none where the kind has no such field.
    pub observed: Option<i64>,
    /// How far it is.
    pub state: State,
}

/// How far a workload is, as its kind tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// A Deployment, `StatefulSet` or `DaemonSet`.
    Replicas(Replicas),
    /// A Job.
    Job(Run),
    /// A `CronJob`: its newest run with the images under judgement, if there is one.
    Schedule(Option<Run>),
    /// A kind that is not Kubernetes' own.
    Custom(Conditions),
}

/// Pods in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replicas {
    /// How many pods there shall be.
    pub wanted: i32,
    /// How many there are, old ones included.
    pub total: i32,
    /// How many are of the new revision.
    pub updated: i32,
    /// How many are ready.
    pub ready: i32,
    /// How many have been ready for long enough.
    pub available: i32,
    /// How many of the new revision the update strategy wants: fewer than `wanted` with a partition.
    pub wanted_updated: i32,
    /// `spec.paused`.
    pub paused: bool,
    /// The update strategy waits for a person to delete pods.
    pub on_delete: bool,
    /// A `StatefulSet` that has not made the new revision its current one yet.
    pub settling: bool,
    /// A pod of another version that is not ready, which the controller does not replace before it is: its namespace and name.
    pub stuck: Option<(String, String)>,
    /// The controller has given up since then: the progress deadline is over.
    pub deadline_exceeded: Option<(Timestamp, String)>,
    /// Pods cannot be created since then, and why.
    pub cannot_create: Option<(Timestamp, String)>,
}

/// One run to completion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// Its name.
    pub name: String,
    /// It has succeeded.
    pub complete: bool,
    /// It has failed, and why.
    pub failed: Option<String>,
    /// `spec.suspend`.
    pub suspended: bool,
    /// How many of its pods run, and how many have failed so far.
    pub pods: (i32, i32),
}

/// The conditions that kinds of others have in common: status and message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// `Ready`.
    pub ready: Option<(String, String)>,
    /// `Reconciling`.
    pub reconciling: Option<(String, String)>,
    /// `Stalled`.
    pub stalled: Option<(String, String)>,
}

/// What else decides beside the workload itself.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// When the change was committed: what went wrong before is not its fault.
    pub begun: Timestamp,
    /// Why pods that are missing are not the version's fault.
    pub excuse: Option<&'a str>,
    /// How many pods were wanted when the rollout was last complete: an autoscaler that asks for more since then takes nothing
    /// back. 0 where it has not been complete yet.
    pub served: i32,
    /// Now.
    pub now: Timestamp,
}

/// How long pods may fail to be created (a quota being raised, a webhook restarting) before the version is blamed.
const CREATE_GRACE: SignedDuration = SignedDuration::from_secs(60);

/// Judges the rollout; none where nothing has run yet that could be judged.
pub fn judge(workload: &Workload, view: View<'_>) -> Option<Judgement> {
    let Workload { name, generation, observed, state } = workload;
    // A new size alone is a new generation, too.
    let is_resized =
        view.served > 0 && matches!(state, State::Replicas(replicas) if replicas.wanted != replicas.total);
    if observed.is_some_and(|observed| observed < *generation) && !is_resized {
        return Some(Judgement::wait(format!(
            "{name}: its controller has not seen generation {generation} yet"
        )));
    }
    match state {
        State::Replicas(replicas) => Some(judge_replicas(name, replicas, view)),
        State::Job(run) => Some(judge_run(name, run)),
        State::Schedule(run) => run.as_ref().map(|run| judge_run(&format!("{name}, Job {}", run.name), run)),
        State::Custom(conditions) => Some(judge_conditions(name, conditions)),
    }
}

/// Judges workloads together; `names` are those that have not run yet.
pub fn all(judged: Vec<(String, Option<Judgement>)>) -> Judgement {
    let idle: Vec<String> =
        judged.iter().filter(|(_, judgement)| judgement.is_none()).map(|(name, _)| name.clone()).collect();
    let worst = Judgement::all(judged.into_iter().filter_map(|(_, judgement)| judgement));
    match worst {
        Some(Judgement::Pass(words)) if !idle.is_empty() => {
            Judgement::Pass(format!("{words}; {} has not run since", idle.join(", ")))
        }
        Some(worst) => worst,
        None => {
            Judgement::Unknown(format!("{} has not run yet, so that nothing can be judged", idle.join(", ")))
        }
    }
}

fn judge_replicas(name: &str, replicas: &Replicas, view: View<'_>) -> Judgement {
    let Replicas { wanted, total, updated, ready, available, wanted_updated, .. } = replicas;
    if let Some((_, message)) = replicas.deadline_exceeded.as_ref().filter(|(since, _)| *since >= view.begun)
    {
        let words = format!("{name}: the progress deadline is over: {message}");
        return match view.excuse {
            Some(excuse) => Judgement::wait(format!("{words}; but {excuse}")),
            None => Judgement::Fail(words),
        };
    }
    if let Some((since, message)) = replicas.cannot_create.as_ref().filter(|(since, _)| *since >= view.begun)
    {
        let words = format!("{name}: its pods cannot be created: {message}");
        return if view.now.duration_since(*since) >= CREATE_GRACE {
            Judgement::Fail(words)
        } else {
            Judgement::wait(words)
        };
    }
    if replicas.paused {
        return Judgement::wait(format!("{name} is paused; `kubectl rollout resume` lets it go on"));
    }
    if *wanted == 0 {
        return Judgement::Unknown(format!(
            "{name} has no replicas, so that nothing runs that could be judged"
        ));
    }
    let served = view.served.min(*wanted);
    if served > 0 && total == updated && *ready >= served && (ready != wanted || total != wanted) {
        return Judgement::Pass(format!(
            "{name}: {ready} of {wanted} pods are ready, since its size changes"
        ));
    }
    if updated < wanted_updated {
        if replicas.on_delete {
            return Judgement::wait(format!(
                "{name} updates on delete: {updated} of {wanted} pods are new; delete the others"
            ));
        }
        if let Some((namespace, pod)) = &replicas.stuck {
            return Judgement::wait(format!(
                "{name}: {updated} of {wanted} pods are new; Kubernetes waits for pod {pod} of another version, which is \
                 not ready; `kubectl delete pod {pod} -n {namespace}` lets it go on"
            ));
        }
        return Judgement::wait(format!("{name}: {updated} of {wanted} pods are new"));
    }
    if total > wanted {
        return Judgement::wait(format!(
            "{name}: {} old pods are still there",
            total.saturating_sub(*wanted)
        ));
    }
    if ready < wanted {
        return Judgement::wait(format!("{name}: {ready} of {wanted} pods are ready"));
    }
    if available < wanted {
        return Judgement::wait(format!(
            "{name}: {available} of {wanted} pods have been ready for long enough"
        ));
    }
    if replicas.settling {
        return Judgement::wait(format!("{name}: the new revision is not its current one yet"));
    }
    Judgement::Pass(format!("{name}: {updated} of {wanted} pods are new and ready"))
}

fn judge_run(name: &str, run: &Run) -> Judgement {
    let (running, failed) = run.pods;
    if let Some(message) = &run.failed {
        return Judgement::Fail(format!("{name} has failed: {message}"));
    }
    if run.complete {
        return Judgement::Pass(format!("{name} has completed"));
    }
    if run.suspended {
        return Judgement::wait(format!("{name} is suspended"));
    }
    // A Job may try again; how often is its own affair, and so is how long it may take.
    Judgement::wait(format!("{name} has not completed yet: {running} pods run, {failed} have failed"))
}

fn judge_conditions(name: &str, conditions: &Conditions) -> Judgement {
    let is = |condition: &Option<(String, String)>, wanted: &str| {
        condition.as_ref().filter(|(status, _)| status == wanted).map(|(_, message)| message.clone())
    };
    if let Some(message) = is(&conditions.stalled, "True") {
        return Judgement::Fail(format!("{name} is stalled: {message}"));
    }
    if let Some(message) = is(&conditions.reconciling, "True") {
        return Judgement::wait(format!("{name} is being reconciled: {message}"));
    }
    match &conditions.ready {
        Some((status, _)) if status == "True" => Judgement::Pass(format!("{name} is ready")),
        Some((_, message)) => {
            Judgement::Wait { reason: format!("{name} is not ready: {message}"), blame: true }
        }
        None => Judgement::Unknown(format!("{name} does not say whether it is ready")),
    }
}

#[cfg(test)]
mod tests;
