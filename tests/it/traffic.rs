//! Traffic and probes decide with evidence alone: worse requests take a version back, and what can't be measured is unknown.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bed::{self, Site, Wire, mesh};

/// `verify` with a goal of 99 %. Evidence of 20 to 1 is enough here, so that a test need not wait for that of 100 to 1.
fn rules(timeout: &str, goal: &str) -> String {
    let prometheus = &mesh().prometheus;
    format!(
        "{{timeout: {timeout}, stableFor: 1s, prometheus: \"{prometheus}\", traffic: {{{goal}, falseRollback: 0.05}}}}"
    )
}

fn routed(name: &str, verify: &str) -> Site {
    let site = bed::site(name).environments(&["local"]).verify(verify).routed().create();
    site.wait_routed("local", "test-app");
    site
}

/// Adds a probe of the app through the gateway.
fn probed(site: &Site, host: &str, count: u32) {
    let gateway = &mesh().gateway;
    let probe = format!("stableFor: 1s, probe: {{url: \"{gateway}/\", host: {host}, count: {count}}}");
    site.write_config(|text| text.replace("stableFor: 1s", &probe));
}

/// The verdict on a version; users ask for the app while it is waited for, if there are `users`.
fn verdict(site: &Site, tag: &str, users: bool) -> Value {
    let began = Instant::now();
    loop {
        if users {
            site.traffic("local", "test-app", 5);
        }
        let of = |verdict: &Value| verdict["tag"] == tag;
        if let Some(found) = site.verdicts().into_iter().rfind(of) {
            return found;
        }
        if began.elapsed() > Duration::from_mins(3) {
            site.give_up(&format!("there was no verdict on {tag}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn layer(verdict: &Value, name: &str) -> (String, String) {
    let layers = verdict["layers"].as_array().expect("a verdict has layers");
    let found = layers.iter().find(|layer| layer["layer"] == name).expect("the layer is there");
    (found["result"].as_str().unwrap().to_owned(), found["detail"].as_str().unwrap().to_owned())
}

fn reason(verdict: &Value) -> &str {
    verdict["reasons"][0].as_str().expect("a verdict has a reason")
}

#[test]
fn a_version_whose_requests_fail_is_taken_back_with_the_evidence() {
    let site = routed("traffic-errors", &rules("150s", "successRate: 99"));
    let _daemon = site.promoted().start();
    let tag = "1.1.0-bad-errors-50";
    site.push_image("local", "test-app", tag);

    let verdict = verdict(&site, tag, true);

    assert_eq!(verdict["verdict"], "failed", "{verdict}");
    let (result, detail) = layer(&verdict, "traffic");
    assert_eq!(result, "fail", "{verdict}");
    assert!(detail.starts_with("new ") && detail.contains(" failed, ") && detail.contains("E="), "{detail}");
    site.wait_commit(|commit| commit.subject.ends_with("→ 1.0.0"), "takes it back");
}

#[test]
fn a_version_that_is_slower_than_it_may_be_is_taken_back() {
    let site = routed("traffic-slow", &rules("150s", "latency: {percentile: 99, max: 400ms}"));
    let _daemon = site.promoted().start();
    let tag = "1.1.0-bad-delay-700";
    site.push_image("local", "test-app", tag);

    let verdict = verdict(&site, tag, true);

    assert_eq!(verdict["verdict"], "failed", "{verdict}");
    assert!(reason(&verdict).contains("slower than 500 ms"), "the next bound of the histogram: {verdict}");
}

#[test]
fn a_version_whose_requests_are_good_is_verified_and_says_what_is_excluded() {
    let site = routed("traffic-good", &rules("150s", "successRate: 99"));
    let _daemon = site.promoted().start();
    site.push_image("local", "test-app", "1.1.0");

    let verdict = verdict(&site, "1.1.0", true);

    assert_eq!(verdict["verdict"], "verified", "{verdict}");
    let (result, detail) = layer(&verdict, "traffic");
    assert_eq!(result, "pass", "{verdict}");
    assert!(detail.starts_with("new 0/") && detail.contains("10 % or more excluded with 99 %"), "{detail}");
    assert_eq!(layer(&verdict, "probe").0, "left-out");
}

#[test]
fn without_users_clean_probes_verify_and_traffic_is_named_as_without_evidence() {
    let site = routed("traffic-probe", &rules("150s", "successRate: 99"));
    let host = site.host("local", "test-app");
    probed(&site, &host, 10);
    let _daemon = site.promoted().start();
    site.push_image("local", "test-app", "1.1.0");

    let verdict = verdict(&site, "1.1.0", false);

    assert_eq!(verdict["verdict"], "verified", "{verdict}");
    let (result, detail) = layer(&verdict, "probe");
    assert!(result == "pass" && detail.contains(&host), "{verdict}");
    let (result, detail) = layer(&verdict, "traffic");
    assert!(result == "left-out" && detail.contains("the probe stands in"), "{verdict}");
}

#[test]
fn without_users_and_without_a_probe_nothing_is_known() {
    let site = routed("traffic-none", &rules("50s", "successRate: 99"));
    site.push_image("local", "test-app", "1.1.0");
    site.once().expect_code(6);

    let verdict = verdict(&site, "1.1.0", false);

    assert_eq!(verdict["verdict"], "unknown", "{verdict}");
    assert!(reason(&verdict).contains("no probe is set"), "{verdict}");
    assert_eq!(site.moves().len(), 1, "nothing is taken back");
}

#[test]
fn a_prometheus_that_does_not_answer_is_no_evidence() {
    let site = routed(
        "traffic-down",
        "{timeout: 50s, stableFor: 1s, prometheus: \"http://127.0.0.1:1\", traffic: {successRate: 99}}",
    );
    site.push_image("local", "test-app", "1.1.0-bad-errors-50");
    site.once().expect_code(6);

    let verdict = verdict(&site, "1.1.0-bad-errors-50", false);

    assert_eq!(verdict["verdict"], "unknown", "{verdict}");
    assert!(reason(&verdict).contains("does not answer"), "{verdict}");
    assert_eq!(site.moves().len(), 1, "nothing is taken back");
}

#[test]
fn the_clock_stands_while_prometheus_is_away() {
    let server = mesh().prometheus.trim_start_matches("http://").to_owned();
    let wire = Wire::to(&server);
    wire.cut();
    let verify = rules("70s", "successRate: 99").replace(&server, wire.address());
    let site = routed("traffic-away", &verify);
    let _daemon = site.promoted().start();
    site.push_image("local", "test-app", "1.1.0");
    site.wait_rolled_out("local", "test-app", "1.1.0");
    // Too long for what is left of the 70 s to be enough for evidence.
    std::thread::sleep(Duration::from_mins(1));
    wire.mend();

    let verdict = verdict(&site, "1.1.0", true);

    assert_eq!(verdict["verdict"], "verified", "{verdict}");
    assert_eq!(layer(&verdict, "traffic").0, "pass", "{verdict}");
}

#[test]
fn pods_that_prometheus_does_not_reach_are_no_evidence() {
    let site = routed("traffic-gap", &rules("60s", "successRate: 99"));
    let _daemon = site.promoted().start();
    site.push_image("local", "test-app", "1.1.0");
    site.wait_rolled_out("local", "test-app", "1.1.0");
    for pod in site.pods("local", "test-app") {
        site.order_pod("local", pod["metadata"]["name"].as_str().unwrap(), &json!({"scrape": false}));
    }

    let verdict = verdict(&site, "1.1.0", true);

    assert_eq!(verdict["verdict"], "unknown", "{verdict}");
    assert!(reason(&verdict).contains("telemetry gap"), "{verdict}");
    assert_eq!(site.moves().len(), 1, "nothing is taken back");
}

#[test]
fn metrics_without_pods_are_judged_by_the_goal_alone_and_that_is_said() {
    let site = routed("traffic-podless", "{timeout: 150s, stableFor: 1s}");
    let prometheus = site.prometheus_without("pod");
    site.write_config(|text| {
        let more =
            format!("timeout: 150s, prometheus: \"{}\", traffic: {{successRate: 99}}", prometheus.address());
        text.replace("timeout: 150s", &more)
    });
    let _daemon = site.promoted().start();
    site.push_image("local", "test-app", "1.1.0");

    let verdict = verdict(&site, "1.1.0", true);

    assert_eq!(verdict["verdict"], "verified", "{verdict}");
    let (result, detail) = layer(&verdict, "traffic");
    assert!(result == "pass" && detail.contains("the metrics have no `pod`"), "{verdict}");
}

#[test]
fn a_probe_that_worked_for_the_version_before_takes_the_next_one_back() {
    let site = routed("probe-breaks", "{timeout: 150s, stableFor: 1s}");
    let host = site.host("local", "test-app");
    probed(&site, &host, 5);
    let _daemon = site.promoted().start();
    assert_eq!(verdict(&site, "1.0.0", false)["verdict"], "verified");
    let tag = "1.1.0-bad-errors-100";
    site.push_image("local", "test-app", tag);

    let verdict = verdict(&site, tag, false);

    assert_eq!(verdict["verdict"], "failed", "{verdict}");
    assert!(reason(&verdict).contains("worked before"), "{verdict}");
    site.wait_commit(|commit| commit.subject.ends_with("→ 1.0.0"), "takes it back");
}

#[test]
fn a_probe_of_what_has_no_route_blames_no_version() {
    let site = routed("probe-lost", "{timeout: 50s, stableFor: 1s}");
    probed(&site, "nobody.example", 5);
    site.push_image("local", "test-app", "1.1.0");
    site.once().expect_code(6);

    let verdict = verdict(&site, "1.1.0", false);

    assert_eq!(verdict["verdict"], "unknown", "{verdict}");
    assert!(reason(&verdict).contains("it has no route for this host"), "{verdict}");
    assert_eq!(site.moves().len(), 1, "nothing is taken back");
}
