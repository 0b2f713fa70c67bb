//! The rights that this product uses in a cluster: what each is for, and whether anything goes without it.

use super::Check;
use crate::deliver::DeliverError;
use crate::deliver::cluster::Cluster;
use crate::deliver::inspect::{self, Right};
use crate::model::Exit;

/// Whose namespace a right is needed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    /// The Kustomization's.
    Kustomization,
    /// The Kustomization's source's.
    Source,
    /// Those of the workloads that were applied.
    Workloads,
}

/// Rights on one kind of objects that serve one purpose.
struct Need {
    within: Within,
    group: &'static str,
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
    purpose: &'static str,
    /// Whether a verdict can't do without it.
    required: bool,
}

/// Everything that a verdict needs or makes use of. A layer that looks at more kinds has its line here.
const NEEDS: [Need; 8] = [
    Need {
        within: Within::Kustomization,
        group: "kustomize.toolkit.fluxcd.io",
        resources: &["kustomizations"],
        verbs: &["list", "watch"],
        purpose: "to see what Flux has applied",
        required: true,
    },
    Need {
        within: Within::Source,
        group: "source.toolkit.fluxcd.io",
        resources: &["gitrepositories"],
        verbs: &["list", "watch"],
        purpose: "to see what Flux has fetched",
        required: true,
    },
    Need {
        within: Within::Source,
        group: "source.toolkit.fluxcd.io",
        resources: &["gitrepositories"],
        verbs: &["patch"],
        purpose: "to ask Flux for a commit at once",
        required: true,
    },
    Need {
        within: Within::Workloads,
        group: "apps",
        resources: &["deployments", "replicasets", "statefulsets", "daemonsets"],
        verbs: &["list", "watch"],
        purpose: "to follow rollouts",
        required: true,
    },
    Need {
        within: Within::Workloads,
        group: "",
        resources: &["pods"],
        verbs: &["list", "watch"],
        purpose: "to see what pods run",
        required: true,
    },
    Need {
        within: Within::Workloads,
        group: "batch",
        resources: &["jobs", "cronjobs"],
        verbs: &["list", "watch"],
        purpose: "to follow jobs",
        required: true,
    },
    Need {
        within: Within::Workloads,
        group: "",
        resources: &["events"],
        verbs: &["list"],
        purpose: "to tell with a failure what the cluster says of it",
        required: false,
    },
    Need {
        within: Within::Workloads,
        group: "",
        resources: &["pods/log"],
        verbs: &["get"],
        purpose: "to tell with a failure the last lines of its log",
        required: false,
    },
];

/// A line for each need, of the rights of `account` in the namespaces that `namespaces` tells.
pub(super) async fn look(
    cluster: &Cluster,
    account: Option<&str>,
    namespaces: impl Fn(Within) -> Vec<String>,
) -> Vec<Check> {
    let mut checks = Vec::new();
    for need in &NEEDS {
        for namespace in namespaces(need.within) {
            match lacking(cluster, need, &namespace).await {
                Ok(lacking) if lacking.is_empty() => checks.push(Check::ok("right", said(need, &namespace))),
                Ok(lacking) => {
                    let words = format!(
                        "it may not {} in {namespace}, {}",
                        lacking
                            .iter()
                            .map(|right| format!("{} {}", right.verb, right.resource))
                            .collect::<Vec<_>>()
                            .join(", "),
                        need.purpose
                    );
                    let mend = mend(need, &namespace, account);
                    checks.push(if need.required {
                        Check::missing(Exit::Unreachable, "right", words).mended_by(mend)
                    } else {
                        Check::advice("right", words, mend)
                    });
                }
                Err(error) => {
                    checks.push(Check::missing(Exit::Unreachable, "right", error.to_string()));
                    return checks;
                }
            }
        }
    }
    checks
}

async fn lacking(cluster: &Cluster, need: &Need, namespace: &str) -> Result<Vec<Right>, DeliverError> {
    let mut lacking = Vec::new();
    for resource in need.resources {
        for verb in need.verbs {
            let right = Right { verb, group: need.group, resource };
            if !inspect::may(cluster, right, namespace).await? {
                lacking.push(right);
            }
        }
    }
    Ok(lacking)
}

fn said(need: &Need, namespace: &str) -> String {
    format!(
        "it may {} {} in {namespace}, {}",
        need.verbs.join(" and "),
        need.resources.join(", "),
        need.purpose
    )
}

/// The commands that give the right to the account.
fn mend(need: &Need, namespace: &str, account: Option<&str>) -> String {
    let suffix = |resource: &&str| {
        if need.group.is_empty() { (*resource).to_owned() } else { format!("{resource}.{}", need.group) }
    };
    let resources: Vec<String> = need.resources.iter().map(suffix).collect();
    let name = format!("promoted-{}-{}", need.resources[0].replace('/', "-"), need.verbs[0]);
    format!(
        "kubectl -n {namespace} create role {name} --verb={} --resource={} && kubectl -n {namespace} create rolebinding \
         {name} --role={name} --user={}",
        need.verbs.join(","),
        resources.join(","),
        account.unwrap_or("ACCOUNT")
    )
}
