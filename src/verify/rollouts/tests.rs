//! Workloads and pods together, told without a cluster.

#![allow(clippy::unwrap_used)]

use jiff::SignedDuration;

use super::*;
use crate::verify::pods::{Container, Pod};
use crate::verify::workload::{Replicas, Workload};

const BEGIN: &str = "2026-01-01T00:00:00Z";

fn digest() -> String {
    format!("sha256:{}", "a".repeat(64))
}

fn pods(ready: usize, all: usize) -> Vec<Pod> {
    let container = |ready| Container {
        name: "app".to_owned(),
        judged: true,
        image_id: format!("registry/app@{}", digest()),
        ready,
        ..Container::default()
    };
    let pod = |number| Pod {
        namespace: "shop".to_owned(),
        name: format!("web-{number}"),
        since: BEGIN.parse().unwrap(),
        ending: false,
        finished: false,
        ready: number < ready,
        unschedulable: None,
        containers: vec![container(number < ready)],
    };
    (0..all).map(pod).collect()
}

fn seen(wanted: i32, pods: Vec<Pod>) -> Seen {
    let count = i32::try_from(pods.len()).unwrap();
    let ready = i32::try_from(pods.iter().filter(|pod| pod.ready).count()).unwrap();
    let state = State::Replicas(Replicas {
        wanted,
        total: count,
        updated: count,
        ready,
        available: ready,
        wanted_updated: wanted,
        ..Replicas::default()
    });
    Seen {
        workload: Workload {
            name: "Deployment shop/web".to_owned(),
            generation: 1,
            observed: Some(1),
            state,
        },
        namespace: "shop".to_owned(),
        told_by: vec!["web".to_owned()],
        pods,
        others: Vec::new(),
        images: vec![format!("registry/app:1.0.0@{}", digest())],
    }
}

fn look(view: &View, memory: &mut Memory, seconds: i64) -> [String; 2] {
    let digests = BTreeSet::from([digest().parse().unwrap()]);
    let begun: Timestamp = BEGIN.parse().unwrap();
    let version = Version { written: &digests, expected: &digests, doubt: None, begun };
    let findings = judge(view, version, memory, begun + SignedDuration::from_secs(seconds));
    let word = |layer| match findings.iter().find(|finding| finding.layer == layer) {
        Some(found) => found.judgement().map_or("left-out", |judgement| judgement.word()).to_owned(),
        None => "none".to_owned(),
    };
    [word(Layer::Workload), word(Layer::Pods)]
}

fn only(seen: Seen) -> View {
    View { seen: vec![seen], hidden: Vec::new() }
}

#[test]
fn an_autoscaler_between_two_looks_breaks_nothing_and_a_pod_that_is_lost_does() {
    let mut memory = Memory::default();
    assert_eq!(look(&only(seen(2, pods(2, 2))), &mut memory, 10), ["pass", "pass"]);
    assert_eq!(look(&only(seen(4, pods(2, 3))), &mut memory, 20), ["pass", "pass"], "it grows");
    assert_eq!(look(&only(seen(4, pods(4, 4))), &mut memory, 30), ["pass", "pass"]);
    assert_eq!(
        look(&only(seen(4, pods(3, 4))), &mut memory, 40),
        ["wait", "wait"],
        "one is not ready any more"
    );
    assert_eq!(
        look(&only(seen(6, pods(4, 6))), &mut memory, 50),
        ["wait", "wait"],
        "the rollout is not complete"
    );
}

#[test]
fn what_something_else_writes_into_a_workload_is_never_blamed_on_the_version() {
    let mut other = seen(2, pods(2, 2));
    other.images = vec![format!("registry/app:0.9@sha256:{}", "b".repeat(64))];
    for pod in &mut other.pods {
        pod.containers[0].image_id = format!("registry/app@sha256:{}", "b".repeat(64));
    }
    assert_eq!(look(&only(other), &mut Memory::default(), 600), ["wait", "left-out"]);
}

#[test]
fn without_the_right_to_see_pods_the_rest_is_judged_and_the_version_is_unknown() {
    let mut view = only(seen(2, pods(2, 2)));
    view.seen[0].pods.clear();
    assert_eq!(look(&view, &mut Memory::default(), 600), ["pass", "wait"]);
    view.hidden.push("pods is forbidden".to_owned());
    assert_eq!(look(&view, &mut Memory::default(), 600), ["pass", "unknown"]);
    view.seen.clear();
    assert_eq!(look(&view, &mut Memory::default(), 600), ["unknown", "none"]);
}

#[test]
fn a_schedule_that_has_not_run_needs_no_pods_beside_a_workload_that_has() {
    let mut view = only(seen(2, pods(2, 2)));
    let mut nightly = seen(0, Vec::new());
    nightly.workload.state = State::Schedule(None);
    view.seen.push(nightly.clone());
    assert_eq!(look(&view, &mut Memory::default(), 10), ["pass", "pass"]);
    assert_eq!(look(&only(nightly), &mut Memory::default(), 10), ["unknown", "left-out"]);
}
