//! Is the rollout of a workload complete, at the generation that was asked for?
//!
//! As kubectl and kstatus read the fields, with the gaps closed that they leave: a paused Deployment, pods that cannot
//! be created, zero replicas, `OnDelete`.

use jiff::{SignedDuration, Timestamp};

use super::Judgement;

/// A Deployment, `StatefulSet` or `DaemonSet`, reduced to what decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workload {
    /// Kind, namespace and name, for people.
    pub name: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// `status.observedGeneration`.
    pub observed: i64,
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
    /// A pod of another version that is not ready, which the controller does not replace before it is: its namespace and name.
    pub stuck: Option<(String, String)>,
    /// The controller has given up: the progress deadline is over.
    pub deadline_exceeded: Option<String>,
    /// Pods cannot be created since then, and why.
    pub cannot_create: Option<(Timestamp, String)>,
}

/// How long pods may fail to be created (a quota being raised, a webhook restarting) before the version is blamed.
const CREATE_GRACE: SignedDuration = SignedDuration::from_secs(60);

/// Judges the rollout.
pub fn judge(workload: &Workload, now: Timestamp) -> Judgement {
    let Workload { name, generation, observed, wanted, total, updated, ready, available, .. } = workload;
    if observed < generation {
        return Judgement::wait(format!("{name}: the controller has not seen generation {generation} yet"));
    }
    if let Some(message) = &workload.deadline_exceeded {
        return Judgement::Fail(format!("{name}: the progress deadline is over: {message}"));
    }
    if let Some((since, message)) = &workload.cannot_create {
        let words = format!("{name}: its pods cannot be created: {message}");
        return if now.duration_since(*since) >= CREATE_GRACE {
            Judgement::Fail(words)
        } else {
            Judgement::wait(words)
        };
    }
    if workload.paused {
        return Judgement::wait(format!("{name} is paused; `kubectl rollout resume` lets it go on"));
    }
    if *wanted == 0 {
        return Judgement::Unknown(format!(
            "{name} has no replicas, so that nothing runs that could be judged"
        ));
    }
    if updated < &workload.wanted_updated {
        if workload.on_delete {
            return Judgement::wait(format!(
                "{name} updates on delete: {updated} of {wanted} pods are new; delete the others"
            ));
        }
        if let Some((namespace, pod)) = &workload.stuck {
            return Judgement::wait(format!(
                "{name}: {updated} of {wanted} pods are new; Kubernetes waits for pod {pod} of another version, which is \
                 not ready; `kubectl delete pod {pod} -n {namespace}` lets it go on"
            ));
        }
        return Judgement::wait(format!("{name}: {updated} of {wanted} pods are new"));
    }
    if total > wanted {
        return Judgement::wait(format!("{name}: {} old pods are still there", total - wanted));
    }
    if ready < wanted {
        return Judgement::Wait {
            reason: format!("{name}: {ready} of {wanted} pods are ready"),
            blame: true,
        };
    }
    if available < wanted {
        return Judgement::wait(format!(
            "{name}: {available} of {wanted} pods have been ready for long enough"
        ));
    }
    Judgement::Pass(format!("{name}: {updated} of {wanted} pods are new and ready"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn complete() -> Workload {
        Workload {
            name: "Deployment shop/web".to_owned(),
            generation: 2,
            observed: 2,
            wanted: 2,
            total: 2,
            updated: 2,
            ready: 2,
            available: 2,
            wanted_updated: 2,
            ..Workload::default()
        }
    }

    fn now() -> Timestamp {
        "2026-01-01T00:10:00Z".parse().unwrap()
    }

    fn word(workload: &Workload) -> &'static str {
        judge(workload, now()).word()
    }

    #[test]
    fn a_complete_rollout_passes() {
        assert_eq!(
            judge(&complete(), now()),
            Judgement::Pass("Deployment shop/web: 2 of 2 pods are new and ready".to_owned())
        );
    }

    #[test]
    fn numbers_of_an_older_generation_do_not_count() {
        assert_eq!(word(&Workload { observed: 1, ..complete() }), "wait");
    }

    #[test]
    fn old_pods_still_serving_are_waited_for() {
        assert_eq!(word(&Workload { total: 3, ..complete() }), "wait");
    }

    #[test]
    fn pods_that_are_not_ready_are_blamed_only_when_the_time_is_up() {
        let judgement = judge(&Workload { ready: 1, ..complete() }, now());
        assert!(matches!(judgement, Judgement::Wait { blame: true, .. }), "{judgement:?}");
    }

    #[test]
    fn an_exceeded_progress_deadline_fails_at_once() {
        let exceeded = Workload { deadline_exceeded: Some("timed out".to_owned()), ..complete() };
        assert_eq!(word(&exceeded), "fail");
    }

    #[test]
    fn pods_that_cannot_be_created_fail_after_a_grace() {
        let since = |time: &str| Workload {
            cannot_create: Some((time.parse().unwrap(), "quota".to_owned())),
            ..complete()
        };
        assert_eq!(word(&since("2026-01-01T00:09:30Z")), "wait");
        assert_eq!(word(&since("2026-01-01T00:09:00Z")), "fail");
    }

    #[test]
    fn nothing_running_is_neither_good_nor_bad() {
        let none = Workload {
            wanted: 0,
            total: 0,
            updated: 0,
            ready: 0,
            available: 0,
            wanted_updated: 0,
            ..complete()
        };
        assert_eq!(word(&none), "unknown");
        assert_eq!(word(&Workload { paused: true, ..complete() }), "wait");
    }

    #[test]
    fn a_broken_pod_of_another_version_is_named_and_not_blamed_on_this_one() {
        let stuck =
            Workload { updated: 1, stuck: Some(("shop".to_owned(), "web-1".to_owned())), ..complete() };
        let judgement = judge(&stuck, now());
        assert!(
            matches!(&judgement, Judgement::Wait { blame: false, reason }
            if reason.contains("`kubectl delete pod web-1 -n shop`")),
            "{judgement:?}"
        );
    }

    #[test]
    fn a_partition_asks_for_its_part_only() {
        assert_eq!(word(&Workload { updated: 1, wanted_updated: 1, ..complete() }), "pass");
        assert_eq!(word(&Workload { updated: 1, on_delete: true, ..complete() }), "wait");
    }
}
