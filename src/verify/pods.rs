//! Does every pod of the new version run the expected image, and does any of them show that it cannot?
//!
//! Only a container with an image under judgement can show that the version is bad. What keeps a pod from running and is no
//! image's fault (no node, no volume, a registry that does not answer, somebody else's sidecar) is waited for and never blamed.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::Judgement;
use super::image_id::{Identity, identify};
use super::pull::{self, Trouble};
use crate::model::Digest;

/// A pod of the version under judgement, reduced to what decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Since when its node has it; before that, since when it exists.
    pub since: Timestamp,
    /// It is being deleted or was evicted, so that its state says nothing any more.
    pub ending: bool,
    /// It has run to its end, as pods of a Job do.
    pub finished: bool,
    /// Its condition `Ready`.
    pub ready: bool,
    /// No node takes it, in the scheduler's words.
    pub unschedulable: Option<String>,
    /// Its containers, the init containers among them.
    pub containers: Vec<Container>,
}

/// One container's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Whether it must run the image that is judged.
    pub judged: bool,
    /// What the runtime says it runs.
    pub image_id: String,
    /// `ready`, or completed for an init container.
    pub ready: bool,
    /// How often it was started again.
    pub restarts: i32,
    /// Why it is waiting: reason and message.
    pub waiting: Option<(String, String)>,
    /// How it last ended.
    pub last_end: Option<End>,
}

/// The end of a container's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Why, in the kubelet's word.
    pub reason: String,
    /// The process's own last words, if it left any.
    pub message: String,
    /// The exit code.
    pub code: i32,
    /// When.
    pub at: Option<Timestamp>,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, exit code {}", self.reason, self.code)?;
        if self.message.is_empty() { Ok(()) } else { write!(f, ", \"{}\"", self.message) }
    }
}

/// What pods are judged by.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The digests that stand for the version.
    pub expected: &'a BTreeSet<Digest>,
    /// Why there may be more of them, if so: then another digest proves nothing.
    pub doubt: Option<&'a str>,
    /// How many pods must be good at least, where the rollout was complete once: others may still start, since an
    /// autoscaler asked for them. 0 where all must be.
    pub served: usize,
    /// Now.
    pub now: Timestamp,
}

/// Configuration that names what does not exist may be a matter of order; this long it may be late.
const CONFIG_GRACE: SignedDuration = SignedDuration::from_secs(30);
/// A pull may fail for a passing reason, a first crash too.
const GRACE: SignedDuration = SignedDuration::from_secs(60);
/// This many restarts are no accident.
const RESTARTS: i32 = 3;
/// Twice out of memory is no accident.
const MEMORY_RESTARTS: i32 = 2;

/// Judges all pods of the version together.
pub fn judge(pods: &[Pod], view: View<'_>) -> Judgement {
    let mut good = 0;
    let mut starting = 0;
    let mut worst: Option<Judgement> = None;
    for pod in pods.iter().filter(|pod| !pod.ending) {
        match one(pod, view) {
            Judgement::Pass(_) => good += 1,
            other => {
                starting += usize::from(is_starting(pod, &other, view.now));
                worst = Judgement::all(worst.into_iter().chain([other]));
            }
        }
    }
    let bad = pods.iter().filter(|pod| !pod.ending).count() - good;
    match worst {
        None if good == 0 => Judgement::wait("no pod of the version yet"),
        None => Judgement::Pass(format!("{good} pods run the expected image")),
        Some(_) if view.served > 0 && good >= view.served && starting == bad => {
            Judgement::Pass(format!("{good} pods run the expected image, {starting} more are starting"))
        }
        Some(worst) => worst,
    }
}

/// Why the pods that are not ready are not the version's fault; none where one of them may be, or all are ready.
pub fn excuse(pods: &[Pod], view: View<'_>) -> Option<String> {
    let is_there = pods.iter().any(|pod| !pod.ending);
    match judge(pods, view) {
        Judgement::Wait { reason, blame: false } if is_there => Some(reason),
        _ => None,
    }
}

/// Whether a container that must run the version's image runs what is not known to be it, or cannot be compared.
pub fn is_doubtful(pods: &[Pod], expected: &BTreeSet<Digest>) -> bool {
    pods.iter().filter(|pod| !pod.ending).flat_map(|pod| &pod.containers).any(|container| {
        container.judged
            && !container.image_id.is_empty()
            && identify(&container.image_id, expected) != Identity::Expected
    })
}

/// The pod that speaks against the version most, and its container, so that more can be asked about them.
pub fn culprit<'p>(pods: &'p [Pod], view: View<'_>) -> Option<(&'p Pod, Option<&'p Container>)> {
    let judged = pods.iter().filter(|pod| !pod.ending).map(|pod| (pod, one(pod, view)));
    let pod = judged
        .filter(|(_, judgement)| !matches!(judgement, Judgement::Pass(_)))
        .reduce(|worst, next| if next.1.rank() > worst.1.rank() { next } else { worst })?;
    let (pod, _) = pod;
    let containers = pod.containers.iter().map(|container| (container, health(pod, container, view.now)));
    let container = containers
        .filter(|(_, judgement)| !matches!(judgement, Judgement::Pass(_)))
        .reduce(|worst, next| if next.1.rank() > worst.1.rank() { next } else { worst })
        .map(|(container, _)| container);
    Some((pod, container))
}

fn is_starting(pod: &Pod, judgement: &Judgement, now: Timestamp) -> bool {
    let calm = pod.containers.iter().all(|container| container.restarts == 0);
    matches!(judgement, Judgement::Wait { .. }) && calm && now.duration_since(pod.since) < GRACE
}

fn one(pod: &Pod, view: View<'_>) -> Judgement {
    if let Some(words) = &pod.unschedulable {
        return Judgement::wait(format!("pod {}: no node takes it: {words}", pod.name));
    }
    let judgements = pod.containers.iter().map(|container| {
        let identity = identity(pod, container, view);
        let health =
            if pod.finished { Judgement::Pass(String::new()) } else { health(pod, container, view.now) };
        Judgement::all([health, identity]).unwrap_or_else(|| Judgement::wait("nothing seen yet"))
    });
    match Judgement::all(judgements) {
        None => Judgement::wait(format!("pod {} has not started yet", pod.name)),
        // The kubelet is silent and others say so, or something beside the containers has a say.
        Some(Judgement::Pass(_)) if !pod.ready && !pod.finished => Judgement::wait(format!(
            "pod {}: its containers are ready and it is not: its node does not answer, or a readiness gate is not met",
            pod.name
        )),
        Some(judgement) => judgement,
    }
}

/// How a container fares; one whose image is not judged can keep the version waiting, but not fail it.
fn health(pod: &Pod, container: &Container, now: Timestamp) -> Judgement {
    let judgement = of_any(pod, container, now);
    match judgement {
        Judgement::Fail(reason) | Judgement::Wait { reason, blame: true } if !container.judged => {
            Judgement::wait(format!("{reason} (its image is not the one under judgement)"))
        }
        judgement => judgement,
    }
}

fn of_any(pod: &Pod, container: &Container, now: Timestamp) -> Judgement {
    let place = format!("pod {}, container {}", pod.name, container.name);
    let ended = container.last_end.as_ref().map(|end| format!(" ({end})")).unwrap_or_default();
    let out_of_memory = container.last_end.as_ref().is_some_and(|end| end.reason == "OOMKilled");
    if out_of_memory && container.restarts >= MEMORY_RESTARTS {
        return Judgement::Fail(format!("{place}: out of memory {} times{ended}", container.restarts));
    }
    if container.restarts >= RESTARTS {
        return Judgement::Fail(format!("{place}: started again {} times{ended}", container.restarts));
    }
    if let Some((reason, message)) = &container.waiting {
        let words =
            format!("{place}: {reason}{ended}{}{message}", if message.is_empty() { "" } else { ": " });
        let late = |since: Timestamp, grace| now.duration_since(since) >= grace;
        // After a single end, that was the first.
        let crashed = container.last_end.as_ref().filter(|_| container.restarts <= 1).and_then(|end| end.at);
        let (failed, blame) = match reason.as_str() {
            "InvalidImageName" | "ErrImageNeverPull" => (true, true),
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                (late(pod.since, CONFIG_GRACE), true)
            }
            "ErrImagePull" | "ImagePullBackOff" => match pull::trouble(message) {
                Trouble::Image => (true, true),
                Trouble::Registry => (false, false),
                Trouble::Untold => (late(pod.since, GRACE), true),
            },
            "CrashLoopBackOff" => (late(crashed.unwrap_or(pod.since), GRACE), true),
            "ContainerCreating" | "PodInitializing" => (false, false),
            _ => (false, true),
        };
        return if failed { Judgement::Fail(words) } else { Judgement::Wait { reason: words, blame } };
    }
    if !container.ready {
        return Judgement::Wait { reason: format!("{place} is not ready{ended}"), blame: true };
    }
    Judgement::Pass(String::new())
}

fn identity(pod: &Pod, container: &Container, view: View<'_>) -> Judgement {
    let runs = container.ready || pod.finished;
    if !container.judged || !runs {
        return Judgement::Pass(String::new());
    }
    let place = format!("pod {}, container {}", pod.name, container.name);
    match identify(&container.image_id, view.expected) {
        Identity::Expected => Judgement::Pass(String::new()),
        Identity::Other(digest) if view.doubt.is_some() => Judgement::Unknown(format!(
            "{place} runs {digest}, and whether that is the image is not known: {}",
            view.doubt.unwrap_or_default()
        )),
        Identity::Other(digest) => Judgement::Fail(format!(
            "{place} runs {digest}, which is none of the expected digests: the tag points elsewhere, or something \
             replaced the image"
        )),
        Identity::Untold if view.now.duration_since(pod.since) < GRACE => {
            Judgement::wait(format!("{place}: its image ID is not known yet"))
        }
        Identity::Untold => Judgement::Unknown(format!(
            "{place}: the runtime reports the image as \"{}\", which cannot be compared with a digest",
            container.image_id
        )),
    }
}

#[cfg(test)]
mod tests;
