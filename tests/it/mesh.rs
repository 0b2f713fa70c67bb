//! The bed's mesh is a mesh: what other tests rely on, shown once.

use serde_json::json;

use crate::bed::{self, mesh, until};

#[test]
fn pods_answer_through_the_gateway_and_prometheus_counts_each_request_by_pod() {
    let site = bed::site("mesh-bed").environments(&["local"]).routed().create();
    site.wait_rolled_out("local", "test-app", "1.0.0");
    site.wait_routed("local", "test-app");
    assert_eq!(site.traffic("local", "test-app", 40)[&200], 40);

    let pods = site.pods("local", "test-app");
    let name = pods[0]["metadata"]["name"].as_str().unwrap();
    site.order_pod("local", name, &json!({"errors": 0.5, "status": 503}));
    let answers = site.traffic("local", "test-app", 40);
    assert!(answers[&200] >= 20 && answers[&503] >= 5, "half of one pod's answers: {answers:?}");

    site.count_requests("local", name, &json!({"count": 50, "status": 200, "grpc": "14"}));
    site.count_at_gateway("local", "test-app", 503, "UH", 7);
    let namespace = site.namespace("local");
    let total = |labels: &str| {
        let query = format!("sum(istio_requests_total{{{labels}}})");
        let result = mesh().query(&query);
        result[0]["value"][1].as_str().and_then(|value| value.parse::<f64>().ok())
    };
    let own = format!(
        "reporter=\"destination\",namespace=\"{namespace}\",pod=\"{name}\",grpc_response_status=\"14\""
    );
    let unheard =
        format!("reporter=\"source\",destination_service_namespace=\"{namespace}\",response_flags=\"UH\"");
    let seen = || (total(&own) == Some(50.0) && total(&unheard) == Some(7.0)).then_some(());
    assert!(until(seen).is_some(), "{:?} {:?}", total(&own), total(&unheard));
    let all = format!("reporter=\"destination\",namespace=\"{namespace}\",request_protocol=\"http\"");
    // Asking until the gateway had a route was a request, too.
    assert!(until(|| total(&all).filter(|count| *count >= 81.0)).is_some(), "{:?}", total(&all));
}

#[test]
fn new_pods_get_a_sidecar_that_istiod_knows_and_that_can_refuse_or_ignore_its_configuration() {
    let site = bed::site("mesh-sidecars").environments(&["local"]).mesh().create();
    site.wait_rolled_out("local", "test-app", "1.0.0");
    let pods = site.pods("local", "test-app");
    let name = pods[0]["metadata"]["name"].as_str().unwrap();
    assert_eq!(pods[0]["status"]["initContainerStatuses"][0]["name"], "istio-proxy", "{:#}", pods[0]);
    let proxy = format!("{name}.{}", site.namespace("local"));
    let listeners = || {
        let told = mesh().syncz().into_iter().find(|it| it["proxy"] == proxy.as_str())?;
        let kind = "type.googleapis.com/envoy.config.listener.v3.Listener";
        let all = &told["resources"];
        Some(all.get(kind).or_else(|| all.get("Listener")).cloned().unwrap_or(told.clone()))
    };
    let synced = || listeners().filter(|it| it["sent"].is_string() && it["sent"] == it["acked"]);
    assert!(until(synced).is_some(), "{:#?}", listeners());

    site.order_pod("local", name, &json!({"sidecar": "reject"}));
    let refused =
        || listeners().filter(|it| it["lastError"].as_str().is_some_and(|words| words.contains("refuses")));
    assert!(until(refused).is_some(), "{:#?}", listeners());
    site.order_pod("local", name, &json!({"sidecar": "good"}));
    assert!(until(synced).is_some(), "{:#?}", listeners());
    site.order_pod("local", name, &json!({"sidecar": "absent"}));
    assert!(until(|| listeners().is_none().then_some(())).is_some(), "{:#?}", listeners());
}

#[test]
fn istioctl_judges_the_objects_of_a_namespace() {
    let site = bed::site("mesh-analyze").environments(&["local"]).routed().create();
    assert_eq!(site.analyze("local"), []);
    site.apply(
        &format!(
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: wrong, namespace: {}}}
spec:
  hosts: [wrong]
  http:
  - route:
    - destination: {{host: nobody}}
",
            site.namespace("local")
        ),
        &[],
    );
    let found = site.analyze("local");
    assert!(found.iter().any(|it| it.code == "IST0101" && it.level == "Error"), "{found:#?}");
}
