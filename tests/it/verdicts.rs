//! Every class of failure ends in the verdict that docs/verification/verdicts.md states: one test per row that no other file
//! tells.

use serde_json::Value;

use crate::bed::{self, Daemon, Recipe, Site, until};

/// A site with one environment, whose rollouts have that many seconds.
fn site(name: &str, timeout: u32) -> Recipe {
    bed::site(name)
        .environments(&["local"])
        .verify(&format!("{{timeout: {timeout}s, stableFor: 1s, onFailure: hold}}"))
}

/// What a pass says about 1.1.0 with that end of its tag.
fn verdict_on(site: &Site, end: &str) -> Value {
    let tag = format!("1.1.0{end}");
    site.push_image("local", "test-app", &tag);
    site.once();
    site.wait_verdict("test-app", "local", &tag)
}

/// All reasons and layers in one text.
fn told(verdict: &Value) -> String {
    format!("{} {}", verdict["reasons"], verdict["layers"])
}

#[track_caller]
fn expect(verdict: &Value, expected: &str, words: &[&str]) {
    assert_eq!(verdict["verdict"], expected, "{verdict}");
    for word in words {
        assert!(told(verdict).contains(word), "{word}: {verdict}");
    }
}

/// Puts a line into the pod's specification.
fn with_pod_line(site: &Site, line: &str) {
    site.change_base("test-app", |text| {
        text.replace("    spec:\n      termination", &format!("    spec:\n      {line}\n      termination"))
    });
}

// --- Pods that cannot be made or placed ---

#[test]
fn a_quota_that_lets_no_pod_be_made_fails_the_version_with_the_quotas_words() {
    let site = site("quota", 90).create();
    site.once().expect_code(0);
    let quota = "{apiVersion: v1, kind: ResourceQuota, metadata: {name: few}, spec: {hard: {pods: \"2\"}}}";
    site.apply(quota, &["-n", &site.namespace("local")]);
    site.change_base("test-app", |text| {
        text.replace("  selector:", "  strategy: {rollingUpdate: {maxUnavailable: 0}}\n  selector:")
            .replace("progressDeadlineSeconds: 30", "progressDeadlineSeconds: 600")
    });
    expect(&verdict_on(&site, ""), "failed", &["cannot be created", "exceeded quota", "FailedCreate"]);
}

#[test]
fn a_pod_that_no_node_takes_is_not_the_versions_fault_also_when_the_progress_deadline_is_over() {
    let site = site("no-node", 30).create();
    site.once().expect_code(0);
    site.change_base("test-app", |text| {
        text.replace("progressDeadlineSeconds: 30", "progressDeadlineSeconds: 5")
    });
    with_pod_line(&site, "nodeSelector: {disk: fast}");
    let verdict = verdict_on(&site, "");
    expect(&verdict, "unknown", &["no node takes it", "FailedScheduling", "progress deadline is over"]);
}

#[test]
fn a_volume_claim_that_is_not_bound_is_not_the_versions_fault() {
    let site = site("claim", 30).create();
    site.once().expect_code(0);
    let claim = "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], \
                 storageClassName: none, resources: {requests: {storage: 1Gi}}}}";
    site.apply(claim, &["-n", &site.namespace("local")]);
    with_pod_line(&site, "volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]");
    expect(&verdict_on(&site, ""), "unknown", &["PersistentVolumeClaim"]);
}

#[test]
fn a_volume_that_is_not_mounted_is_not_the_versions_fault() {
    let site = site("volume", 30).create();
    expect(&verdict_on(&site, "-bad-volume"), "unknown", &["ContainerCreating"]);
}

#[test]
fn a_node_that_is_lost_is_not_the_versions_fault() {
    let site = bed::site("lost-node")
        .environments(&["local"])
        .verify("{timeout: 40s, stableFor: 20s, onFailure: hold}")
        .create();
    site.push_image("local", "test-app", "1.1.0");
    let daemon = site.promoted().start();
    wait_stabilizing(&site, &daemon);
    // What Kubernetes writes into the pods of a node whose kubelet is silent, and all that it writes.
    let lost = r#"{"status": {"conditions": [{"type": "Ready", "status": "False"}]}}"#;
    let namespace = site.namespace("local");
    for pod in site.pods("local", "test-app") {
        let name = pod["metadata"]["name"].as_str().unwrap();
        site.kubectl(&["patch", "pod", name, "-n", &namespace, "--subresource=status", "-p", lost]);
    }
    let verdict = site.wait_verdict("test-app", "local", "1.1.0");
    daemon.stop();
    expect(&verdict, "unknown", &["its node does not answer"]);
}

/// Waits until the version that was committed last is good for the first time.
fn wait_stabilizing(site: &Site, daemon: &Daemon) {
    let stabilizing = || {
        let commit = site.moves().first()?.sha.clone();
        let log = daemon.log();
        log.lines().any(|line| line.contains("stabilizing") && line.contains(&commit)).then_some(())
    };
    until(stabilizing).unwrap_or_else(|| site.give_up("the version was never good"));
}

// --- Images ---

#[test]
fn a_registry_that_the_nodes_do_not_reach_is_not_the_versions_fault() {
    let site = site("unreachable", 30).create();
    expect(&verdict_on(&site, "-bad-unreachable"), "unknown", &["ErrImagePull", "i/o timeout"]);
}

#[test]
fn an_image_name_that_is_none_fails_at_once() {
    let site = site("name", 60).create();
    expect(&verdict_on(&site, "-bad-name"), "failed", &["InvalidImageName"]);
}

#[test]
fn configuration_that_is_not_there_fails_after_half_a_minute() {
    let site = site("config", 60).create();
    let verdict = verdict_on(&site, "-bad-config");
    expect(&verdict, "failed", &["CreateContainerConfigError", "secret \\\"none\\\" not found"]);
}

#[test]
fn a_pod_that_runs_another_image_than_was_asked_for_fails_the_version() {
    let site = site("moved", 60).create();
    expect(&verdict_on(&site, "-bad-moved"), "failed", &["none of the expected digests"]);
}

#[test]
fn an_image_that_the_runtime_names_in_a_way_that_proves_nothing_is_unknown() {
    let site = site("bare", 30).create();
    expect(&verdict_on(&site, "-bad-bare"), "unknown", &["its image ID is not known yet"]);
}

// --- Containers ---

#[test]
fn an_init_container_that_ends_again_and_again_fails_the_version_with_its_last_words() {
    let site = site("init", 60).create();
    with_pod_line(&site, "initContainers: [{name: migrate, image: test-app}]");
    let verdict = verdict_on(&site, "-bad-init");
    expect(&verdict, "failed", &["container migrate", "exit code 3", "no database"]);
}

// --- What people and autoscalers do ---

#[test]
fn a_paused_deployment_is_waited_for_and_never_blamed() {
    let site = site("paused", 30).create();
    site.once().expect_code(0);
    site.change_base("test-app", |text| text.replace("  selector:", "  paused: true\n  selector:"));
    expect(&verdict_on(&site, ""), "unknown", &["is paused", "kubectl rollout resume"]);
}

#[test]
fn an_autoscaler_that_moves_does_not_begin_the_wait_for_stability_anew() {
    let site = bed::site("scaled").environments(&["local"]).verify("{timeout: 60s, stableFor: 8s}").create();
    site.push_image("local", "test-app", "1.1.0");
    let daemon = site.promoted().start();
    wait_stabilizing(&site, &daemon);
    site.kubectl(&["scale", "deployment/test-app", "--replicas=4", "-n", &site.namespace("local")]);
    let verdict = site.wait_verdict("test-app", "local", "1.1.0");
    let log = daemon.stop();
    expect(&verdict, "verified", &["4 of 4 pods are new and ready"]);
    let commit = verdict["commit"].as_str().unwrap();
    let phases = log.lines().filter(|line| line.contains("stabilizing") && line.contains(commit)).count();
    assert_eq!(phases, 1, "{log}");
}

#[test]
fn what_something_else_writes_into_the_workload_is_not_the_versions_fault() {
    let site = site("foreign", 30).create();
    let other = site.push_image("local", "test-app", "0.9.0");
    with_pod_line(
        &site,
        &format!("initContainers: [{{name: own, image: \"{}/test-app@{other}\"}}]", site.registry("local")),
    );
    expect(&verdict_on(&site, ""), "unknown", &["which is not what Git says", &other]);
}

// --- Kinds ---

#[test]
fn a_stateful_set_with_a_partition_is_verified_by_the_pods_that_it_lets_be_new() {
    let site = site("partition", 60).kind("StatefulSet").create();
    site.once().expect_code(0);
    site.change_base("test-app", |text| {
        let strategy = "  updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 1}}\n  selector:";
        text.replace("  selector:", strategy)
    });
    let verdict = verdict_on(&site, "");
    expect(&verdict, "verified", &["1 of 2 pods are new and ready", "1 pods run the expected image"]);
}

#[test]
fn a_stateful_set_that_updates_on_delete_asks_for_the_deletes_and_goes_on_after_them() {
    let site = site("on-delete", 30).kind("StatefulSet").create();
    site.once().expect_code(0);
    let changed = site.change_base("test-app", |text| {
        text.replace("  selector:", "  updateStrategy: {type: OnDelete}\n  selector:")
    });
    // A strategy that Kubernetes has filled in does not become another one.
    site.kubectl(&["delete", "statefulset", "test-app", "-n", &site.namespace("local")]);
    site.reconcile("local");
    site.wait_applied("local", &changed);
    expect(&verdict_on(&site, ""), "unknown", &["updates on delete", "0 of 2 pods are new"]);

    site.kubectl(&["delete", "pods", "-l", "app=test-app", "-n", &site.namespace("local")]);
    site.once().expect_code(0);
    expect(&site.wait_verdict("test-app", "local", "1.1.0"), "verified", &["2 of 2 pods are new"]);
}

/// A Job beside the Deployment, which Flux makes anew for each version, and a schedule that does not run in this test.
fn with_jobs(site: &Site) {
    let jobs = "apiVersion: batch/v1
kind: Job
metadata: {name: migrate, annotations: {kustomize.toolkit.fluxcd.io/force: Enabled}}
spec:
  backoffLimit: 0
  template: {spec: {restartPolicy: Never, containers: [{name: migrate, image: test-app}]}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: \"0 0 1 1 *\"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: nightly, image: test-app}]}}}}
";
    site.change_base("test-app", |text| format!("{text}---\n{jobs}"));
}

#[test]
fn a_job_must_complete_and_a_schedule_that_has_not_run_keeps_nothing_back() {
    let site = site("job", 60).create();
    with_jobs(&site);
    let words = ["has not run since", "CronJob", "pods run the expected image"];
    expect(&verdict_on(&site, ""), "verified", &words);
}

#[test]
fn a_job_that_fails_fails_the_version() {
    let site = site("bad-job", 60).create();
    with_jobs(&site);
    expect(&verdict_on(&site, "-bad-job"), "failed", &["migrate has failed", "BackoffLimitExceeded"]);
}

#[test]
fn a_run_of_a_schedule_that_fails_fails_the_version() {
    let site = bed::site("bad-run")
        .environments(&["local"])
        .verify("{timeout: 60s, stableFor: 20s, onFailure: hold}")
        .create();
    site.change_base("test-app", |text| {
        format!(
            "{text}---
apiVersion: batch/v1
kind: CronJob
metadata: {{name: nightly}}
spec:
  schedule: \"0 0 1 1 *\"
  jobTemplate: {{spec: {{backoffLimit: 0, template: {{spec: {{restartPolicy: Never, containers: [{{name: nightly, image: test-app}}]}}}}}}}}
"
        )
    });
    site.push_image("local", "test-app", "1.1.0-bad-job");
    let daemon = site.promoted().start();
    site.wait_rolled_out("local", "test-app", "1.1.0-bad-job");
    let namespace = site.namespace("local");
    site.kubectl(&["create", "job", "by-hand", "--from=cronjob/nightly", "-n", &namespace]);
    let verdict = site.wait_verdict("test-app", "local", "1.1.0-bad-job");
    daemon.stop();
    expect(&verdict, "failed", &["CronJob", "Job by-hand has failed"]);
}

/// A kind that nobody here knows, with an object of it that names the image.
fn with_widget(site: &Site) {
    let group = format!("{}.example.org", site.name());
    let kind = format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: widgets.{group}}}
spec:
  group: {group}
  names: {{kind: Widget, plural: widgets, singular: widget}}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {{status: {{}}}}
    schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"
    );
    site.apply(&kind, &[]);
    site.kubectl(&["wait", "--for=condition=Established", &format!("crd/widgets.{group}")]);
    site.change_base("test-app", |_| {
        format!("apiVersion: {group}/v1\nkind: Widget\nmetadata: {{name: w}}\nspec:\n  containers: [{{name: w, image: test-app}}]\n")
    });
}

#[test]
fn a_kind_of_others_that_names_the_image_is_judged_by_its_own_word_of_being_ready() {
    let site = site("widget", 30).create();
    with_widget(&site);
    let word = |ready: &str| {
        let status = format!(
            r#"{{"status": {{"conditions": [{{"type": "Ready", "status": "{ready}", "message": "of course"}}]}}}}"#
        );
        let namespace = site.namespace("local");
        let kind = format!("widgets.{}.example.org", site.name());
        let patched = site.try_kubectl(&[
            "patch",
            &kind,
            "w",
            "-n",
            &namespace,
            "--subresource=status",
            "--type=merge",
            "-p",
            &status,
        ]);
        patched.is_ok()
    };
    expect(&verdict_on(&site, ""), "unknown", &["Widget", "does not say whether it is ready"]);
    assert!(word("True"));
    site.once().expect_code(0);
    expect(&site.wait_verdict("test-app", "local", "1.1.0"), "verified", &["is ready"]);

    assert!(word("False"));
    site.push_image("local", "test-app", "1.2.0");
    site.once().expect_code(5);
    expect(&site.wait_verdict("test-app", "local", "1.2.0"), "failed", &["the time is up", "of course"]);
}
