//! What only shows when everything is known: order, cycles, shared folders.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::model::{AppName, EnvironmentName, ImageName};

use super::mask::shown;
use super::nearest::nearest;
use super::problem::Findings;
use super::read::Value;
use super::{Environment, PLACEHOLDER, Policy, RepositoryName, app, environment};

/// The longest path of a repository, in bytes; the limit of the model.
const LONGEST_REPOSITORY: usize = 255;

type Environments = BTreeMap<EnvironmentName, Option<Environment>>;

/// Looks up every `after`; names that don't exist and cycles are problems.
pub(super) fn order(
    drafts: BTreeMap<EnvironmentName, environment::Draft<'_>>,
    findings: &mut Findings,
) -> Environments {
    let names: Vec<EnvironmentName> = drafts.keys().cloned().collect();
    let mut environments = BTreeMap::new();
    let mut edges = Vec::new();
    for (name, draft) in drafts {
        let mut after: Vec<(usize, Value<'_>)> = Vec::new();
        for (text, value) in draft.after {
            match names.binary_search_by(|name| name.as_str().cmp(text)) {
                Ok(index) if after.iter().any(|(known, _)| *known == index) => {
                    value.problem(
                        findings,
                        format!("\"{}\" is named twice; remove one of the two", names[index]),
                    );
                }
                Ok(index) => after.push((index, value)),
                Err(_) => value.problem(findings, unknown(text, &names, findings)),
            }
        }
        let mut environment = draft.environment;
        if let Some(environment) = &mut environment {
            environment.after = after.iter().map(|(index, _)| names[*index].clone()).collect();
        }
        environments.insert(name, environment);
        edges.push(after);
    }
    cycles(&names, &edges, findings);
    environments
}

fn unknown(text: &str, names: &[EnvironmentName], findings: &Findings) -> String {
    let got = shown(text);
    let candidates = names.iter().map(EnvironmentName::as_str);
    if findings.is_full() {
        return format!("no such environment (got \"{got}\")");
    }
    match nearest(text, candidates.clone()) {
        Some(near) => format!("no such environment (got \"{got}\"); did you mean \"{near}\"?"),
        None => format!(
            "no such environment (got \"{got}\"); known here: {}",
            candidates.take(10).collect::<Vec<_>>().join(", ")
        ),
    }
}

/// Follows `after` from every environment; the edge that leads back into the way walked closes a cycle.
fn cycles(names: &[EnvironmentName], edges: &[Vec<(usize, Value<'_>)>], findings: &mut Findings) {
    let mut done = vec![false; names.len()];
    for start in 0..names.len() {
        // Each step of the way is an environment and how many of its edges were followed.
        let mut way: Vec<(usize, usize)> = if done[start] { Vec::new() } else { vec![(start, 0)] };
        while let Some((at, followed)) = way.last_mut() {
            let Some((next, value)) = edges[*at].get(*followed) else {
                done[*at] = true;
                way.pop();
                continue;
            };
            *followed += 1;
            if let Some(first) = way.iter().position(|(on_way, _)| on_way == next) {
                let around = way[first..].iter().map(|(index, _)| names[*index].as_str());
                let cycle: Vec<&str> = around.chain([names[*next].as_str()]).collect();
                value.problem(findings, format!("a cycle: {}; remove one of these", cycle.join(" after ")));
            } else if !done[*next] {
                way.push((*next, 0));
            }
        }
    }
}

/// Only versions have major, minor and patch numbers, so that only they have jumps.
pub(super) fn jumps(
    environments: &BTreeMap<EnvironmentName, environment::Draft<'_>>,
    apps: &BTreeMap<AppName, app::Draft<'_>>,
    findings: &mut Findings,
) {
    let other = apps.iter().find_map(|(app, draft)| {
        draft.images.iter().find_map(|image| {
            let policy = &image.policy.as_ref()?.policy;
            (!matches!(policy, Policy::Semver { .. })).then(|| (app, &image.name, policy.name()))
        })
    });
    let Some((app, image, policy)) = other else { return };
    for value in environments.values().filter_map(|draft| draft.max_jump.as_ref()) {
        value.problem(
            findings,
            format!(
                "needs `semver` policies, since only versions have jumps, and image {} of app {app} has `{policy}`; \
                 remove it, or write a `semver` policy there",
                shown(image.as_str())
            ),
        );
    }
}

/// No image may be written by two policies.
pub(super) fn overlays(
    environments: &Environments,
    apps: &BTreeMap<AppName, app::Draft<'_>>,
    findings: &mut Findings,
) {
    let mut folders: HashMap<String, Vec<(&AppName, &EnvironmentName)>> = HashMap::new();
    for (app, draft) in apps {
        for environment in environments.keys() {
            if let Some((path, _)) = &draft.path {
                let folder = path.replace(PLACEHOLDER, environment.as_str());
                folders.entry(folder).or_default().push((app, environment));
            }
        }
    }
    let mut shared: Vec<_> = folders.iter().filter(|(_, users)| users.len() > 1).collect();
    shared.sort_by_key(|(_, users)| users[0]);
    let mut reported = HashSet::new();
    for (folder, users) in shared {
        let mut images: HashMap<&ImageName, (&AppName, &EnvironmentName)> = HashMap::new();
        for (app, environment) in users {
            for image in &apps[*app].images {
                let (first, its_environment) = *images.entry(&image.name).or_insert((app, environment));
                if first != *app && reported.insert((first, *app, &image.name)) {
                    image.value.problem(
                        findings,
                        format!(
                            "app {first} in {its_environment} and app {app} in {environment} write the same image in \
                             \"{}\"; remove one of the two",
                            shown(folder)
                        ),
                    );
                }
            }
        }
    }
}

/// Registry prefix and repository must be a legal repository together.
pub(super) fn lengths(
    environments: &Environments,
    apps: &BTreeMap<AppName, app::Draft<'_>>,
    findings: &mut Findings,
) {
    let prefixes = environments.iter().filter_map(|(name, found)| {
        let prefix = found.as_ref()?.registry.prefix.as_ref()?;
        Some((prefix.len() + 1, name))
    });
    let Some((longest, environment)) = prefixes.max() else { return };
    for image in apps.values().flat_map(|draft| &draft.images) {
        if let Some(RepositoryName::Relative(path)) = image.policy.as_ref().map(|policy| &policy.repository)
            && longest + path.len() > LONGEST_REPOSITORY
        {
            image.value.problem(
                findings,
                format!(
                    "longer than {LONGEST_REPOSITORY} bytes below the registry of {environment} (got \"{}\"); shorten \
                     one of the two",
                    shown(path)
                ),
            );
        }
    }
}
