//! Sets of values for the chart. The platform's tests look at what is rendered, the scenarios of `tests/it` apply and run it.

pub(crate) const REPO: &str = "repo=https://git.example.org/deploy.git";
/// No more than must be said.
pub(crate) const MINIMAL: &[&str] = &[REPO, "rbac.appNamespaces={test-app,graphwiki}"];
/// Two replicas, of which one works.
pub(crate) const TWO: &[&str] = &[REPO, "rbac.appNamespaces={test-app,graphwiki}", "replicas=2"];
/// Every switch.
pub(crate) const ALL: &[&str] = &[
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
    "rbac.podLogs=true",
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
    "affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey=zone",
    "priorityClassName=high",
];
/// Every part that can be left out is.
pub(crate) const NONE: &[&str] = &[
    REPO,
    "serviceAccount.create=false",
    "rbac.create=false",
    "admissionPolicy.create=false",
    "networkPolicy.enabled=false",
    "podDisruptionBudget.enabled=false",
];
