//! Where the apps of a configuration are in a tree, and which of these places differ between two trees.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use git2::{ObjectType, Oid, Repository, Tree};

use super::apply::record_path;
use super::history::Key;
use crate::config::{App, Config};
use crate::model::{AppName, EnvironmentName};

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
            if before.as_ref().is_some_and(|old| old.id() == entry.id() && old.filemode() == entry.filemode())
            {
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
