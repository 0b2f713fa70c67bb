//! In a mesh, verified also means: each new pod has its proxy, and routes lead to it. What was wrong before is named, and
//! no version is blamed for it.

use serde_json::Value;

use crate::bed::{self, Recipe, Site, mesh};

fn recipe(name: &str) -> Recipe {
    bed::site(name).environments(&["local"]).verify("{timeout: 60s, stableFor: 1s}")
}

const ROUTE: &str = "deploy/apps/test-app/overlays/local/route.yaml";

/// Changes the version and more in one commit, as a person does; the daemon judges what it brings. No policy elects a
/// tag of such a name, so that the daemon is not quicker.
fn verdict_with(site: &Site, changes: &[(&str, &str)]) -> Value {
    let overlay = "deploy/apps/test-app/overlays/local/kustomization.yaml";
    let daemon = site.promoted().start();
    site.wait_verdict("test-app", "local", "1.0.0");
    let first = site.image_digest("local", "test-app", "1.0.0").unwrap();
    let digest = site.push_image("local", "test-app", "by-hand");
    let text = site.read(overlay).replace(&first, &digest).replace("newTag: \"1.0.0\"", "newTag: by-hand");
    let mut all = vec![(overlay, Some(text.as_str()))];
    all.extend(changes.iter().map(|(path, text)| (*path, Some(*text))));
    site.commit("A version with more", &all);
    let verdict = site.wait_verdict("test-app", "local", "by-hand");
    daemon.stop();
    verdict
}

fn verdict_on(site: &Site, tag: &str) -> Value {
    let daemon = site.promoted().start();
    site.wait_verdict("test-app", "local", "1.0.0");
    site.push_image("local", "test-app", tag);
    let verdict = site.wait_verdict("test-app", "local", tag);
    daemon.stop();
    verdict
}

fn mesh_layer(verdict: &Value) -> &Value {
    verdict["layers"].as_array().unwrap().iter().find(|layer| layer["layer"] == "mesh").unwrap()
}

fn fails_with(verdict: &Value, words: &str) {
    assert_eq!(verdict["verdict"], "failed", "{verdict:#}");
    assert_eq!(mesh_layer(verdict)["result"], "fail", "{verdict:#}");
    assert!(mesh_layer(verdict)["detail"].as_str().unwrap().contains(words), "{verdict:#}");
}

fn passes_with(verdict: &Value, words: &str) {
    assert_eq!(verdict["verdict"], "verified", "{verdict:#}");
    assert_eq!(mesh_layer(verdict)["result"], "pass", "{verdict:#}");
    assert!(mesh_layer(verdict)["detail"].as_str().unwrap().contains(words), "{verdict:#}");
}

#[test]
fn a_version_with_its_proxies_and_a_route_to_ready_pods_is_verified() {
    let site = recipe("mesh-healthy").routed().create();
    let verdict = verdict_on(&site, "1.1.0");
    passes_with(&verdict, "2 pods have their proxies, which are ready; 1 route leads to ready new pods");
    site.wait_routed("local", "test-app");
    assert!(site.ask("local", "test-app").unwrap().text().contains("1.1.0"));
}

#[test]
fn a_version_whose_pods_lack_the_sidecar_that_those_before_had_fails() {
    let site = recipe("mesh-sidecar").mesh().create();
    fails_with(&verdict_on(&site, "1.1.0-bad-uninjected"), "IST0103");
}

#[test]
fn a_first_version_without_its_sidecar_is_unknown_since_the_injector_may_be_at_fault() {
    let site = recipe("mesh-first")
        .verify("{timeout: 8s, stableFor: 1s}")
        .initial("1.0.0-bad-uninjected")
        .mesh()
        .create();
    site.once();
    let verdict = site.wait_verdict("test-app", "local", "1.0.0-bad-uninjected");
    assert_eq!(verdict["verdict"], "unknown", "{verdict:#}");
    assert!(mesh_layer(&verdict)["detail"].as_str().unwrap().contains("the injector's"), "{verdict:#}");
}

#[test]
fn a_namespace_outside_the_mesh_is_named_as_left_out() {
    mesh();
    let site = recipe("mesh-outside").create();
    let verdict = verdict_on(&site, "1.1.0");
    assert_eq!(verdict["verdict"], "verified", "{verdict:#}");
    assert_eq!(mesh_layer(&verdict)["result"], "left-out");
    assert!(mesh_layer(&verdict)["detail"].as_str().unwrap().contains("not in the mesh"), "{verdict:#}");
}

#[test]
fn what_promote_yaml_says_about_the_mesh_is_obeyed() {
    mesh();
    let demanded = recipe("mesh-demanded").verify("{timeout: 8s, stableFor: 1s, mesh: istio}").create();
    demanded.once();
    let verdict = demanded.wait_verdict("test-app", "local", "1.0.0");
    assert_eq!(verdict["verdict"], "unknown", "{verdict:#}");
    assert!(mesh_layer(&verdict)["detail"].as_str().unwrap().contains("mesh: istio"), "{verdict:#}");

    let ignored = recipe("mesh-ignored").verify("{timeout: 60s, stableFor: 1s, mesh: none}").mesh().create();
    let verdict = verdict_on(&ignored, "1.1.0-bad-uninjected");
    assert_eq!(verdict["verdict"], "verified", "{verdict:#}");
    assert_eq!(mesh_layer(&verdict)["result"], "left-out");
}

/// A way of breaking the route, with our code and words for it.
fn broken(site: &Site, from: &str, to: &str, ours: &str, code: &str) {
    let route = site.read(ROUTE);
    assert!(route.contains(from), "{route}");
    let verdict = verdict_with(site, &[(ROUTE, &route.replace(from, to))]);
    fails_with(&verdict, ours);
    says(site, code);
}

/// istioctl calls that an error of the same objects.
fn says(site: &Site, code: &str) {
    let found = site.analyze("local");
    assert!(found.iter().any(|it| it.code == code && it.level == "Error"), "{found:#?}");
}

#[test]
fn a_change_that_routes_to_an_unknown_host_fails_as_istioctl_says() {
    let site = recipe("mesh-host").routed().create();
    broken(&site, "{host: test-app}", "{host: nobody}", "IST0101", "IST0101");
}

#[test]
fn a_change_that_routes_to_an_unknown_subset_fails_as_istioctl_says() {
    let site = recipe("mesh-subset").routed().create();
    broken(&site, "{host: test-app}", "{host: test-app, subset: v9}", "subset v9", "IST0101");
}

#[test]
fn a_change_that_names_an_unknown_gateway_fails_as_istioctl_says() {
    let site = recipe("mesh-gateway").routed().create();
    broken(&site, "gateways: [test-app]", "gateways: [nowhere]", "gateway nowhere", "IST0101");
}

#[test]
fn a_change_that_names_no_port_of_a_service_with_two_fails_as_istioctl_says() {
    let site = recipe("mesh-port").routed().create();
    let service = "deploy/apps/test-app/base/service.yaml";
    let two = site.read(service) + "  - {name: admin, port: 81, targetPort: http}\n";
    fails_with(&verdict_with(&site, &[(service, &two)]), "IST0112");
    says(&site, "IST0112");
}

#[test]
fn a_change_whose_subset_selects_no_pod_fails_as_istioctl_says() {
    let site = recipe("mesh-empty-subset").verify("{timeout: 90s, stableFor: 1s}").routed().create();
    let rule = "---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: test-app
spec:
  host: test-app
  subsets:
  - {name: v9, labels: {version: v9}}
";
    let route = site.read(ROUTE).replace("{host: test-app}", "{host: test-app, subset: v9}") + rule;
    fails_with(&verdict_with(&site, &[(ROUTE, &route)]), "IST0173");
    says(&site, "IST0173");
}

/// What is for the app's own host, beside the route that is there.
fn more(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n{spec}\n"
    )
}

#[test]
fn a_change_that_brings_two_routes_for_one_host_in_the_mesh_fails_as_istioctl_says() {
    let site = recipe("mesh-twice").routed().create();
    let spec = "  hosts: [test-app]\n  http:\n  - route: [{destination: {host: test-app}}]";
    let twice = ["one", "two"].map(|name| more("VirtualService", name, spec)).concat();
    let verdict = verdict_with(&site, &[(ROUTE, &(site.read(ROUTE) + &twice))]);
    fails_with(&verdict, "IST0109");
    says(&site, "IST0109");
}

#[test]
fn a_change_that_brings_a_second_gateway_for_one_host_fails_as_istioctl_says() {
    let site = recipe("mesh-gateways").routed().create();
    let route = site.read(ROUTE);
    let own = route.split("---\n").find(|part| part.contains("kind: Gateway")).unwrap();
    let second = own.replacen("name: test-app", "name: second", 1);
    let verdict = verdict_with(&site, &[(ROUTE, &format!("{route}\n---\n{second}"))]);
    fails_with(&verdict, "IST0145");
    says(&site, "IST0145");
}

#[test]
fn a_rule_that_is_never_reached_is_named_as_istioctl_does_and_fails_nothing() {
    let site = recipe("mesh-unused").routed().create();
    let spec = "  hosts: [test-app]\n  http:\n  - route: [{destination: {host: test-app}}]\n  - match: [{uri: {prefix: /a}}]\n    route: \
                [{destination: {host: test-app}}]";
    let verdict =
        verdict_with(&site, &[(ROUTE, &(site.read(ROUTE) + &more("VirtualService", "unused", spec)))]);
    passes_with(&verdict, "IST0130 VirtualService");
    assert!(site.analyze("local").iter().any(|it| it.code == "IST0130" && it.level == "Warning"));
}

const HTTP_ROUTE: &str = "
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: APP-api
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: istio-ingressgateway.istio-system.svc.cluster.local}]
  listeners:
  - {name: http, hostname: \"api.HOST\", port: 80, protocol: HTTP}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: APP
spec:
  parentRefs: [{name: APP-api}]
  hostnames: [\"api.HOST\"]
  rules:
  - backendRefs: [{name: APP, port: 80}]
";

#[test]
fn a_route_of_the_gateway_api_that_leads_to_new_pods_passes_and_one_that_the_change_breaks_fails() {
    let site = recipe("mesh-gateway-api").routed_by(&format!("{}{HTTP_ROUTE}", bed::ROUTE)).create();
    let good = verdict_on(&site, "1.0.1");
    passes_with(&good, "2 routes lead to ready new pods");
    let route = site.read(ROUTE);
    let wrong = route.replace(
        "- backendRefs: [{name: test-app, port: 80}]",
        "- backendRefs: [{name: test-app, port: 80}, {name: nobody, port: 80}]",
    );
    assert_ne!(route, wrong);
    let overlay = "deploy/apps/test-app/overlays/local/kustomization.yaml";
    let first = site.image_digest("local", "test-app", "1.0.1").unwrap();
    let digest = site.push_image("local", "test-app", "by-hand");
    let text = site.read(overlay).replace(&first, &digest).replace("newTag: \"1.0.1\"", "newTag: by-hand");
    let text = text.replace("newTag: 1.0.1", "newTag: by-hand");
    let daemon = site.promoted().start();
    site.commit("A backend that is not there", &[(overlay, Some(&text)), (ROUTE, Some(&wrong))]);
    fails_with(&site.wait_verdict("test-app", "local", "by-hand"), "BackendNotFound");
    daemon.stop();
}

#[test]
fn an_error_that_was_there_before_the_change_is_named_and_blamed_on_nobody() {
    let more = ["  - match: [{uri: {prefix: /old}}]", "    route:", "    - destination: {host: nobody}", ""];
    let route = bed::ROUTE.replace("  http:\n", &format!("  http:\n{}", more.join("\n")));
    let site = recipe("mesh-older").routed_by(&route).create();
    let found = site.analyze("local");
    assert!(found.iter().any(|it| it.code == "IST0101"), "{found:#?}");
    let verdict = verdict_on(&site, "1.1.0");
    passes_with(&verdict, "host nobody is not found (as before the change)");
}
