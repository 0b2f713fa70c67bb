#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::injection::Proxy;
use super::routing::{Endpoint, Place, Route};
use super::*;

fn at(seconds: i64) -> Timestamp {
    "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn place(name: &str) -> Place {
    ("shop".to_owned(), name.to_owned())
}

fn pod(name: &str) -> Pod {
    Pod {
        name: format!("shop/{name}"),
        labels: labels(&[("app", "web"), ("version", "v2")]),
        ready: Some(at(0)),
        proxy: Some(Proxy { ready: true, revision: "default".to_owned() }),
        ..Pod::default()
    }
}

fn virtual_service(route: &serde_json::Value) -> routing::VirtualService {
    serde_json::from_value(json!({"hosts": ["web.example"], "gateways": ["web"], "http": [{"route": route}]}))
        .unwrap()
}

/// A pod in the mesh, with a service, a gateway and a route to it.
fn healthy() -> Snapshot {
    let mut routing = Routing { namespaces: BTreeSet::from(["shop".to_owned()]), ..Routing::default() };
    let service = json!({"selector": {"app": "web"}, "ports": [{"port": 80}]});
    routing.services.insert(place("web"), serde_json::from_value(service).unwrap());
    routing
        .virtual_services
        .insert(place("web"), virtual_service(&json!([{"destination": {"host": "web"}}])));
    let gateway = json!({"servers": [{"hosts": ["*.example"]}]});
    routing.gateways.insert(place("web"), serde_json::from_value(gateway).unwrap());
    let endpoint = Endpoint { service: place("web"), pod: "shop/new".to_owned(), ready: true };
    routing.endpoints.push(endpoint);
    routing.pods.push(("shop".to_owned(), pod("new").labels));
    let expected = Expected::Sidecars("shop has istio-injection: enabled".to_owned());
    Snapshot { pods: vec![pod("new")], expected, routing, ..Snapshot::default() }
}

/// The judgement `seconds` after the first of two looks, where before the change all was as in `before`.
fn later(seconds: i64, before: &Snapshot, now: &Snapshot) -> Judgement {
    let (before, mut seen) = (Before::of(before), Seen::new());
    judge(now, Some(&before), &mut seen, at(0));
    judged(judge(now, Some(&before), &mut seen, at(seconds)))
}

fn judged(answer: Answer) -> Judgement {
    match answer {
        Answer::Judged(judgement) => judgement,
        Answer::LeftOut(why) | Answer::Silent(why) => panic!("not judged: {why}"),
    }
}

fn fails_with(judgement: &Judgement, words: &str) {
    assert!(matches!(judgement, Judgement::Fail(said) if said.contains(words)), "{judgement:?}");
}

#[test]
fn proxies_that_are_ready_and_a_route_to_a_ready_pod_pass() {
    let words = "1 pods have their proxies, which are ready; 1 route leads to ready new pods; whether the proxies have \
                 istiod's present configuration is left out";
    assert_eq!(later(0, &healthy(), &healthy()), Judgement::Pass(words.to_owned()));
}

#[test]
fn what_is_not_in_the_mesh_and_has_no_route_is_left_out() {
    let mut outside = healthy();
    outside.pods[0].proxy = None;
    outside.expected = Expected::No;
    outside.routing.virtual_services.clear();
    outside.unseen = vec!["gateways of shop are left out: forbidden".to_owned()];
    let answer = judge(&outside, None, &mut Seen::new(), at(0));
    let why =
        "the pods are not in the mesh, and no route leads to them; gateways of shop are left out: forbidden";
    assert_eq!(answer, Answer::LeftOut(why.to_owned()));
}

#[test]
fn a_sidecar_that_is_missing_fails_where_the_pods_before_had_one_and_is_unknown_where_not() {
    let mut bare = healthy();
    bare.pods[0].proxy = None;
    fails_with(
        &later(0, &healthy(), &bare),
        "shop/new has no sidecar, and shop has istio-injection: enabled (IST0103)",
    );
    assert_eq!(judged(judge(&bare, None, &mut Seen::new(), at(0))).word(), "unknown");
    // Labels that may not be read do not hide it, if the pods before had one.
    bare.expected = Expected::Unknown("forbidden".to_owned());
    bare.old = vec![pod("old")];
    fails_with(&judged(judge(&bare, None, &mut Seen::new(), at(0))), "the pods before it had one");
    // A namespace that was taken out of the mesh is no fault of the version's.
    bare.expected = Expected::No;
    assert_eq!(later(0, &healthy(), &bare).word(), "unknown");
    // Who does not want one needs none.
    bare.pods[0].wish = Some(false);
    assert_eq!(later(0, &healthy(), &bare).word(), "pass");
    bare.pods[0].wish = None;
    bare.pods[0].host_network = true;
    bare.expected = healthy().expected;
    assert_eq!(later(0, &bare, &bare).word(), "pass");
}

#[test]
fn a_proxy_that_is_not_ready_is_waited_for() {
    let mut starting = healthy();
    starting.pods[0].proxy = Some(Proxy::default());
    assert_eq!(later(600, &healthy(), &starting), Judgement::wait("the proxy of pod shop/new is not ready"));
}

#[test]
fn in_the_ambient_mode_the_nodes_proxy_takes_the_traffic() {
    let mut ambient = healthy();
    ambient.expected = Expected::by_labels("shop", &labels(&[("istio.io/dataplane-mode", "ambient")]));
    ambient.pods[0].proxy = None;
    assert_eq!(later(0, &ambient, &ambient).word(), "unknown");
    ambient.pods[0].ambient = true;
    assert_eq!(later(0, &ambient, &ambient).word(), "pass");
}

#[test]
fn namespaces_ask_for_sidecars_by_two_labels_and_one_forbids_them() {
    let by = |pairs: &[(&str, &str)]| Expected::by_labels("shop", &labels(pairs));
    assert_eq!(
        by(&[("istio.io/rev", "stable")]),
        Expected::Sidecars("shop has istio.io/rev: stable".to_owned())
    );
    assert_eq!(by(&[("istio-injection", "disabled"), ("istio.io/rev", "stable")]), Expected::No);
    assert_eq!(by(&[]), Expected::No);
}

/// What a change of the route leads to.
fn with_route(route: &serde_json::Value) -> Snapshot {
    let mut changed = healthy();
    changed.routing.virtual_services.insert(place("web"), virtual_service(route));
    changed
}

#[test]
fn an_error_that_came_with_the_change_fails_once_it_has_lasted_and_an_older_one_is_only_named() {
    let wrong = with_route(
        &json!([{"destination": {"host": "web"}, "weight": 90}, {"destination": {"host": "nobody"}, "weight": 10}]),
    );
    assert_eq!(later(1, &healthy(), &wrong).word(), "wait");
    fails_with(&later(5, &healthy(), &wrong), "IST0101 VirtualService shop/web: host nobody is not found");
    let as_before = later(5, &wrong, &wrong);
    assert_eq!(as_before.word(), "pass");
    assert!(as_before.detail().contains("host nobody is not found (as before the change)"), "{as_before:?}");
    // Who comes too late to know how it was blames nobody.
    let mut seen = Seen::new();
    judge(&wrong, None, &mut seen, at(0));
    assert_eq!(judged(judge(&wrong, None, &mut seen, at(60))).word(), "pass");
}

#[test]
fn a_route_that_led_to_the_pods_is_theirs_even_when_it_leads_nowhere() {
    let lost = with_route(&json!([{"destination": {"host": "nobody"}}]));
    fails_with(&later(5, &healthy(), &lost), "host nobody");
}

#[test]
fn errors_of_other_apps_are_not_the_versions() {
    let mut changed = healthy();
    let other = virtual_service(&json!([{"destination": {"host": "nobody"}}]));
    changed.routing.virtual_services.insert(place("other"), other);
    assert_eq!(later(60, &healthy(), &changed).word(), "pass");
}

#[test]
fn each_code_has_its_error() {
    let code = |snapshot: &Snapshot| {
        let found = routes::problems(&snapshot.routing, &snapshot.pods);
        found.iter().map(|it| (it.code, it.words.clone(), it.error)).collect::<Vec<_>>()
    };
    let error = |code, words: &str| vec![(code, words.to_owned(), true)];
    let warning = |code, words: &str| vec![(code, words.to_owned(), false)];
    assert_eq!(code(&healthy()), []);

    let subset = with_route(&json!([{"destination": {"host": "web", "subset": "v9"}}]));
    assert_eq!(code(&subset), error("IST0101", "subset v9 of host web is not found"));
    let port =
        with_route(&json!([{"destination": {"host": "web.shop.svc.cluster.local", "port": {"number": 81}}}]));
    assert_eq!(code(&port), error("IST0101", "host web.shop.svc.cluster.local has no port 81"));
    let mut several = healthy();
    let service = json!({"selector": {"app": "web"}, "ports": [{"port": 80}, {"port": 81}]});
    several.routing.services.insert(place("web"), serde_json::from_value(service).unwrap());
    assert_eq!(code(&several), error("IST0112", "host web has several ports, and none is named"));
    let mut mirror = healthy();
    let route = json!({"hosts": ["web.example"], "gateways": ["web"], "http": [
        {"route": [{"destination": {"host": "web"}}], "mirror": {"host": "nobody"}}]});
    mirror.routing.virtual_services.insert(place("web"), serde_json::from_value(route).unwrap());
    assert_eq!(code(&mirror), error("IST0101", "mirror host nobody is not found"));

    let mut gateway = healthy();
    gateway.routing.gateways.clear();
    let lost = "none of its hosts (web.example) is one of gateway web".to_owned();
    assert_eq!(
        code(&gateway),
        [("IST0101", "gateway web is not found".to_owned(), true), ("IST0132", lost, false)]
    );

    let rule = |value: &serde_json::Value| {
        let mut with = healthy();
        let rule = serde_json::from_value(value.clone()).unwrap();
        with.routing.destination_rules.insert(place("web"), rule);
        code(&with)
    };
    assert_eq!(rule(&json!({"host": "nobody"})), warning("IST0174", "its host nobody is not found"));
    let subsets = json!({"host": "web", "subsets": [
        {"name": "v2", "labels": {"version": "v2"}}, {"name": "v9", "labels": {"version": "v9"}}]});
    assert_eq!(rule(&subsets), error("IST0173", "subset v9 selects no pod of web"));
}

#[test]
fn hosts_that_cannot_be_seen_are_not_said_to_be_missing() {
    let elsewhere = json!([{"destination": {"host": "web"}}, {"destination": {"host": "api.example.org"}},
        {"destination": {"host": "db.other.svc.cluster.local"}}]);
    assert_eq!(later(60, &healthy(), &with_route(&elsewhere)).word(), "pass");
    let mut by_hand =
        with_route(&json!([{"destination": {"host": "web"}}, {"destination": {"host": "legacy"}}]));
    let entry = json!({"hosts": ["legacy.shop.svc.cluster.local"]});
    by_hand.routing.service_entries.insert(place("legacy"), serde_json::from_value(entry).unwrap());
    assert_eq!(later(60, &healthy(), &by_hand).word(), "pass");
    let mut blind =
        with_route(&json!([{"destination": {"host": "web"}}, {"destination": {"host": "nobody"}}]));
    blind.routing.namespaces.clear();
    assert_eq!(later(60, &healthy(), &blind).word(), "pass");
}

#[test]
fn a_route_without_a_ready_new_pod_fails_half_a_minute_after_one_is_ready() {
    let mut closed = healthy();
    closed.routing.endpoints.clear();
    assert_eq!(later(29, &healthy(), &closed).word(), "wait");
    fails_with(
        &later(30, &healthy(), &closed),
        "VirtualService shop/web leads to shop/web, where no new pod takes requests",
    );
    // Not the endpoint of an old pod, nor one that is not ready.
    let endpoint = |pod: &str, ready| Endpoint { service: place("web"), pod: pod.to_owned(), ready };
    closed.routing.endpoints = vec![endpoint("shop/old", true), endpoint("shop/new", false)];
    assert_eq!(later(30, &healthy(), &closed).word(), "fail");
    closed.pods[0].ready = None;
    assert_eq!(later(600, &healthy(), &closed).word(), "wait");
}

#[test]
fn a_share_of_nothing_and_a_subset_of_other_pods_need_no_new_pod() {
    let mut canary = with_route(&json!([
        {"destination": {"host": "web", "subset": "v1"}, "weight": 100},
        {"destination": {"host": "web", "subset": "v2"}, "weight": 0}]));
    let rule = json!({"host": "web", "subsets": [
        {"name": "v1", "labels": {"version": "v1"}}, {"name": "v2", "labels": {"version": "v2"}}]});
    canary.routing.destination_rules.insert(place("web"), serde_json::from_value(rule).unwrap());
    canary.routing.pods.push(("shop".to_owned(), labels(&[("app", "web"), ("version", "v1")])));
    canary.routing.endpoints.clear();
    assert_eq!(later(600, &canary, &canary).word(), "pass");
}

#[test]
fn a_route_of_the_gateway_api_that_is_refused_fails_where_it_is_new() {
    let mut refused = healthy();
    refused.routing.routes.push(Route {
        object: "HTTPRoute shop/web".to_owned(),
        services: BTreeSet::from([place("web")]),
        gateways: BTreeSet::from(["Gateway shop/api (Gateway API)".to_owned()]),
        is_route: true,
        complaints: vec!["ResolvedRefs=False BackendNotFound: no such service".to_owned()],
    });
    fails_with(
        &later(5, &healthy(), &refused),
        "IST0171 HTTPRoute shop/web: ResolvedRefs=False BackendNotFound",
    );
    assert_eq!(later(5, &refused, &refused).word(), "pass");
}

#[test]
fn what_a_gateway_or_a_service_says_of_itself_is_named_and_fails_nothing() {
    let mut waiting = healthy();
    waiting.routing.routes.push(Route {
        object: "HTTPRoute shop/web".to_owned(),
        services: BTreeSet::from([place("web")]),
        gateways: BTreeSet::from(["Gateway shop/api (Gateway API)".to_owned()]),
        is_route: true,
        ..Route::default()
    });
    let gateway = |name: &str| Route {
        object: format!("Gateway shop/{name} (Gateway API)"),
        complaints: vec!["Programmed=False AddressNotAssigned: no address yet".to_owned()],
        ..Route::default()
    };
    waiting.routing.routes.extend([gateway("api"), gateway("other")]);
    waiting.routing.services.get_mut(&place("web")).unwrap().complaints =
        vec!["istio.io/WaypointBound=False: no such waypoint".to_owned()];
    let answer = later(600, &healthy(), &waiting);
    assert_eq!(answer.word(), "pass");
    let words = answer.detail();
    assert!(words.contains("IST0171 Gateway shop/api (Gateway API): Programmed=False"), "{words}");
    assert!(words.contains("IST0171 Service shop/web: istio.io/WaypointBound=False"), "{words}");
    assert!(!words.contains("shop/other"), "no route of ours hangs on it: {words}");
}

/// What is wrong with these routes, but for what is wrong with every one of them.
fn found(snapshot: &Snapshot) -> Vec<(&'static str, String, String, bool)> {
    let all = routes::problems(&snapshot.routing, &snapshot.pods);
    all.into_iter().map(|it| (it.code, it.object, it.words, it.error)).collect()
}

#[test]
fn two_routes_for_one_host_inside_the_mesh_are_in_conflict_where_both_are_seen() {
    let mut two = healthy();
    let mut add = |name: &str, value: serde_json::Value| {
        two.routing.virtual_services.insert(place(name), serde_json::from_value(value).unwrap());
    };
    let http = json!([{"route": [{"destination": {"host": "web"}}]}]);
    add("one", json!({"hosts": ["web"], "http": http}));
    add("two", json!({"hosts": ["web.shop.svc.cluster.local"], "gateways": ["mesh", "web"], "http": http}));
    add("hidden", json!({"hosts": ["web"], "exportTo": ["other"], "gateways": ["web"], "http": http}));
    let codes: Vec<_> = found(&two).into_iter().filter(|it| it.0 == "IST0109").collect();
    let words = |other: &str| {
        format!("host web.shop.svc.cluster.local is also that of VirtualService shop/{other} inside the mesh")
    };
    assert_eq!(
        codes,
        [
            ("IST0109", "VirtualService shop/one".to_owned(), words("two"), true),
            ("IST0109", "VirtualService shop/two".to_owned(), words("one"), true)
        ]
    );
    fails_with(&later(5, &healthy(), &two), "IST0109");
    for (name, scope) in [("one", "."), ("two", "elsewhere")] {
        two.routing.virtual_services.get_mut(&place(name)).unwrap().export_to = vec![scope.to_owned()];
    }
    assert!(found(&two).iter().all(|it| it.0 != "IST0109"), "no namespace sees both");
}

#[test]
fn a_rule_that_is_never_reached_is_named() {
    let route = json!([{"destination": {"host": "web"}}]);
    let matches = json!([{"uri": {"prefix": "/a"}, "name": "x"}]);
    let rules = |rules: serde_json::Value| {
        let mut with = healthy();
        let value = json!({"hosts": ["web.example"], "gateways": ["web"], "http": rules});
        with.routing.virtual_services.insert(place("web"), serde_json::from_value(value).unwrap());
        let unused = found(&with).into_iter().filter(|it| it.0 == "IST0130" && !it.3);
        unused.map(|it| it.2).collect::<Vec<_>>()
    };
    assert_eq!(rules(json!([{"match": matches, "route": route}, {"route": route}])), [""; 0]);
    assert_eq!(
        rules(
            json!([{"route": route}, {"name": "late", "match": matches, "route": route}, {"route": route}])
        ),
        [
            "rule #2 is never used: rule #0 before it takes everything",
            "rule late is never used: rule #0 before it takes everything"
        ]
    );
    let renamed = json!([{"uri": {"prefix": "/a"}, "name": "y"}]);
    assert_eq!(
        rules(json!([{"match": matches, "route": route}, {"match": renamed, "route": route}])),
        ["rule #1 is never used: rules before it have all its matches"]
    );
}

#[test]
fn two_gateways_that_take_the_same_host_at_the_same_port_are_in_conflict() {
    let gateways = |other: serde_json::Value| {
        let mut with = healthy();
        let own = json!({"selector": {"app": "web"}, "servers": [{"port": {"number": 80}, "hosts": ["*.example"]}]});
        with.routing.gateways.insert(place("web"), serde_json::from_value(own).unwrap());
        with.routing.gateways.insert(place("other"), serde_json::from_value(other).unwrap());
        with
    };
    let server = |port: u32, host: &str| json!([{"port": {"number": port}, "hosts": [host]}]);
    let twin = gateways(json!({"selector": {"app": "web"}, "servers": server(80, "*.example")}));
    fails_with(
        &later(5, &healthy(), &twin),
        "IST0145 Gateway shop/web: port 80 with hosts *.example is also taken by Gateway shop/other",
    );
    // Not the same selector, but the same pod.
    let same_pod = gateways(json!({"selector": {"version": "v2"}, "servers": server(80, "*.example")}));
    assert!(found(&same_pod).iter().any(|it| it.0 == "IST0145"));
    for apart in [
        json!({"selector": {"app": "web"}, "servers": server(81, "*.example")}),
        json!({"selector": {"app": "web"}, "servers": server(80, "b.example")}),
        json!({"selector": {"app": "shop"}, "servers": server(80, "*.example")}),
        json!({"selector": {"app": "web"},
            "servers": [{"port": {"number": 80}, "bind": "127.0.0.1", "hosts": ["*.example"]}]}),
    ] {
        let apart = gateways(apart);
        assert!(found(&apart).iter().all(|it| it.0 != "IST0145"), "{:?}", found(&apart));
    }
}

#[test]
fn a_port_of_a_gateway_that_its_service_has_not_is_named() {
    let with = |port: u32, service: serde_json::Value| {
        let mut with = healthy();
        let gateway = json!({"selector": {"app": "web"}, "servers": [{"port": {"number": port}, "hosts": ["*.example"]}]});
        with.routing.gateways.insert(place("web"), serde_json::from_value(gateway).unwrap());
        with.routing.services.insert(place("web"), serde_json::from_value(service).unwrap());
        let ports = found(&with).into_iter().filter(|it| it.0 == "IST0162" && !it.3);
        ports.map(|it| it.2).collect::<Vec<_>>()
    };
    let service = json!({"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]});
    assert_eq!(with(80, service.clone()), [""; 0]);
    assert_eq!(with(8080, service.clone()), [""; 0]);
    assert_eq!(with(81, service), ["no service in front of its pods has its port 81"]);
    let udp =
        json!({"selector": {"app": "web"}, "ports": [{"port": 80, "protocol": "UDP", "targetPort": "http"}]});
    assert_eq!(with(80, udp), ["no service in front of its pods has its port 80"]);
    let elsewhere = json!({"selector": {"app": "nobody"}, "ports": [{"port": 80}]});
    assert_eq!(with(80, elsewhere), ["no service in front of its pods has its port 80"]);
}

#[test]
fn a_hundred_pods_behind_a_route_are_judged_in_a_moment() {
    let mut large = healthy();
    large.pods = (0..100).map(|number| pod(&format!("new-{number}"))).collect();
    for number in 0..100 {
        let pod = format!("shop/new-{number}");
        large.routing.endpoints.push(Endpoint { service: place("web"), pod, ready: true });
        large.routing.pods.push(("shop".to_owned(), labels(&[("app", "web"), ("version", "v2")])));
    }
    let (before, mut seen) = (Before::of(&large), Seen::new());
    let began = std::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(judged(judge(&large, Some(&before), &mut seen, at(0))).word(), "pass");
    }
    // Without optimisation and beside other tests; an optimised judgement takes well under a millisecond.
    assert!(began.elapsed() < std::time::Duration::from_millis(20 * 20), "{:?}", began.elapsed());
}
