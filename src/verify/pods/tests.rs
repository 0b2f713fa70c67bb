//! Pods of every fate, told without a cluster.

#![allow(clippy::unwrap_used)]

use super::*;

const BEGIN: &str = "2026-01-01T00:00:00Z";

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
        namespace: "shop".to_owned(),
        name: "web-1".to_owned(),
        since: BEGIN.parse().unwrap(),
        ending: false,
        finished: false,
        ready: true,
        unschedulable: None,
        containers: vec![container],
    }
}

fn served(served: usize, seconds: i64, pods: &[Pod]) -> Judgement {
    let expected = BTreeSet::from([digest("a").parse().unwrap()]);
    let now = BEGIN.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds);
    judge(pods, View { expected: &expected, doubt: None, served, now })
}

fn after(seconds: i64, pods: &[Pod]) -> Judgement {
    served(0, seconds, pods)
}

fn waiting(reason: &str, message: &str) -> Pod {
    let waiting = Some((reason.to_owned(), message.to_owned()));
    Pod { ready: false, ..pod(Container { ready: false, waiting, ..container() }) }
}

fn end(reason: &str, code: i32, seconds: i64) -> End {
    let at = BEGIN.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds);
    End { reason: reason.to_owned(), message: String::new(), code, at: Some(at) }
}

fn blames(judgement: &Judgement) -> bool {
    matches!(judgement, Judgement::Wait { blame: true, .. })
}

#[test]
fn pods_on_the_expected_digest_pass() {
    assert_eq!(after(1, &[pod(container())]), Judgement::Pass("1 pods run the expected image".to_owned()));
}

#[test]
fn another_digest_fails_at_once() {
    let other = Container { image_id: format!("registry/app@{}", digest("b")), ..container() };
    assert_eq!(after(1, &[pod(other)]).word(), "fail");
}

#[test]
fn another_digest_proves_nothing_while_the_registry_does_not_tell_which_are_the_images() {
    let other = Container { image_id: format!("registry/app@{}", digest("b")), ..container() };
    let expected = BTreeSet::from([digest("a").parse().unwrap()]);
    let doubt = Some("the registry does not answer");
    let view = View { expected: &expected, doubt, served: 0, now: BEGIN.parse().unwrap() };
    assert_eq!(judge(&[pod(other)], view).word(), "unknown");
    assert_eq!(judge(&[pod(container())], view).word(), "pass");
}

#[test]
fn only_what_is_not_the_expected_digest_is_looked_up() {
    let expected = BTreeSet::from([digest("a").parse().unwrap()]);
    let with = |image_id: String| [pod(Container { image_id, ..container() })];
    assert!(!is_doubtful(&with(container().image_id), &expected));
    assert!(!is_doubtful(&with(String::new()), &expected), "nothing is known yet");
    assert!(is_doubtful(&with(digest("b")), &expected));
    assert!(is_doubtful(&with(format!("registry/app@{}", digest("b"))), &expected));
}

#[test]
fn a_form_that_cannot_be_compared_is_unknown_and_never_bad() {
    let bare = Container { image_id: digest("b"), ..container() };
    assert_eq!(after(1, &[pod(bare.clone())]).word(), "wait");
    assert_eq!(after(61, &[pod(bare)]).word(), "unknown");
}

#[test]
fn a_container_that_is_not_ours_may_run_what_it_wants() {
    let sidecar = Container { judged: false, image_id: format!("mesh/proxy@{}", digest("b")), ..container() };
    assert_eq!(after(1, &[pod(sidecar)]).word(), "pass");
}

#[test]
fn a_container_that_is_not_ours_keeps_the_version_waiting_and_never_fails_it() {
    let crashing = Container { judged: false, ready: false, restarts: 9, ..container() };
    let mut pod = pod(container());
    pod.containers.push(crashing);
    let judgement = after(600, &[pod]);
    assert!(matches!(&judgement, Judgement::Wait { blame: false, reason } if reason.contains("not the one")));
}

#[test]
fn a_pull_that_can_never_succeed_fails_at_once_and_one_without_a_reason_after_a_minute() {
    assert_eq!(after(1, &[waiting("ImagePullBackOff", "manifest unknown")]).word(), "fail");
    assert_eq!(after(59, &[waiting("ErrImagePull", "")]).word(), "wait");
    assert_eq!(after(60, &[waiting("ErrImagePull", "")]).word(), "fail");
}

#[test]
fn a_registry_that_does_not_answer_is_never_the_images_fault() {
    let judgement = after(3600, &[waiting("ErrImagePull", "dial tcp 10.0.0.1:443: i/o timeout")]);
    assert!(matches!(judgement, Judgement::Wait { blame: false, .. }), "{judgement:?}");
}

#[test]
fn names_that_can_never_be_pulled_fail_at_once_and_missing_configuration_after_half_a_minute() {
    assert_eq!(after(0, &[waiting("InvalidImageName", "")]).word(), "fail");
    assert_eq!(after(0, &[waiting("ErrImageNeverPull", "")]).word(), "fail");
    for reason in ["CreateContainerConfigError", "CreateContainerError", "RunContainerError"] {
        assert_eq!(after(29, &[waiting(reason, "no secret")]).word(), "wait", "{reason}");
        assert_eq!(after(30, &[waiting(reason, "no secret")]).word(), "fail", "{reason}");
    }
}

#[test]
fn crash_loops_fail_by_count_or_a_minute_after_the_first() {
    let crashing = |restarts, last_end| {
        let mut pod = waiting("CrashLoopBackOff", "");
        (pod.containers[0].restarts, pod.containers[0].last_end) = (restarts, Some(last_end));
        pod
    };
    assert_eq!(after(10, &[crashing(1, end("Error", 1, 5))]).word(), "wait");
    assert_eq!(
        after(10, &[crashing(3, end("Error", 1, 5))]),
        Judgement::Fail("pod web-1, container app: started again 3 times (Error, exit code 1)".to_owned())
    );
    assert_eq!(after(65, &[crashing(1, end("Error", 1, 5))]).word(), "fail");
    let late = after(300, &[crashing(1, end("Error", 1, 290))]);
    assert!(blames(&late), "a first crash after a long time has its minute, too: {late:?}");
}

#[test]
fn the_process_s_own_last_words_are_told() {
    let mut crashed = waiting("CrashLoopBackOff", "");
    crashed.containers[0].restarts = 3;
    crashed.containers[0].last_end = Some(End { message: "no database".to_owned(), ..end("Error", 3, 5) });
    assert!(after(1, &[crashed]).detail().ends_with("(Error, exit code 3, \"no database\")"));
}

#[test]
fn running_out_of_memory_twice_fails() {
    let oom = |restarts| pod(Container { restarts, last_end: Some(end("OOMKilled", 137, 1)), ..container() });
    assert_eq!(after(1, &[oom(1)]).word(), "pass");
    assert_eq!(after(1, &[oom(2)]).word(), "fail");
}

#[test]
fn a_pod_that_runs_and_is_never_ready_is_blamed_when_the_time_is_up() {
    let unready = Pod { ready: false, ..pod(Container { ready: false, ..container() }) };
    assert!(blames(&after(600, &[unready])));
}

#[test]
fn what_no_image_can_help_is_not_the_versions_fault() {
    let none = || pod(container());
    let cases = [
        ("no node takes it", Pod { unschedulable: Some("0/3 nodes".to_owned()), ..none() }),
        ("its node does not answer", Pod { ready: false, ..none() }),
        ("ContainerCreating", waiting("ContainerCreating", "")),
    ];
    for (words, pod) in cases {
        let judgement = after(3600, std::slice::from_ref(&pod));
        assert!(
            matches!(&judgement, Judgement::Wait { blame: false, reason } if reason.contains(words)),
            "{judgement:?}"
        );
        let expected = BTreeSet::from([digest("a").parse().unwrap()]);
        let now = BEGIN.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(3600);
        let view = View { expected: &expected, doubt: None, served: 0, now };
        assert!(excuse(std::slice::from_ref(&pod), view).is_some(), "{words}");
        let unready = Pod { ready: false, ..super::tests::pod(Container { ready: false, ..container() }) };
        assert_eq!(excuse(&[pod, unready], view), None, "another pod may be the version's fault");
    }
}

#[test]
fn pods_that_are_ending_and_no_pods_at_all_prove_nothing() {
    assert_eq!(after(600, &[]).word(), "wait");
    assert_eq!(after(600, &[Pod { ending: true, ..pod(container()) }]).word(), "wait");
    let expected = BTreeSet::new();
    let view = View { expected: &expected, doubt: None, served: 0, now: BEGIN.parse().unwrap() };
    assert_eq!(excuse(&[], view), None);
}

#[test]
fn a_pod_that_ran_to_its_end_is_judged_by_its_image_alone() {
    let done = Container { ready: false, last_end: Some(end("Completed", 0, 5)), ..container() };
    let finished = |container| Pod { finished: true, ready: false, ..pod(container) };
    assert_eq!(after(5, &[finished(done.clone())]).word(), "pass");
    let other = Container { image_id: format!("registry/app@{}", digest("b")), ..done };
    assert_eq!(after(5, &[finished(other)]).word(), "fail");
}

#[test]
fn pods_that_an_autoscaler_adds_may_start_beside_those_that_serve() {
    let new = Pod { ready: false, ..pod(Container { ready: false, ..container() }) };
    let pods = [pod(container()), new];
    assert_eq!(after(10, &pods).word(), "wait", "the rollout was never complete");
    assert_eq!(served(1, 10, &pods).word(), "pass");
    assert_eq!(served(2, 10, &pods).word(), "wait", "one that was ready is not any more");
    assert_eq!(served(1, 60, &pods).word(), "wait", "it had time enough");
}

#[test]
fn the_worst_pod_and_container_are_found_so_that_more_can_be_asked_about_them() {
    let mut broken = waiting("CrashLoopBackOff", "");
    broken.name = "web-2".to_owned();
    broken.containers[0].restarts = 3;
    broken.containers.insert(0, Container { name: "proxy".to_owned(), judged: false, ..container() });
    let pods = [pod(container()), broken];
    let expected = BTreeSet::from([digest("a").parse().unwrap()]);
    let view = View { expected: &expected, doubt: None, served: 0, now: BEGIN.parse().unwrap() };
    let (pod, container) = culprit(&pods, view).unwrap();
    assert_eq!((pod.name.as_str(), container.unwrap().name.as_str()), ("web-2", "app"));
    assert!(culprit(&pods[..1], view).is_none());
}
