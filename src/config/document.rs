//! The whole document.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{AppName, EnvironmentName, RegistryHost};

use super::keys::{AUTHOR, GIT, REGISTRY, ROOT};
use super::mask::shown;
use super::problem::Findings;
use super::read::{Fields, Value};
use super::{App, Author, Config, Git, RegistryOptions, app, check, environment, names, receiver};

/// The grammar of app and environment names.
const NAME_RULE: &str = "up to 63 lower-case letters, digits and inner hyphens";
/// The most environments.
const MOST_ENVIRONMENTS: usize = 100;
/// The most pairs of an app and an environment.
const MOST_PAIRS: usize = 10_000;

/// The configuration, as far as the document tells it; complete only where `findings` stays empty.
pub(super) fn config(root: &Value<'_>, findings: &mut Findings) -> Option<Config> {
    let fields = root.fields(&ROOT, findings)?;
    if let Some(version) = fields.required("version", "1", findings)
        && let Some(text) = version.text(findings)
        && text != "1"
    {
        version.problem(findings, format!("unknown version (got \"{}\"); write 1", shown(text)));
    }
    let interval = fields
        .get("interval")
        .and_then(|interval| interval.duration(Duration::from_secs(1), findings))
        .unwrap_or(Duration::from_mins(1));
    let git = git(fields.get("git").as_ref(), findings);
    let registries = fields
        .get("registries")
        .map(|registries| self::registries(&registries, findings))
        .unwrap_or_default();
    let receivers = fields
        .get("receivers")
        .map(|receivers| receiver::receivers(&receivers, findings))
        .unwrap_or_default();
    let environments = environments(&fields, findings);
    let apps = apps(&fields, environments.len(), findings);
    if environments.len() > MOST_ENVIRONMENTS || environments.len().saturating_mul(apps.len()) > MOST_PAIRS {
        let limit = format!(
            "at most {MOST_ENVIRONMENTS} environments, and {MOST_PAIRS} pairs of app and environment"
        );
        let got = format!("{} environments, {} apps", environments.len(), apps.len());
        root.problem(findings, format!("{limit} are supported (got {got}); split the repository"));
        return None;
    }
    check::jumps(&environments, &apps, findings);
    let environments = check::order(environments, findings);
    check::overlays(&environments, &apps, findings);
    check::lengths(&environments, &apps, findings);
    let environments = environments.into_iter().filter_map(|(name, found)| Some((name, found?))).collect();
    let apps = apps.into_iter().filter_map(|(name, draft)| Some((name, finished(draft)?))).collect();
    Some(Config { interval, git, registries, receivers, environments, apps })
}

fn git(value: Option<&Value<'_>>, findings: &mut Findings) -> Git {
    let mut git = Git {
        branch: None,
        author: Author { name: "promoted".to_owned(), email: "promoted@localhost".to_owned() },
    };
    let Some(fields) = value.and_then(|value| value.fields(&GIT, findings)) else { return git };
    git.branch = fields.get("branch").and_then(|branch| branch.legal(names::branch, findings));
    if let Some(author) = fields.get("author").and_then(|author| author.fields(&AUTHOR, findings)) {
        if let Some(name) = author.get("name").and_then(|name| name.legal(names::author, findings)) {
            git.author.name = name;
        }
        if let Some(email) = author.get("email").and_then(|email| email.legal(names::author, findings)) {
            git.author.email = email;
        }
    }
    git
}

fn registries(value: &Value<'_>, findings: &mut Findings) -> BTreeMap<RegistryHost, RegistryOptions> {
    let mut registries = BTreeMap::new();
    for entry in value.entries(findings).unwrap_or_default() {
        let host = names::registry(entry.name).map_err(|message| entry.key.problem(findings, message)).ok();
        let Some(fields) = entry.value.fields(&REGISTRY, findings) else { continue };
        let insecure =
            fields.get("insecure").and_then(|insecure| insecure.boolean(findings)).unwrap_or(false);
        let ca_value = fields.get("ca");
        let ca = ca_value.as_ref().and_then(|ca| ca.legal(names::secret, findings));
        if let (true, Some(ca)) = (insecure, &ca_value) {
            ca.problem(
                findings,
                "of no use with `insecure: true`, which is plain HTTP; remove one of the two",
            );
        }
        if let Some(host) = host
            && registries.insert(host, RegistryOptions { insecure, ca }).is_some()
        {
            entry.key.problem(findings, "named twice, in other letter case; remove one of the two");
        }
    }
    registries
}

/// The environments by name; `after` is still as it was written.
fn environments<'t>(
    fields: &Fields<'t>,
    findings: &mut Findings,
) -> BTreeMap<EnvironmentName, environment::Draft<'t>> {
    let mut environments = BTreeMap::new();
    let Some(value) = fields.required("environments", "{NAME: {registry: HOST[:PORT]}}", findings) else {
        return environments;
    };
    let entries = value.entries(findings);
    if entries.as_ref().is_some_and(Vec::is_empty) {
        value.problem(findings, "has no environment; add `NAME: {registry: HOST[:PORT]}`");
    }
    for entry in entries.unwrap_or_default() {
        let name = entry.key.name(entry.name, "an environment name", NAME_RULE, findings);
        let draft = environment::environment(&entry.value, findings);
        environments.extend(name.map(|name| (name, draft)));
    }
    environments
}

fn apps<'t>(
    fields: &Fields<'t>,
    environments: usize,
    findings: &mut Findings,
) -> BTreeMap<AppName, app::Draft<'t>> {
    let mut apps = BTreeMap::new();
    let Some(value) = fields.required("apps", "{NAME: {path: PATH, images: {NAME: …}}}", findings) else {
        return apps;
    };
    let entries = value.entries(findings);
    if entries.as_ref().is_some_and(Vec::is_empty) {
        value.problem(findings, "has no app; add `NAME: {path: PATH, images: {NAME: …}}`");
    }
    for entry in entries.unwrap_or_default() {
        let name = entry.key.name(entry.name, "an app name", NAME_RULE, findings);
        let draft = app::app(&entry.value, environments, findings);
        apps.extend(name.map(|name| (name, draft)));
    }
    apps
}

fn finished(draft: app::Draft<'_>) -> Option<App> {
    let (path, _) = draft.path?;
    let images = draft.images.into_iter().filter_map(|image| Some((image.name, image.policy?))).collect();
    Some(App { path, markers: draft.markers, images })
}
