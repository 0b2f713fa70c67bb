//! What values make of it.

use std::collections::BTreeSet;

use serde_json::json;

use super::{ALL, MINIMAL, NONE, REPO, TWO, container, helm, rendered};
use crate::manifests::{id, items, of, the, word, words};

#[test]
fn helm_finds_nothing_to_complain_about() {
    for values in [MINIMAL, TWO, ALL, NONE] {
        let mut arguments = values.to_vec();
        arguments.push("global.any=1");
        let said = helm("lint", &arguments).passed().stdout;
        assert!(!said.contains("[WARNING]") && !said.contains("[ERROR]"), "{said}");
    }
}

#[test]
fn one_replica_is_a_daemon_with_an_account_its_rights_and_its_fences() {
    let rendered = rendered(MINIMAL);
    let found: Vec<String> = rendered.iter().map(id).collect();
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    let expected = BTreeSet::from([
        "ClusterRole /gitops-promoted-nodes",
        "ClusterRoleBinding /gitops-promoted-nodes",
        "Deployment gitops/promoted",
        "NetworkPolicy gitops/promoted",
        "Role flux-system/promoted-flux",
        "Role graphwiki/promoted-apps",
        "Role test-app/promoted-apps",
        "RoleBinding flux-system/promoted-flux",
        "RoleBinding graphwiki/promoted-apps",
        "RoleBinding test-app/promoted-apps",
        "Service gitops/promoted",
        "ServiceAccount gitops/promoted",
        "ValidatingAdmissionPolicy /gitops-promoted",
        "ValidatingAdmissionPolicyBinding /gitops-promoted",
    ]);
    assert_eq!(found, expected);
    let deployment = the(&rendered, "Deployment");
    assert_eq!(deployment["spec"]["strategy"], json!({"type": "Recreate"}));
    let arguments = &container(MINIMAL)["args"];
    assert_eq!(
        words(arguments),
        [
            "--repo=https://git.example.org/deploy.git",
            "--config=promote.yaml",
            "--state-dir=/var/lib/promoted",
            "--listen=0.0.0.0:9797",
            "--log-format=json",
            "--log-level=info"
        ]
    );
}

#[test]
fn two_replicas_elect_one_that_works() {
    let rendered = rendered(TWO);
    assert!(words(&container(TWO)["args"]).contains(&"--leader-election=promoted"));
    assert_eq!(the(&rendered, "Deployment")["spec"]["strategy"]["type"], "RollingUpdate");
    assert_eq!(the(&rendered, "PodDisruptionBudget")["spec"]["maxUnavailable"], 1);
}

#[test]
fn every_value_arrives_where_it_is_meant_to() {
    let rendered = rendered(ALL);
    let container = container(ALL);
    assert_eq!(
        words(&container["args"]),
        [
            "--repo=ssh://git@git.example.org/deploy.git",
            "--branch=main",
            "--config=gitops/promote.yaml",
            "--environment=local",
            "--environment=aws",
            "--registry-endpoint=k3d-registry:5000=localhost:5000",
            "--git-credentials=/etc/promoted/git",
            "--registry-credentials=/etc/promoted/registries/one/.dockerconfigjson",
            "--registry-credentials=/etc/promoted/registries/two/.dockerconfigjson",
            "--secrets=/etc/promoted/secrets",
            "--state-dir=/var/lib/promoted",
            "--listen=0.0.0.0:9797",
            "--leader-election=conveyor",
            "--log-format=text",
            "--log-level=promote=debug"
        ]
    );
    let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    assert_eq!(container["image"], format!("ghcr.io/promoted/promote:0.1.0@{digest}"));
    let deployment = the(&rendered, "Deployment");
    assert_eq!(id(deployment), "Deployment gitops/conveyor");
    let template = &deployment["spec"]["template"];
    let pod = &template["spec"];
    assert_eq!(pod["serviceAccountName"], "courier");
    assert_eq!(id(the(&rendered, "ServiceAccount")), "ServiceAccount gitops/courier");
    assert_eq!(the(&rendered, "ServiceAccount")["metadata"]["annotations"]["example"], "yes");
    assert_eq!(template["metadata"]["annotations"]["example"], "yes");
    assert_eq!(template["metadata"]["labels"]["team"], "platform");
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "pull"}]));
    assert_eq!(pod["nodeSelector"], json!({"disk": "ssd"}));
    assert_eq!(pod["tolerations"], json!([{"operator": "Exists"}]));
    let apart = &pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(apart[0]["topologyKey"], "zone");
    assert_eq!(pod["priorityClassName"], "high");
    let egress = &the(&rendered, "NetworkPolicy")["spec"]["egress"][1];
    assert_eq!(egress["to"][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], "gitea");
    assert_eq!(egress["ports"][0]["port"], 3000);
    let monitor = the(&rendered, "ServiceMonitor");
    assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
    assert_eq!(monitor["spec"]["endpoints"][0]["interval"], "30s");
}

#[test]
fn what_is_switched_off_is_not_there() {
    let rendered = rendered(NONE);
    let kinds: BTreeSet<&str> = rendered.iter().map(|manifest| word(&manifest["kind"])).collect();
    assert_eq!(kinds, BTreeSet::from(["Deployment", "Service"]));
}

#[test]
fn secrets_are_files_and_never_environment_or_arguments() {
    let rendered = rendered(ALL);
    let container = container(ALL);
    assert!(container["env"].is_null() && container["envFrom"].is_null());
    assert!(of(&rendered, "Secret").is_empty() && of(&rendered, "ConfigMap").is_empty());
    let pod = &the(&rendered, "Deployment")["spec"]["template"]["spec"];
    let mounted: Vec<(&str, &str)> = items(&container["volumeMounts"])
        .iter()
        .filter(|mount| mount["readOnly"] == true)
        .map(|mount| (word(&mount["name"]), word(&mount["mountPath"])))
        .collect();
    let secrets: Vec<(&str, &str)> = items(&pod["volumes"])
        .iter()
        .filter_map(|volume| Some((word(&volume["name"]), volume["secret"]["secretName"].as_str()?)))
        .collect();
    assert_eq!(
        mounted,
        [
            ("git", "/etc/promoted/git"),
            ("registry-0", "/etc/promoted/registries/one"),
            ("registry-1", "/etc/promoted/registries/two"),
            ("secrets", "/etc/promoted/secrets")
        ]
    );
    assert_eq!(
        secrets,
        [("git", "git"), ("registry-0", "one"), ("registry-1", "two"), ("secrets", "kubeconfigs")]
    );
}

#[test]
fn an_unknown_or_odd_value_is_refused() {
    for (value, words) in [
        ("repos=x", "repos"),
        ("rbac.appNamespace={x}", "appNamespace"),
        ("replicas=3", "replicas"),
        ("replicas=two", "replicas"),
        ("leaderElection=maybe", "leaderElection"),
        ("repo=https://user:password@git.example.org/deploy.git", "repo"),
        ("image.digest=latest", "digest"),
        ("log.format=xml", "format"),
        ("state.sizeLimit=big", "sizeLimit"),
        ("networkPolicy.egress[0].ports={443}", "egress"),
        ("networkPolicy.egress[0].cidr=10.0.0.0/8", "egress"),
        ("serviceMonitor.interval=soon", "interval"),
    ] {
        let mut values = MINIMAL.to_vec();
        values.push(value);
        let ended = helm("template", &values);
        assert!(!ended.well, "{value} was accepted");
        assert!(ended.stderr.contains(words), "{value}: {}", ended.stderr);
    }
}

#[test]
fn what_is_missing_is_named() {
    helm("template", &["rbac.appNamespaces={apps}"]).refused("repo: name the GitOps repository");
    helm("template", &[REPO]).refused("rbac.appNamespaces: name the namespaces of the apps");
}
