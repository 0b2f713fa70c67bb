//! What the daemon tells about itself: metrics that Prometheus reads, and whether it is alive and of use.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::bed::{self, until};

/// The sum of all series of a metric that counts.
pub(crate) fn sum(text: &str, name: &str) -> u64 {
    let series =
        text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// The labels of a metric's first series.
fn labels(text: &str, name: &str) -> BTreeSet<String> {
    let series = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
    let series = series.unwrap_or_else(|| panic!("{name} is missing in\n{text}"));
    let series = series.rsplit_once('}').unwrap().0;
    series.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned())).collect()
}

#[test]
fn the_metrics_have_their_promised_names_and_labels() {
    let site = bed::site("metrics").environments(&["local"]).create();
    let daemon = site.promoted().start();
    site.wait_verdict("test-app", "local", "1.0.0");
    site.push_image("local", "test-app", "1.1.0");
    site.wait_verdict("test-app", "local", "1.1.0");
    site.push_image("local", "test-app", "1.2.0-bad-pull");
    site.wait_commit(|commit| commit.trailer("Promote-Source").starts_with("rollback"), "takes it back");
    let counted = || {
        let text = daemon.get("/metrics").1;
        (sum(&text, "promote_rollouts_total") >= 4).then_some(text)
    };

    let text = until(counted).expect("four verdicts are counted");

    for (name, expected) in [
        ("promote_scans_total", "registry result"),
        ("promote_registry_requests_total", "code method registry"),
        ("promote_commits_total", "app environment kind"),
        ("promote_rollouts_total", "app environment verdict"),
        ("promote_rollbacks_total", "app cause environment"),
        ("promote_stage_duration_seconds_count", "stage"),
        ("promote_lead_time_seconds_count", "app environment"),
        ("promote_version_info", "app digest environment image tag"),
        ("promote_versions_behind", "app environment"),
        ("promote_last_success_timestamp_seconds", "app environment"),
    ] {
        let labels: Vec<_> = labels(&text, name).into_iter().collect();
        assert_eq!(labels.join(" "), expected, "{name}");
    }
    assert_eq!(sum(&text, "promote_config_valid"), 1);
    assert_eq!(sum(&text, "promote_leader"), 1, "alone, it works");
    assert!(text.contains("promote_push_retries_total 0"), "{text}");
    assert_eq!(sum(&text, "promote_commits_total"), 3);
    assert_eq!(sum(&text, "promote_rollbacks_total"), 1);
    for stage in ["scan", "commit", "push", "reconcile", "rollout", "verify"] {
        assert!(text.contains(&format!("stage=\"{stage}\"")), "{stage} is missing");
    }
    let versions: Vec<_> = text.lines().filter(|line| line.starts_with("promote_version_info{")).collect();
    assert_eq!(versions.len(), 1, "one version per app and environment: {versions:?}");
    assert!(versions[0].contains("tag=\"1.1.0\"") && versions[0].ends_with("} 1"), "{versions:?}");
    daemon.stop();
}

#[test]
fn the_metrics_are_well_formed() {
    let site = bed::site("format").environments(&["local"]).create();
    let daemon = site.promoted().start();
    site.wait_verdict("test-app", "local", "1.0.0");
    let answer = daemon.request("GET", "/metrics", &[], b"");
    assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let text = answer.text();
    let mut types = BTreeMap::new();
    let mut helped = BTreeSet::new();
    let mut series = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(helped.insert(name) && help.ends_with('.'), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(types.insert(name, kind).is_none(), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        } else {
            let (key, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(series.insert(key), "{key} is told twice");
            let name = key.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| {
                    name.strip_suffix(end).filter(|family| types.get(family) == Some(&"histogram"))
                })
                .unwrap_or(name);
            assert!(types.contains_key(family) && helped.contains(family), "{line}");
            assert!(family.starts_with("promote_"), "{line}");
        }
    }
    daemon.stop();
}

#[test]
fn the_daemon_is_alive_from_the_start_and_ready_when_all_parts_are_usable() {
    let site = bed::site("ready").environments(&["local"]).create();
    let daemon = site.promoted().start();
    assert_eq!(daemon.get("/healthz").0, 200);

    let ready = until(|| Some(daemon.get("/readyz")).filter(|(status, _)| *status == 200));

    let report: Value = serde_json::from_str(&ready.expect("the daemon gets ready").1).unwrap();
    assert_eq!((&report["apiVersion"], &report["ready"]), (&"promote/v1".into(), &true.into()));
    let host = site.registry("local").split('/').next().unwrap().to_owned();
    let parts: Vec<_> =
        report["parts"].as_array().unwrap().iter().filter_map(|part| part["part"].as_str()).collect();
    for part in ["config".to_owned(), "git".to_owned(), format!("registry {host}")] {
        assert!(parts.contains(&part.as_str()), "{part} is not in {parts:?}");
    }
    daemon.stop();
}

#[test]
fn a_registry_that_is_down_makes_the_daemon_unready_and_says_why() {
    let site = bed::site("unready").environments(&["local"]).create();
    site.write_config(|text| text.replace(&site.registry("local"), "127.0.0.1:1/nobody"));
    let daemon = site.promoted().start();
    let unready = || {
        let (status, text) = daemon.get("/readyz");
        let report: Value = serde_json::from_str(&text).ok()?;
        let parts = report["parts"].as_array()?.clone();
        let part = parts.into_iter().find(|part| part["part"] == "registry 127.0.0.1:1")?;
        (status == 503 && part["reason"] != "not looked at yet").then_some(part)
    };

    let part = until(unready).expect("/readyz names the registry");

    assert_eq!(part["ok"], false);
    assert!(part["reason"].as_str().unwrap().contains("127.0.0.1:1"), "{part}");
    assert_eq!(daemon.get("/healthz").0, 200, "alive all the same");
    daemon.stop();
}

#[test]
fn one_repository_that_does_not_exist_says_nothing_about_its_registry() {
    let site = bed::site("no-repository").environments(&["local"]).apps(&["test-app", "worker"]).create();
    let worker = "      worker: {policy: {semver: {range: \">=1.0.0-0\"}}}";
    site.write_config(|text| {
        text.replace(worker, &worker.replace("{policy", "{repository: nowhere, policy"))
    });
    let daemon = site.promoted().start();
    let told = || Some(daemon.get("/readyz")).filter(|(_, text)| text.contains("nowhere"));
    assert_eq!(until(told).expect("/readyz names the repository").0, 200);
    site.push_image("local", "test-app", "1.1.0");
    assert_eq!(site.wait_verdict("test-app", "local", "1.1.0")["verdict"], "verified");
    daemon.stop();
}
