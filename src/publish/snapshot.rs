//! What the remote's head says, read once per head and shared.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use git2::{Oid, Repository, Tree};

use super::apply::record_path;
use super::history::{self, Barred, Event, History, Images, Key, Origin};
use super::notes::{self, Verdicts};
use super::objects;
use crate::config::Config;
use crate::edit::{self, Record};
use crate::model::{AppName, CommitId, EnvironmentName};

/// One app in one environment, as the head has it.
#[derive(Debug, Clone, Default)]
pub struct Desired {
    /// The images that promote.yaml names, as the overlay has them.
    pub images: Images,
    /// Why the overlay cannot be used: it does not exist, or an image is not in it.
    pub problem: Option<String>,
    /// Quarantine, hold and approvals.
    pub record: Record,
    /// Why the record cannot be read; it then holds the app.
    pub record_problem: Option<String>,
    /// The commits that changed the images, newest first, as far as they matter.
    pub events: Arc<Vec<Event>>,
}

impl Desired {
    /// The commit that brought what stands there now.
    pub fn origin(&self) -> Option<&Origin> {
        self.events.first()
    }

    /// The versions that people took away.
    pub fn barred(&self) -> Vec<Barred> {
        history::barred(&self.events)
    }
}

/// The state of the remote at one head.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The branch.
    pub branch: String,
    /// The head of the branch.
    pub head: CommitId,
    /// The configuration in force.
    pub config: Arc<Config>,
    /// Why the configuration at the head is not the one in force.
    pub config_problem: Option<String>,
    /// Every app in every environment.
    pub desired: BTreeMap<(AppName, EnvironmentName), Desired>,
    /// What was judged so far.
    pub verdicts: Arc<Verdicts>,
}

/// Reads snapshots, and remembers what does not change from one head to the next.
#[derive(Default)]
pub(super) struct Reader {
    in_pod: bool,
    config: Option<(Oid, Arc<Config>)>,
    config_problem: Option<(Oid, String)>,
    history: History,
    /// The head and the configuration that `history` covers.
    covered: Option<(Oid, Oid)>,
    overlays: HashMap<String, (Oid, Result<Images, String>)>,
    verdicts: Option<(Option<Oid>, Arc<Verdicts>)>,
}

/// Why there is no snapshot.
pub(super) enum ReadError {
    Git(git2::Error),
    /// There is no configuration at all, in words for people.
    Config(String),
}

impl From<git2::Error> for ReadError {
    fn from(error: git2::Error) -> Self {
        Self::Git(error)
    }
}

impl Reader {
    pub(super) fn new(in_pod: bool) -> Self {
        Self { in_pod, ..Self::default() }
    }

    /// Reads the head of `branch`, with the configuration at `file`.
    pub(super) fn read(
        &mut self,
        repository: &Repository,
        branch: &str,
        head: Oid,
        file: &str,
    ) -> Result<Snapshot, ReadError> {
        let tree = repository.find_commit(head)?.tree()?;
        let (config_id, config) = self.config(repository, branch, &tree, file)?;
        let mut overlays = BTreeMap::new();
        let mut desired = BTreeMap::new();
        for (app, settings) in &config.apps {
            for environment in config.environments.keys() {
                let key = (app.clone(), environment.clone());
                let folder = config.overlay(app, environment).unwrap_or_default();
                let mut entry = Desired::default();
                match objects::kustomization(&tree, &folder) {
                    Ok(path) => {
                        match self.images(repository, &tree, &path) {
                            Ok(images) => {
                                entry.problem = settings
                                    .images
                                    .keys()
                                    .find(|image| !images.contains_key(*image))
                                    .map(|image| missing(image.as_str(), &path, &images));
                                entry.images = images
                                    .into_iter()
                                    .filter(|(image, _)| settings.images.contains_key(image))
                                    .collect();
                            }
                            Err(problem) => entry.problem = Some(problem),
                        }
                        overlays.insert(path, key.clone());
                    }
                    Err(problem) => entry.problem = Some(problem),
                }
                let path = record_path(app, environment);
                match record(repository, &tree, &path) {
                    Ok(record) => entry.record = record,
                    Err(problem) => entry.record_problem = Some(problem),
                }
                desired.insert(key, entry);
            }
        }
        self.remember(repository, head, config_id, &overlays)?;
        for (key, entry) in &mut desired {
            entry.events = self.history.of(key);
        }
        Ok(Snapshot {
            branch: branch.to_owned(),
            head: history::commit_id(head),
            config,
            config_problem: self.config_problem.as_ref().map(|(_, problem)| problem.clone()),
            desired,
            verdicts: self.verdicts(repository)?,
        })
    }

    /// The configuration in force; a broken new version keeps the old one.
    fn config(
        &mut self,
        repository: &Repository,
        branch: &str,
        tree: &Tree<'_>,
        file: &str,
    ) -> Result<(Oid, Arc<Config>), ReadError> {
        let found = objects::file(repository, tree, file);
        let (id, parsed) = match found {
            Ok(Some(found)) => {
                if let Some((id, config)) = &self.config
                    && *id == found.id
                {
                    self.config_problem = None;
                    return Ok((*id, config.clone()));
                }
                let parsed = Config::parse(file, &found.content)
                    .map(|config| if self.in_pod { config.within_pod() } else { config })
                    .map_err(|problems| problems.to_string());
                (found.id, parsed)
            }
            Ok(None) => {
                let words = format!(
                    "{file}: not on the branch {branch}; commit one at the root of the repository, or name it with --config"
                );
                (Oid::ZERO_SHA1, Err(words))
            }
            Err(words) => (Oid::ZERO_SHA1, Err(words)),
        };
        match (parsed, &self.config) {
            (Ok(config), _) => {
                let config = Arc::new(config);
                self.config = Some((id, config.clone()));
                self.config_problem = None;
                Ok((id, config))
            }
            (Err(problem), Some((known, config))) => {
                self.config_problem = Some((id, problem));
                Ok((*known, config.clone()))
            }
            (Err(problem), None) => Err(ReadError::Config(problem)),
        }
    }

    fn images(&mut self, repository: &Repository, tree: &Tree<'_>, path: &str) -> Result<Images, String> {
        let id = tree.get_path(std::path::Path::new(path)).map_err(|error| error.message().to_owned())?.id();
        if let Some((known, images)) = self.overlays.get(path)
            && *known == id
        {
            return images.clone();
        }
        let images = objects::file(repository, tree, path).and_then(|file| {
            let content = file.map(|file| file.content).unwrap_or_default();
            let entries = edit::image_entries(&content).map_err(|error| format!("{path}: {error}"))?;
            Ok(history::read_images(&entries))
        });
        self.overlays.insert(path.to_owned(), (id, images.clone()));
        images
    }

    fn remember(
        &mut self,
        repository: &Repository,
        head: Oid,
        config: Oid,
        overlays: &BTreeMap<String, Key>,
    ) -> Result<(), git2::Error> {
        let known = match self.covered {
            Some((known, by)) if by == config => Some(known),
            _ => None,
        };
        if known != Some(head) {
            self.history = self.history.extend(repository, head, known, overlays)?;
            self.covered = Some((head, config));
        }
        Ok(())
    }

    fn verdicts(&mut self, repository: &Repository) -> Result<Arc<Verdicts>, git2::Error> {
        let tip = notes::tip(repository);
        if let Some((known, verdicts)) = &self.verdicts
            && *known == tip
        {
            return Ok(verdicts.clone());
        }
        let verdicts = Arc::new(notes::read(repository)?);
        self.verdicts = Some((tip, verdicts.clone()));
        Ok(verdicts)
    }
}

fn missing(image: &str, path: &str, images: &Images) -> String {
    let names: Vec<&str> = images.keys().map(crate::model::ImageName::as_str).collect();
    let there =
        if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
    format!("{path}: no entry `{image}` below `images:` ({there}); add `- name: {image}` there")
}

fn record(repository: &Repository, tree: &Tree<'_>, path: &str) -> Result<Record, String> {
    match objects::file(repository, tree, path)? {
        Some(file) => Record::parse(&file.content)
            .map_err(|error| format!("{path}: {error}; the app is held until the file can be read")),
        None => Ok(Record::default()),
    }
}
