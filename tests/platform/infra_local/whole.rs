//! The whole of `infra/local`, applied to a real API server: by real Terraform and the real providers of Helm and Kubernetes, with
//! charts from a mirror, and with Flux, which then follows this repository's own tree over SSH. k3d and docker are stand-ins, and
//! nodes and pods are KWOK's: no container runs.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::bed::Bed;
use super::charts::Charts;
use super::site::{Site, on_path};
use crate::command::{Ended, root, run};

const AGE_KEY: &str = include_str!("../../fixtures/sops/age.agekey");
const PASSWORD: &str = "canary-rancher-password";
const LATER: &str = "canary-another-password";

/// What k3s does of itself: a Service of type `LoadBalancer` gets an address.
const LOAD_BALANCER: &str = r#"
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: load-balancer}
spec:
  resourceRef: {apiGroup: v1, kind: Service}
  selector:
    matchExpressions:
    - {key: .spec.type, operator: In, values: [LoadBalancer]}
    - {key: '.status.loadBalancer.ingress // [] | length', operator: In, values: ["0"]}
  next:
    statusTemplate: |
      loadBalancer: {ingress: [{ip: 192.0.2.1}]}
"#;

/// A machine, a cluster that the stand-in for k3d "makes", and a mirror of the charts.
struct Whole {
    site: Site,
    bed: Bed,
    repo: String,
    // Held for its `Drop`.
    _charts: Charts,
}

impl Whole {
    fn new() -> Self {
        let (bed, charts) = (Bed::start(), Charts::serve());
        let repo = bed.publish(with_a_secret);
        let site = Site::new().without("kubectl");
        symlink(bed.place("kubectl"), site.path("bin/kubectl")).unwrap();
        symlink(root().join("charts"), site.path("repository/charts")).unwrap();
        // As k3d names things.
        let kubeconfig = fs::read_to_string(bed.place("kubeconfig")).unwrap();
        let kubeconfig = kubeconfig
            .replace("current-context: bed", "current-context: k3d-promote")
            .replace("contexts:\n- name: bed", "contexts:\n- name: k3d-promote");
        fs::write(site.path("kubeconfig"), kubeconfig).unwrap();
        fs::write(site.path("stage.yaml"), LOAD_BALANCER).unwrap();
        bed.kubectl(&["apply", "--filename", site.path("stage.yaml").to_str().unwrap()]).passed();
        // The bed has made it for tests that need no Terraform.
        bed.kubectl(&["delete", "namespace", "flux-system"]).passed();

        let kubeconfig = site.path("kubeconfig").display().to_string();
        let site = site
            .with("STAND_IN_KUBECONFIG", &kubeconfig)
            .with("TF_VAR_git_url", &repo)
            .with("TF_VAR_git_authentication", "ssh")
            .with("TF_VAR_git_credentials", &bed.credentials())
            .with("TF_VAR_sops_age_key", AGE_KEY)
            .with("TF_VAR_chart_repositories", &charts.mirrors());
        site.terraform("local", &["get"]).passed();
        Self { site, bed, repo, _charts: charts }
    }

    fn terraform(&self, command: &[&str], password: &str) -> Ended {
        let command = [command, &["-no-color"]].concat();
        let mut terraform = self.site.command(&on_path("terraform"), "repository/infra/local", &command);
        run(terraform.env("TF_VAR_rancher_bootstrap_password", password), "install Terraform")
    }
}

/// Adds a Secret that nobody reads without the key that Terraform is given.
fn with_a_secret(clone: &Path) {
    let overlay = clone.join("deploy/apps/test-app/overlays/local");
    fs::write(overlay.join("secret.yaml"), include_str!("../../fixtures/sops/secret.yaml")).unwrap();
    let list = fs::read_to_string(overlay.join("kustomization.yaml")).unwrap();
    let list = list.replace("resources:\n", "resources:\n- secret.yaml\n");
    fs::write(overlay.join("kustomization.yaml"), list).unwrap();
}

/// Everything that the API server has, but for what comes and goes by itself.
fn everything(bed: &Bed) -> BTreeSet<String> {
    let kinds = bed.kubectl(&["api-resources", "--verbs=list", "--output=name"]).passed().stdout;
    let passing = ["events", "leases.", "endpointslices.", "componentstatuses"];
    let kinds: Vec<&str> =
        kinds.lines().filter(|kind| !passing.iter().any(|one| kind.starts_with(one))).collect();
    let template =
        "{{range .items}}{{.kind}} {{with .metadata.namespace}}{{.}}/{{end}}{{.metadata.name}}\n{{end}}";
    let output = format!("--output=go-template={template}");
    let listed = bed.kubectl(&["get", &kinds.join(","), "--all-namespaces", &output]).passed().stdout;
    listed.lines().map(str::to_owned).collect()
}

/// Neither what Terraform said nor its state has one of the secrets that it was given.
#[track_caller]
fn tells_no_secret(whole: &Whole, said: &str) {
    let identity = whole.bed.credential("identity");
    let identity = identity.lines().nth(1).unwrap();
    let key = AGE_KEY.lines().find(|line| line.starts_with("AGE-SECRET-KEY")).unwrap();
    let state = fs::read_to_string(whole.site.path("repository/infra/local/terraform.tfstate")).unwrap();
    assert!(
        state.contains("\"bootstrap-secret\"") && state.contains("\"sops-age\""),
        "the state has their names"
    );
    for secret in [identity, key, PASSWORD, LATER] {
        // As it is, and as the API writes it.
        for form in [secret, &STANDARD.encode(secret)] {
            assert!(!said.contains(form) && !state.contains(form), "a secret was told: {form}");
        }
    }
}

fn secret(bed: &Bed, namespace: &str, name: &str, key: &str) -> String {
    let template = format!("--output=go-template={{{{index .data \"{key}\" | base64decode}}}}");
    bed.kubectl(&["get", "secret", name, "--namespace", namespace, &template]).passed().stdout
}

/// What the API server made of the values that each chart was given.
fn is_as_it_was_meant(whole: &Whole) {
    let bed = &whole.bed;
    for (namespace, name) in [
        ("cert-manager", "cert-manager"),
        ("cert-manager", "cert-manager-webhook"),
        ("istio-system", "istiod"),
        ("istio-ingress", "istio-ingressgateway"),
        ("cattle-system", "rancher"),
        ("flux-system", "flux-operator"),
    ] {
        let deployment = bed.object(namespace, "deployment", name);
        assert_eq!(deployment["status"]["availableReplicas"], 1, "{namespace}/{name}: {deployment:#}");
    }
    let container = |namespace, name| {
        bed.object(namespace, "deployment", name)["spec"]["template"]["spec"]["containers"][0].clone()
    };
    assert_eq!(
        container("istio-system", "istiod")["resources"]["requests"],
        json!({"cpu": "100m", "memory": "256Mi"})
    );
    let gateway = container("istio-ingress", "istio-ingressgateway");
    assert_eq!(gateway["resources"]["requests"], json!({"cpu": "50m", "memory": "64Mi"}));
    let labels = &bed.object("istio-ingress", "deployment", "istio-ingressgateway")["spec"]["template"]["metadata"]
        ["labels"];
    assert_eq!(labels["istio"], "ingressgateway", "the Gateway of deploy/flux selects it: {labels}");
    let ports = &bed.object("istio-ingress", "service", "istio-ingressgateway")["spec"]["ports"];
    let ports: Vec<_> = ports.as_array().unwrap().iter().map(|port| port["port"].as_u64().unwrap()).collect();
    assert_eq!(ports, [15021, 80, 443]);
    let hooks = bed.kubectl(&["get", "validatingwebhookconfiguration", "--output=json"]).passed().stdout;
    let hooks: Value = serde_json::from_str(&hooks).unwrap();
    let policies: Vec<_> = hooks["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|hook| hook["metadata"]["name"].as_str().unwrap().contains("istio"))
        .flat_map(|hook| hook["webhooks"].as_array().unwrap())
        .map(|hook| hook["failurePolicy"].clone())
        .collect();
    assert!(
        policies.len() >= 2 && policies.iter().all(|policy| policy == "Fail"),
        "istiod would flip it: {policies:?}"
    );
    for kind in ["poddisruptionbudget", "horizontalpodautoscaler", "ingress"] {
        let namespaces = ["cert-manager", "istio-system", "istio-ingress", "cattle-system"];
        let found =
            namespaces.map(|name| bed.kubectl(&["get", kind, "--namespace", name]).passed().stdout).concat();
        assert_eq!(found, "", "{kind}");
    }
    let arguments = container("cert-manager", "cert-manager")["args"].to_string();
    assert!(arguments.contains("--leader-election-namespace=cert-manager"), "{arguments}");

    let url = json!([{"name": "CATTLE_SERVER_URL", "value": "https://rancher.localhost:8443"}]);
    assert_eq!(container("cattle-system", "rancher")["env"], url);
    assert_eq!(secret(bed, "cattle-system", "bootstrap-secret", "bootstrapPassword"), PASSWORD);
    assert_eq!(secret(bed, "flux-system", "sops-age", "age.agekey"), AGE_KEY);
    let instance = &bed.object("flux-system", "fluxinstance", "flux")["spec"];
    let components =
        ["source-controller", "kustomize-controller", "helm-controller", "notification-controller"];
    assert_eq!(instance["components"], json!(components), "promoted alone writes images");
    assert_eq!(instance["distribution"]["version"], "2.9.x");
    assert_eq!(instance["cluster"]["type"], "kubernetes");
    let sync = json!({
        "kind": "GitRepository", "interval": "1m", "url": whole.repo,
        "ref": "refs/heads/main", "path": "./deploy/flux/clusters/local", "pullSecret": "flux-system",
    });
    assert_eq!(instance["sync"], sync);
}

/// Flux, started by nothing but the apply, brings the apps of this repository.
fn flux_follows(bed: &Bed) {
    for name in ["flux-system", "infrastructure", "configuration", "apps"] {
        bed.wait("flux-system", "kustomization", name, "Ready");
    }
    bed.wait("test-app", "deployment", "test-app", "Available");
    assert_eq!(secret(bed, "test-app", "greeting", "words"), "read by whoever has the key");
    let route = bed.object("istio-ingress", "virtualservice", "rancher");
    let host = &route["spec"]["http"][1]["route"][0]["destination"]["host"];
    assert_eq!(host, "rancher.cattle-system.svc.cluster.local");
    assert!(!bed.object("cattle-system", "service", "rancher").is_null(), "and there it is");
}

/// A plan that has nothing to do, and an apply that does nothing.
#[track_caller]
fn nothing_to_do(whole: &Whole, variables: &[&str], password: &str) {
    // Each revision of a release is a Secret of its own.
    let secrets = || -> Vec<String> {
        everything(&whole.bed).into_iter().filter(|object| object.starts_with("Secret ")).collect()
    };
    let before = (whole.site.calls(), secrets());
    // Exit code 2 would mean changes.
    let plan = whole.terraform(&[&["plan", "-detailed-exitcode"], variables].concat(), password).passed();
    let apply = whole.terraform(&[&["apply", "-auto-approve"], variables].concat(), password).passed();
    assert!(apply.stdout.contains("0 added, 0 changed, 0 destroyed"), "{}", apply.all());
    assert_eq!((whole.site.calls(), secrets()), before);
    tells_no_secret(whole, &(plan.all() + &apply.all()));
}

/// What destroy leaves on an API server that outlives it, which k3d's does not: what holds people's data and objects.
const KEPT: [&str; 5] = [
    "Namespace cert-manager",
    "Namespace graphwiki",
    "Namespace istio-ingress",
    "Namespace istio-system",
    "PersistentVolumeClaim graphwiki/graphwiki",
];

/// Whether an object is one that Kubernetes makes by itself, for each namespace and for each definition.
fn is_made_by_itself(object: &str) -> bool {
    object.ends_with("/default") || object.ends_with("/kube-root-ca.crt") || object.starts_with("APIService ")
}

fn only_what_is_kept_is_left(bed: &Bed, before: &BTreeSet<String>) {
    let left = || -> (Vec<String>, Vec<String>) {
        let new = everything(bed).into_iter().filter(|object| !before.contains(object));
        new.filter(|object| !is_made_by_itself(object)).partition(|object| object.starts_with("Custom"))
    };
    let began = Instant::now();
    // What Flux takes away goes after its Kustomizations, and pods after their Deployments.
    while left().1 != KEPT && began.elapsed() < Duration::from_mins(1) {
        std::thread::sleep(Duration::from_millis(500));
    }
    let (definitions, others) = left();
    assert_eq!(others, KEPT);
    let groups = [".istio.io", "cert-manager.io", ".fluxcd.controlplane.io"];
    let known = |name: &String| groups.iter().any(|group| name.ends_with(group));
    assert!(definitions.len() > 20 && definitions.iter().all(known), "{definitions:?}");
}

#[test]
fn on_a_real_api_server_one_apply_brings_the_apps_a_second_changes_nothing_and_destroy_takes_all_away() {
    let whole = Whole::new();
    let bed = &whole.bed;
    let before = everything(bed);

    let mut said = whole.terraform(&["plan", "-out=plan.out"], PASSWORD).passed().all();
    said += &whole.terraform(&["show", "-json", "plan.out"], PASSWORD).passed().all();
    said += &whole.terraform(&["apply", "plan.out"], PASSWORD).passed().all();
    tells_no_secret(&whole, &said);
    is_as_it_was_meant(&whole);
    flux_follows(bed);
    nothing_to_do(&whole, &[], PASSWORD);

    let later = ["-var=enable_daemon=true", "-var=secrets_revision=2"];
    let applied = whole.terraform(&[&["apply", "-auto-approve"][..], &later].concat(), LATER).passed();
    tells_no_secret(&whole, &applied.all());
    assert_eq!(secret(bed, "cattle-system", "bootstrap-secret", "bootstrapPassword"), LATER);
    assert_eq!(bed.object("promoted", "deployment", "promoted")["status"]["availableReplicas"], 1);
    assert_eq!(secret(bed, "promoted", "promoted-git", "identity"), bed.credential("identity"));
    nothing_to_do(&whole, &later, LATER);

    whole.terraform(&[&["destroy", "-auto-approve"][..], &later].concat(), LATER).passed();
    assert!(whole.site.clusters().is_empty());
    assert!(!whole.site.path("repository/infra/local/.local").exists(), "the kubeconfig is gone, too");
    only_what_is_kept_is_left(bed, &before);
}
