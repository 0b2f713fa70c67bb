//! Which images stand in an app's overlay.
//!
//! An image stands in the `images` entry of its name. With `markers`, one that has no entry stands in the values that
//! setter comments mark; where both are there, the entry counts, since it is what kustomize renders.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use git2::Oid;

use super::history::Images;
use super::objects::{Files, Listed};
use super::places::{Overlays, Place};
use crate::config::{App, Markers};
use crate::edit::{self, Marked, Marker, Written};
use crate::model::{ImageName, printable};

/// How many files are remembered before all are forgotten: some versions of the largest configuration.
const MOST_REMEMBERED: usize = 40_000;
/// How many remarks one app gets; the others are counted.
const MOST_REMARKS: usize = 10;
/// In characters.
const LONGEST_REMARK: usize = 800;

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
        let content = files.read(file).map_err(|words| format!("{words}, so its markers are not obeyed"));
        let read = content.and_then(|found| marked(&found.content, &file.path));
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
            (Err(problem), _) | (_, Err(problem)) => Reading { problem: Some(problem), ..Reading::default() },
        };
    };
    let listed = files.yaml_files(&place.folder);
    let found: Result<MarkedFiles, String> = listed.map(|listed| {
        let read = |file: &Listed| (file.path.clone(), memory.marked(files, file));
        listed.iter().map(read).filter(|(_, read)| says_something(read)).collect()
    });
    match found {
        Ok(found) => with_markers(overlays, place, (app, markers), (path, entries), &found),
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
    overlays: &Overlays,
    place: &Place,
    (app, markers): (&App, &Markers),
    (path, entries): (Result<String, String>, Result<Images, String>),
    found: &MarkedFiles,
) -> Reading {
    let Place { key: (name, environment), folder, .. } = place;
    let repository = |image: &ImageName| {
        let repository = overlays.config.repository(environment, name, image);
        repository.map(|repository| repository.to_string()).unwrap_or_default()
    };
    // Several apps may share a folder.
    let known_elsewhere = |policy: &str| {
        let mut others = overlays.config.apps.values().filter_map(|app| app.markers.as_ref());
        others.any(|markers| markers.image(policy).is_some())
    };
    let mut reading = Reading::default();
    let mut by_image: BTreeMap<&ImageName, Vec<(&str, &Marker)>> = BTreeMap::new();
    let mut policies: BTreeSet<&str> = BTreeSet::new();
    for (path, read) in found {
        match read.as_ref() {
            Ok(marked) => {
                let misplaced = marked.misplaced.iter();
                reading
                    .remarks
                    .extend(misplaced.map(|told| format!("{path}:{}: {}", told.line, told.reason)));
                for marker in &marked.markers {
                    policies.insert(&marker.policy);
                    match markers.image(&marker.policy) {
                        Some(image) => by_image.entry(image).or_default().push((path, marker)),
                        None if known_elsewhere(&marker.policy) => {}
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
            match edit::carried(marked, &repository(image)) {
                Ok(written) => _ = reading.images.insert(image.clone(), written),
                Err(words) => _ = reading.problem.get_or_insert(printable(&words, LONGEST_REMARK)),
            }
        }
    }
    reading.images.extend(entries);
    // They name files, which anybody who may push can call as they like.
    for remark in &mut reading.remarks {
        *remark = printable(remark, LONGEST_REMARK);
    }
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

#[cfg(test)]
#[path = "overlay_tests.rs"]
mod tests;
