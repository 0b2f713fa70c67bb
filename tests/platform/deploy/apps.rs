//! The apps' own manifests.

use serde_json::{Value, json};

use super::{CLUSTERS, built, read};
use crate::manifests::{
    self, containers, id, items, name, namespace, of, selects_a_pod, templates, the, word,
};

/// Every set of manifests of the apps that somebody applies.
fn sets() -> Vec<(String, Vec<Value>)> {
    let mut folders = CLUSTERS.map(|cluster| format!("deploy/apps/overlays/{cluster}")).to_vec();
    folders.push("deploy/apps/test-app/weighted".to_owned());
    folders.into_iter().map(|folder| (folder.clone(), built(&folder))).collect()
}

#[test]
fn both_apps_run_in_both_clusters() {
    for cluster in CLUSTERS {
        let rendered = built(&format!("deploy/apps/overlays/{cluster}"));
        let names: Vec<String> = of(&rendered, "Deployment").into_iter().map(id).collect();
        assert_eq!(names, ["Deployment graphwiki/graphwiki", "Deployment test-app/test-app"]);
    }
}

#[test]
fn every_container_is_probed_bounded_and_without_privileges() {
    for (folder, rendered) in sets() {
        let templates = templates(&rendered);
        assert!(templates.len() >= 2, "{folder}");
        for (workload, template) in templates {
            let problems = [manifests::unbounded(template), manifests::unrestricted(template)].concat();
            assert_eq!(problems, Vec::<String>::new(), "{folder}: {workload}");
            assert_eq!(template["spec"]["automountServiceAccountToken"], false, "{folder}: {workload}");
        }
    }
}

#[test]
fn a_pod_with_too_much_power_or_too_few_bounds_is_found() {
    let mut deployment = read("deploy/apps/test-app/base/deployment.yaml");
    let template = &mut deployment["spec"]["template"];
    let container = &mut template["spec"]["containers"][0];
    container["securityContext"]["capabilities"] = json!({"drop": ["ALL"], "add": ["NET_ADMIN"]});
    container["securityContext"]["readOnlyRootFilesystem"] = json!(false);
    container["resources"]["limits"] = json!({"cpu": "1"});
    container.as_object_mut().unwrap().remove("livenessProbe");
    template["spec"]["securityContext"]["runAsUser"] = json!(0);
    template["spec"]["volumes"] = json!([{"name": "tmp", "hostPath": {"path": "/tmp"}}]);
    assert_eq!(
        manifests::unrestricted(template),
        ["runAsUser", "a volume of the host", "readOnlyRootFilesystem", "capabilities.add"]
    );
    assert_eq!(manifests::unbounded(template), ["livenessProbe", "limits.memory"]);
}

#[test]
fn services_policies_and_budgets_meet_the_pods_they_are_for() {
    for (folder, rendered) in sets() {
        for manifest in &rendered {
            let spec = &manifest["spec"];
            let selector = match word(&manifest["kind"]) {
                "Service" => &spec["selector"],
                "NetworkPolicy" => &spec["podSelector"]["matchLabels"],
                "PodDisruptionBudget" | "Deployment" => &spec["selector"]["matchLabels"],
                _ => continue,
            };
            assert!(selects_a_pod(&rendered, namespace(manifest), selector), "{folder}: {}", id(manifest));
        }
        let policies = of(&rendered, "NetworkPolicy").len();
        assert_eq!(policies, templates(&rendered).len(), "{folder}: a policy for each workload");
    }
}

#[test]
fn at_most_one_pod_of_the_test_app_is_evicted_at_a_time() {
    for cluster in CLUSTERS {
        let rendered = built(&format!("deploy/apps/test-app/overlays/{cluster}"));
        let budget = the(&rendered, "PodDisruptionBudget");
        assert_eq!((namespace(budget), name(budget)), ("test-app", "test-app"), "{cluster}");
        assert_eq!(budget["spec"]["maxUnavailable"], 1, "{cluster}");
        // A version that never becomes ready keeps no node from being drained.
        assert_eq!(budget["spec"]["unhealthyPodEvictionPolicy"], "AlwaysAllow", "{cluster}");
    }
}

#[test]
fn a_policy_lets_through_only_the_gateway_metrics_names_and_the_mesh() {
    for (_, rendered) in sets() {
        for policy in of(&rendered, "NetworkPolicy") {
            let spec = &policy["spec"];
            assert_eq!(spec["policyTypes"], json!(["Ingress", "Egress"]));
            let to = |rules: &Value, side: &str| -> Vec<(String, u64)> {
                let rules = items(rules).iter();
                let peers = rules.map(|rule| {
                    let peer =
                        &rule[side][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"];
                    assert!(rule[side][0]["podSelector"].is_null(), "{rule}");
                    (word(peer).to_owned(), rule["ports"][0]["port"].as_u64().unwrap_or(8080))
                });
                peers.collect()
            };
            let owned = |peers: &[(&str, u64)]| -> Vec<(String, u64)> {
                peers.iter().map(|&(name, port)| (name.to_owned(), port)).collect()
            };
            assert_eq!(
                to(&spec["ingress"], "from"),
                owned(&[("istio-ingress", 8080), ("monitoring", 15020)])
            );
            assert_eq!(to(&spec["egress"], "to"), owned(&[("kube-system", 53), ("istio-system", 15012)]));
        }
    }
}

#[test]
fn every_route_leads_to_a_port_of_a_service() {
    for (folder, rendered) in sets() {
        for route in of(&rendered, "VirtualService") {
            for destination in items(&route["spec"]["http"][0]["route"]) {
                let (host, port) = (&destination["destination"]["host"], &destination["destination"]["port"]);
                let service = of(&rendered, "Service")
                    .into_iter()
                    .find(|service| namespace(service) == namespace(route) && name(service) == word(host));
                let service = service.unwrap_or_else(|| panic!("{folder}: there is no Service {host}"));
                let served = items(&service["spec"]["ports"]).iter();
                let found = served.filter(|served| served["port"] == port["number"]).count();
                assert_eq!(found, 1, "{folder}: {host} has no port {port}");
            }
        }
        for service in of(&rendered, "Service") {
            for port in items(&service["spec"]["ports"]) {
                assert_eq!((&port["name"], &port["appProtocol"]), (&json!("http"), &json!("http")));
                let opened = rendered.iter().flat_map(|manifest| containers(&manifest["spec"]["template"]));
                let named = opened.flat_map(|container| items(&container["ports"]));
                assert!(named.into_iter().any(|opened| opened["name"] == port["targetPort"]), "{service}");
            }
        }
    }
}

#[test]
fn the_weighted_demonstration_sends_every_tenth_request_to_the_next_version() {
    let rendered = built("deploy/apps/test-app/weighted");
    let routes = items(&the(&rendered, "VirtualService")["spec"]["http"][0]["route"]);
    let weights: Vec<(&str, u64)> = routes
        .iter()
        .map(|route| (word(&route["destination"]["host"]), route["weight"].as_u64().unwrap()))
        .collect();
    assert_eq!(weights, [("test-app", 90), ("test-app-next", 10)]);
    let images: Vec<&str> =
        templates(&rendered).into_iter().map(|(_, pod)| word(&containers(pod)[0]["image"])).collect();
    assert_eq!(images.len(), 2);
    assert_ne!(images[0], images[1], "two versions are shown");
}

#[test]
fn graphwiki_never_runs_twice_on_its_volume() {
    for cluster in CLUSTERS {
        let rendered = built(&format!("deploy/apps/graphwiki/overlays/{cluster}"));
        let spec = &the(&rendered, "Deployment")["spec"];
        assert_eq!((&spec["strategy"], &spec["replicas"]), (&json!({"type": "Recreate"}), &json!(1)));
        let claim = the(&rendered, "PersistentVolumeClaim");
        let volume = &spec["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"];
        assert_eq!(word(volume), name(claim));
        for kind in ["HorizontalPodAutoscaler", "PodDisruptionBudget"] {
            assert_eq!(of(&rendered, kind), Vec::<&Value>::new(), "one pod has no use for it");
        }
    }
    let on_aws = built("deploy/apps/graphwiki/overlays/aws");
    let class = built("deploy/flux/infrastructure/aws");
    let wanted = &the(&on_aws, "PersistentVolumeClaim")["spec"]["storageClassName"];
    assert_eq!(word(wanted), name(the(&class, "StorageClass")));
}

#[test]
fn what_is_scaled_by_itself_has_no_number_in_git() {
    let rendered = built("deploy/apps/test-app/overlays/aws");
    let scaler = &the(&rendered, "HorizontalPodAutoscaler")["spec"];
    assert_eq!(scaler["scaleTargetRef"]["name"], "test-app");
    assert!(the(&rendered, "Deployment")["spec"]["replicas"].is_null());
    let fixed = built("deploy/apps/test-app/overlays/local");
    assert_eq!(the(&fixed, "Deployment")["spec"]["replicas"], 2);
}
