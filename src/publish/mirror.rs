//! Our mirror of a remote, and the thread that owns it.
//!
//! The thread takes what has arrived in one go: an idle remote is served at once, and what waits while a push is
//! under way shares the next commit. Our mirror is a cache; a damaged one is cloned again.

mod owner;
mod push;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use self::owner::Owner;
use super::history::Images;
use super::message::Trailers;
use super::remote::{GitCredentials, Location};
use super::snapshot::Snapshot;
use super::{Change, Outcome, PublishError, http};
use crate::model::{AppName, CommitId, EnvironmentName, VerdictNote};

/// What a mirror needs to know.
#[derive(Debug, Clone)]
pub struct MirrorOptions {
    /// The remote.
    pub location: Location,
    /// The branch; the remote's default one unless named.
    pub branch: Option<String>,
    /// The configuration's path in the repository.
    pub config: String,
    /// This process runs in a Pod, so that environments without a `cluster` have its own.
    pub in_pod: bool,
    /// Who we are there.
    pub credentials: GitCredentials,
    /// The folder below which mirrors are kept; deleting it costs a clone.
    pub state: PathBuf,
}

/// What became of a set of changes.
#[derive(Debug, Clone)]
pub struct Published {
    /// One outcome per change, in their order.
    pub outcomes: Vec<Outcome>,
    /// The remote after the push.
    pub snapshot: Arc<Snapshot>,
    /// How often the push lost its race.
    pub races: u32,
    /// How long it took to make the commit, all tries together.
    pub committing: Duration,
    /// How long commit and push took together.
    pub took: Duration,
}

/// Whether a revision still has what a commit brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// It is that commit, or a later one with the same images.
    Yes,
    /// It is later, and the images are others now.
    Changed,
    /// It does not contain the commit.
    No,
}

/// A commit of ours, as its message tells it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The commit.
    pub commit: CommitId,
    /// When it was made.
    pub time: jiff::Timestamp,
    /// What it did in each app and environment.
    pub groups: Vec<Trailers>,
}

type Reply<T> = oneshot::Sender<Result<T, PublishError>>;

enum Command {
    Refresh(Reply<Arc<Snapshot>>),
    Publish {
        changes: Vec<Change>,
        together: bool,
        reply: Reply<Published>,
    },
    Preview {
        changes: Vec<Change>,
        reply: Reply<(Vec<Outcome>, String)>,
    },
    Note {
        lines: Vec<VerdictNote>,
        reply: Reply<()>,
    },
    History {
        since: jiff::Timestamp,
        reply: Reply<Vec<Entry>>,
    },
    MayPush(Reply<()>),
    Export {
        folder: PathBuf,
        reply: Reply<()>,
    },
    Held {
        revision: CommitId,
        commit: CommitId,
        key: (AppName, EnvironmentName),
        images: Images,
        reply: Reply<Held>,
    },
}

/// A handle to the thread; the thread ends when all handles are gone.
#[derive(Debug, Clone)]
pub struct Mirror {
    commands: mpsc::Sender<Command>,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    location: Location,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Command")
    }
}

impl Mirror {
    /// Opens or makes the mirror and starts its thread; the remote is first asked by [`Mirror::refresh`].
    ///
    /// Must be called within a Tokio runtime, which the thread uses for HTTP.
    pub fn start(options: MirrorOptions) -> Result<Self, PublishError> {
        http::register();
        let location = options.location.clone();
        let (commands, inbox) = mpsc::channel(64);
        let (sender, snapshots) = watch::channel(None);
        let runtime = tokio::runtime::Handle::current();
        let mut owner = Owner::open(options, runtime, sender)?;
        std::thread::Builder::new()
            .name("mirror".to_owned())
            .spawn(move || owner.run(inbox))
            .map_err(|error| PublishError::Config(format!("no thread for the mirror: {error}")))?;
        Ok(Self { commands, snapshots, location })
    }

    /// The remote's address.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The newest snapshot, and word of each next one.
    pub fn snapshots(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.snapshots.clone()
    }

    async fn ask<T>(&self, make: impl FnOnce(Reply<T>) -> Command) -> Result<T, PublishError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(make(reply)).await.map_err(|_| PublishError::Stopped)?;
        answer.await.map_err(|_| PublishError::Stopped)?
    }

    /// Looks at the remote's head, and fetches it if it moved.
    pub async fn refresh(&self) -> Result<Arc<Snapshot>, PublishError> {
        self.ask(Command::Refresh).await
    }

    /// Commits and pushes; with `together` all changes or none.
    pub async fn publish(&self, changes: Vec<Change>, together: bool) -> Result<Published, PublishError> {
        self.ask(|reply| Command::Publish { changes, together, reply }).await
    }

    /// What [`Mirror::publish`] would do at the last known head, and the difference as a patch.
    pub async fn preview(&self, changes: Vec<Change>) -> Result<(Vec<Outcome>, String), PublishError> {
        self.ask(|reply| Command::Preview { changes, reply }).await
    }

    /// Writes verdicts.
    pub async fn note(&self, lines: Vec<VerdictNote>) -> Result<(), PublishError> {
        self.ask(|reply| Command::Note { lines, reply }).await
    }

    /// Whether the remote lets this account push at all; which branches it protects, only a push tells.
    pub async fn may_push(&self) -> Result<(), PublishError> {
        self.ask(Command::MayPush).await
    }

    /// Writes all files of the last known head below `folder`, which exists and is empty.
    pub async fn export(&self, folder: PathBuf) -> Result<(), PublishError> {
        self.ask(|reply| Command::Export { folder, reply }).await
    }

    /// Our commits since then, newest first.
    pub async fn history(&self, since: jiff::Timestamp) -> Result<Vec<Entry>, PublishError> {
        self.ask(|reply| Command::History { since, reply }).await
    }

    /// Whether `revision` still has the `images` that `commit` brought.
    pub async fn held(
        &self,
        revision: CommitId,
        commit: CommitId,
        key: (AppName, EnvironmentName),
        images: Images,
    ) -> Result<Held, PublishError> {
        self.ask(|reply| Command::Held { revision, commit, key, images, reply }).await
    }
}
