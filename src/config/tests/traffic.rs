//! What is read of `verify.prometheus`, `verify.traffic` and `verify.probe`, and what is wrong with it.

use super::*;

fn verify(keys: &str) -> Verify {
    parse(&with_verify(keys)).environments[&"local".parse().unwrap()].verify.clone()
}

/// The messages alone, each with its key below `verify`.
fn wrong(keys: &str) -> Vec<String> {
    let rest = |problem: String| problem.split_once("verify").unwrap().1.trim_start_matches('.').to_owned();
    problems(&with_verify(keys)).into_iter().map(rest).collect()
}

#[test]
fn what_is_written_is_meant() {
    let config = parse(FULL);
    let verify = &config.environments[&"staging".parse().unwrap()].verify;
    let traffic = verify.traffic.as_ref().unwrap();
    assert_eq!(traffic.prometheus.as_str(), "http://prometheus.istio-system:9090/prometheus");
    let close = |share: f64, expected: f64| assert!((share - expected).abs() < 1e-12, "{share}");
    close(traffic.success_rate.unwrap().rest(), 0.005);
    close(traffic.false_rollback.share(), 0.005);
    let latency = traffic.latency.unwrap();
    close(latency.percentile.share(), 0.99);
    assert_eq!(latency.max, Duration::from_millis(500));
    let probe = verify.probe.as_ref().unwrap();
    assert_eq!(probe.url.as_str(), "https://10.1.2.3:8443/healthz?deep=1");
    assert_eq!(probe.host.as_deref(), Some("app.example.org"));
    assert_eq!((probe.expect_status, probe.count), (204, 30));
}

#[test]
fn what_is_not_written_has_a_default() {
    assert_eq!(verify("timeout: 1m").traffic, None);
    assert_eq!(verify("timeout: 1m").probe, None);
    let traffic = verify("prometheus: 'http://p:9090', traffic: {successRate: 99}").traffic.unwrap();
    assert_eq!((traffic.false_rollback.share(), traffic.latency), (0.01, None));
    let probe = verify("probe: {url: 'http://127.0.0.1:8080'}").probe.unwrap();
    assert_eq!((probe.host, probe.expect_status, probe.count), (None, 200, 60));
}

#[test]
fn traffic_and_prometheus_need_each_other() {
    assert_eq!(
        wrong("traffic: {successRate: 99}"),
        ["traffic: nothing says where it is measured; add `prometheus: URL` beside it"]
    );
    assert_eq!(
        wrong("prometheus: 'http://p'"),
        ["prometheus: nothing is measured there; add `traffic: {successRate: 99.5}` or remove it"]
    );
    assert_eq!(
        wrong("prometheus: 'http://p', traffic: {falseRollback: 0.01}"),
        ["traffic: says nothing that must be met; add `successRate: 99.5` or `latency`"]
    );
}

#[test]
fn an_address_has_a_scheme_and_a_host_and_no_credentials() {
    for bad in ["prometheus:9090", "ftp://p", "http://", "p", "http://p/#a"] {
        let told = wrong(&format!("prometheus: '{bad}', traffic: {{successRate: 99}}"));
        assert!(told[0].starts_with("prometheus: not an address (got "), "{bad}: {told:?}");
    }
    let told = wrong("probe: {url: 'https://user:secret@app.example.org'}");
    assert!(told[0].starts_with("probe.url: carries credentials") && !told[0].contains("secret"), "{told:?}");
    for bad in ["http://169.254.169.254/latest", "http://[fe80::1]/", "http://[::ffff:169.254.169.254]"] {
        assert!(wrong(&format!("probe: {{url: '{bad}'}}"))[0].contains("link-local"), "{bad}");
    }
    assert_eq!(
        wrong("prometheus: 'http://p/?a=b', traffic: {successRate: 99}"),
        ["prometheus: carries a query; write the address that `/api/v1/query` is below"]
    );
}

#[test]
fn numbers_out_of_their_range_are_told() {
    for bad in ["100", "49.9", "99.9999", "-1", "1e2", "99.", ".5", "x", "'99,5'", "1000"] {
        let told = wrong(&format!("prometheus: 'http://p', traffic: {{successRate: {bad}}}"));
        assert!(told[0].starts_with("traffic.successRate: not a goal (got "), "{bad}: {told:?}");
    }
    for bad in ["0", "0.00001", "0.21", "1", "1 %"] {
        let told =
            wrong(&format!("prometheus: 'http://p', traffic: {{successRate: 99, falseRollback: {bad}}}"));
        assert!(told[0].starts_with("traffic.falseRollback: not a chance (got "), "{bad}: {told:?}");
    }
    assert_eq!(
        wrong("prometheus: 'http://p', traffic: {latency: {percentile: 99, max: 2h}}"),
        ["traffic.latency.max: longer than Istio measures; write 1h or less"]
    );
    assert_eq!(
        wrong("probe: {url: 'http://a', host: 'a:80', expectStatus: 99, count: 1.5}"),
        [
            "probe.host: not a host's name (got \"a:80\"); write one like app.example.org, without a port",
            "probe.expectStatus: not a number from 200 to 599 (got \"99\"); write a status that a request ends with, like 200",
            "probe.count: not a number from 1 to 10000 (got \"1.5\"); write how many good answers are enough, like 60"
        ]
    );
}
