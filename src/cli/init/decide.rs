//! Which apps and environments the clone describes. What can't be told is said in a note, and guessed on the safe side.

use std::collections::{BTreeMap, BTreeSet};

use serde_yaml::Value;

use super::find::{Found, ImageRepository, Object};
use super::layout::{self, Spot};
use crate::edit::Part;
use crate::model::{Digest, Tag};

/// What promote.yaml shall say.
#[derive(Debug, Default)]
pub(super) struct Proposal {
    /// Registries that speak plain HTTP.
    pub(super) insecure: BTreeSet<String>,
    pub(super) environments: Vec<Environment>,
    pub(super) apps: BTreeMap<String, App>,
    /// What could not be decided, or was guessed.
    pub(super) notes: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Environment {
    pub(super) name: String,
    pub(super) registry: String,
    /// `NAMESPACE/NAME`.
    pub(super) kustomization: Option<String>,
    pub(super) after: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct App {
    pub(super) path: String,
    /// By environment; without one in the path, all are the same.
    pub(super) folders: BTreeMap<String, String>,
    /// Policies of markers whose name is not the image's, and whether there are markers at all.
    pub(super) markers: Option<BTreeMap<String, String>>,
    pub(super) images: BTreeMap<String, Image>,
    /// Whether entries or markers say which images are meant; else it is those of all containers.
    declared: bool,
}

#[derive(Debug, Default)]
pub(super) struct Image {
    /// By environment, as far as something is there.
    standing: BTreeMap<String, Standing>,
    /// None where it is the image's name below the environment's registry.
    pub(super) repository: Option<String>,
    pub(super) policy: Value,
    pub(super) filter: Value,
    pub(super) interval: Option<String>,
    flux: Option<Object>,
}

/// What stands somewhere.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    /// Registry and repository.
    pub(super) name: String,
    pub(super) tag: Option<Tag>,
    pub(super) digest: Option<Digest>,
}

impl Standing {
    fn of(name: &str, tag: Option<&str>, digest: Option<&str>) -> Self {
        let legal = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        Self {
            name: full_name(name),
            tag: legal(tag).and_then(|tag| tag.parse().ok()),
            digest: legal(digest).and_then(|digest| digest.parse().ok()),
        }
    }

    pub(super) fn reference(reference: &str) -> Self {
        let (rest, digest) = reference.split_once('@').unwrap_or((reference, ""));
        match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => Self::of(name, Some(tag), Some(digest)),
            _ => Self::of(rest, None, Some(digest)),
        }
    }
}

/// Docker's short names written out.
fn full_name(name: &str) -> String {
    match name.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    }
}

/// A reference without tag and digest, as a kustomization names it.
pub(super) fn bare(reference: &str) -> &str {
    let rest = reference.split_once('@').map_or(reference, |(rest, _)| rest);
    match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => rest,
    }
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Decides everything.
pub(super) fn decide(found: &Found) -> Proposal {
    let mut proposal = Proposal { notes: found.notes.clone(), ..Proposal::default() };
    let spots = layout::spots(found, &mut proposal.notes);
    let names = environments(&spots);
    for spot in &spots {
        let mut app = App { path: spot.path.clone(), folders: spot.folders.clone(), ..App::default() };
        for (environment, folder) in &spot.folders {
            images_of(found, environment, folder, &mut app);
        }
        app.images.retain(|_, image| !image.standing.is_empty());
        let image = app.images.keys().next().map(|image| last(image));
        if let Some(image) = image {
            proposal.apps.insert(layout::app_name(spot, image, &proposal.apps), app);
        }
    }
    for (name, app) in &proposal.apps {
        for environment in names.iter().filter(|environment| !app.folders.contains_key(*environment)) {
            proposal.notes.push(format!(
                "{name} has no folder {} for {environment}; promote will report that until there is one",
                app.path.replace("{environment}", environment)
            ));
        }
    }
    proposal.environments = names.iter().map(|name| environment(found, name, &proposal.apps)).collect();
    order(&mut proposal);
    registries(&mut proposal);
    for (name, app) in &mut proposal.apps {
        policies(found, name, app, &mut proposal.notes);
    }
    automations(found, &mut proposal);
    for repository in found.repositories.values().filter(|repository| repository.insecure) {
        proposal.insecure.extend(repository.image.split('/').next().map(str::to_owned));
    }
    proposal
}

fn environments(spots: &[Spot]) -> Vec<String> {
    let mut names: Vec<String> = spots.iter().flat_map(|spot| spot.folders.keys().cloned()).collect();
    names.sort_by_key(|name| (layout::rank(name), name.clone()));
    names.dedup();
    names
}

/// Collects the images that stand in one folder: those of `images`, those of markers, and where there are neither, those
/// of the containers.
fn images_of(found: &Found, environment: &str, folder: &str, app: &mut App) {
    let entries = found.kustomizations.get(folder).map(|found| found.images.as_slice()).unwrap_or_default();
    let rendered = found.rendered(folder);
    for entry in entries {
        let own = rendered.iter().find(|image| bare(image) == entry.name);
        let own = own.map(|image| Standing::reference(image)).unwrap_or_default();
        let name = entry.new_name.as_deref().unwrap_or(&entry.name);
        let mut standing = Standing::of(name, entry.new_tag.as_deref(), entry.digest.as_deref());
        if standing.tag.is_none() && standing.digest.is_none() {
            (standing.tag, standing.digest) = (own.tag, own.digest);
        }
        app.images.entry(entry.name.clone()).or_default().standing.insert(environment.to_owned(), standing);
    }
    app.declared |= !entries.is_empty();
    let below = format!("{folder}/");
    let mut marked: BTreeMap<&str, Vec<(Part, &str, usize, &str)>> = BTreeMap::new();
    for (path, file) in found.marked.iter().filter(|(path, _)| path.starts_with(&below)) {
        for marker in &file.markers {
            let seen = (marker.part, marker.value.as_str(), marker.line, path.as_str());
            marked.entry(&marker.policy).or_default().push(seen);
        }
    }
    for (policy, places) in marked {
        let Some((namespace, name)) = policy.split_once(':') else { continue };
        let object = (namespace.to_owned(), name.to_owned());
        let repository =
            found.policies.get(&object).and_then(|policy| found.repositories.get(&policy.repository));
        // The entry whose fields it marks, or else the image that its repository is.
        let marks_entry = |entry: &&crate::edit::ImageEntry| {
            let own = found.kustomizations.get(folder).map_or("", |found| found.file.as_str());
            let values = [entry.new_tag.as_deref(), entry.new_name.as_deref(), entry.digest.as_deref()];
            places.iter().any(|(_, value, line, path)| {
                *path == own && (entry.line..entry.line + 8).contains(line) && values.contains(&Some(*value))
            })
        };
        let values =
            |wanted: Part| places.iter().find(|(part, ..)| *part == wanted).map(|(_, value, ..)| *value);
        let reference = values(Part::Reference);
        let entry = entries
            .iter()
            .filter(marks_entry)
            .max_by_key(|entry| places.iter().filter(|(_, _, line, _)| *line >= entry.line).count());
        let known = reference.map(|reference| bare(reference).to_owned());
        let known = known.or_else(|| values(Part::Name).map(str::to_owned));
        let known = known.or_else(|| repository.map(|repository| repository.image.clone()));
        let key = match (entry, &known) {
            (Some(entry), _) => entry.name.clone(),
            (None, Some(image)) if app.images.contains_key(image) => image.clone(),
            (None, Some(image)) => last(image).to_owned(),
            (None, None) => name.to_owned(),
        };
        app.declared = true;
        let image = app.images.entry(key.clone()).or_default();
        image.flux.get_or_insert(object);
        if !image.standing.contains_key(environment) {
            let standing = match (reference, known) {
                (Some(reference), _) => Standing::reference(reference),
                (None, Some(name)) => Standing::of(&name, values(Part::Tag), values(Part::Digest)),
                (None, None) => continue,
            };
            image.standing.insert(environment.to_owned(), standing);
        }
        let named = app.markers.get_or_insert_default();
        if last(&key) != name {
            named.insert(policy.to_owned(), key);
        }
    }
    for image in rendered {
        let name = bare(&image).to_owned();
        if app.images.contains_key(&name) || !app.declared {
            let standing = &mut app.images.entry(name).or_default().standing;
            standing.entry(environment.to_owned()).or_insert_with(|| Standing::reference(&image));
        }
    }
}

fn environment(found: &Found, name: &str, apps: &BTreeMap<String, App>) -> Environment {
    let folders: Vec<&String> = apps.values().filter_map(|app| app.folders.get(name)).collect();
    // The Kustomization that applies most of the environment's folders, of this environment's own cluster if named so.
    let score = |applied: &&super::find::Applied| {
        let reached = folders.iter().filter(|folder| found.reaches(&applied.path, folder)).count();
        let own = applied.file.split('/').any(|part| part == name);
        (reached, own, applied.path.len())
    };
    let best = found.applied.iter().filter(|applied| score(applied).0 > 0).max_by_key(score);
    let kustomization = best.map(|applied| format!("{}/{}", applied.object.0, applied.object.1));
    Environment { name: name.to_owned(), registry: String::new(), kustomization, after: Vec::new() }
}

/// Which environment comes after which: guessed by their names, since a wrong guess waits for a person.
fn order(proposal: &mut Proposal) {
    let ranks: BTreeSet<usize> =
        proposal.environments.iter().map(|environment| layout::rank(&environment.name)).collect();
    if ranks.len() < 2 {
        if proposal.environments.len() > 1 {
            proposal.notes.push(
                "the names of the environments tell no order; add `after` to those that shall only get what another one \
                 has verified"
                    .to_owned(),
            );
        }
        return;
    }
    let names: Vec<(usize, String)> = proposal
        .environments
        .iter()
        .map(|environment| (layout::rank(&environment.name), environment.name.clone()))
        .collect();
    let mut told = Vec::new();
    for environment in &mut proposal.environments {
        let rank = layout::rank(&environment.name);
        let Some(before) = ranks.range(..rank).next_back() else { continue };
        environment.after =
            names.iter().filter(|(other, _)| other == before).map(|(_, name)| name.clone()).collect();
        told.push(format!("{} comes after {}", environment.name, environment.after.join(" and ")));
    }
    proposal
        .notes
        .push(format!("{}: guessed by their names, so correct `after` if it is otherwise", told.join(", ")));
}

/// Finds for each environment the registry that most of its images are below, and writes the others out.
fn registries(proposal: &mut Proposal) {
    for environment in &mut proposal.environments {
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for image in proposal.apps.values().flat_map(|app| app.images.values()) {
            if let Some((base, _)) =
                image.standing.get(&environment.name).and_then(|standing| standing.name.rsplit_once('/'))
            {
                *count.entry(base.to_owned()).or_default() += 1;
            }
        }
        environment.registry = count
            .into_iter()
            .max_by(|one, other| one.1.cmp(&other.1).then(other.0.cmp(&one.0)))
            .map(|(base, _)| base)
            .unwrap_or_default();
    }
    let known = proposal.environments.iter().find(|environment| !environment.registry.is_empty());
    let fallback = known.map_or("localhost:5000".to_owned(), |environment| environment.registry.clone());
    for environment in proposal.environments.iter_mut().filter(|environment| environment.registry.is_empty())
    {
        proposal.notes.push(format!(
            "nothing tells the registry of {}; {fallback} was written, so correct it",
            environment.name
        ));
        environment.registry.clone_from(&fallback);
    }
    for (app, image_name, image) in proposal
        .apps
        .iter_mut()
        .flat_map(|(app, content)| content.images.iter_mut().map(move |(name, image)| (app, name, image)))
    {
        let below = |environment: &Environment| {
            let standing = image.standing.get(&environment.name)?;
            standing.name.strip_prefix(&format!("{}/", environment.registry)).map(str::to_owned)
        };
        let there = proposal.environments.iter().filter(|one| image.standing.contains_key(&one.name));
        let relative: BTreeSet<Option<String>> = there.map(below).collect();
        let full: BTreeSet<&str> = image.standing.values().map(|standing| standing.name.as_str()).collect();
        image.repository = match (relative.iter().next(), relative.len(), full.iter().next(), full.len()) {
            (Some(Some(path)), 1, ..) => Some(path.clone()),
            (_, _, Some(full), 1) => Some((*full).to_owned()),
            (_, _, Some(full), _) => {
                proposal.notes.push(format!(
                    "{image_name} of {app} is in repositories that differ by more than the registry ({}); the first was \
                     written",
                    image.standing.values().map(|standing| standing.name.as_str()).collect::<Vec<_>>().join(", ")
                ));
                Some((*full).to_owned())
            }
            _ => None,
        };
        if image.repository.as_ref() == Some(image_name) {
            image.repository = None;
        }
    }
}

/// Takes range, pattern and interval over from Flux, or follows every release.
fn policies(found: &Found, app: &str, content: &mut App, notes: &mut Vec<String>) {
    for (name, image) in &mut content.images {
        let standing = image.standing.values().next();
        let of_repository = |repository: &&ImageRepository| {
            standing.is_some_and(|standing| full_name(&repository.image) == standing.name)
        };
        let object = image.flux.clone().or_else(|| {
            let has = |policy: &&super::find::ImagePolicy| {
                found.repositories.get(&policy.repository).as_ref().is_some_and(of_repository)
            };
            found.policies.iter().find(|(_, policy)| has(policy)).map(|(object, _)| object.clone())
        });
        if let Some(policy) = object.as_ref().and_then(|object| found.policies.get(object)) {
            image.policy = policy.policy.clone();
            image.filter = policy.filter.clone();
            let repository = found.repositories.get(&policy.repository);
            image.interval = repository.and_then(|repository| repository.interval.clone());
            let unlike = repository.map(|repository| repository.unlike.as_slice()).unwrap_or_default();
            notes.extend(unlike.iter().map(|words| {
                let (namespace, of) = &policy.repository;
                format!("{name} of {app}: the ImageRepository {namespace}/{of} has {words}")
            }));
            continue;
        }
        if let Some((namespace, policy)) = &object {
            notes.push(format!(
                "{name} of {app}: the ImagePolicy {namespace}/{policy} that its markers name is not in this clone; every \
                 release is followed"
            ));
        }
        let tag = standing.and_then(|standing| standing.tag.as_ref());
        if let Some(tag) = tag.filter(|tag| crate::elect::semver::version_of(tag.as_str()).is_none()) {
            notes.push(format!(
                "{name} of {app}: its tag \"{tag}\" is no semantic version, so nothing moves until `policy` is corrected or \
                 a release is committed"
            ));
        }
    }
}

fn automations(found: &Found, proposal: &mut Proposal) {
    for ((namespace, name), automation) in &found.automations {
        if let (Some(branch), Some(push)) = (&automation.branch, &automation.push)
            && branch != push
        {
            proposal.notes.push(format!(
                "the ImageUpdateAutomation {namespace}/{name} pushes to {push} and not to {branch}; promote pushes to the \
                 branch that it reads"
            ));
        }
        proposal.notes.push(format!(
            "suspend Flux's own automation before the daemon starts, or the two will write over each other: flux suspend \
             image update {name} --namespace {namespace}"
        ));
    }
}
