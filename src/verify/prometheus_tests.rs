#![allow(clippy::unwrap_used)]
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::*;

/// A stand-in that answers as a real Prometheus can't be made to; what was asked is kept.
struct StandIn {
    address: Url,
    asked: Arc<Mutex<Vec<String>>>,
}

type Answering = Arc<dyn Fn(&str) -> (u16, String) + Send + Sync>;

async fn stand_in(answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> StandIn {
    _ = rustls::crypto::ring::default_provider().install_default();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let state: (Arc<Mutex<Vec<String>>>, Answering) = (asked.clone(), Arc::new(answer));
    let handle = |State((asked, answer)): State<(Arc<Mutex<Vec<String>>>, Answering)>, body: String| async move {
        let query = form_urlencoded::parse(body.as_bytes()).next().map(|(_, query)| query.into_owned());
        let query = query.unwrap_or_default();
        asked.lock().unwrap().push(query.clone());
        let (status, body) = answer(&query);
        (StatusCode::from_u16(status).unwrap(), body)
    };
    let router = Router::new().fallback(handle).with_state(state);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/prometheus", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        // axum's own server would need a feature that the product does not.
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper_util::service::TowerToHyperService::new(router.clone());
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(hyper_util::rt::TokioIo::new(stream), service),
            );
        }
    });
    StandIn { address, asked }
}

fn vector(elements: &[(Value, &str)]) -> (u16, String) {
    let result: Vec<Value> =
        elements.iter().map(|(metric, value)| json!({"metric": metric, "value": [1000.0, value]})).collect();
    (200, json!({"status": "success", "data": {"resultType": "vector", "result": result}}).to_string())
}

fn question() -> Question {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Question {
        namespace: "shop".to_owned(),
        workload: "web".to_owned(),
        new: names(&["web-b-1", "web-b-2"]),
        old: names(&["web-a-1"]),
        bound: Some(Bound::new(500.0)),
    }
}

const INTERVAL: Duration = Duration::from_secs(15);

async fn answered(
    answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static,
) -> Result<Answered, String> {
    let stand_in = stand_in(answer).await;
    let prometheus = Prometheus::new(&stand_in.address).unwrap();
    prometheus.read(&question(), INTERVAL).await.map_err(|error| error.to_string())
}

/// A Prometheus in good order, where `other` does not answer first.
fn sound(query: &str) -> (u16, String) {
    let series = |pod: &str, code: &str, value| {
        let labels =
            json!({"pod": pod, "request_protocol": "http", "response_code": code, "response_flags": "-"});
        (labels, value)
    };
    let pod = |pod: &str, value| (json!({"pod": pod}), value);
    let bucket = |pod: &str, le: &str, value| (json!({"pod": pod, "le": le}), value);
    if query == "vector(time())" {
        vector(&[(json!({}), "1000")])
    } else if query.contains("_bucket") {
        vector(&[
            bucket("web-b-1", "+Inf", "30"),
            bucket("web-b-1", "500", "29"),
            bucket("web-b-2", "+Inf", "4"),
        ])
    } else if query.contains("max_over_time") {
        vector(&[series("web-a-1", "200", "900")])
    } else if query.contains("timestamp(istio") {
        vector(&[pod("web-b-1", "990"), pod("web-a-1", "700")])
    } else if query.contains("timestamp(up") {
        vector(&[pod("web-b-1", "999"), pod("web-b-2", "995")])
    } else if query.contains("(up{") {
        vector(&[pod("web-b-1", "1"), pod("web-b-2", "1")])
    } else {
        vector(&[series("web-b-1", "200", "20"), series("web-b-1", "503", "10")])
    }
}

#[tokio::test]
async fn a_reading_has_the_counters_their_age_and_their_time() {
    let answered = answered(sound).await.unwrap();
    let counters: Vec<(&str, bool, u64)> =
        answered.reading.requests.iter().map(|one| (one.of.as_str(), one.failed, one.value)).collect();
    assert_eq!(counters, [("web-b-1", false, 20), ("web-b-1", true, 10), ("web-a-1", false, 900)]);
    // A pod of which not both bounds are known is not counted.
    assert_eq!(answered.reading.durations, [Durations { of: "web-b-1".to_owned(), all: 30, within: 29 }]);
    let age = |pod: &str| answered.ages.get(pod).copied();
    assert_eq!((age("web-b-1"), age("web-b-2"), age("web-b-3")), (Some(10.0), Some(5.0), None));
    assert!((answered.reading.at - 990.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn the_queries_are_of_the_pods_of_that_namespace_alone() {
    let stand_in = stand_in(sound).await;
    Prometheus::new(&stand_in.address).unwrap().read(&question(), INTERVAL).await.unwrap();
    let asked = stand_in.asked.lock().unwrap().clone();
    let of = |needle: &str| asked.iter().find(|query| query.contains(needle)).unwrap().clone();
    assert_eq!(
        of("max_over_time"),
        "sum by (pod,request_protocol,response_code,grpc_response_status,response_flags) \
         (max_over_time(istio_requests_total{reporter=\"destination\",destination_workload_namespace=\"shop\",\
         pod=~\"web\\\\-a\\\\-1\"}[45s]))"
    );
    assert!(of("_bucket").contains("le=~\"500(\\\\.0)?|\\\\+Inf\""), "{}", of("_bucket"));
    assert_eq!(
        of("(up{"),
        "max by (pod) (up{namespace=~\"shop|\",pod=~\"web\\\\-b\\\\-1|web\\\\-b\\\\-2\"})"
    );
}

#[tokio::test]
async fn a_value_that_is_no_count_is_not_counted() {
    for odd in ["NaN", "+Inf", "-5", "1e300", "x"] {
        let odd_value = odd.to_owned();
        let answered = answered(move |query| {
            if query.starts_with("sum by (pod,request_protocol") && !query.contains("max_over_time") {
                vector(&[(json!({"pod": "web-b-1", "response_code": "200"}), odd_value.as_str())])
            } else {
                sound(query)
            }
        });
        let found = answered.await.unwrap();
        assert!(found.reading.requests.iter().all(|one| one.of != "web-b-1"), "{odd}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_whole_and_sound_is_an_error() {
    let success = |data: Value| json!({"status": "success", "data": data}).to_string();
    let partial = json!({"status": "success", "warnings": ["store-2 is down"],
        "data": {"resultType": "vector", "result": []}});
    let cases = [
        (500, "oops".to_owned(), "refuses a query (500): oops"),
        (
            422,
            json!({"status": "error", "errorType": "execution", "error": "too many samples"}).to_string(),
            "refuses a query (422): too many samples",
        ),
        (503, json!({"status": "error", "error": "query timed out"}).to_string(), "(503): query timed out"),
        (200, json!({"status": "error", "error": "bad"}).to_string(), "refuses a query (200): bad"),
        (302, String::new(), "refuses a query (302)"),
        (200, "<html>".to_owned(), "can't be used"),
        (200, "{}".to_owned(), "can't be used"),
        (200, json!({"status": "success"}).to_string(), "it has no data"),
        (200, success(json!({"resultType": "scalar", "result": []})), "no vector but scalar"),
        (
            200,
            success(json!({"resultType": "vector", "result": [{"metric": {}, "value": [1]}]})),
            "can't be used",
        ),
        (200, partial.to_string(), "may not be whole: store-2 is down"),
        (200, " ".repeat(9 << 20), "larger than 8 MiB"),
    ];
    for (status, body, words) in cases {
        let told = answered(move |_| (status, body.clone())).await.unwrap_err();
        assert!(told.contains(words), "{words}: {told}");
        assert!(!told.contains("sum by"), "{told}");
    }
}

#[tokio::test]
async fn nobody_there_is_an_error_with_the_next_step() {
    _ = rustls::crypto::ring::default_provider().install_default();
    let prometheus = Prometheus::new(&"http://127.0.0.1:1".parse().unwrap()).unwrap();
    let told = prometheus.read(&question(), INTERVAL).await.unwrap_err().to_string();
    assert!(told.starts_with("Prometheus at http://127.0.0.1:1 does not answer: "), "{told}");
    assert!(told.ends_with("check verify.prometheus and that it runs"), "{told}");
}

#[tokio::test]
async fn how_often_pods_are_scraped_is_read_from_their_targets() {
    let target = |pod: &str, namespace: &str, interval: &str| json!({"labels": {"pod": pod, "namespace": namespace}, "scrapeInterval": interval});
    let targets = json!({"status": "success", "data": {"activeTargets": [
        target("web-b-1", "shop", "15s"), target("web-a-1", "shop", "1m"), target("web-b-1", "other", "2m"),
        target("db-1", "shop", "5m"), {"labels": {}}]}});
    let stand_in = stand_in(move |_| (200, targets.to_string())).await;
    let prometheus = Prometheus::new(&stand_in.address).unwrap();
    assert_eq!(prometheus.interval(&question()).await.unwrap(), Some(Duration::from_mins(1)));
}

#[tokio::test]
async fn counters_without_pods_are_told_from_no_counters() {
    for (elements, told) in [
        (vec![], None),
        (vec![(json!({}), "7")], Some(false)),
        (vec![(json!({}), "7"), (json!({"pod": "web-b-1"}), "2")], Some(true)),
    ] {
        let stand_in = stand_in(move |_| vector(&elements)).await;
        let prometheus = Prometheus::new(&stand_in.address).unwrap();
        assert_eq!(prometheus.tells_pods(&question()).await.unwrap(), told);
    }
}

#[test]
fn a_bound_is_found_as_either_prometheus_writes_it() {
    assert_eq!(Bound::new(500.0).pattern(), "500(\\\\.0)?");
    assert_eq!(Bound::new(0.5).pattern(), "0\\\\.5");
}
