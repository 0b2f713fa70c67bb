//! The chart's daemon does its whole work with exactly the rights that the chart gives it.

mod fence;
mod form;

use std::collections::BTreeSet;
use std::process::Command;

use serde::Deserialize as _;
use serde_json::Value;

use crate::bed::{self, Daemon, Pod, Site, bed, until};

/// A right: verb and resource, in a namespace; the last is empty for a right in all of them.
type Right = (String, String, String);

/// What real Helm renders for those values.
fn render(namespace: &str, values: &[&str]) -> String {
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/promoted");
    let mut helm = Command::new(bed::tools().join("bin/helm"));
    helm.args(["template", "promoted", chart, "--namespace", namespace, "--kube-version", "1.36.0"]);
    for value in values {
        helm.args(["--set", value]);
    }
    let output = helm.output().expect("helm can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("YAML is UTF-8")
}

/// The chart, installed for a site in a namespace of its own that enforces the "restricted" Pod Security Standard.
struct Release {
    namespace: String,
    objects: Vec<Value>,
}

impl Release {
    /// For the environment local, with the right to look at its namespace alone.
    fn install(site: &Site) -> Self {
        Self::install_for(site, &["local"], None)
    }

    /// For those environments, with the right to look at their namespaces, or at all.
    fn install_for(site: &Site, environments: &[&str], all: Option<&str>) -> Self {
        let namespace = format!("{}-system", site.name());
        site.kubectl(&["create", "namespace", &namespace]);
        site.kubectl(&["label", "namespace", &namespace, "pod-security.kubernetes.io/enforce=restricted"]);
        let credentials = format!("--from-file={}", bed().git_credentials.display());
        site.kubectl(&["create", "secret", "generic", "git", "-n", &namespace, &credentials]);
        let namespaces: Vec<String> = environments.iter().map(|name| site.namespace(name)).collect();
        let namespaces = namespaces.join(",");
        let named = format!("rbac.appNamespaces={{{namespaces}}}");
        let values = [
            &format!("repo={}", site.repo_with_password()),
            &format!("environments={{{}}}", environments.join(",")),
            &format!("rbac.fluxNamespaces={{{namespaces}}}"),
            "replicas=2",
            "gitCredentials.secretName=git",
            all.unwrap_or(&named),
        ];
        let rendered = render(&namespace, &values);
        site.apply(&rendered, &[]);
        Self { namespace, objects: parse(&rendered) }
    }

    fn account(&self) -> String {
        format!("system:serviceaccount:{}:promoted", self.namespace)
    }

    /// Starts the program as the Deployment's container: with its arguments, and with its Secrets mounted.
    fn start(&self, site: &Site, name: &str) -> Daemon {
        let template = &self.of("Deployment")[0]["spec"]["template"]["spec"];
        let mut pod = Pod::new(site, name, &self.namespace, "promoted");
        for (path, secret) in mounts(template) {
            pod = pod.with_mount(secret.map(|secret| site.mount_secret(&self.namespace, &secret)), &path);
        }
        site.promoted().in_pod(pod).rendered(&arguments(template)).start()
    }

    fn of(&self, kind: &str) -> Vec<&Value> {
        self.objects.iter().filter(|object| object["kind"] == kind).collect()
    }

    /// The names of the roles that are for no single namespace, in order.
    fn cluster_roles(&self) -> Vec<String> {
        let roles = self.of("ClusterRole").into_iter().map(|role| role["metadata"]["name"].as_str().unwrap());
        let mut roles: Vec<String> = roles.map(str::to_owned).collect();
        roles.sort();
        roles
    }

    /// What the chart's Roles grant.
    fn granted(&self) -> BTreeSet<Right> {
        let mut granted = BTreeSet::new();
        for role in self.of("Role").into_iter().chain(self.of("ClusterRole")) {
            for rule in role["rules"].as_array().unwrap() {
                for resource in rule["resources"].as_array().unwrap() {
                    for verb in rule["verbs"].as_array().unwrap() {
                        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
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
            let resource = match object["subresource"].as_str() {
                Some(part) => format!("{}/{part}", word(&object["resource"])),
                None => word(&object["resource"]),
            };
            let right = (word(&event["verb"]), resource, word(&object["namespace"]));
            let is_refused = event["responseStatus"]["code"].as_u64().is_some_and(|code| code == 403);
            match right.1.as_str() {
                // Logs are asked for where they may help, and nothing is missing where they may not be read.
                "pods/log" if is_refused => {}
                _ if is_refused => refused.push(event),
                _ => _ = asked.insert(right),
            }
        }
        (asked, refused)
    }
}

fn parse(yaml: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(yaml).map(|document| Value::deserialize(document).unwrap()).collect()
}

/// The arguments of the only container of a Pod's specification.
fn arguments(template: &Value) -> Vec<&str> {
    template["containers"][0]["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

/// What that container has mounted where: the name of a Secret, or an empty folder.
fn mounts(template: &Value) -> Vec<(String, Option<String>)> {
    let volumes = template["volumes"].as_array().unwrap();
    let mounts = template["containers"][0]["volumeMounts"].as_array().unwrap();
    let mount = |mount: &Value| {
        let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).unwrap();
        let secret = volume["secret"]["secretName"].as_str().map(str::to_owned);
        (mount["mountPath"].as_str().unwrap().to_owned(), secret)
    };
    mounts.iter().map(mount).collect()
}

/// A site whose daemon is the chart's, in the cluster that promote.yaml says, if it says so at all.
fn site(name: &str, cluster: &str) -> Site {
    let site = bed::site(name).environments(&["local"]).create();
    site.write_config(|text| text.replace("    cluster: {kubeconfig: kubeconfig}\n", cluster));
    site
}

/// The environments of the whole job: what is verified in the first goes to the second by itself.
const BOTH: [&str; 2] = ["local", "aws"];

/// A site for the whole job, as [`site`].
fn promoting_site(name: &str, cluster: &str) -> Site {
    // In the mesh, since the rights to look at it are to be used, too.
    let site = bed::site(name).environments(&BOTH).mesh().create();
    site.write_config(|text| {
        text.replace("    cluster: {kubeconfig: kubeconfig}\n", cluster)
            .replace("    after: [local]\n", "    after: [local]\n    update: auto\n")
    });
    site
}

/// Good and bad versions, a promotion, each kind of workload, with two replicas of the daemon.
fn the_whole_job(site: &Site, release: &Release) {
    let first = release.start(site, "one");
    first.wait_log("this replica leads");
    let second = release.start(site, "two");
    second.wait_log("this replica waits");
    site.wait_verdict("test-app", "local", "1.0.0");

    site.push_image("local", "test-app", "1.1.0");
    for environment in BOTH {
        assert_eq!(site.wait_verdict("test-app", environment, "1.1.0")["verdict"], "verified");
    }
    site.push_image("local", "test-app", "1.2.0-bad-pull");
    assert_eq!(site.wait_verdict("test-app", "local", "1.2.0-bad-pull")["verdict"], "failed");
    site.wait_commit(|commit| commit.subject == "test-app: local 1.2.0-bad-pull → 1.1.0", "takes it back");
    // Other kinds beside the Deployment: the rights to look at them are there for a reason.
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
    let all = format!("{stateful}---\n{daemon}---\n{JOBS}");
    site.commit(
        "More workloads of the same image",
        &[
            (&format!("{base}/sets.yaml"), Some(all.as_str())),
            (&format!("{base}/kustomization.yaml"), Some("resources:\n- deployment.yaml\n- sets.yaml\n")),
        ],
    );
    site.push_image("local", "test-app", "1.3.0");
    for environment in BOTH {
        let verdict = site.wait_verdict("test-app", environment, "1.3.0");
        assert_eq!(verdict["verdict"], "verified", "{verdict}");
    }
    site.wait_commit(|commit| commit.subject == "test-app: aws 1.1.0 → 1.3.0", "promotes 1.3.0");
    second.stop();
    first.stop();
}

const JOBS: &str = "apiVersion: batch/v1
kind: Job
metadata: {name: migrate, annotations: {kustomize.toolkit.fluxcd.io/force: Enabled}}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: migrate, image: test-app}]}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: '0 0 1 1 *'
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: nightly, image: test-app}]}}}}
";

/// Panics unless everything that was asked for is granted, and nothing else.
fn all_rights_are_needed_and_none_is_missing(release: &Release) {
    let granted = release.granted();
    let covers = |granted: &Right, asked: &Right| {
        (&granted.0, &granted.1) == (&asked.0, &asked.1) && (granted.2.is_empty() || granted.2 == asked.2)
    };
    let idle = |asked: &BTreeSet<Right>| -> Vec<Right> {
        // Events explain what fails, and not in every namespace something does.
        let explains = |right: &Right, asked: &Right| right.1 == "events" && asked.1 == "events";
        let is_used =
            |right: &&Right| asked.iter().any(|asked| covers(right, asked) || explains(right, asked));
        granted.iter().filter(|right| !is_used(right)).cloned().collect()
    };
    // A watch is written down when it has ended, which the API server may take its time for.
    _ = until(|| idle(&release.asked().0).is_empty().then_some(()));
    let (asked, refused) = release.asked();
    assert!(refused.is_empty(), "a right is missing: {refused:#?}");
    let missing: Vec<_> =
        asked.iter().filter(|asked| !granted.iter().any(|right| covers(right, asked))).collect();
    let idle = idle(&asked);
    assert!(
        missing.is_empty() && idle.is_empty(),
        "used and not granted: {missing:?}; granted and not used: {idle:?}"
    );
}

#[test]
fn the_whole_job_is_done_with_exactly_the_rights_of_the_chart() {
    let site = promoting_site("chart", "");
    let release = Release::install_for(&site, &BOTH, None);
    // Nodes belong to no namespace; nothing else is granted beyond those that are named.
    assert_eq!(release.cluster_roles(), [format!("{}-promoted-nodes", release.namespace)]);
    the_whole_job(&site, &release);
    all_rights_are_needed_and_none_is_missing(&release);
}

#[test]
fn the_whole_job_is_done_with_exactly_the_rights_for_all_namespaces() {
    let site = promoting_site("chart-all", "    cluster: inCluster\n");
    let release = Release::install_for(&site, &BOTH, Some("rbac.allNamespaces=true,rbac.podLogs=true"));
    let expected = ["apps", "nodes"].map(|role| format!("{}-promoted-{role}", release.namespace));
    assert_eq!(release.cluster_roles(), expected);
    the_whole_job(&site, &release);
    all_rights_are_needed_and_none_is_missing(&release);
}

#[test]
fn the_chart_runs_where_only_restricted_pods_may() {
    let site = site("restricted", "");
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
