//! What the daemon may do, and what keeps it from all else.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{ALL, MINIMAL, NONE, TWO, rendered};
use crate::manifests::{self, id, items, map, name, namespace, the, word, words};

/// Each right as `SCOPE GROUP/RESOURCE[=NAME] VERB`; a cluster's scope is `*`.
fn rights(rendered: &[Value]) -> BTreeSet<String> {
    let mut rights = BTreeSet::new();
    let roles = rendered.iter().filter(|manifest| word(&manifest["kind"]).ends_with("Role"));
    for (role, rule) in roles.flat_map(|role| items(&role["rules"]).iter().map(move |rule| (role, rule))) {
        let scope = if role["kind"] == "Role" { namespace(role) } else { "*" };
        assert!(rule["nonResourceURLs"].is_null(), "{rule}");
        let names = words(&rule["resourceNames"]);
        let names = if names.is_empty() { vec![""] } else { names };
        for group in words(&rule["apiGroups"]) {
            for resource in words(&rule["resources"]) {
                for (verb, name) in
                    words(&rule["verbs"]).iter().flat_map(|v| names.iter().map(move |n| (v, n)))
                {
                    let name = if name.is_empty() { String::new() } else { format!("={name}") };
                    rights.insert(format!("{scope} {group}/{resource}{name} {verb}"));
                }
            }
        }
    }
    rights
}

/// The rights of a namespace where Flux's objects are.
fn flux(namespace: &str) -> Vec<String> {
    let of = |right: &str| format!("{namespace} {right}");
    vec![
        of("kustomize.toolkit.fluxcd.io/kustomizations list"),
        of("kustomize.toolkit.fluxcd.io/kustomizations watch"),
        of("source.toolkit.fluxcd.io/gitrepositories list"),
        of("source.toolkit.fluxcd.io/gitrepositories watch"),
        of("source.toolkit.fluxcd.io/gitrepositories patch"),
    ]
}

/// The rights of a namespace of apps.
fn apps(scope: &str) -> Vec<String> {
    let watched = [
        "apps/deployments",
        "apps/replicasets",
        "apps/statefulsets",
        "apps/daemonsets",
        "batch/jobs",
        "batch/cronjobs",
        "/pods",
        "/services",
        "discovery.k8s.io/endpointslices",
        "networking.istio.io/virtualservices",
        "networking.istio.io/destinationrules",
        "networking.istio.io/gateways",
        "networking.istio.io/serviceentries",
        "gateway.networking.k8s.io/gateways",
        "gateway.networking.k8s.io/grpcroutes",
        "gateway.networking.k8s.io/httproutes",
    ];
    let rights = watched
        .iter()
        .flat_map(|resource| ["list", "watch"].map(|verb| format!("{scope} {resource} {verb}")));
    rights.chain([format!("{scope} /namespaces get"), format!("{scope} /events list")]).collect()
}

fn logs(scope: &str) -> Vec<String> {
    vec![format!("{scope} /pods/log get")]
}

fn nodes() -> Vec<String> {
    vec!["* /nodes list".to_owned()]
}

fn lease(name: &str) -> Vec<String> {
    let lease = "gitops coordination.k8s.io/leases";
    let named = ["get", "update"].map(|verb| format!("{lease}={name} {verb}"));
    named.into_iter().chain([format!("{lease} create")]).collect()
}

#[test]
fn it_has_the_rights_it_uses_and_no_other() {
    for (values, expected) in [
        (MINIMAL, [flux("flux-system"), apps("test-app"), apps("graphwiki"), nodes()].concat()),
        (
            TWO,
            [flux("flux-system"), apps("test-app"), apps("graphwiki"), nodes(), lease("promoted")].concat(),
        ),
        (
            ALL,
            [flux("flux-system"), flux("teams"), apps("*"), logs("*"), nodes(), lease("conveyor")].concat(),
        ),
        (NONE, Vec::new()),
    ] {
        assert_eq!(rights(&rendered(values)), expected.into_iter().collect(), "{values:?}");
    }
}

#[test]
fn without_the_mesh_it_reads_workloads_pods_and_events_alone() {
    let rights = rights(&rendered(&[MINIMAL, &["rbac.mesh=false"]].concat()));
    let of_apps: Vec<&String> = rights.iter().filter(|right| right.starts_with("test-app ")).collect();
    assert_eq!(of_apps.len(), 15, "{of_apps:?}");
}

#[test]
fn every_role_is_bound_to_its_account_alone() {
    for (values, account) in [(TWO, "promoted"), (ALL, "courier")] {
        let rendered = rendered(values);
        let roles = |suffix: &str| -> BTreeSet<String> {
            let kind = |manifest: &&Value| word(&manifest["kind"]).ends_with(suffix);
            rendered.iter().filter(kind).map(|role| id(role).replace("Binding", "")).collect()
        };
        assert_eq!(roles("Role"), roles("RoleBinding"));
        for binding in rendered.iter().filter(|manifest| word(&manifest["kind"]).ends_with("RoleBinding")) {
            let subject = json!([{"kind": "ServiceAccount", "name": account, "namespace": "gitops"}]);
            assert_eq!(binding["subjects"], subject);
            assert_eq!(binding["roleRef"]["name"], name(binding));
        }
        assert_eq!(the(&rendered, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"], account);
    }
}

#[test]
fn an_admission_policy_stands_before_every_change_of_this_account() {
    for (values, account) in [(MINIMAL, "promoted"), (ALL, "courier")] {
        let rendered = rendered(values);
        let policy = the(&rendered, "ValidatingAdmissionPolicy");
        let binding = the(&rendered, "ValidatingAdmissionPolicyBinding");
        assert_eq!(binding["spec"]["policyName"], name(policy));
        assert_eq!(binding["spec"]["validationActions"], json!(["Deny"]));
        let spec = &policy["spec"];
        assert_eq!(spec["failurePolicy"], "Fail");
        let rule = &spec["matchConstraints"]["resourceRules"][0];
        assert_eq!(words(&rule["operations"]), ["CREATE", "UPDATE", "DELETE"]);
        assert_eq!(words(&rule["resources"]), ["*/*"]);
        assert_eq!(
            spec["matchConditions"][0]["expression"],
            format!("request.userInfo.username == 'system:serviceaccount:gitops:{account}'")
        );
        // Every group that the account may write to, but for its own Lease.
        let written: BTreeSet<String> = rights(&rendered)
            .iter()
            .filter_map(|right| {
                let (object, verb) = right.rsplit_once(' ')?;
                let group = object.split_once(' ')?.1.split('/').next()?;
                let writes = !["get", "list", "watch"].contains(&verb) && group != "coordination.k8s.io";
                writes.then(|| group.to_owned())
            })
            .collect();
        let fenced = words(&rule["apiGroups"]);
        assert!(!written.is_empty() && written.iter().all(|group| fenced.contains(&group.as_str())));
    }
}

#[test]
fn the_pod_meets_the_restricted_profile() {
    for values in [MINIMAL, ALL, NONE] {
        let rendered = rendered(values);
        let template = &the(&rendered, "Deployment")["spec"]["template"];
        assert_eq!(manifests::unrestricted(template), Vec::<String>::new());
        assert_eq!(manifests::unbounded(template), Vec::<String>::new());
        assert_eq!(template["spec"]["securityContext"]["runAsUser"], 65532);
        assert_eq!(template["spec"]["securityContext"]["fsGroup"], 65532);
    }
}

#[test]
fn the_network_lets_through_only_what_is_listed() {
    let rendered = rendered(MINIMAL);
    let spec = &the(&rendered, "NetworkPolicy")["spec"];
    assert_eq!(words(&spec["policyTypes"]), ["Ingress", "Egress"]);
    let monitoring = json!({"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}});
    assert_eq!(
        spec["ingress"],
        json!([{
            "from": [{"namespaceSelector": monitoring.clone()}],
            "ports": [{"port": "http", "protocol": "TCP"}]
        }])
    );
    let with_webhooks =
        self::rendered(&[MINIMAL, &["networkPolicy.webhooksFrom={ingress-nginx,monitoring}"]].concat());
    let from = &the(&with_webhooks, "NetworkPolicy")["spec"]["ingress"][0]["from"];
    let ingress = json!({"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}});
    assert_eq!(*from, json!([{"namespaceSelector": monitoring}, {"namespaceSelector": ingress}]));
    let [dns, outside] = items(&spec["egress"]) else { panic!("{}", spec["egress"]) };
    let ports = |rule: &Value| -> Vec<u64> {
        items(&rule["ports"]).iter().filter_map(|port| port["port"].as_u64()).collect()
    };
    assert_eq!(ports(dns), [53, 53]);
    assert_eq!(ports(outside), [443, 6443]);
    assert_eq!(words(&outside["to"][0]["ipBlock"]["except"]), ["169.254.0.0/16"]);
    let all = self::rendered(ALL);
    assert_eq!(the(&all, "NetworkPolicy")["spec"]["ingress"], json!([]), "nobody may ask");
}

#[test]
fn selectors_meet_the_pods() {
    let rendered = rendered(ALL);
    let deployment = the(&rendered, "Deployment");
    let mut selectors = vec![&deployment["spec"]["selector"]["matchLabels"]];
    selectors.push(&the(&rendered, "Service")["spec"]["selector"]);
    selectors.push(&the(&rendered, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"]);
    selectors.push(&the(&rendered, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]);
    for selector in selectors {
        assert!(manifests::selects_a_pod(&rendered, "gitops", selector), "{selector}");
    }
    let service = map(&the(&rendered, "Service")["metadata"]["labels"]);
    let monitor = &the(&rendered, "ServiceMonitor")["spec"]["selector"]["matchLabels"];
    assert!(map(monitor).iter().all(|(key, value)| service.get(key) == Some(value)), "{monitor}");
}
