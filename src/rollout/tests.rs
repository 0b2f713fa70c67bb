//! The life of a change, told without a cluster.

#![allow(clippy::unwrap_used)]

use super::*;

fn at(seconds: i64) -> Timestamp {
    "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

fn rollout() -> Rollout {
    let rules = Rules { timeout: SignedDuration::from_secs(600), stable_for: SignedDuration::from_secs(30) };
    Rollout::new(rules, at(0), at(0))
}

fn delivered(workload: Judgement, pods: Judgement) -> Observation {
    let mut findings = vec![Finding::judged(Layer::Workload, workload), Finding::judged(Layer::Pods, pods)];
    findings.extend([Layer::Mesh, Layer::Traffic].map(|layer| Finding::left_out(layer, "not there")));
    Observation { delivered: Delivered::Yes, findings }
}

fn only(delivered: Delivered) -> Observation {
    Observation { delivered, findings: Vec::new() }
}

fn good() -> Observation {
    delivered(Judgement::Pass("2 of 2".to_owned()), Judgement::Pass("2 pods".to_owned()))
}

fn not_ready() -> Observation {
    let wait = Judgement::Wait { reason: "1 of 2 pods are ready".to_owned(), blame: true };
    delivered(wait, Judgement::Pass("1 pods".to_owned()))
}

/// Shows the looks one after the other, and returns the verdict if there is one by then.
fn verdict(looks: &[(i64, Observation)]) -> Option<Verdict> {
    let mut rollout = rollout();
    for (seconds, seen) in looks {
        let (next, step) = rollout.step(seen, at(*seconds));
        if let Step::Decided(decision) = step {
            return Some(decision.verdict);
        }
        rollout = next;
    }
    None
}

#[test]
fn a_good_version_is_verified_once_it_has_stayed_good() {
    assert_eq!(verdict(&[(10, good()), (39, good())]), None);
    assert_eq!(verdict(&[(10, good()), (40, good())]), Some(Verdict::Verified));
}

#[test]
fn a_break_begins_the_wait_for_stability_anew() {
    assert_eq!(verdict(&[(10, good()), (30, not_ready()), (35, good()), (50, good())]), None);
    assert_eq!(
        verdict(&[(10, good()), (30, not_ready()), (35, good()), (65, good())]),
        Some(Verdict::Verified)
    );
}

#[test]
fn one_failing_layer_decides_at_once() {
    let seen = delivered(Judgement::Pass(String::new()), Judgement::Fail("crash loop".to_owned()));
    assert_eq!(verdict(&[(1, seen)]), Some(Verdict::Failed));
}

#[test]
fn a_version_that_never_gets_ready_fails_when_the_time_is_up() {
    assert_eq!(verdict(&[(1, not_ready()), (599, not_ready())]), None);
    assert_eq!(verdict(&[(1, not_ready()), (600, not_ready())]), Some(Verdict::Failed));
}

#[test]
fn silence_of_the_cluster_is_never_a_failure() {
    let silent = || only(Delivered::Silent("connection refused".to_owned()));
    assert_eq!(verdict(&[(1, silent()), (599, silent())]), None);
    assert_eq!(verdict(&[(1, silent()), (600, silent())]), Some(Verdict::Unknown));
}

#[test]
fn a_suspended_delivery_ends_as_unknown_and_says_that_it_is_blocked() {
    let (_, step) = rollout().step(&only(Delivered::Blocked("suspended".to_owned())), at(600));
    let Step::Decided(decision) = step else { panic!("{step:?}") };
    assert_eq!((decision.verdict, decision.blocked), (Verdict::Unknown, true));
}

#[test]
fn a_commit_that_cannot_be_applied_fails() {
    let refused = only(Delivered::Refused("BuildFailed".to_owned()));
    assert_eq!(verdict(&[(1, refused)]), Some(Verdict::Failed));
}

#[test]
fn a_newer_commit_supersedes_whatever_the_layers_say() {
    let changed = only(Delivered::Changed("wiki is 1.2.0 now".to_owned()));
    assert_eq!(verdict(&[(1, good()), (2, changed)]), Some(Verdict::Superseded));
}

#[test]
fn a_start_after_the_deadline_still_gives_the_version_a_chance() {
    let rules = Rules { timeout: SignedDuration::from_secs(60), stable_for: SignedDuration::from_secs(10) };
    let late = Rollout::new(rules, at(0), at(10_000));
    let (late, step) = late.step(&good(), at(10_001));
    assert_eq!(step, Step::Wait(at(10_011)));
    let (_, step) = late.step(&good(), at(10_011));
    let Step::Decided(decision) = step else { panic!("{step:?}") };
    assert_eq!(decision.verdict, Verdict::Verified);
}

#[test]
fn a_short_timeout_is_kept() {
    let rules = Rules { timeout: SignedDuration::from_secs(5), stable_for: SignedDuration::from_secs(1) };
    let (_, step) = Rollout::new(rules, at(0), at(0)).step(&not_ready(), at(5));
    let Step::Decided(decision) = step else { panic!("{step:?}") };
    assert_eq!(decision.verdict, Verdict::Failed);
}

#[test]
fn a_verdict_names_every_layer_also_those_that_were_left_out() {
    let (rollout, _) = rollout().step(&good(), at(5));
    let (_, step) = rollout.step(&good(), at(35));
    let Step::Decided(decision) = step else { panic!("{step:?}") };
    let layers: Vec<String> = decision
        .layers
        .iter()
        .map(|layer| format!("{} {} {}", layer.layer, layer.result, layer.seconds))
        .collect();
    assert_eq!(
        layers,
        [
            "applied pass 5",
            "workload pass 0",
            "pods pass 0",
            "stable pass 30",
            "mesh left-out 0",
            "traffic left-out 0"
        ]
    );
}
