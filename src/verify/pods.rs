//! Does every pod of the new version run the expected image, and does any of them show that it cannot?

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::Judgement;
use super::image_id::{Identity, identify};
use crate::model::Digest;

/// A pod of the version under judgement, reduced to what decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// It is being deleted, so that its state says nothing any more.
    pub ending: bool,
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
    /// How it last ended: reason and exit code.
    pub last_end: Option<(String, i32)>,
}

/// Configuration that names what does not exist may be a matter of order; this long it may be late.
const CONFIG_GRACE: SignedDuration = SignedDuration::from_secs(30);
/// A pull may fail for a passing reason, a first crash too.
const GRACE: SignedDuration = SignedDuration::from_secs(60);
/// This many restarts are no accident.
const RESTARTS: i32 = 3;
/// Twice out of memory is no accident.
const MEMORY_RESTARTS: i32 = 2;

/// Judges all pods of the version together; `expected` are the digests that stand for it.
pub fn judge(pods: &[Pod], expected: &BTreeSet<Digest>, now: Timestamp) -> Judgement {
    let judgements = pods.iter().filter(|pod| !pod.ending).map(|pod| one(pod, expected, now));
    match Judgement::all(judgements) {
        None => Judgement::wait("no pod of the version yet"),
        Some(Judgement::Pass(_)) => {
            let count = pods.iter().filter(|pod| !pod.ending).count();
            Judgement::Pass(format!("{count} pods run the expected image"))
        }
        Some(worst) => worst,
    }
}

fn one(pod: &Pod, expected: &BTreeSet<Digest>, now: Timestamp) -> Judgement {
    if let Some(words) = &pod.unschedulable {
        return Judgement::wait(format!("pod {}: no node takes it: {words}", pod.name));
    }
    let age = now.duration_since(pod.created);
    let judgements = pod.containers.iter().map(|container| {
        Judgement::all([health(pod, container, age), identity(pod, container, expected, age)])
            .unwrap_or_else(|| Judgement::wait("nothing seen yet"))
    });
    Judgement::all(judgements)
        .unwrap_or_else(|| Judgement::wait(format!("pod {} has not started yet", pod.name)))
}

fn health(pod: &Pod, container: &Container, age: SignedDuration) -> Judgement {
    let place = format!("pod {}, container {}", pod.name, container.name);
    let ended = container.last_end.as_ref().map(|(reason, code)| format!(" ({reason}, exit code {code})"));
    let ended = ended.unwrap_or_default();
    let out_of_memory = container.last_end.as_ref().is_some_and(|(reason, _)| reason == "OOMKilled");
    if out_of_memory && container.restarts >= MEMORY_RESTARTS {
        return Judgement::Fail(format!("{place}: out of memory {} times{ended}", container.restarts));
    }
    if container.restarts >= RESTARTS {
        return Judgement::Fail(format!("{place}: started again {} times{ended}", container.restarts));
    }
    if let Some((reason, message)) = &container.waiting {
        let words =
            format!("{place}: {reason}{ended}{}{message}", if message.is_empty() { "" } else { ": " });
        let lower = message.to_ascii_lowercase();
        let certain = ["not found", "manifest unknown", "unauthorized", "denied", "does not exist"]
            .iter()
            .any(|sign| lower.contains(sign));
        let late = |grace| age >= grace;
        let failed = match reason.as_str() {
            "InvalidImageName" | "ErrImageNeverPull" => true,
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => late(CONFIG_GRACE),
            "ErrImagePull" | "ImagePullBackOff" => certain || late(GRACE),
            "CrashLoopBackOff" => late(GRACE),
            _ => false,
        };
        return if failed {
            Judgement::Fail(words)
        } else {
            let starting = matches!(reason.as_str(), "ContainerCreating" | "PodInitializing");
            Judgement::Wait { reason: words, blame: !starting }
        };
    }
    if !container.ready {
        return Judgement::Wait { reason: format!("{place} is not ready{ended}"), blame: true };
    }
    Judgement::Pass(String::new())
}

fn identity(pod: &Pod, container: &Container, expected: &BTreeSet<Digest>, age: SignedDuration) -> Judgement {
    if !container.judged || !container.ready {
        return Judgement::Pass(String::new());
    }
    let place = format!("pod {}, container {}", pod.name, container.name);
    match identify(&container.image_id, expected) {
        Identity::Expected => Judgement::Pass(String::new()),
        Identity::Other(digest) => Judgement::Fail(format!(
            "{place} runs {digest}, which is none of the expected digests: the tag points elsewhere, or something \
             replaced the image"
        )),
        Identity::Untold if age < GRACE => Judgement::wait(format!("{place}: its image ID is not known yet")),
        Identity::Untold => Judgement::Unknown(format!(
            "{place}: the runtime reports the image as \"{}\", which cannot be compared with a digest",
            container.image_id
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn digest(digit: &str) -> String {
        format!("sha256:{}", digit.repeat(64))
    }

    fn container() -> Container {
        Container {
            name: "app".to_owned(),
            judged: true,
            image_id: format!("registry/app@{}", digest("a")),
            ready: true,
            ..Container::default()
        }
    }

    fn pod(container: Container) -> Pod {
        Pod {
            name: "web-1".to_owned(),
            created: "2026-01-01T00:00:00Z".parse().unwrap(),
            ending: false,
            unschedulable: None,
            containers: vec![container],
        }
    }

    fn after(seconds: i64, pods: &[Pod]) -> Judgement {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        judge(pods, &BTreeSet::from([digest("a").parse().unwrap()]), now + SignedDuration::from_secs(seconds))
    }

    fn waiting(reason: &str, message: &str) -> Pod {
        let waiting = Some((reason.to_owned(), message.to_owned()));
        pod(Container { ready: false, waiting, ..container() })
    }

    #[test]
    fn pods_on_the_expected_digest_pass() {
        assert_eq!(
            after(1, &[pod(container())]),
            Judgement::Pass("1 pods run the expected image".to_owned())
        );
    }

    #[test]
    fn another_digest_fails_at_once() {
        let other = Container { image_id: format!("registry/app@{}", digest("b")), ..container() };
        assert_eq!(after(1, &[pod(other)]).word(), "fail");
    }

    #[test]
    fn a_form_that_cannot_be_compared_is_unknown_and_never_bad() {
        let bare = Container { image_id: digest("b"), ..container() };
        assert_eq!(after(1, &[pod(bare.clone())]).word(), "wait");
        assert_eq!(after(61, &[pod(bare)]).word(), "unknown");
    }

    #[test]
    fn a_container_that_is_not_ours_may_run_what_it_wants() {
        let sidecar =
            Container { judged: false, image_id: format!("mesh/proxy@{}", digest("b")), ..container() };
        assert_eq!(after(1, &[pod(sidecar)]).word(), "pass");
    }

    #[test]
    fn a_pull_that_can_never_succeed_fails_at_once_and_others_after_a_minute() {
        assert_eq!(after(1, &[waiting("ImagePullBackOff", "manifest unknown")]).word(), "fail");
        assert_eq!(after(1, &[waiting("ErrImagePull", "i/o timeout")]).word(), "wait");
        assert_eq!(after(60, &[waiting("ErrImagePull", "i/o timeout")]).word(), "fail");
    }

    #[test]
    fn crash_loops_fail_by_count_or_by_time() {
        let crashing = |restarts| {
            let mut pod = waiting("CrashLoopBackOff", "");
            pod.containers[0].restarts = restarts;
            pod.containers[0].last_end = Some(("Error".to_owned(), 1));
            pod
        };
        assert_eq!(after(10, &[crashing(1)]).word(), "wait");
        assert_eq!(
            after(10, &[crashing(3)]),
            Judgement::Fail(
                "pod web-1, container app: started again 3 times (Error, exit code 1)".to_owned()
            )
        );
        assert_eq!(after(60, &[crashing(1)]).word(), "fail");
    }

    #[test]
    fn running_out_of_memory_twice_fails() {
        let oom = Container { restarts: 2, last_end: Some(("OOMKilled".to_owned(), 137)), ..container() };
        assert_eq!(after(1, &[pod(oom)]).word(), "fail");
    }

    #[test]
    fn a_pod_that_no_node_takes_is_not_the_versions_fault() {
        let unschedulable = Pod { unschedulable: Some("0/3 nodes".to_owned()), ..pod(container()) };
        assert!(matches!(after(600, &[unschedulable]), Judgement::Wait { blame: false, .. }));
    }

    #[test]
    fn pods_that_are_ending_and_no_pods_at_all_prove_nothing() {
        assert_eq!(after(600, &[]).word(), "wait");
        assert_eq!(after(600, &[Pod { ending: true, ..pod(container()) }]).word(), "wait");
    }
}
