//! The thread that owns the mirror: it alone reads and writes our copy of the remote.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use git2::build::CheckoutBuilder;
use git2::{Oid, Repository};
use sha2::Digest as _;
use tokio::sync::{mpsc, watch};

use super::{Command, Entry, Held, MirrorOptions, Published, Reply};
use crate::model::{AppName, CommitId, EnvironmentName};
use crate::publish::history::{self, Images};
use crate::publish::remote::{Heads, Remote};
use crate::publish::snapshot::{ReadError, Reader, Snapshot};
use crate::publish::{Change, Outcome, PublishError, apply};

/// The thread's side.
pub(super) struct Owner {
    pub(super) folder: PathBuf,
    pub(super) repository: Repository,
    pub(super) remote: Remote,
    pub(super) options: MirrorOptions,
    pub(super) reader: Reader,
    pub(super) heads: Option<Heads>,
    pub(super) snapshot: Option<Arc<Snapshot>>,
    pub(super) sender: watch::Sender<Option<Arc<Snapshot>>>,
}

pub(super) struct Request {
    pub(super) changes: Vec<Change>,
    pub(super) together: bool,
    pub(super) reply: Reply<Published>,
}

impl Owner {
    pub(super) fn open(
        options: MirrorOptions,
        runtime: tokio::runtime::Handle,
        sender: watch::Sender<Option<Arc<Snapshot>>>,
    ) -> Result<Self, PublishError> {
        let name = hex::encode(&sha2::Sha256::digest(options.location.to_string())[..8]);
        let folder = options.state.join(format!("mirror-{name}.git"));
        let broken = |cause: String| PublishError::Mirror { folder: folder.display().to_string(), cause };
        fs_err::create_dir_all(&options.state).map_err(|error| broken(error.to_string()))?;
        let repository = match Repository::open_bare(&folder) {
            Ok(repository) => repository,
            Err(_) => create(&folder).map_err(broken)?,
        };
        let remote = Remote::new(options.location.clone(), options.credentials.clone(), runtime);
        Ok(Self {
            folder,
            repository,
            remote,
            reader: Reader::new(options.in_pod),
            options,
            heads: None,
            snapshot: None,
            sender,
        })
    }

    pub(super) fn run(&mut self, mut inbox: mpsc::Receiver<Command>) {
        while let Some(first) = inbox.blocking_recv() {
            let mut waiting = vec![first];
            while let Ok(next) = inbox.try_recv() {
                waiting.push(next);
            }
            let (mut refreshes, mut requests, mut lines) = (Vec::new(), Vec::new(), Vec::new());
            for command in waiting {
                match command {
                    Command::Refresh(reply) => refreshes.push(reply),
                    Command::Publish { changes, together, reply } => {
                        requests.push(Request { changes, together, reply });
                    }
                    Command::Note { lines: more, reply } => lines.push((more, reply)),
                    Command::History { since, reply } => _ = reply.send(self.history(since)),
                    Command::Preview { changes, reply } => _ = reply.send(self.preview(&changes)),
                    Command::MayPush(reply) => _ = reply.send(self.remote.may_push(&self.repository)),
                    Command::Export { folder, reply } => _ = reply.send(self.export(&folder)),
                    Command::Held { revision, commit, key, images, reply } => {
                        _ = reply.send(self.held(&revision, &commit, &key, &images));
                    }
                }
            }
            if !requests.is_empty() || !lines.is_empty() {
                self.publish(requests, lines);
            }
            for reply in refreshes {
                _ = reply.send(self.refresh());
            }
        }
    }

    /// Looks at the remote, and clones anew what turns out to be damaged.
    pub(super) fn refresh(&mut self) -> Result<Arc<Snapshot>, PublishError> {
        match self.look() {
            Err(PublishError::Mirror { cause, folder }) => {
                tracing::warn!(%folder, %cause, "the mirror is damaged; it is cloned again");
                self.repository =
                    create(&self.folder).map_err(|cause| PublishError::Mirror { folder, cause })?;
                (self.heads, self.reader) = (None, Reader::new(self.options.in_pod));
                self.look()
            }
            result => result,
        }
    }

    fn look(&mut self) -> Result<Arc<Snapshot>, PublishError> {
        // A configuration that names another branch is followed once, unless the command line names one.
        let configured = self.snapshot.as_ref().and_then(|snapshot| snapshot.config.git.branch.clone());
        let branch = self.options.branch.clone().or(configured);
        let heads = self.remote.look(&self.repository, branch.as_deref(), self.heads.as_ref())?;
        if let Some(snapshot) = &self.snapshot
            && self.heads.as_ref() == Some(&heads)
        {
            return Ok(snapshot.clone());
        }
        self.heads = Some(heads);
        let snapshot = self.read()?;
        match &snapshot.config.git.branch {
            Some(named) if self.options.branch.is_none() && *named != snapshot.branch => {
                self.heads = None;
                self.look()
            }
            _ => Ok(snapshot),
        }
    }

    /// Reads the known head and tells everybody.
    pub(super) fn read(&mut self) -> Result<Arc<Snapshot>, PublishError> {
        let Some(heads) = &self.heads else { return Err(PublishError::Stopped) };
        let read = self.reader.read(&self.repository, &heads.branch, heads.head, &self.options.config);
        let snapshot = Arc::new(read.map_err(|error| match error {
            ReadError::Git(error) => self.damaged(&error),
            ReadError::Config(words) => PublishError::Config(words),
        })?);
        self.snapshot = Some(snapshot.clone());
        self.sender.send_replace(Some(snapshot.clone()));
        Ok(snapshot)
    }

    pub(super) fn damaged(&self, error: &git2::Error) -> PublishError {
        PublishError::Mirror { folder: self.folder.display().to_string(), cause: error.message().to_owned() }
    }

    fn preview(&mut self, changes: &[Change]) -> Result<(Vec<Outcome>, String), PublishError> {
        let (snapshot, head) = self.known()?;
        let Some(overlays) = self.reader.overlays() else { return Err(PublishError::Stopped) };
        let memory = &mut self.reader.memory;
        let mut preview = || -> Result<(Vec<Outcome>, String), git2::Error> {
            let base = self.repository.find_commit(head)?.tree()?;
            let applied = apply::apply(&self.repository, memory, &base, &overlays, changes, false)?;
            let tree = self.repository.find_tree(applied.tree)?;
            let mut patch = String::new();
            let diff = self.repository.diff_tree_to_tree(Some(&base), Some(&tree), None)?;
            diff.print(git2::DiffFormat::Patch, |_, _, line| {
                if matches!(line.origin(), '+' | '-' | ' ') {
                    patch.push(line.origin());
                }
                patch.push_str(&String::from_utf8_lossy(line.content()));
                true
            })?;
            let outcome = |place| match applied.others.get(&place) {
                Some(other) => other.clone(),
                None => Outcome::Committed(snapshot.head.clone()),
            };
            Ok(((0..changes.len()).map(outcome).collect(), patch))
        };
        preview().map_err(|error| self.damaged(&error))
    }

    fn history(&mut self, since: jiff::Timestamp) -> Result<Vec<Entry>, PublishError> {
        let (_, head) = self.known()?;
        history::entries(&self.repository, head, since).map_err(|error| self.damaged(&error))
    }

    /// As the objects are, without the filters of a work tree.
    fn export(&mut self, folder: &Path) -> Result<(), PublishError> {
        let (_, head) = self.known()?;
        let mut options = CheckoutBuilder::new();
        options.target_dir(folder).force().disable_filters(true).update_index(false);
        let written = self
            .repository
            .find_commit(head)
            .and_then(|commit| self.repository.checkout_tree(commit.tree()?.as_object(), Some(&mut options)));
        written.map_err(|error| PublishError::Mirror {
            folder: folder.display().to_string(),
            cause: error.message().to_owned(),
        })
    }

    pub(super) fn known(&mut self) -> Result<(Arc<Snapshot>, Oid), PublishError> {
        let snapshot = match &self.snapshot {
            Some(snapshot) => snapshot.clone(),
            None => self.refresh()?,
        };
        let head = self.heads.as_ref().map_or(Oid::ZERO_SHA1, |heads| heads.head);
        Ok((snapshot, head))
    }

    fn held(
        &mut self,
        revision: &CommitId,
        commit: &CommitId,
        key: &(AppName, EnvironmentName),
        images: &Images,
    ) -> Result<Held, PublishError> {
        self.known()?;
        let parse = |id: &CommitId| Oid::from_str(id.as_str()).map_err(|error| self.damaged(&error));
        let (revision, commit) = (parse(revision)?, parse(commit)?);
        if !self.repository.odb().is_ok_and(|odb| odb.exists(revision)) {
            self.heads = None;
            self.refresh()?;
        }
        if revision != commit && !self.repository.graph_descendant_of(revision, commit).unwrap_or(false) {
            return Ok(Held::No);
        }
        let there = self.reader.images_at(&self.repository, revision, key).unwrap_or_default();
        let same = images.iter().all(|(image, written)| there.get(image) == Some(written));
        Ok(if same { Held::Yes } else { Held::Changed })
    }
}

/// Makes an empty mirror in the place of whatever is there.
fn create(folder: &std::path::Path) -> Result<Repository, String> {
    if folder.exists() {
        fs_err::remove_dir_all(folder).map_err(|error| error.to_string())?;
    }
    Repository::init_bare(folder).map_err(|error| error.message().to_owned())
}
