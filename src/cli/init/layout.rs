//! Which folders are an app in an environment, told by their paths.

use std::collections::{BTreeMap, BTreeSet};

use super::decide::App;
use super::find::Found;
use crate::config::PLACEHOLDER;

/// Folders whose sub-folders are environments.
const HOLDERS: [&str; 6] = ["overlays", "environments", "envs", "env", "clusters", "stages"];
/// Folders whose names say nothing about the app in them.
const NAMELESS: [&str; 14] = [
    "overlays",
    "environments",
    "envs",
    "env",
    "clusters",
    "stages",
    "apps",
    "deploy",
    "kustomize",
    "base",
    "bases",
    "manifests",
    "k8s",
    "kubernetes",
];
/// The usual names of environments, in the order in which versions pass them; the fourth is for all other names.
const LADDER: [&[&str]; 6] = [
    &["local"],
    &["dev", "development", "sandbox"],
    &["test", "testing", "int", "integration", "qa"],
    &["staging", "stage", "stg", "uat", "preprod", "pre-production"],
    &[],
    &["prod", "production", "live", "prd"],
];

/// One app's folders.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spot {
    /// With the placeholder, where it has environments.
    pub(super) path: String,
    /// By environment.
    pub(super) folders: BTreeMap<String, String>,
}

/// Where an environment of this name usually is on the way of a version.
pub(super) fn rank(environment: &str) -> usize {
    LADDER.iter().position(|names| names.contains(&environment)).unwrap_or(4)
}

fn is_usual(name: &str) -> bool {
    LADDER.iter().any(|names| names.contains(&name))
}

/// All apps, in the order of their paths.
pub(super) fn spots(found: &Found, notes: &mut Vec<String>) -> Vec<Spot> {
    let clusters: BTreeSet<&str> =
        found.applied.iter().filter_map(|applied| cluster(&applied.file)).collect();
    let folders = folders(found);
    let mut spots: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut alone = Vec::new();
    for folder in folders {
        match environment_at(&folder, &clusters) {
            Some((path, environment)) => {
                spots.entry(path).or_default().insert(environment, folder);
            }
            None => alone.push(folder),
        }
    }
    // A sibling without an entry of its own belongs to the app, too.
    for (path, folders) in &mut spots {
        for folder in found.kustomizations.keys() {
            if let Some((sibling, environment)) = environment_at(folder, &clusters)
                && sibling == *path
                && found.kustomizations.get(folder).is_some_and(|found| !found.component)
            {
                folders.entry(environment).or_insert_with(|| folder.clone());
            }
        }
    }
    if spots.is_empty() {
        let name = clusters.iter().next().filter(|_| clusters.len() == 1);
        let name = name.copied().unwrap_or("default").to_owned();
        if !alone.is_empty() && clusters.len() != 1 {
            notes.push(format!(
                "nothing tells the environment's name; it is called \"{name}\", so rename it as you like"
            ));
        }
        spots
            .extend(alone.drain(..).map(|folder| (folder.clone(), BTreeMap::from([(name.clone(), folder)]))));
    }
    for folder in alone {
        notes.push(format!(
            "{folder} was left out, as its path names no environment; move it below overlays/ENVIRONMENT to have it \
             promoted"
        ));
    }
    spots.into_iter().map(|(path, folders)| Spot { path, folders }).collect()
}

/// The folders that hold an app's images: by an entry, by a marker, or where there are neither, by what they render.
fn folders(found: &Found) -> BTreeSet<String> {
    let mut folders: BTreeSet<String> = BTreeSet::new();
    for (folder, kustomization) in &found.kustomizations {
        if !kustomization.images.is_empty() && !kustomization.component {
            folders.insert(folder.clone());
        }
    }
    for path in found.marked.iter().filter(|(_, marked)| !marked.markers.is_empty()).map(|(path, _)| path) {
        folders.extend(owner(found, path));
    }
    // A base is no place of an environment; what refers to it is.
    let bases: Vec<String> = folders.iter().filter(|folder| is_base(found, folder)).cloned().collect();
    for base in bases {
        let users = found.kustomizations.iter().filter(|(folder, other)| {
            other.resources.iter().any(|path| super::find::joined(folder, path).as_ref() == Some(&base))
        });
        let users: Vec<String> = users.map(|(folder, _)| folder.clone()).collect();
        if !users.is_empty() {
            folders.remove(&base);
            folders.extend(users);
        }
    }
    if folders.is_empty() {
        let used: BTreeSet<String> = found
            .kustomizations
            .iter()
            .flat_map(|(folder, other)| {
                other.resources.iter().filter_map(|path| super::find::joined(folder, path))
            })
            .collect();
        let renders = |folder: &&String| !folder.is_empty() && !found.rendered(folder).is_empty();
        let direct =
            |folder: &&String| !used.contains(*folder) || environment_at(folder, &BTreeSet::new()).is_some();
        folders.extend(found.kustomizations.keys().filter(renders).filter(direct).cloned());
        // What only gathers other apps is none itself.
        let gathers: Vec<String> = folders
            .iter()
            .filter(|folder| {
                let resources = found.kustomizations.get(*folder).map(|found| found.resources.as_slice());
                let below =
                    resources.into_iter().flatten().filter_map(|path| super::find::joined(folder, path));
                below.filter(|path| folders.contains(path)).count() > 0
            })
            .cloned()
            .collect();
        folders.retain(|folder| !gathers.contains(folder));
    }
    folders
}

fn is_base(found: &Found, folder: &str) -> bool {
    let name = folder.rsplit('/').next().unwrap_or_default();
    matches!(name, "base" | "bases") && found.kustomizations.contains_key(folder)
}

/// The folder of the kustomization around a file, or its own.
fn owner(found: &Found, path: &str) -> Option<String> {
    let (own, _) = path.rsplit_once('/')?;
    let mut at = own;
    loop {
        if found.kustomizations.get(at).is_some_and(|found| !found.component) {
            return Some(at.to_owned());
        }
        match at.rsplit_once('/') {
            Some((above, _)) => at = above,
            None => return Some(own.to_owned()),
        }
    }
}

/// `clusters/NAME/…` is where Flux's objects of a cluster are.
fn cluster(file: &str) -> Option<&str> {
    let parts: Vec<&str> = file.split('/').collect();
    let at = parts.iter().position(|part| *part == "clusters")?;
    parts.get(at + 1).copied().filter(|_| at + 2 < parts.len())
}

/// The path with the placeholder, and the environment that it stands for.
fn environment_at(folder: &str, clusters: &BTreeSet<&str>) -> Option<(String, String)> {
    let parts: Vec<&str> = folder.split('/').collect();
    let held = |at: &usize| *at > 0 && HOLDERS.contains(&parts[*at - 1]);
    let named = |at: &usize| clusters.contains(parts[*at]) || is_usual(parts[*at]);
    let at = (0..parts.len()).rev().find(held).or_else(|| (0..parts.len()).rev().find(named))?;
    let environment = parts[at];
    environment.parse::<crate::model::EnvironmentName>().ok()?;
    let mut path: Vec<&str> = parts.clone();
    path[at] = PLACEHOLDER;
    Some((path.join("/"), environment.to_owned()))
}

/// A name for the app, told by its path: the last part that is neither the environment nor a usual word. Else it is
/// called as its first image is.
pub(super) fn app_name(spot: &Spot, image: &str, taken: &BTreeMap<String, App>) -> String {
    let telling = |part: &&str| *part != PLACEHOLDER && !NAMELESS.contains(part) && !is_usual(part);
    let part = spot.path.split('/').rev().find(telling).unwrap_or(image);
    let letters =
        |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let name: String = part.chars().map(letters).take(50).collect();
    let name = name.trim_matches('-');
    let name = if name.is_empty() { "app" } else { name };
    let mut unique = name.to_owned();
    for number in 2.. {
        if !taken.contains_key(&unique) {
            break;
        }
        unique = format!("{name}-{number}");
    }
    unique
}
