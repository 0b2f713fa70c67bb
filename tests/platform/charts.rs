//! The chart of the daemon, rendered by real Helm.

mod documents;
mod fences;
mod rendering;

use std::process::Command;

use serde_json::Value;

use crate::command::{self, Ended, root, tools};
use crate::manifests::{self, the};

/// The cluster's version, which Helm asks for where there is no cluster: that of the test bed.
const KUBERNETES: &str = "1.36.3";
const REPO: &str = "repo=https://git.example.org/deploy.git";
const MINIMAL: &[&str] = &[REPO, "rbac.appNamespaces={test-app,graphwiki}"];
const TWO: &[&str] = &[REPO, "rbac.appNamespaces={test-app,graphwiki}", "replicas=2"];
const ALL: &[&str] = &[
    "repo=ssh://git@git.example.org/deploy.git",
    "branch=main",
    "config=gitops/promote.yaml",
    "environments={local,aws}",
    "registryEndpoints.k3d-registry:5000=localhost:5000",
    "gitCredentials.secretName=git",
    "registryCredentials.secretNames={one,two}",
    "secrets.secretName=kubeconfigs",
    "log.format=text",
    "log.level=promote=debug",
    "image.digest=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "imagePullSecrets={pull}",
    "replicas=2",
    "leaderElection=true",
    "fullnameOverride=conveyor",
    "serviceAccount.name=courier",
    "serviceAccount.annotations.example=yes",
    "rbac.allNamespaces=true",
    "rbac.fluxNamespaces={flux-system,teams}",
    "networkPolicy.egress[0].namespace=gitea",
    "networkPolicy.egress[0].ports={3000}",
    "networkPolicy.metricsFrom=null",
    "serviceMonitor.enabled=true",
    "serviceMonitor.labels.release=prometheus",
    "podAnnotations.example=yes",
    "podLabels.team=platform",
    "nodeSelector.disk=ssd",
    "tolerations[0].operator=Exists",
    "affinity.nodeAffinity.example=yes",
    "priorityClassName=high",
];
const NONE: &[&str] = &[
    REPO,
    "serviceAccount.create=false",
    "rbac.create=false",
    "admissionPolicy.create=false",
    "networkPolicy.enabled=false",
    "podDisruptionBudget.enabled=false",
];

fn helm(command: &str, values: &[&str]) -> Ended {
    let chart = root().join("charts/promoted");
    let mut helm = Command::new(tools().join("bin/helm"));
    helm.arg(command);
    if command == "template" {
        helm.arg("promoted");
    }
    helm.arg(chart).args(["--namespace", "gitops", "--kube-version", KUBERNETES]);
    for value in values {
        helm.args(["--set", value]);
    }
    command::run(&mut helm, "run tests/platform/build.sh")
}

fn rendered(values: &[&str]) -> Vec<Value> {
    manifests::parse(&helm("template", values).passed().stdout)
}

fn container(values: &[&str]) -> Value {
    the(&rendered(values), "Deployment")["spec"]["template"]["spec"]["containers"][0].clone()
}
