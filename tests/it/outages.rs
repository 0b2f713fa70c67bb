//! An API server that is cut off, hangs or shows only a part proves nothing about a version.

use std::time::Duration;

use serde_json::Value;

use crate::bed::{self, Proxy, ServerFault, Site, Wire, bed, until};

fn site(name: &str, verify: &str) -> Site {
    bed::site(name).environments(&["local"]).verify(verify).create()
}

#[test]
fn a_watch_that_is_cut_again_and_again_goes_on_where_it_was() {
    let site = site("cut", "{timeout: 60s, stableFor: 6s}");
    let wire = Wire::new();
    wire.put_before(&site);
    site.push_image("local", "test-app", "1.1.0");
    let daemon = site.promoted().start();
    let verdict = until(|| {
        wire.jerk();
        std::thread::sleep(Duration::from_secs(2));
        site.verdicts().into_iter().find(|verdict| verdict["tag"] == "1.1.0")
    });
    daemon.stop();
    let verdict = verdict.unwrap_or_else(|| site.give_up("there was no verdict on 1.1.0"));
    assert_eq!(verdict["verdict"], "verified", "{verdict}");
}

#[test]
fn an_outage_of_the_api_server_is_waited_out() {
    let site = site("outage", "{timeout: 30s, stableFor: 1s}");
    site.once().expect_code(0);
    let wire = Wire::new();
    wire.put_before(&site);
    site.push_image("local", "test-app", "1.1.0-bad-slow");
    let daemon = site.promoted().start();
    daemon.wait_log("\"rolling out\"");
    wire.cut();
    daemon.wait_log("can't be reached");
    site.wait_rolled_out("local", "test-app", "1.1.0-bad-slow");
    wire.mend();
    let verdict = site.wait_verdict("test-app", "local", "1.1.0-bad-slow");
    daemon.stop();
    assert_eq!(verdict["verdict"], "verified", "{verdict}");
}

#[test]
fn an_api_server_that_hangs_takes_no_version_back() {
    let site = site("hangs", "{timeout: 15s, stableFor: 1s}");
    site.once().expect_code(0);
    let wire = Wire::new();
    wire.put_before(&site);
    site.push_image("local", "test-app", "1.1.0-bad-never-ready");
    let daemon = site.promoted().start();
    daemon.wait_log("\"rolling out\"");
    std::thread::sleep(Duration::from_secs(2));
    wire.hold();
    let verdict = site.wait_verdict("test-app", "local", "1.1.0-bad-never-ready");
    daemon.stop();
    assert_eq!(verdict["verdict"], "unknown", "{verdict}");
    assert_eq!(site.moves().len(), 1, "nothing was taken back");
}

/// The verdicts on a good and on a bad version, where the API server has that fault all the time.
fn verdicts_with(fault: ServerFault, name: &str) -> [Value; 2] {
    let site = site(name, "{timeout: 60s, stableFor: 1s}");
    site.once().expect_code(0);
    let proxy = Proxy::new(fault);
    proxy.put_before(&site);
    let daemon = site.promoted().start();
    let verdicts = ["1.1.0", "1.2.0-bad-pull"].map(|tag| {
        let before = proxy.shown();
        site.push_image("local", "test-app", tag);
        let verdict = site.wait_verdict("test-app", "local", tag);
        assert!(proxy.shown() > before, "the daemon has not met the fault: {verdict}");
        verdict
    });
    site.wait_commit(|commit| commit.subject == "test-app: local 1.2.0-bad-pull → 1.1.0", "takes it back");
    daemon.stop();
    verdicts
}

#[test]
fn an_api_server_that_asks_to_be_left_alone_delays_a_verdict_and_changes_none() {
    let [good, bad] = verdicts_with(ServerFault::Busy, "busy");
    assert_eq!((&good["verdict"], &bad["verdict"]), (&"verified".into(), &"failed".into()), "{good} {bad}");
}

#[test]
fn a_watch_that_the_api_server_has_forgotten_is_listed_anew() {
    for (fault, name) in [(ServerFault::Gone, "gone"), (ServerFault::Expired, "expired")] {
        let [good, bad] = verdicts_with(fault, name);
        assert_eq!(
            (&good["verdict"], &bad["verdict"]),
            (&"verified".into(), &"failed".into()),
            "{fault:?}: {good} {bad}"
        );
    }
}

#[test]
fn a_watch_that_is_cut_every_five_seconds_misses_nothing() {
    let site = site("cut-watch", "{timeout: 60s, stableFor: 12s}");
    site.once().expect_code(0);
    let proxy = Proxy::new(ServerFault::Cut(Duration::from_secs(5)));
    proxy.put_before(&site);
    let daemon = site.promoted().start();
    site.push_image("local", "test-app", "1.1.0");
    let verdict = site.wait_verdict("test-app", "local", "1.1.0");
    assert_eq!(verdict["verdict"], "verified", "{verdict}");
    assert!(proxy.shown() >= 3, "{} watches were cut", proxy.shown());
    proxy.set(ServerFault::None);
    daemon.stop();
}

/// What the daemon needs to see in a namespace, as the chart has it.
const RIGHTS: [(&str, &str); 5] =
    [("apps", "deployments"), ("apps", "replicasets"), ("", "pods"), ("", "events"), ("", "pods/log")];

/// Lets the site's daemon be an account with all rights but one.
fn without(site: &Site, left_out: &str) {
    let namespace = site.namespace("local");
    let rules: Vec<String> = RIGHTS
        .iter()
        .filter(|(_, resource)| *resource != left_out)
        .map(|(group, resource)| {
            format!("- {{apiGroups: [\"{group}\"], resources: [{resource}], verbs: [get, list, watch]}}\n")
        })
        .collect();
    let objects = format!(
        "apiVersion: v1
kind: ServiceAccount
metadata: {{name: looks}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: looks}}
rules:
- {{apiGroups: [kustomize.toolkit.fluxcd.io, source.toolkit.fluxcd.io], resources: [\"*\"], verbs: [list, watch, patch]}}
{}---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: looks}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: looks}}
subjects: [{{kind: ServiceAccount, name: looks, namespace: {namespace}}}]
",
        rules.concat()
    );
    site.apply(&objects, &["-n", &namespace]);
    let token = site.kubectl(&["create", "token", "looks", "-n", &namespace]);
    let text = std::fs::read_to_string(&bed().kubeconfig).unwrap();
    let mut kubeconfig: Value = serde_yaml::from_str(&text).unwrap();
    kubeconfig["users"][0]["user"] = serde_json::json!({"token": token.trim()});
    site.write_secret("kubeconfig", &kubeconfig.to_string());
}

#[test]
fn a_right_that_is_missing_is_named_and_the_rest_works() {
    let site = site("rights", "{timeout: 20s, stableFor: 1s, onFailure: hold}");
    for (number, (left_out, expected, words)) in [
        ("replicasets", "verified", "not seen: replicasets.apps is forbidden"),
        ("pods", "unknown", "its pods cannot be seen: pods is forbidden"),
        ("deployments", "unknown", "deployments.apps is forbidden"),
        ("events", "verified", "pods run the expected image"),
        ("pods/log", "verified", "pods run the expected image"),
    ]
    .into_iter()
    .enumerate()
    {
        without(&site, left_out);
        let tag = format!("1.{}.0", number + 1);
        site.push_image("local", "test-app", &tag);
        site.once();
        let verdict = site.wait_verdict("test-app", "local", &tag);
        assert_eq!(verdict["verdict"], expected, "without {left_out}: {verdict}");
        assert!(verdict.to_string().contains(words), "without {left_out}: {verdict}");
    }
    // What only explains is missed without a word.
    without(&site, "events");
    site.push_image("local", "test-app", "1.9.0-bad-crash");
    site.once().expect_code(5);
    let verdict = site.wait_verdict("test-app", "local", "1.9.0-bad-crash");
    assert_eq!(verdict["reasons"].as_array().unwrap().len(), 1, "{verdict}");
}
