//! Changes applied to a tree: the edit as a function of (tree, changes), run anew for every try at the head.

use std::collections::BTreeMap;
use std::sync::Arc;

use git2::{ObjectType, Oid, Repository, Tree};

use super::history::Images;
use super::objects::{File, Files, Listed};
use super::overlay::{self, Memory};
use super::places::{Overlays, Place};
use super::prepared::{self, Aim, Prepared};
use super::{Change, Outcome, reference, write};
use crate::config::Markers;
use crate::edit::{self, Amended, Amendment, EditError, Record, Written};
use crate::model::{AppName, EnvironmentName, ImageName};

/// The tree after a set of changes.
pub(super) struct Applied {
    /// The new tree; the old one when nothing changed.
    pub(super) tree: Oid,
    /// The changes that are in the tree, by their place in the input.
    pub(super) made: Vec<usize>,
    /// For every change what became of it, but for those in `made`.
    pub(super) others: BTreeMap<usize, Outcome>,
}

/// The file of `.promote` that holds quarantine, hold and approvals of one app in one environment.
pub(super) fn record_path(app: &AppName, environment: &EnvironmentName) -> String {
    format!(".promote/{environment}/{app}.yaml")
}

/// A file that a change edits.
struct Edited {
    path: String,
    /// None where the file goes.
    content: Option<Vec<u8>>,
    executable: bool,
    /// What it says now, where it is a kustomization.
    entries: Option<Images>,
}

/// Applies `changes` to `base` one after the other.
///
/// With `together`, one change that cannot be made holds back all: the tree stays as it was.
pub(super) fn apply(
    repository: &Repository,
    memory: &mut Memory,
    base: &Tree<'_>,
    overlays: &Overlays,
    changes: &[Change],
    together: bool,
) -> Result<Applied, git2::Error> {
    let mut files = Files::of(repository, base.clone());
    let mut made = Vec::new();
    let mut others = BTreeMap::new();
    let mut prepared = Prepared::default();
    for (number, change) in changes.iter().enumerate() {
        if number % prepared::AT_ONCE == 0 {
            let next = &changes[number..changes.len().min(number + prepared::AT_ONCE)];
            prepared = Prepared::new(&files, memory, overlays, next, number);
        }
        let ahead = |id| prepared.take(number, id);
        match edits(&files, memory, overlays, change, ahead) {
            Ok(edits) if edits.is_empty() => _ = others.insert(number, Outcome::AlreadyThere),
            Ok(edits) => {
                for Edited { path, content, executable, entries } in edits {
                    let Some(content) = content else {
                        files.remove(path);
                        continue;
                    };
                    let id = Oid::hash_object(ObjectType::Blob, &content)?;
                    if let Some(entries) = entries {
                        memory.keep(id, Arc::new(Ok(entries)));
                    }
                    files.put(path, File { id, executable, content });
                }
                made.push(number);
            }
            Err(outcome) => _ = others.insert(number, outcome),
        }
    }
    let stopped = others.values().any(|outcome| *outcome != Outcome::AlreadyThere);
    if together && stopped {
        others.extend(made.drain(..).map(|number| (number, Outcome::HeldBack)));
    }
    if made.is_empty() {
        return Ok(Applied { tree: base.id(), made, others });
    }
    Ok(Applied { tree: write::write(repository, base, &files.into_put())?, made, others })
}

/// The files that one change edits, with their new content; none if all stands there already.
fn edits(
    files: &Files<'_>,
    memory: &mut Memory,
    overlays: &Overlays,
    change: &Change,
    ahead: impl FnOnce(Oid) -> Option<Result<Vec<u8>, EditError>>,
) -> Result<Vec<Edited>, Outcome> {
    let mut edits = Vec::new();
    if !change.moves.is_empty() {
        let gone = || Outcome::Impossible(format!("promote.yaml no longer has the app {}", change.app));
        let place = overlays.place(&change.app, &change.environment).ok_or_else(gone)?;
        free(files, memory, overlays, place, change)?;
        edits.extend(entries(files, memory, place, change, ahead).map_err(Outcome::Impossible)?);
        if let Some(markers) = overlays.app(place).and_then(|app| app.markers.as_ref()) {
            marked(files, memory, place, change, markers, &mut edits).map_err(Outcome::Impossible)?;
        }
    }
    edits.extend(record(files, change).map_err(Outcome::Impossible)?);
    Ok(edits)
}

/// Fails where an image is not there, or where somebody else has changed it since the election.
fn free(
    files: &Files<'_>,
    memory: &mut Memory,
    overlays: &Overlays,
    place: &Place,
    change: &Change,
) -> Result<(), Outcome> {
    let reading = overlay::read(files, memory, overlays, place);
    for step in &change.moves {
        let Some(now) = reading.images.get(&step.image) else {
            let words = || format!("{}: {} is not there any more", place.folder, step.image);
            return Err(Outcome::Impossible(reading.problem.unwrap_or_else(words)));
        };
        if *now != step.from && *now != step.to {
            return Err(Outcome::Overtaken { image: step.image.clone(), now: reference(&step.image, now) });
        }
    }
    Ok(())
}

/// The kustomization with the entries of the images that move; `ahead` may have it already.
fn entries(
    files: &Files<'_>,
    memory: &mut Memory,
    place: &Place,
    change: &Change,
    ahead: impl FnOnce(Oid) -> Option<Result<Vec<u8>, EditError>>,
) -> Result<Option<Edited>, String> {
    let Some(aim) = Aim::find(files, memory, place, change)? else { return Ok(None) };
    let edited = ahead(aim.listed.id).unwrap_or_else(|| aim.edited());
    let content = edited.map_err(at(&aim.listed.path))?;
    let Aim { listed: Listed { path, executable, .. }, mut says, content: before, moves } = aim;
    says.extend(moves.into_iter().map(|step| (step.image.clone(), step.to.clone())));
    let content = (content != before).then_some(content);
    Ok(content.map(|content| Edited { path, content: Some(content), executable, entries: Some(says) }))
}

/// Brings the values of all markers of the images that move into `edits`.
fn marked(
    files: &Files<'_>,
    memory: &mut Memory,
    place: &Place,
    change: &Change,
    markers: &Markers,
    edits: &mut Vec<Edited>,
) -> Result<(), String> {
    let moves: BTreeMap<&ImageName, &Written> =
        change.moves.iter().map(|step| (&step.image, &step.to)).collect();
    let wanted = |policy: &str| markers.image(policy).and_then(|image| moves.get(image).copied());
    for listed in files.yaml_files(&place.folder)? {
        let found = memory.marked(files, &listed);
        // What can't be read is a remark of the place; it holds nothing that could be updated.
        let Ok(found) = found.as_ref() else { continue };
        if !found.markers.iter().any(|marker| wanted(&marker.policy).is_some()) {
            continue;
        }
        let path = listed.path.clone();
        let known = edits.iter_mut().find(|edited| edited.path == path);
        let before = match &known {
            Some(Edited { content: Some(content), .. }) => content.clone(),
            _ => files.read(&listed)?.content,
        };
        let Some(content) = edit::set_markers(&before, wanted).map_err(at(&path))? else { continue };
        if let Some(edited) = known {
            if edited.entries.as_ref() != Some(&overlay::entries(&content, &path)?) {
                return Err(format!(
                    "{path}: a marker and the entry that it stands in ask for different values; correct the marker"
                ));
            }
            edited.content = Some(content);
        } else {
            edits.push(Edited { path, content: Some(content), executable: listed.executable, entries: None });
        }
    }
    Ok(())
}

/// The record as it is amended. An election that moves something has made use of a release, which goes with it, and of the
/// approvals of what stood there.
fn record(files: &Files<'_>, change: &Change) -> Result<Option<Edited>, String> {
    let path = record_path(&change.app, &change.environment);
    let moves = !change.moves.is_empty();
    if change.amendments.is_empty() && !(moves && files.listed(&path)?.is_some()) {
        return Ok(None);
    }
    let before = files.file(&path)?;
    let executable = before.as_ref().is_some_and(|before| before.executable);
    let text = before.as_ref().map(|before| before.content.as_slice());
    let mut amendments = change.amendments.clone();
    if let Some(Ok(record)) = text.filter(|_| moves).map(Record::parse) {
        amendments.extend(record.released.is_some().then_some(Amendment::Settle));
        let gone = change.moves.iter().filter_map(|step| step.from.digest.as_ref());
        let gone = gone.filter(|digest| record.approvals.iter().any(|known| known.digest == **digest));
        amendments.extend(gone.cloned().map(Amendment::Disapprove));
    }
    if amendments.is_empty() {
        return Ok(None);
    }
    let content = match edit::amend(text, &amendments).map_err(at(&path))? {
        Amended::Same => return Ok(None),
        Amended::Removed => None,
        Amended::Written(content) => Some(content),
    };
    Ok(Some(Edited { path, content, executable, entries: None }))
}

fn at(path: &str) -> impl Fn(EditError) -> String {
    move |error| format!("{path}: {error}")
}
