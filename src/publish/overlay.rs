//! Where the apps of a configuration are in a tree, and which images stand there.
//!
//! An image stands in the `images` entry of its name. With `markers`, one that has no entry stands in the values that
//! setter comments mark; where both are there, the entry counts, since it is what kustomize renders.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use git2::{ObjectType, Oid, Repository, Tree};

use super::apply::record_path;
use super::history::{Images, Key};
use super::objects::{Files, Listed};
use crate::config::{App, Config, Markers};
use crate::edit::{self, Marked, Marker, Written};
use crate::model::{AppName, EnvironmentName, ImageName, printable};

/// How many files are remembered before all are forgotten: some versions of the largest configuration.
const MOST_REMEMBERED: usize = 40_000;
/// How many remarks one app gets; the others are counted.
const MOST_REMARKS: usize = 10;

/// One app in one environment.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) key: Key,
    /// The folder of the kustomization.
    pub(super) folder: String,
    /// The file of its record.
    pub(super) record: String,
}

/// All places of a configuration.
pub(super) struct Overlays {
    pub(super) config: Arc<Config>,
    /// In the order of their keys.
    pub(super) places: Vec<Place>,
    /// The places by folder and by record.
    at: HashMap<String, Vec<usize>>,
    /// The folders above them.
    above: HashSet<String>,
}

impl Overlays {
    pub(super) fn new(config: Arc<Config>) -> Self {
        let mut places = Vec::new();
        let mut at: HashMap<String, Vec<usize>> = HashMap::new();
        let mut above = HashSet::new();
        for app in config.apps.keys() {
            for environment in config.environments.keys() {
                let folder = config.overlay(app, environment).unwrap_or_default();
                let record = record_path(app, environment);
                for path in [&folder, &record] {
                    at.entry(path.clone()).or_default().push(places.len());
                    let ends = path.match_indices('/').map(|(end, _)| path[..end].to_owned());
                    above.extend(ends);
                }
                places.push(Place { key: (app.clone(), environment.clone()), folder, record });
            }
        }
        Self { config, places, at, above }
    }

    /// The place of an app in an environment.
    pub(super) fn place(&self, app: &AppName, environment: &EnvironmentName) -> Option<&Place> {
        let order = |place: &Place| (&place.key.0, &place.key.1).cmp(&(app, environment));
        self.places.binary_search_by(order).ok().and_then(|index| self.places.get(index))
    }

    /// The app of a place.
    pub(super) fn app(&self, place: &Place) -> Option<&App> {
        self.config.apps.get(&place.key.0)
    }

    /// The places whose folder or record is another one in `new` than in `old`. Looks only at folders that differ and
    /// lead to a place.
    pub(super) fn changed(
        &self,
        repository: &Repository,
        old: Option<&Tree<'_>>,
        new: &Tree<'_>,
    ) -> Result<BTreeSet<usize>, git2::Error> {
        let mut found = BTreeSet::new();
        self.compare(repository, "", old, Some(new), &mut found)?;
        Ok(found)
    }

    fn compare(
        &self,
        repository: &Repository,
        folder: &str,
        old: Option<&Tree<'_>>,
        new: Option<&Tree<'_>>,
        found: &mut BTreeSet<usize>,
    ) -> Result<(), git2::Error> {
        let mut stayed = 0;
        for (position, entry) in new.iter().flat_map(|new| new.iter()).enumerate() {
            let name = entry.name_bytes();
            // Most entries of a large folder have kept their place.
            let same_place = old.and_then(|old| old.get(position)).filter(|old| old.name_bytes() == name);
            let before = same_place.or_else(|| old.and_then(|old| old.get_name_bytes(name)));
            stayed += usize::from(before.is_some());
            if before.as_ref().is_some_and(|old| old.id() == entry.id() && old.filemode() == entry.filemode()) {
                continue;
            }
            let sides = (before.as_ref().and_then(folder_id), folder_id(&entry));
            self.step(repository, folder, name, sides, found)?;
        }
        let Some(old) = old.filter(|old| old.len() > stayed) else { return Ok(()) };
        for entry in old {
            let name = entry.name_bytes();
            if new.is_none_or(|new| new.get_name_bytes(name).is_none()) {
                self.step(repository, folder, name, (folder_id(&entry), None), found)?;
            }
        }
        Ok(())
    }

    fn step(
        &self,
        repository: &Repository,
        folder: &str,
        name: &[u8],
        (old, new): (Option<Oid>, Option<Oid>),
        found: &mut BTreeSet<usize>,
    ) -> Result<(), git2::Error> {
        let Ok(name) = std::str::from_utf8(name) else { return Ok(()) };
        let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        found.extend(self.at.get(&path).into_iter().flatten());
        if !self.above.contains(&path) {
            return Ok(());
        }
        let tree = |id: Option<Oid>| id.map(|id| repository.find_tree(id)).transpose();
        self.compare(repository, &path, tree(old)?.as_ref(), tree(new)?.as_ref(), found)
    }
}

fn folder_id(entry: &git2::TreeEntry<'_>) -> Option<Oid> {
    (entry.kind() == Some(ObjectType::Tree)).then(|| entry.id())
}

/// What was read of files, by their content: the same file is read once.
#[derive(Default)]
pub(super) struct Memory {
    entries: HashMap<Oid, Arc<Result<Images, String>>>,
    marked: HashMap<Oid, Arc<Result<Marked, String>>>,
}

impl Memory {
    /// The images of a kustomization: its entries whose name and fields are legal.
    pub(super) fn entries(&mut self, files: &Files<'_>, file: &Listed) -> Arc<Result<Images, String>> {
        if let Some(known) = self.entries.get(&file.id) {
            return known.clone();
        }
        let read = files.read(file).and_then(|found| entries(&found.content, &file.path));
        let read = Arc::new(read);
        self.keep(file.id, read.clone());
        read
    }

    /// Remembers what a file says that was just written.
    pub(super) fn keep(&mut self, id: Oid, read: Arc<Result<Images, String>>) {
        if self.entries.len() >= MOST_REMEMBERED {
            self.entries.clear();
        }
        self.entries.insert(id, read);
    }

    /// The markers of a file.
    pub(super) fn marked(&mut self, files: &Files<'_>, file: &Listed) -> Arc<Result<Marked, String>> {
        if let Some(known) = self.marked.get(&file.id) {
            return known.clone();
        }
        let read = files.read(file).and_then(|found| marked(&found.content, &file.path));
        let read = Arc::new(read);
        if self.marked.len() >= MOST_REMEMBERED {
            self.marked.clear();
        }
        self.marked.insert(file.id, read.clone());
        read
    }
}

/// The entries of a kustomization whose name and fields are legal.
pub(super) fn entries(content: &[u8], path: &str) -> Result<Images, String> {
    let entries = edit::image_entries(content).map_err(|error| format!("{path}: {error}"))?;
    let legal = |entry: &edit::ImageEntry| Some((entry.name.parse().ok()?, Written::try_from(entry).ok()?));
    Ok(entries.iter().filter_map(legal).collect())
}

fn marked(content: &[u8], path: &str) -> Result<Marked, String> {
    edit::markers(content).map_err(|error| format!("{path}: its markers can't be read: {error}"))
}

/// The files with markers below a folder; only those are kept that have any, or a problem.
pub(super) type MarkedFiles = Vec<(String, Arc<Result<Marked, String>>)>;

/// What stands in one place.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Every entry of the kustomization, and the images that only markers hold.
    pub(super) images: Images,
    /// Why not all configured images are there.
    pub(super) problem: Option<String>,
    /// What people should know of its markers.
    pub(super) remarks: Vec<String>,
}

/// Reads one place of a tree.
pub(super) fn read(files: &Files<'_>, memory: &mut Memory, overlays: &Overlays, place: &Place) -> Reading {
    let Some(app) = overlays.app(place) else { return Reading::default() };
    let path = files.kustomization(&place.folder);
    let entries = path.as_ref().map_err(Clone::clone).and_then(|path| entries_at(files, memory, path));
    let Some(markers) = &app.markers else {
        return match (path, entries) {
            (Ok(path), Ok(images)) => {
                let problem = app.images.keys().find(|image| !images.contains_key(*image));
                let problem = problem.map(|image| missing(image, &path, &images, ""));
                Reading { images, problem, remarks: Vec::new() }
            }
            (Err(problem), _) | (_, Err(problem)) => {
                Reading { problem: Some(problem), ..Reading::default() }
            }
        };
    };
    let listed = files.yaml_files(&place.folder);
    let found: Result<MarkedFiles, String> = listed.map(|listed| {
        let read = |file: &Listed| (file.path.clone(), memory.marked(files, file));
        listed.iter().map(read).filter(|(_, read)| says_something(read)).collect()
    });
    match found {
        Ok(found) => {
            let repository = |image: &ImageName| {
                overlays.config.repository(&place.key.1, &place.key.0, image).map(|name| name.to_string())
            };
            with_markers(app, markers, (path, entries), &found, &place.folder, repository)
        }
        Err(problem) => Reading { problem: Some(problem), ..Reading::default() },
    }
}

fn says_something(read: &Result<Marked, String>) -> bool {
    read.as_ref().map_or(true, |marked| !marked.markers.is_empty() || !marked.misplaced.is_empty())
}

fn entries_at(files: &Files<'_>, memory: &mut Memory, path: &str) -> Result<Images, String> {
    let listed = files.listed(path)?.ok_or_else(|| format!("{path} does not exist on the branch"))?;
    memory.entries(files, &listed).as_ref().clone()
}

/// Brings entries and markers together.
fn with_markers(
    app: &App,
    markers: &Markers,
    (path, entries): (Result<String, String>, Result<Images, String>),
    found: &MarkedFiles,
    folder: &str,
    repository: impl Fn(&ImageName) -> Option<String>,
) -> Reading {
    let mut reading = Reading::default();
    let mut by_image: BTreeMap<&ImageName, Vec<(&str, &Marker)>> = BTreeMap::new();
    let mut policies: BTreeSet<&str> = BTreeSet::new();
    for (path, read) in found {
        match read.as_ref() {
            Ok(marked) => {
                let misplaced = marked.misplaced.iter();
                reading.remarks.extend(misplaced.map(|told| format!("{path}:{}: {}", told.line, told.reason)));
                for marker in &marked.markers {
                    policies.insert(&marker.policy);
                    match markers.image(&marker.policy) {
                        Some(image) => by_image.entry(image).or_default().push((path, marker)),
                        None => reading.remarks.push(unknown(path, marker, app)),
                    }
                }
            }
            Err(problem) => reading.remarks.push(problem.clone()),
        }
    }
    for (policy, image) in markers.named().filter(|(policy, _)| !policies.contains(policy)) {
        reading.remarks.push(format!(
            "`markers` names the policy {policy} for {image}, and no file below {folder} has a marker of it; correct the \
             name or remove it"
        ));
    }
    let entries = match (&path, entries) {
        (_, Ok(entries)) => entries,
        // A folder of plain manifests is as good, as long as all images have markers.
        (Err(_), Err(_)) => Images::new(),
        // A kustomization that can't be read may say anything.
        (Ok(_), Err(problem)) => {
            reading.problem = Some(problem);
            Images::new()
        }
    };
    for image in app.images.keys() {
        let marked = by_image.get(image).map(Vec::as_slice).unwrap_or_default();
        if let Some(entry) = entries.get(image) {
            reading.remarks.extend(marked.iter().filter_map(|place| edit::deviation(place, entry)));
        } else if marked.is_empty() {
            let lack = || match &path {
                Ok(path) => missing(image, path, &entries, ", and no marker below the folder names it"),
                Err(none) => format!("{none}, and no marker below it names {image}"),
            };
            reading.problem.get_or_insert_with(lack);
        } else {
            match edit::carried(marked, &repository(image).unwrap_or_default()) {
                Ok(written) => _ = reading.images.insert(image.clone(), written),
                Err(words) => _ = reading.problem.get_or_insert(words),
            }
        }
    }
    reading.images.extend(entries);
    if reading.remarks.len() > MOST_REMARKS {
        let more = reading.remarks.len() - MOST_REMARKS;
        reading.remarks.truncate(MOST_REMARKS);
        reading.remarks.push(format!("and {more} more remarks on markers below {folder}"));
    }
    reading
}

fn unknown(path: &str, marker: &Marker, app: &App) -> String {
    let names: Vec<&str> = app.images.keys().map(ImageName::as_str).take(10).collect();
    format!(
        "{path}:{}: no image of this app is known by the policy {} (it has {}); it is left alone. If it is one of them, \
         write `markers: {{\"{}\": IMAGE}}`",
        marker.line,
        printable(&marker.policy, 120),
        names.join(", "),
        printable(&marker.policy, 120),
    )
}

fn missing(image: &ImageName, path: &str, images: &Images, also: &str) -> String {
    let names: Vec<&str> = images.keys().map(ImageName::as_str).collect();
    let there =
        if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
    format!("{path}: no entry `{image}` below `images:` ({there}){also}; add `- name: {image}` there")
}
