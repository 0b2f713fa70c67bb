//! How Flux goes through the tree, and what the apps find when they come.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{CLUSTERS, built, folders, read};
use crate::command::root;
use crate::manifests::{items, name, namespace, of, the, word, words};

/// The Flux Kustomizations of a cluster.
fn steps(cluster: &str) -> Vec<Value> {
    let steps = built(&format!("deploy/flux/clusters/{cluster}"));
    assert!(steps.iter().all(|step| step["kind"] == "Kustomization"));
    steps
}

fn step(cluster: &str, wanted: &str) -> Value {
    steps(cluster).into_iter().find(|step| name(step) == wanted).unwrap()
}

/// The path of a Flux Kustomization from the top of the repository.
fn path(step: &Value) -> String {
    word(&step["spec"]["path"]).trim_start_matches("./").to_owned()
}

fn minutes(duration: &Value) -> u64 {
    let text = word(duration);
    let (number, unit) = text.split_at(text.len() - 1);
    let factor = if unit == "h" { 60 } else { 1 };
    assert!(matches!(unit, "h" | "m"), "{text}");
    number.parse::<u64>().unwrap() * factor
}

#[test]
fn every_folder_builds_as_flux_builds_it() {
    let folders = folders();
    assert!(folders.len() >= 15, "{folders:?}");
    for folder in folders {
        assert!(!built(&folder).is_empty(), "{folder} is empty");
    }
}

#[test]
fn each_cluster_comes_up_in_order() {
    for cluster in CLUSTERS {
        let after = |wanted: &str| step(cluster, wanted)["spec"]["dependsOn"].clone();
        assert_eq!(steps(cluster).len(), 3);
        assert_eq!(after("infrastructure"), Value::Null);
        assert_eq!(after("configuration"), json!([{"name": "infrastructure"}]));
        assert_eq!(after("apps"), json!([{"name": "configuration"}]));
    }
}

#[test]
fn every_step_retries_gives_up_in_time_and_takes_away_what_is_gone() {
    let mut all: Vec<Value> = CLUSTERS.iter().flat_map(|cluster| steps(cluster)).collect();
    all.extend(of(&built("deploy/flux/flux-system"), "Kustomization").into_iter().cloned());
    assert_eq!(all.len(), 8);
    for step in all {
        let spec = &step["spec"];
        assert_eq!(spec["prune"], true, "{step}");
        assert_eq!(spec["sourceRef"], json!({"kind": "GitRepository", "name": "flux-system"}), "{step}");
        assert_eq!(namespace(&step), "flux-system");
        assert!((1..=5).contains(&minutes(&spec["timeout"])), "{step}");
        assert!((1..=5).contains(&minutes(&spec["retryInterval"])), "{step}");
        assert_eq!(minutes(&spec["interval"]), 60, "{step}");
        let folder = path(&step).replace("${cluster:=local}", "local");
        assert!(root().join(&folder).join("kustomization.yaml").exists(), "{folder}");
    }
}

#[test]
fn the_apps_health_does_not_block_the_commit_that_takes_a_version_back() {
    for cluster in CLUSTERS {
        let spec = &step(cluster, "apps")["spec"];
        assert_eq!(spec["wait"], false);
        assert!(spec["healthChecks"].is_null() && spec["healthCheckExprs"].is_null());
        assert_eq!(step(cluster, "infrastructure")["spec"]["wait"], true, "namespaces come first");
    }
}

#[test]
fn without_terraform_the_cluster_is_chosen_by_a_variable() {
    let by_hand = built("deploy/flux/flux-system");
    let root_step = of(&by_hand, "Kustomization");
    let [cluster, flux_system] = &root_step[..] else { panic!("{root_step:?}") };
    assert_eq!(path(cluster), "deploy/flux/clusters/${cluster:=local}");
    assert_eq!(path(flux_system), "deploy/flux/flux-system");
    let substitution = &flux_system["spec"]["postBuild"];
    assert_eq!(substitution["substituteStrategy"], "Always", "else the default stays as it is written");
    assert_eq!(substitution["substituteFrom"][0]["optional"], true);
    assert_eq!(name(the(&by_hand, "GitRepository")), "flux-system");
}

#[test]
fn encrypted_files_can_be_read_where_apps_are() {
    let key = |cluster, wanted| step(cluster, wanted)["spec"]["decryption"].clone();
    for wanted in ["configuration", "apps"] {
        assert_eq!(key("local", wanted), json!({"provider": "sops", "secretRef": {"name": "sops-age"}}));
        assert_eq!(key("aws", wanted), json!({"provider": "sops"}), "by KMS");
    }
}

/// The names in `${…}` of everything that a step renders, and whether each has a default.
fn variables(step: &Value) -> BTreeSet<(String, bool)> {
    let text = serde_json::to_string(&built(&path(step))).unwrap();
    let parts = text.split("${").skip(1).filter_map(|rest| rest.split_once('}'));
    parts
        .map(|(inner, _)| {
            let (name, default) =
                inner.split_once(":=").map_or((inner, None), |(name, own)| (name, Some(own)));
            (name.to_owned(), default.is_some())
        })
        .collect()
}

#[test]
fn only_documented_variables_are_used_and_only_where_they_are_defined() {
    let readme = std::fs::read_to_string(root().join("deploy/README.md")).unwrap();
    for (variable, _) in CLUSTERS.iter().flat_map(|cluster| steps(cluster)).flat_map(|step| variables(&step))
    {
        assert!(readme.contains(&format!("`{variable}`")), "deploy/README.md does not name {variable}");
    }
    for step in steps("local") {
        let used = variables(&step);
        assert!(used.iter().all(|(_, default)| *default), "local needs no ConfigMap: {used:?}");
        let always = step["spec"]["postBuild"]["substituteStrategy"] == "Always";
        assert!(
            used.is_empty() || always,
            "without a ConfigMap, the defaults of {used:?} stay as they are written"
        );
    }
    for step in steps("aws") {
        let used = variables(&step);
        let from = &step["spec"]["postBuild"]["substituteFrom"];
        let required = *from == json!([{"kind": "ConfigMap", "name": "cluster-vars"}]);
        assert!(used.is_empty() || required, "{}: {used:?}", name(&step));
    }
}

#[test]
fn the_apps_find_namespaces_that_inject_and_take_mutual_tls_only() {
    for cluster in CLUSTERS {
        let infrastructure = built(&path(&step(cluster, "infrastructure")));
        let injecting: BTreeSet<&str> = of(&infrastructure, "Namespace")
            .into_iter()
            .filter(|namespace| namespace["metadata"]["labels"]["istio-injection"] == "enabled")
            .map(name)
            .collect();
        let apps = built(&path(&step(cluster, "apps")));
        let needed: BTreeSet<&str> = apps.iter().map(namespace).collect();
        assert_eq!(needed, injecting);
        let configuration = built(&path(&step(cluster, "configuration")));
        let strict: BTreeSet<&str> = of(&configuration, "PeerAuthentication")
            .into_iter()
            .filter(|policy| policy["spec"]["mtls"]["mode"] == "STRICT")
            .map(namespace)
            .collect();
        assert_eq!(needed, strict);
    }
}

/// Whether a Gateway's host, which may begin with `*.`, stands for a host.
fn covers(pattern: &str, host: &str) -> bool {
    pattern == host || pattern.strip_prefix('*').is_some_and(|domain| host.ends_with(domain))
}

#[test]
fn every_host_comes_in_by_the_shared_gateway_with_its_certificate() {
    for cluster in CLUSTERS {
        let configuration = built(&path(&step(cluster, "configuration")));
        let apps = built(&path(&step(cluster, "apps")));
        let gateway = the(&configuration, "Gateway");
        assert_eq!((namespace(gateway), name(gateway)), ("istio-ingress", "shared"));
        let certificate = the(&configuration, "Certificate");
        assert_eq!(namespace(certificate), "istio-ingress");
        assert_eq!(certificate["spec"]["issuerRef"]["name"], name(the(&configuration, "ClusterIssuer")));
        let servers = items(&gateway["spec"]["servers"]);
        assert_eq!(servers[1]["tls"]["credentialName"], certificate["spec"]["secretName"]);
        let mut hosts = BTreeSet::new();
        for service in of(&apps, "VirtualService").into_iter().chain(of(&configuration, "VirtualService")) {
            let gateways = words(&service["spec"]["gateways"]);
            let own = namespace(service) == "istio-ingress" && gateways == ["shared"];
            assert!(own || gateways == ["istio-ingress/shared"], "{service}");
            for host in words(&service["spec"]["hosts"]) {
                let certified = words(&certificate["spec"]["dnsNames"]);
                assert!(certified.iter().any(|name| covers(name, host)), "{host} has no certificate");
                for server in servers {
                    assert!(words(&server["hosts"]).iter().any(|known| covers(known, host)), "{host}");
                }
                hosts.insert(host.split('.').next().unwrap().to_owned());
            }
        }
        assert_eq!(hosts, ["rancher", "test", "wiki"].map(str::to_owned).into());
    }
}

#[test]
fn what_holds_data_outlives_its_place_in_git() {
    let keeps =
        |object: &Value| object["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/prune"] == "disabled";
    for cluster in CLUSTERS {
        assert!(keeps(the(&built(&path(&step(cluster, "apps"))), "PersistentVolumeClaim")));
        let infrastructure = built(&path(&step(cluster, "infrastructure")));
        let kept = of(&infrastructure, "Namespace").into_iter().filter(|space| keeps(space)).map(name);
        assert_eq!(kept.collect::<BTreeSet<_>>(), ["graphwiki", "istio-ingress"].into());
    }
    let claim = read("deploy/apps/graphwiki/base/persistentvolumeclaim.yaml");
    assert_eq!(claim["spec"]["accessModes"], json!(["ReadWriteOnce"]));
}
