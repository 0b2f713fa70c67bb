//! Rollouts of every kind, told without a cluster.

#![allow(clippy::unwrap_used)]

use super::*;

fn complete() -> Replicas {
    Replicas {
        wanted: 2,
        total: 2,
        updated: 2,
        ready: 2,
        available: 2,
        wanted_updated: 2,
        ..Replicas::default()
    }
}

fn at(time: &str) -> Timestamp {
    format!("2026-01-01T00:{time}Z").parse().unwrap()
}

fn view() -> View<'static> {
    View { begun: at("00:00"), excuse: None, served: 0, now: at("10:00") }
}

fn workload(state: State) -> Workload {
    Workload { name: "Deployment shop/web".to_owned(), generation: 2, observed: Some(2), state }
}

fn judged(replicas: Replicas) -> Judgement {
    judge(&workload(State::Replicas(replicas)), view()).unwrap()
}

fn word(replicas: Replicas) -> &'static str {
    judged(replicas).word()
}

#[test]
fn a_complete_rollout_passes() {
    let words = "Deployment shop/web: 2 of 2 pods are new and ready";
    assert_eq!(judged(complete()), Judgement::Pass(words.to_owned()));
}

#[test]
fn numbers_of_an_older_generation_do_not_count() {
    let old = Workload { observed: Some(1), ..workload(State::Replicas(complete())) };
    assert_eq!(judge(&old, view()).unwrap().word(), "wait");
    let largest = Workload { generation: i64::MAX, observed: Some(i64::MAX), ..old };
    assert_eq!(judge(&largest, view()).unwrap().word(), "pass");
}

#[test]
fn old_pods_still_serving_are_waited_for() {
    assert_eq!(word(Replicas { total: 3, ..complete() }), "wait");
}

#[test]
fn for_pods_that_are_not_ready_nothing_is_blamed_here() {
    assert!(matches!(judged(Replicas { ready: 1, ..complete() }), Judgement::Wait { blame: false, .. }));
}

#[test]
fn an_exceeded_progress_deadline_fails_at_once() {
    let exceeded =
        |time| Replicas { deadline_exceeded: Some((at(time), "timed out".to_owned())), ..complete() };
    assert_eq!(word(exceeded("05:00")), "fail");
    let view = View { begun: at("06:00"), ..view() };
    let before = judge(&workload(State::Replicas(exceeded("05:00"))), view).unwrap();
    assert_eq!(before.word(), "pass", "another version's deadline is not this one's");
}

#[test]
fn an_exceeded_progress_deadline_proves_nothing_where_no_node_takes_the_pods() {
    let exceeded = Replicas { deadline_exceeded: Some((at("05:00"), "timed out".to_owned())), ..complete() };
    let view = View { excuse: Some("no node takes pod web-1"), ..view() };
    let judgement = judge(&workload(State::Replicas(exceeded)), view).unwrap();
    assert!(matches!(judgement, Judgement::Wait { blame: false, .. }), "{judgement:?}");
}

#[test]
fn pods_that_cannot_be_created_fail_after_a_grace() {
    let since = |time| Replicas { cannot_create: Some((at(time), "quota".to_owned())), ..complete() };
    assert_eq!(word(since("09:30")), "wait");
    assert_eq!(word(since("09:00")), "fail");
}

#[test]
fn nothing_running_is_neither_good_nor_bad() {
    assert_eq!(word(Replicas::default()), "unknown");
    assert_eq!(word(Replicas { paused: true, ..complete() }), "wait");
}

#[test]
fn a_broken_pod_of_another_version_is_named_and_not_blamed_on_this_one() {
    let stuck = Replicas { updated: 1, stuck: Some(("shop".to_owned(), "web-1".to_owned())), ..complete() };
    let judgement = judged(stuck);
    assert!(
        matches!(&judgement, Judgement::Wait { blame: false, reason }
            if reason.contains("`kubectl delete pod web-1 -n shop`")),
        "{judgement:?}"
    );
}

#[test]
fn a_partition_asks_for_its_part_only() {
    assert_eq!(word(Replicas { updated: 1, wanted_updated: 1, ..complete() }), "pass");
    assert_eq!(word(Replicas { updated: 1, on_delete: true, ..complete() }), "wait");
    assert_eq!(word(Replicas { settling: true, ..complete() }), "wait");
}

fn grown_from_two() -> Replicas {
    Replicas { wanted: 4, wanted_updated: 4, ..complete() }
}

#[test]
fn an_autoscaler_that_moves_takes_back_nothing_that_was_complete() {
    let grown = Replicas { wanted: 4, wanted_updated: 4, total: 3, updated: 3, ..complete() };
    assert_eq!(word(grown.clone()), "wait", "the rollout was never complete");
    let view = View { served: 2, ..view() };
    let judge = |replicas| judge(&workload(State::Replicas(replicas)), view).unwrap().word();
    assert_eq!(judge(grown.clone()), "pass");
    assert_eq!(judge(Replicas { ready: 1, ..grown.clone() }), "wait", "one that was ready is not any more");
    assert_eq!(judge(Replicas { total: 4, ..grown }), "wait", "old pods are back");
    let unseen = Workload { observed: Some(1), ..workload(State::Replicas(grown_from_two())) };
    assert_eq!(
        super::judge(&unseen, view).unwrap().word(),
        "pass",
        "its controller has not seen the new size yet"
    );
    let shrunk = Replicas { wanted: 1, wanted_updated: 1, ..complete() };
    assert_eq!(judge(shrunk), "pass");
}

#[test]
fn a_job_is_done_when_it_says_so() {
    let judge = |run| judge(&workload(State::Job(run)), view()).unwrap();
    assert_eq!(judge(Run { pods: (1, 2), ..Run::default() }).word(), "wait", "it may try again");
    assert_eq!(judge(Run { suspended: true, ..Run::default() }).word(), "wait");
    assert_eq!(judge(Run { complete: true, ..Run::default() }).word(), "pass");
    assert_eq!(
        judge(Run { failed: Some("BackoffLimitExceeded".to_owned()), ..Run::default() }).word(),
        "fail"
    );
}

#[test]
fn a_schedule_that_has_not_run_yet_says_nothing_beside_others_and_is_unknown_alone() {
    let judge = |run| judge(&workload(State::Schedule(run)), view());
    assert_eq!(judge(None), None);
    assert_eq!(judge(Some(Run { complete: true, ..Run::default() })).unwrap().word(), "pass");
    assert_eq!(all(vec![("CronJob shop/nightly".to_owned(), None)]).word(), "unknown");
    let good = Some(Judgement::Pass("good".to_owned()));
    assert_eq!(
        all(vec![("web".to_owned(), good), ("nightly".to_owned(), None)]),
        Judgement::Pass("good; nightly has not run since".to_owned())
    );
}

#[test]
fn a_kind_of_others_is_judged_by_its_conditions() {
    let state = |status: &str| Some((status.to_owned(), "why".to_owned()));
    let judge = |conditions| judge(&workload(State::Custom(conditions)), view()).unwrap();
    assert_eq!(judge(Conditions { ready: state("True"), ..Conditions::default() }).word(), "pass");
    let not_ready = judge(Conditions { ready: state("False"), ..Conditions::default() });
    assert!(matches!(not_ready, Judgement::Wait { blame: true, .. }), "{not_ready:?}");
    let stalled = Conditions { ready: state("False"), stalled: state("True"), ..Conditions::default() };
    assert_eq!(judge(stalled).word(), "fail");
    let moving = Conditions { ready: state("True"), reconciling: state("True"), ..Conditions::default() };
    assert_eq!(judge(moving).word(), "wait");
    assert_eq!(judge(Conditions::default()).word(), "unknown");
}
