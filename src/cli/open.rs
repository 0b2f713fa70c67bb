//! Opening what a command works on: the remote, the registries, the clusters.

use std::sync::Arc;

use super::Failure;
use super::args::Common;
use super::output::Printer;
use crate::config::Environment;
use crate::daemon::Context;
use crate::daemon::args::{credentials, folder};
use crate::daemon::clusters::Clusters;
use crate::daemon::health::Health;
use crate::daemon::metrics::Metrics;
use crate::daemon::nodes::Nodes;
use crate::daemon::reach::Reach;
use crate::daemon::ways::Ways;
use crate::discover::{Registries, RegistriesOptions};
use crate::model::{AppName, EnvironmentName, Exit};
use crate::publish::{GitCredentials, Location, Mirror, MirrorOptions, Snapshot};

/// Opens everything and reads the remote's head.
pub(super) async fn open(
    common: &Common,
    printer: &Printer,
) -> Result<(Arc<Context>, Arc<Snapshot>), Failure> {
    let location = Location::find(&common.repo)?;
    printer.step("read", &format!("reading {location}"), &serde_json::json!({}));
    let mirror = Mirror::start(MirrorOptions {
        location,
        branch: common.branch.clone(),
        config: common.config.clone(),
        in_pod: crate::deliver::in_pod(),
        credentials: GitCredentials { folder: common.git_credentials.clone(), helpers: true },
        state: folder("XDG_CACHE_HOME", ".cache").join("promote"),
    })?;
    let secrets =
        common.secrets.clone().or_else(|| Some(folder("XDG_CONFIG_HOME", ".config").join("promote/secrets")));
    let registries = Registries::new(RegistriesOptions {
        endpoints: common.registry_endpoint.iter().cloned().collect(),
        credentials: credentials(&common.registry_credentials).with_helpers(),
        secrets: secrets.clone(),
        user_agent: concat!("promote/", env!("CARGO_PKG_VERSION")).to_owned(),
        ..RegistriesOptions::default()
    })
    .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let metrics = Metrics::new().map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
    let snapshot = mirror.refresh().await?;
    if let Some(problem) = &snapshot.config_problem {
        return Err(Failure::new(Exit::Usage, problem.clone()));
    }
    registries.configure(&snapshot.config.registries);
    let context = Context {
        mirror,
        registries,
        clusters: Clusters::new(secrets, true),
        ways: Ways::new(common.registry_endpoint.iter().map(|(host, _)| host.clone()).collect()),
        nodes: Nodes::default(),
        reach: Reach::default(),
        health: Arc::new(Health::default()),
        metrics: Arc::new(metrics),
    };
    Ok((Arc::new(context), snapshot))
}

/// The person at the keyboard, as Git knows them: `NAME <EMAIL>`.
pub(super) fn person() -> Option<String> {
    crate::publish::identity().map(|identity| crate::model::printable(&identity, 200))
}

/// The settings of an environment that the configuration must have.
pub(super) fn known_environment<'s>(
    snapshot: &'s Snapshot,
    name: &EnvironmentName,
) -> Result<&'s Environment, Failure> {
    let environments = &snapshot.config.environments;
    environments.get(name).ok_or_else(|| {
        unknown("environment", name.as_str(), environments.keys().map(EnvironmentName::as_str))
    })
}

/// Checks that the configuration has an app.
pub(super) fn known_app(snapshot: &Snapshot, name: &AppName) -> Result<(), Failure> {
    let apps = &snapshot.config.apps;
    if apps.contains_key(name) {
        return Ok(());
    }
    Err(unknown("app", name.as_str(), apps.keys().map(AppName::as_str)))
}

/// Says that a name is not in the configuration, with those that are.
fn unknown(kind: &str, name: &str, known: impl Iterator<Item = impl AsRef<str>>) -> Failure {
    let known: Vec<String> = known.map(|known| known.as_ref().to_owned()).collect();
    Failure::new(Exit::Usage, format!("promote.yaml has no {kind} {name} (it has {})", known.join(", ")))
}
