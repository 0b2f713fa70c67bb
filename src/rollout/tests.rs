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
    assert_eq!(verdict(&[(1, silent()), (600, silent())]), None);
    assert_eq!(verdict(&[(1, silent()), (601, silent())]), Some(Verdict::Unknown));
}

#[test]
fn the_clock_stands_while_nobody_answers() {
    let silent = || only(Delivered::Silent("connection refused".to_owned()));
    let outage = [(10, not_ready()), (100, silent()), (650, silent()), (660, not_ready())];
    assert_eq!(verdict(&outage), None, "560 s of silence are given back");
    let after = |seconds| [&outage[..], &[(seconds, not_ready())]].concat();
    assert_eq!(verdict(&after(1159)), None);
    assert_eq!(verdict(&after(1160)), Some(Verdict::Failed));
}

#[test]
fn whoever_answers_only_now_and_then_gets_the_time_once_again_and_no_more() {
    let silent = || only(Delivered::Silent("connection refused".to_owned()));
    let looks = [
        (100, silent()),
        (400, not_ready()),
        (600, silent()),
        (900, not_ready()),
        (1000, silent()),
        (1199, not_ready()),
    ];
    assert_eq!(verdict(&looks), None);
    let end = [&looks[..], &[(1200, not_ready())]].concat();
    assert_eq!(verdict(&end), Some(Verdict::Failed));
}

/// Whoever tells of the traffic does not answer.
fn without_traffic(mut seen: Observation) -> Observation {
    seen.findings.retain(|finding| finding.layer != Layer::Traffic);
    seen.findings.push(Finding { layer: Layer::Traffic, answer: Answer::Silent("no Prometheus".to_owned()) });
    seen
}

#[test]
fn the_clock_stands_while_only_prometheus_is_missing() {
    let outage = [(10, without_traffic(good())), (700, without_traffic(good()))];
    assert_eq!(verdict(&outage[..1]), None);
    assert_eq!(verdict(&outage), Some(Verdict::Unknown), "silence as long as the whole time");

    let looks = [(100, without_traffic(good())), (650, good()), (679, good())];
    assert_eq!(verdict(&looks), None);
    assert_eq!(verdict(&[&looks[..], &[(680, good())]].concat()), Some(Verdict::Verified));
}

#[test]
fn the_clock_of_a_version_that_is_not_ready_goes_on_without_prometheus() {
    let looks = [(1, without_traffic(not_ready())), (600, without_traffic(not_ready()))];
    assert_eq!(verdict(&looks[..1]), None);
    assert_eq!(verdict(&looks), Some(Verdict::Failed));

    let crash = delivered(Judgement::Pass(String::new()), Judgement::Fail("crash loop".to_owned()));
    assert_eq!(verdict(&[(1, without_traffic(crash))]), Some(Verdict::Failed));
}

#[test]
fn time_in_which_nobody_looked_is_no_time_of_staying_good() {
    let silent = || only(Delivered::Silent("connection refused".to_owned()));
    let looks = [(10, good()), (20, silent()), (100, good()), (119, good())];
    assert_eq!(verdict(&looks), None, "10 s before the silence and 19 s after it");
    assert_eq!(verdict(&[&looks[..], &[(120, good())]].concat()), Some(Verdict::Verified));
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
fn a_version_that_is_put_back_has_half_the_time_but_no_less_than_it_needs() {
    let back = |timeout, stable| {
        let (timeout, stable_for) = (SignedDuration::from_secs(timeout), SignedDuration::from_secs(stable));
        Rules { timeout, stable_for }.on_the_way_back().timeout.as_secs()
    };
    assert_eq!(back(600, 30), 300);
    assert_eq!(back(100, 1), 60, "a minute at least");
    assert_eq!(back(600, 400), 430, "it must be able to stay good");
    assert_eq!(back(20, 1), 20, "never more than a new one");
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
