//! Whether registries answer, take the credentials, and have what stands in Git.

use std::collections::{BTreeMap, BTreeSet};

use super::{Check, Section};
use crate::daemon::Context;
use crate::discover::DiscoverError;
use crate::model::{AppName, EnvironmentName, Exit, RegistryHost, Repository};
use crate::publish::Snapshot;

/// A section for each registry that the environments use.
pub(super) async fn look(
    context: &Context,
    snapshot: &Snapshot,
    environments: &[EnvironmentName],
) -> Vec<Section> {
    let mut hosts: BTreeMap<RegistryHost, BTreeSet<Repository>> = BTreeMap::new();
    for environment in environments {
        for (app, settings) in &snapshot.config.apps {
            for image in settings.images.keys() {
                if let Some(repository) = snapshot.config.repository(environment, app, image) {
                    hosts.entry(repository.host().clone()).or_default().insert(repository);
                }
            }
        }
    }
    let sections =
        hosts.iter().map(|(host, repositories)| section(context, snapshot, environments, host, repositories));
    futures::future::join_all(sections).await
}

async fn section(
    context: &Context,
    snapshot: &Snapshot,
    environments: &[EnvironmentName],
    host: &RegistryHost,
    repositories: &BTreeSet<Repository>,
) -> Section {
    let mut checks = Vec::new();
    match context.registries.reachable(host).await {
        Ok(()) => {
            checks.push(Check::ok("registry", "it answers, and refuses no credentials"));
            checks.extend(lists(context, repositories).await);
            checks.extend(standing(context, snapshot, environments, host).await);
        }
        Err(error) => checks.push(Check::missing(Exit::Unreachable, "registry", error.to_string())),
    }
    Section { of: format!("registry {host}"), checks }
}

/// Whether the repositories' tags can be listed: an answer to `/v2/` says nothing about them.
async fn lists(context: &Context, repositories: &BTreeSet<Repository>) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut listed = 0;
    for repository in repositories {
        match context.registries.tags(repository, None).await {
            Ok(_) => listed += 1,
            Err(error @ DiscoverError::NotFound { .. }) => {
                checks.push(Check::advice(
                    "tags",
                    error.to_string(),
                    format!("push a first image to {repository}"),
                ));
            }
            Err(error) => checks.push(Check::missing(Exit::Unreachable, "tags", error.to_string())),
        }
    }
    if listed > 0 {
        checks.insert(
            0,
            Check::ok(
                "tags",
                format!("the tags of {listed} of {} repositories can be listed", repositories.len()),
            ),
        );
    }
    checks
}

/// What stands in Git and the registry has not: a node that needs the image anew can't start it.
async fn standing(
    context: &Context,
    snapshot: &Snapshot,
    environments: &[EnvironmentName],
    host: &RegistryHost,
) -> Vec<Check> {
    let mut checks = Vec::new();
    for ((app, environment), desired) in &snapshot.desired {
        if !environments.contains(environment) {
            continue;
        }
        for (image, written) in &desired.images {
            let Some(repository) = snapshot.config.repository(environment, app, image) else { continue };
            let Some(digest) = written.digest.as_ref().filter(|_| repository.host() == host) else {
                continue;
            };
            if matches!(context.registries.has(&repository, digest).await, Ok(false)) {
                let words = format!("{repository} has lost {} of {app} in {environment}", digest.short());
                let check = Check::missing(Exit::Blocked, "image", words);
                checks.push(check.mended_by(mend(app, environment, snapshot)));
            }
        }
    }
    checks
}

fn mend(app: &AppName, environment: &EnvironmentName, snapshot: &Snapshot) -> String {
    let settings = snapshot.config.environments.get(environment);
    if settings.is_some_and(|settings| !settings.after.is_empty()) {
        format!("promote --to {environment} --app {app} copies it again")
    } else {
        "push it again".to_owned()
    }
}
