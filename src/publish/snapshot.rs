//! What the remote's head says, read once per head and shared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use git2::{Oid, Repository};

use super::approvals::{self, Approved};
use super::history::{self, Barred, Event, History, Images, Origin};
use super::notes::{self, Verdicts};
use super::objects::Files;
use super::overlay::{self, Memory, Reading};
use super::places::{Overlays, Place};
use crate::config::Config;
use crate::edit::Record;
use crate::model::{AppName, CommitId, Digest, EnvironmentName};

/// One app in one environment, as the head has it.
#[derive(Debug, Clone, Default)]
pub struct Desired {
    /// The images that promote.yaml names, as the overlay has them.
    pub images: Images,
    /// Why the overlay cannot be used: it does not exist, or an image is not in it.
    pub problem: Option<String>,
    /// What people should know of its setter comments; nothing is held up by it.
    pub remarks: Vec<String>,
    /// Quarantine, hold and approvals.
    pub record: Record,
    /// Why the record cannot be read; it then holds the app.
    pub record_problem: Option<String>,
    /// Who approved which version that does not stand there yet.
    pub approved: Approved,
    /// The commits that changed the images, newest first, as far as they matter.
    pub events: Arc<Vec<Event>>,
}

impl Desired {
    /// The commit that brought what stands there now.
    pub fn origin(&self) -> Option<&Origin> {
        self.events.first()
    }

    /// The versions that people took away, and that nobody has released since.
    pub fn barred(&self) -> Vec<Barred> {
        let released = self.record.released.as_ref().map(|released| &released.commit);
        let newer = self.events.iter().take_while(|event| Some(&event.commit) != released).count();
        history::barred(&self.events[..newer])
    }

    /// Whether a person has released what stands there now.
    pub fn is_released(&self) -> bool {
        let released = self.record.released.as_ref().map(|released| &released.commit);
        released.is_some() && released == self.origin().map(|origin| &origin.commit)
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
    /// Every app in every environment; what has not changed is shared with the snapshot before.
    pub desired: BTreeMap<(AppName, EnvironmentName), Arc<Desired>>,
    /// What was judged so far.
    pub verdicts: Arc<Verdicts>,
}

/// Reads snapshots, and remembers what does not change from one head to the next.
#[derive(Default)]
pub(super) struct Reader {
    in_pod: bool,
    config: Option<(Oid, Arc<Config>)>,
    config_problem: Option<(Oid, String)>,
    verdicts: Option<(Option<Oid>, Arc<Verdicts>)>,
    pub(super) memory: Memory,
    read: Option<Read>,
}

/// What was read last.
struct Read {
    head: Oid,
    /// The head's tree.
    tree: Oid,
    /// The blob of the configuration in force.
    config: Oid,
    overlays: Arc<Overlays>,
    history: History,
    desired: BTreeMap<(AppName, EnvironmentName), Arc<Desired>>,
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
        let files = Files::of(repository, tree.clone());
        let (config_id, config) = self.config(&files, branch, file)?;
        let last = self.read.take().filter(|last| last.config == config_id);
        let (overlays, known, mut history, mut desired, changed) = if let Some(last) = last {
            let old = repository.find_tree(last.tree)?;
            let changed = last.overlays.changed(repository, Some(&old), &tree)?;
            (last.overlays, Some(last.head), last.history, last.desired, changed)
        } else {
            let overlays = Arc::new(Overlays::new(config.clone()));
            let all: BTreeSet<usize> = (0..overlays.places.len()).collect();
            (overlays, None, History::default(), BTreeMap::new(), all)
        };
        let mut fresh: BTreeMap<usize, Desired> = BTreeMap::new();
        for index in changed {
            if let Some(place) = overlays.places.get(index) {
                fresh.insert(index, self.desired(&files, &overlays, place));
            }
        }
        if known != Some(head) {
            for index in history.extend(repository, head, known, &overlays, &mut self.memory)? {
                let Some(place) = overlays.places.get(index) else { continue };
                let standing = || desired.get(&place.key).map(|known| (**known).clone()).unwrap_or_default();
                fresh.entry(index).or_insert_with(standing);
            }
        }
        for (index, mut entry) in fresh {
            if let Some(place) = overlays.places.get(index) {
                entry.events = history.of(index);
                let stands = |digest: &Digest| {
                    entry.images.values().any(|written| written.digest.as_ref() == Some(digest))
                };
                entry.approved = approvals::of(repository, head, &place.record, &entry.record, stands)?;
                desired.insert(place.key.clone(), Arc::new(entry));
            }
        }
        let verdicts = self.verdicts(repository)?;
        self.read = Some(Read {
            head,
            tree: tree.id(),
            config: config_id,
            overlays,
            history,
            desired: desired.clone(),
        });
        Ok(Snapshot {
            branch: branch.to_owned(),
            head: history::commit_id(head),
            config,
            config_problem: self.config_problem.as_ref().map(|(_, problem)| problem.clone()),
            desired,
            verdicts,
        })
    }

    /// Where the apps of the configuration in force are; none before the first head was read.
    pub(super) fn overlays(&self) -> Option<Arc<Overlays>> {
        self.read.as_ref().map(|read| read.overlays.clone())
    }

    /// What one place says at the head, without its events.
    fn desired(&mut self, files: &Files<'_>, overlays: &Overlays, place: &Place) -> Desired {
        let Reading { mut images, problem, remarks } =
            overlay::read(files, &mut self.memory, overlays, place);
        images.retain(|image, _| overlays.app(place).is_some_and(|app| app.images.contains_key(image)));
        let (record, record_problem) = match record(files, &place.record) {
            Ok(record) => (record, None),
            Err(problem) => (Record::default(), Some(problem)),
        };
        Desired {
            images,
            problem,
            remarks,
            record,
            record_problem,
            approved: Approved::default(),
            events: Arc::default(),
        }
    }

    /// The images of a place at another commit than the head; none where the place is not configured.
    pub(super) fn images_at(
        &mut self,
        repository: &Repository,
        commit: Oid,
        key: &(AppName, EnvironmentName),
    ) -> Result<Images, git2::Error> {
        let Some(overlays) = self.overlays() else { return Ok(Images::new()) };
        let files = Files::of(repository, repository.find_commit(commit)?.tree()?);
        let place = overlays.place(&key.0, &key.1);
        let read = place.map(|place| overlay::read(&files, &mut self.memory, &overlays, place));
        Ok(read.unwrap_or_default().images)
    }

    /// The configuration in force; a broken new version keeps the old one.
    fn config(
        &mut self,
        files: &Files<'_>,
        branch: &str,
        file: &str,
    ) -> Result<(Oid, Arc<Config>), ReadError> {
        let found = files.file(file);
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

fn record(files: &Files<'_>, path: &str) -> Result<Record, String> {
    match files.file(path)? {
        Some(file) => Record::parse(&file.content)
            .map_err(|error| format!("{path}: {error}; the app is held until the file can be read")),
        None => Ok(Record::default()),
    }
}
