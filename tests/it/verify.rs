//! Verified means: applied, rolled out, every pod on the digest, and it stayed so. Anything else is told apart.

use serde_json::Value;

use crate::bed::{self, Site};

/// What a pass says about 1.1.0 with that end of its tag.
fn verdict_on(site: &Site, end: &str) -> Value {
    let tag = format!("1.1.0{end}");
    site.push_image("local", "test-app", &tag);
    site.once();
    site.wait_verdict("test-app", "local", &tag)
}

fn fails_with(name: &str, end: &str, words: &str) {
    let site = bed::site(name).environments(&["local"]).create();
    let verdict = verdict_on(&site, end);
    assert_eq!(verdict["verdict"], "failed", "{verdict}");
    assert!(verdict["reasons"][0].as_str().unwrap().contains(words), "{verdict}");
}

#[test]
fn a_version_whose_pods_crash_fails() {
    fails_with("crash", "-bad-crash", "started again");
}

#[test]
fn a_version_whose_image_cannot_be_pulled_fails() {
    fails_with("pull", "-bad-pull", "Err");
}

#[test]
fn a_version_that_runs_out_of_memory_fails() {
    fails_with("oom", "-bad-oom", "out of memory");
}

#[test]
fn a_version_whose_pods_never_get_ready_fails_when_the_time_is_up() {
    let site =
        bed::site("never-ready").environments(&["local"]).verify("{timeout: 15s, stableFor: 1s}").create();
    let verdict = verdict_on(&site, "-bad-never-ready");
    assert_eq!(verdict["verdict"], "failed", "{verdict}");
    assert!(verdict["reasons"][0].as_str().unwrap().contains("the time is up"), "{verdict}");
}

#[test]
fn a_version_that_exceeds_the_progress_deadline_of_its_deployment_fails() {
    let site = bed::site("progress").environments(&["local"]).create();
    site.change_base("test-app", |text| {
        text.replace("progressDeadlineSeconds: 30", "progressDeadlineSeconds: 3")
    });
    let verdict = verdict_on(&site, "-bad-never-ready");
    assert_eq!(verdict["verdict"], "failed", "{verdict}");
    assert!(verdict["reasons"][0].as_str().unwrap().contains("progress deadline"), "{verdict}");
}

#[test]
fn a_version_that_starts_well_and_crashes_before_it_was_stable_for_long_enough_fails() {
    let site = bed::site("late").environments(&["local"]).verify("{timeout: 60s, stableFor: 10s}").create();
    site.push_image("local", "test-app", "1.1.0-bad-late");
    let daemon = site.promoted().start();
    let verdict = site.wait_verdict("test-app", "local", "1.1.0-bad-late");
    assert_eq!(verdict["verdict"], "failed", "{verdict}");
    assert!(daemon.log().contains("stabilizing"), "it was ready at first");
    daemon.stop();
}

#[test]
fn a_slow_version_is_verified_in_the_end() {
    let site = bed::site("slow").environments(&["local"]).create();
    let verdict = verdict_on(&site, "-bad-slow");
    assert_eq!(verdict["verdict"], "verified", "{verdict}");
}

#[test]
fn a_stateful_set_is_judged() {
    let site = bed::site("stateful").kind("StatefulSet").environments(&["local"]).create();
    let verdict = verdict_on(&site, "");
    assert_eq!(verdict["verdict"], "verified", "{verdict}");
    assert!(layer(&verdict, "workload")["detail"].as_str().unwrap().contains("StatefulSet"), "{verdict}");
    let _daemon = site.promoted().start();
    site.push_image("local", "test-app", "1.2.0-bad-pull");
    assert_eq!(site.wait_verdict("test-app", "local", "1.2.0-bad-pull")["verdict"], "failed");
}

#[test]
fn a_stateful_set_that_cannot_go_back_by_itself_names_the_pod_to_delete() {
    let site = bed::site("stuck")
        .kind("StatefulSet")
        .environments(&["local"])
        .verify("{timeout: 20s, stableFor: 1s}")
        .create();
    site.once().expect_code(0);
    site.push_image("local", "test-app", "1.1.0-bad-pull");

    site.once().expect_code(5);

    let back = site.wait_commit(|commit| commit.subject.ends_with("→ 1.0.0"), "takes it back");
    let verdicts = site.verdicts();
    let verdict =
        verdicts.iter().rfind(|verdict| verdict["commit"] == *back.sha).expect("the way back is judged");
    assert_eq!(verdict["verdict"], "unknown", "Kubernetes stands in the way, not the version: {verdict}");
    let namespace = site.namespace("local");
    let reason = verdict["reasons"][0].as_str().unwrap();
    assert!(reason.contains(&format!("`kubectl delete pod test-app-1 -n {namespace}`")), "{verdict}");

    site.kubectl(&["delete", "pod", "test-app-1", "-n", &namespace]);
    site.once().expect_code(4);
}

#[test]
fn a_daemon_set_is_judged() {
    let site = bed::site("daemon-set").kind("DaemonSet").environments(&["local"]).create();
    let verdict = verdict_on(&site, "");
    assert_eq!(verdict["verdict"], "verified", "{verdict}");
    assert!(layer(&verdict, "workload")["detail"].as_str().unwrap().contains("DaemonSet"), "{verdict}");
    let _daemon = site.promoted().start();
    site.push_image("local", "test-app", "1.2.0-bad-pull");
    assert_eq!(site.wait_verdict("test-app", "local", "1.2.0-bad-pull")["verdict"], "failed");
}

#[test]
fn an_image_for_several_platforms_is_verified_by_the_digest_of_its_index() {
    let site = bed::site("index").environments(&["local"]).create();
    let digest = site.push_multiarch_image("local", "test-app", "1.1.0");

    site.once().expect_code(0);

    assert!(site.overlay("local", "test-app").contains(&digest));
    let verdict = site.wait_verdict("test-app", "local", "1.1.0");
    assert_eq!((&verdict["verdict"], &verdict["digest"]), (&"verified".into(), &digest.into()));
}

#[test]
fn a_deployment_without_replicas_has_no_evidence_and_is_not_taken_back() {
    let site = bed::site("zero").environments(&["local"]).verify("{timeout: 4s, stableFor: 1s}").create();
    site.change_base("test-app", |text| text.replace("replicas: 2", "replicas: 0"));
    let verdict = verdict_on(&site, "");
    assert_eq!(verdict["verdict"], "unknown", "{verdict}");
    assert_eq!(site.moves().len(), 1);
}

#[test]
fn a_verdict_tells_what_was_judged_by_whom_and_when() {
    let site = bed::site("note").environments(&["local"]).create();
    let digest = site.push_image("local", "test-app", "1.1.0");
    site.once().expect_code(0);
    let commit = site.moves()[0].sha.clone();

    let verdict = site.wait_verdict("test-app", "local", "1.1.0");

    let told = [
        ("app", "test-app".to_owned()),
        ("environment", "local".to_owned()),
        ("image", "test-app".to_owned()),
        ("reference", format!("{}/test-app", site.registry("local"))),
        ("tag", "1.1.0".to_owned()),
        ("digest", digest),
        ("commit", commit.clone()),
        ("verdict", "verified".to_owned()),
    ];
    assert_eq!(verdict["v"], 1);
    for (key, value) in told {
        assert_eq!(verdict[key], value, "{key}");
    }
    let times = ["committed", "applied", "rolledOut", "decided"].map(|time| {
        let text = verdict["times"][time].as_str().unwrap_or_else(|| panic!("{time} is missing"));
        assert!(text.ends_with('Z'), "{time}: {text}");
        text.parse::<jiff::Timestamp>().unwrap()
    });
    assert!(times.is_sorted(), "{times:?}");
    assert!(verdict["reasons"].is_array());
    let layers = verdict["layers"].as_array().unwrap().iter().map(|layer| {
        assert!(layer["seconds"].is_number() && layer["detail"].is_string(), "{layer}");
        format!("{} {}", layer["layer"].as_str().unwrap(), layer["result"].as_str().unwrap())
    });
    let expected = ["applied pass", "workload pass", "pods pass", "stable pass"];
    assert_eq!(layers.take(4).collect::<Vec<_>>(), expected);
    assert_eq!(layer(&verdict, "mesh")["result"], "left-out");
    let note = site.git(&["notes", "--ref=promote", "show", &commit]);
    assert_eq!(note.trim().lines().count(), 1, "one line of JSON per verdict");
}

fn layer(verdict: &Value, name: &str) -> Value {
    let layers = verdict["layers"].as_array().unwrap();
    layers.iter().find(|layer| layer["layer"] == name).cloned().unwrap_or_default()
}
