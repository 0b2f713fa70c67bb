//! The chart's daemon does its whole work with exactly the rights that the chart gives it.

use std::collections::BTreeSet;
use std::process::Command;

use serde::Deserialize as _;
use serde_json::Value;

use crate::bed::{self, Daemon, Pod, Site, bed};

/// A right: verb and resource, in a namespace; the last is empty for a right in all of them.
type Right = (String, String, String);

/// The chart, installed for a site in a namespace of its own that enforces the "restricted" Pod Security Standard.
struct Release {
    namespace: String,
    objects: Vec<Value>,
}

impl Release {
    fn install(site: &Site) -> Self {
        let namespace = format!("{}-system", site.name());
        site.kubectl(&["create", "namespace", &namespace]);
        site.kubectl(&["label", "namespace", &namespace, "pod-security.kubernetes.io/enforce=restricted"]);
        let apps = site.namespace("local");
        let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/promoted");
        let values = [
            format!("repo={}", site.repo()),
            "environments={local}".to_owned(),
            format!("rbac.fluxNamespaces={{{apps}}}"),
            format!("rbac.appNamespaces={{{apps}}}"),
            "replicas=2".to_owned(),
            "gitCredentials.secretName=git".to_owned(),
        ];
        let mut helm = Command::new(bed::tools().join("bin/helm"));
        helm.args(["template", "promoted", chart, "--namespace", &namespace, "--kube-version", "1.36.0"]);
        for value in &values {
            helm.args(["--set", value]);
        }
        let output = helm.output().expect("helm can be started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let file = site.folder().join("chart.yaml");
        std::fs::write(&file, &output.stdout).unwrap();
        site.kubectl(&["apply", "-f", file.to_str().unwrap()]);
        let documents = serde_yaml::Deserializer::from_slice(&output.stdout);
        let objects = documents.map(|document| Value::deserialize(document).unwrap()).collect();
        Self { namespace, objects }
    }

    fn account(&self) -> String {
        format!("system:serviceaccount:{}:promoted", self.namespace)
    }

    fn start(&self, site: &Site, name: &str) -> Daemon {
        let pod = Pod::new(site, name, &self.namespace, "promoted");
        let container = &self.of("Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
        let arguments = container["args"].as_array().unwrap().iter().filter_map(Value::as_str);
        // Those that name what only the container has are given by the test.
        let kept = arguments.filter(|argument| {
            ["--environment", "--leader-election", "--config"].iter().any(|flag| argument.starts_with(flag))
        });
        let kept: Vec<&str> = kept.collect();
        assert_eq!(kept.len(), 3, "{container}");
        site.promoted().in_pod(pod).args(&kept).start()
    }

    fn of(&self, kind: &str) -> Vec<&Value> {
        self.objects.iter().filter(|object| object["kind"] == kind).collect()
    }

    /// What the chart's Roles grant.
    fn granted(&self) -> BTreeSet<Right> {
        let mut granted = BTreeSet::new();
        assert!(
            self.of("ClusterRole").is_empty(),
            "namespaces are named, so that nothing is granted beyond them"
        );
        for role in self.of("Role") {
            for rule in role["rules"].as_array().unwrap() {
                for resource in rule["resources"].as_array().unwrap() {
                    for verb in rule["verbs"].as_array().unwrap() {
                        let word = |value: &Value| value.as_str().unwrap().to_owned();
                        granted.insert((word(verb), word(resource), word(&role["metadata"]["namespace"])));
                    }
                }
            }
        }
        granted
    }

    /// What the account has asked the API server for, as the audit log has it; refusals apart.
    fn asked(&self) -> (BTreeSet<Right>, Vec<Value>) {
        let log = std::fs::read_to_string(bed().dir.join("audit.log")).unwrap();
        let (mut asked, mut refused) = (BTreeSet::new(), Vec::new());
        for line in log.lines() {
            let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
            let own = event["user"]["username"] == self.account() && event["impersonatedUser"].is_null();
            if !own || event["objectRef"].is_null() {
                continue;
            }
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let object = &event["objectRef"];
            if event["responseStatus"]["code"].as_u64().is_some_and(|code| code == 403) {
                refused.push(event);
            } else {
                asked.insert((word(&event["verb"]), word(&object["resource"]), word(&object["namespace"])));
            }
        }
        (asked, refused)
    }
}

/// A site whose daemon is the chart's: nothing says which cluster, since it runs in it.
fn site(name: &str) -> Site {
    let site = bed::site(name).environments(&["local"]).create();
    site.write_config(|text| text.replace("    cluster: {kubeconfig: kubeconfig}\n", ""));
    site
}

#[test]
fn the_whole_job_is_done_with_exactly_the_rights_of_the_chart() {
    let site = site("chart");
    let release = Release::install(&site);
    let first = release.start(&site, "one");
    first.wait_log("this replica leads");
    let second = release.start(&site, "two");
    second.wait_log("this replica waits");
    site.wait_verdict("test-app", "local", "1.0.0");

    site.push_image("local", "test-app", "1.1.0");
    assert_eq!(site.wait_verdict("test-app", "local", "1.1.0")["verdict"], "verified");
    site.push_image("local", "test-app", "1.2.0-bad-pull");
    assert_eq!(site.wait_verdict("test-app", "local", "1.2.0-bad-pull")["verdict"], "failed");
    site.wait_commit(|commit| commit.subject == "test-app: local 1.2.0-bad-pull → 1.1.0", "takes it back");
    // A StatefulSet and a DaemonSet beside the Deployment: the rights to look at them are there for a reason.
    let base = "deploy/apps/test-app/base";
    let deployment = site.read(&format!("{base}/deployment.yaml"));
    let as_kind = |kind: &str, name: &str, left_out: &[&str]| -> String {
        let lines = deployment.split_inclusive('\n');
        let kept: String = lines.filter(|line| !left_out.iter().any(|field| line.contains(field))).collect();
        let named = kept.replace("  name: test-app\n", &format!("  name: {name}\n"));
        named
            .replace("app: test-app}", &format!("app: {name}}}"))
            .replace("kind: Deployment", &format!("kind: {kind}"))
    };
    let stateful = as_kind("StatefulSet", "test-set", &["progressDeadlineSeconds"]);
    let stateful = stateful.replace("  replicas:", "  serviceName: none\n  replicas:");
    let daemon = as_kind("DaemonSet", "test-daemon", &["progressDeadlineSeconds", "replicas"]);
    let both = format!("{stateful}---\n{daemon}");
    site.commit(
        "Two more workloads of the same image",
        &[
            (&format!("{base}/sets.yaml"), Some(both.as_str())),
            (&format!("{base}/kustomization.yaml"), Some("resources:\n- deployment.yaml\n- sets.yaml\n")),
        ],
    );
    site.push_image("local", "test-app", "1.3.0");
    let verdict = site.wait_verdict("test-app", "local", "1.3.0");
    assert_eq!(verdict["verdict"], "verified", "{verdict}");
    second.stop();
    first.stop();

    let (asked, refused) = release.asked();
    assert!(refused.is_empty(), "a right is missing: {refused:#?}");
    let granted = release.granted();
    let missing: Vec<_> = asked.difference(&granted).collect();
    let idle: Vec<_> = granted.difference(&asked).collect();
    assert!(
        missing.is_empty() && idle.is_empty(),
        "used and not granted: {missing:?}; granted and not used: {idle:?}"
    );
}

#[test]
fn the_chart_runs_where_only_restricted_pods_may() {
    let site = site("restricted");
    let release = Release::install(&site);
    site.kubectl(&[
        "wait",
        "--for=condition=Available",
        "--timeout=60s",
        "-n",
        &release.namespace,
        "deployment/promoted",
    ]);
    let pods =
        site.kubectl(&["get", "pods", "-n", &release.namespace, "-o", "jsonpath={.items[*].status.phase}"]);
    assert_eq!(pods, "Running Running");
}

#[test]
fn of_fluxs_objects_the_account_can_change_nothing_but_the_request_to_look() {
    let site = site("fence");
    let release = Release::install(&site);
    let (namespace, account) = (site.namespace("local"), format!("--as={}", release.account()));
    let patch = |changes: &str| site.patch_source_as(&release.account(), "local", changes);
    let ask = r#"{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":"now"}}}"#;
    let mut hours = 1;
    let refused = || {
        // What changes nothing is not refused.
        hours += 1;
        patch(&format!(r#"{{"spec":{{"interval":"{hours}h"}}}}"#)).is_err().then_some(())
    };
    bed::until(refused).unwrap_or_else(|| site.give_up("the policy did not come into force"));
    patch(ask).unwrap();

    for (change, words) in [
        (r#"{"spec":{"url":"http://evil.example/"}}"#, "must not change the spec"),
        (r#"{"metadata":{"labels":{"a":"b"}}}"#, "must not change the labels"),
        (r#"{"metadata":{"annotations":{"a":"b"}}}"#, "change no other"),
        (r#"{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":null}}}"#, "change no other"),
        (r#"{"metadata":{"finalizers":[]}}"#, "must not change the finalizers"),
    ] {
        let said = patch(change).expect_err(change);
        assert!(said.contains(words), "{change}: {said}");
    }
    // The admission policy is the second fence; most is not granted in the first place.
    for arguments in [
        vec!["patch", "kustomization", "apps", "--type=merge", "-p", ask],
        vec!["delete", "gitrepository", "deploy"],
        vec!["get", "secrets"],
        vec!["create", "token", "default"],
        vec!["delete", "pods", "--all"],
        vec!["scale", "deployment/test-app", "--replicas=0"],
    ] {
        let said = site.try_kubectl(&[arguments.as_slice(), &["-n", &namespace, &account]].concat());
        assert!(said.as_ref().is_err_and(|said| said.contains("orbidden")), "{arguments:?}: {said:?}");
    }
    // Others are not fenced.
    site.kubectl(&["label", "gitrepository", "deploy", "-n", &namespace, "team=shop"]);
}
