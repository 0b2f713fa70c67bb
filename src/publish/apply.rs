//! Changes applied to a tree: the edit as a function of (tree, changes), run anew for every try at the head.

use std::collections::BTreeMap;

use git2::build::TreeUpdateBuilder;
use git2::{FileMode, Oid, Repository, Tree};

use super::objects::{self, File};
use super::{Change, Outcome, reference};
use crate::config::Config;
use crate::edit::{self, Written};
use crate::model::{AppName, EnvironmentName};

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

/// A file's bytes, and whether it is executable.
type Content = (Vec<u8>, bool);

/// Files as the tree has them, with the edits so far on top.
struct Workspace<'r> {
    repository: &'r Repository,
    base: &'r Tree<'r>,
    edited: BTreeMap<String, Content>,
}

impl Workspace<'_> {
    fn read(&self, path: &str) -> Result<Option<Content>, String> {
        if let Some(edited) = self.edited.get(path) {
            return Ok(Some(edited.clone()));
        }
        let file = objects::file(self.repository, self.base, path)?;
        Ok(file.map(|File { content, executable, .. }| (content, executable)))
    }
}

/// Applies `changes` to `base` one after the other.
///
/// With `together`, one change that cannot be made holds back all: the tree stays as it was.
pub(super) fn apply(
    repository: &Repository,
    base: &Tree<'_>,
    config: &Config,
    changes: &[Change],
    together: bool,
) -> Result<Applied, git2::Error> {
    let mut workspace = Workspace { repository, base, edited: BTreeMap::new() };
    let mut applied = Vec::new();
    let mut others = BTreeMap::new();
    for (place, change) in changes.iter().enumerate() {
        match edits(&workspace, config, change) {
            Ok(edits) if edits.is_empty() => _ = others.insert(place, Outcome::AlreadyThere),
            Ok(edits) => {
                workspace.edited.extend(edits);
                applied.push(place);
            }
            Err(outcome) => _ = others.insert(place, outcome),
        }
    }
    let stopped = others.values().any(|outcome| *outcome != Outcome::AlreadyThere);
    if together && stopped {
        others.extend(applied.drain(..).map(|place| (place, Outcome::HeldBack)));
        workspace.edited.clear();
    }
    let mut builder = TreeUpdateBuilder::new();
    for (path, (content, executable)) in &workspace.edited {
        let mode = if *executable { FileMode::BlobExecutable } else { FileMode::Blob };
        builder.upsert(path.as_str(), repository.blob(content)?, mode);
    }
    let tree =
        if workspace.edited.is_empty() { base.id() } else { builder.create_updated(repository, base)? };
    Ok(Applied { tree, made: applied, others })
}

/// The files that one change edits, with their new content; none if all stands there already.
fn edits(
    workspace: &Workspace<'_>,
    config: &Config,
    change: &Change,
) -> Result<Vec<(String, Content)>, Outcome> {
    let mut edits = Vec::new();
    if !change.moves.is_empty() {
        let folder = config.overlay(&change.app, &change.environment).ok_or_else(|| {
            Outcome::Impossible(format!("promote.yaml no longer has the app {}", change.app))
        })?;
        let path = objects::kustomization(workspace.base, &folder).map_err(Outcome::Impossible)?;
        let Some((before, executable)) = workspace.read(&path).map_err(Outcome::Impossible)? else {
            return Err(Outcome::Impossible(format!("{path} does not exist on the branch")));
        };
        let place = |error: edit::EditError| Outcome::Impossible(format!("{path}: {error}"));
        let entries = edit::image_entries(&before).map_err(place)?;
        let mut content = before.clone();
        for step in &change.moves {
            let entry = entries.iter().find(|entry| entry.name == step.image.as_str());
            let now = entry.map(Written::try_from).transpose();
            let now = now.map_err(|error| Outcome::Impossible(format!("{path}: {error}")))?;
            if let Some(now) = now
                && now != step.from
                && now != step.to
            {
                return Err(Outcome::Overtaken {
                    image: step.image.clone(),
                    now: reference(&step.image, &now),
                });
            }
            if let Some(edited) = edit::set_image(&content, &step.image, &step.to).map_err(place)? {
                content = edited;
            }
        }
        if content != before {
            edits.push((path, (content, executable)));
        }
    }
    if !change.quarantine.is_empty() {
        let path = record_path(&change.app, &change.environment);
        let before = workspace.read(&path).map_err(Outcome::Impossible)?;
        let mut content = before.as_ref().map(|(content, _)| content.clone());
        for entry in &change.quarantine {
            let added = edit::add_quarantine(content.as_deref(), entry);
            if let Some(edited) = added.map_err(|error| Outcome::Impossible(format!("{path}: {error}")))? {
                content = Some(edited);
            }
        }
        if let Some(content) = content
            && before.as_ref().is_none_or(|(before, _)| *before != content)
        {
            let executable = before.is_some_and(|(_, executable)| executable);
            edits.push((path, (content, executable)));
        }
    }
    Ok(edits)
}
