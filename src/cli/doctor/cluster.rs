//! What a cluster and its delivery tool let us do.

use std::time::Duration;

use super::Check;
use super::rights::{self, Within};
use crate::config::{Cluster as Named, FluxTarget};
use crate::daemon::Context;
use crate::deliver::{DeliverError, inspect};
use crate::model::Exit;

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// With `wait: true` a commit that takes back a failure is not looked at before this is over.
const LONG: Duration = Duration::from_mins(3);

/// What there is to say, and whether versions can be looked at there.
pub(super) async fn look(context: &Context, from: &Named, target: &FluxTarget) -> (Vec<Check>, bool) {
    let cluster = match context.clusters.cluster(from).await {
        Ok(cluster) => cluster,
        Err(error) => return (vec![failed("cluster", &error)], false),
    };
    let name = cluster.name().to_owned();
    let answer = tokio::time::timeout(PATIENCE, cluster.reachable()).await;
    let answer = answer.unwrap_or_else(|_| {
        let cause = format!("no answer within {} s", PATIENCE.as_secs());
        Err(DeliverError::Unreachable { cluster: name.clone(), cause })
    });
    if let Err(error) = answer {
        return (vec![failed("cluster", &error)], false);
    }
    let account = inspect::account(&cluster).await;
    let by =
        account.as_deref().map(|account| format!(" as {account}, whose rights follow")).unwrap_or_default();
    let mut checks = vec![Check::ok("cluster", format!("cluster {name} answers{by}"))];
    let found = inspect::kustomization(&cluster, target).await;
    let known = found.as_ref().ok().and_then(Option::as_ref);
    let namespaces = |within| match (within, known) {
        (Within::Kustomization, _) => vec![target.namespace.clone()],
        (Within::Source, Some(known)) => vec![known.source.0.clone()],
        (Within::Workloads, Some(known)) => known.namespaces.iter().cloned().collect(),
        (Within::Source | Within::Workloads, None) => Vec::new(),
    };
    checks.extend(rights::look(&cluster, account.as_deref(), namespaces).await);
    let place = format!("{}/{}", target.namespace, target.name);
    let is_there = match &found {
        Ok(Some(known)) => {
            let version = inspect::flux_version(&cluster).await;
            checks.extend(delivery(&place, target, known, version.as_deref()));
            true
        }
        Ok(None) => {
            let words = format!("there is no Kustomization {place}");
            let mend = "correct `deploy.flux.kustomization`, or create it: flux create kustomization --help";
            checks.push(Check::missing(Exit::Usage, "delivery", words).mended_by(mend));
            false
        }
        Err(error) => {
            checks.push(failed("delivery", error));
            false
        }
    };
    (checks, is_there)
}

/// What the Kustomization's own settings mean for a verdict.
fn delivery(
    place: &str,
    target: &FluxTarget,
    known: &inspect::Kustomization,
    version: Option<&str>,
) -> Vec<Check> {
    let mut checks = Vec::new();
    let (namespace, source) = &known.source;
    let flux = version.map_or_else(|| "Flux".to_owned(), |version| format!("Flux {version}"));
    if known.source_kind == "GitRepository" {
        let words = format!(
            "{flux}: Kustomization {place} takes its manifests from GitRepository {namespace}/{source}"
        );
        checks.push(Check::ok("delivery", words));
    } else {
        let words = format!(
            "{flux}: Kustomization {place} takes its manifests from a {}, which no commit reaches",
            known.source_kind
        );
        let mend = "name a Kustomization in `deploy.flux.kustomization` whose source is a GitRepository";
        checks.push(Check::missing(Exit::Usage, "delivery", words).mended_by(mend));
    }
    if known.suspended {
        let words = format!("Kustomization {place} is suspended, so that nothing is delivered");
        let mend = format!("flux resume kustomization {} -n {}", target.name, target.namespace);
        checks.push(Check::missing(Exit::Blocked, "delivery", words).mended_by(mend));
    }
    if known.waits && known.timeout.is_none_or(|timeout| timeout > LONG) {
        let timeout = known.timeout.map_or("unknown".to_owned(), crate::config::duration::format);
        checks.push(Check::advice(
            "delivery",
            format!(
                "Kustomization {place} has `wait: true` with a timeout of {timeout}: so long it does not look at the commit \
                 that takes a failed version back"
            ),
            "set `wait: false`, or `timeout: 2m`: versions are followed here anyway",
        ));
    }
    checks
}

fn failed(about: &str, error: &DeliverError) -> Check {
    let exit = match error {
        DeliverError::Target(_) => Exit::Usage,
        _ => Exit::Unreachable,
    };
    Check::missing(exit, about, error.to_string())
}
