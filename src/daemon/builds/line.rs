//! One build from its sources or its artifact to the registry, again and again.

mod artifact;
mod bring;
mod command;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};

use super::{Spec, Word, part};
use crate::daemon::follow::Shared;
use crate::discover::DiscoverError;
use crate::discover::build::{Artifact, BuildError, Looker, Quiet, Root, Sources, Stamp, Watcher};
use crate::model::{BuildTag, Digest, EnvironmentName, Exit, Repository};
use crate::publish::{Desired, Snapshot};
use crate::transfer::TransferError;

/// An artifact is looked at at most so often.
const LOOK: Duration = Duration::from_millis(20);
/// A look that took longer than this is not asked for any less often.
const LOOKING: Duration = Duration::from_secs(3);

/// The steps that can go wrong.
const ARTIFACT: &str = "artifact";
const COMMAND: &str = "command";
const PUSH: &str = "push";

/// What a build waits for, and what it remembers. Nothing of it outlives the process, nor needs to.
pub(super) struct Line {
    context: Shared,
    root: Root,
    spec: Spec,
    words: mpsc::Sender<Word>,
    watcher: Watcher,
    looker: Looker,
    sources: Option<Sources>,
    known: Option<Known>,
    half_since: Option<Instant>,
    /// The sources at the last try.
    tried: Option<Digest>,
    /// How many builds in a row left other sources behind than they began with.
    chain: u32,
    /// Whether Git and the registry were asked what was built before this process started.
    is_told: bool,
    /// What a command has pushed, whose digest the registry has not told yet.
    unsettled: Option<BuildTag>,
    /// What is not in all registries yet, how often that failed, and when it is tried again.
    owed: Option<Owed>,
    failures: u32,
    retry: Option<Instant>,
    /// What is wrong with each step.
    problems: BTreeMap<&'static str, String>,
    is_first: bool,
}

/// The artifact at the last look that found it whole.
struct Known {
    /// Its file, where another write would show.
    stamp: Option<Stamp>,
    digest: Digest,
    /// When it was written; none where only the registry told of it.
    written: Option<Timestamp>,
}

/// An image on its way to the registries.
#[derive(Clone)]
struct Owed {
    tag: BuildTag,
    digest: Digest,
    content: Content,
    /// It lay there when this process started, and was made then.
    found: Option<Timestamp>,
}

#[derive(Clone)]
enum Content {
    Artifact(Box<Artifact>),
    Pushed(Repository),
}

/// What to do next.
enum Next {
    Artifact,
    Sources,
    Retry,
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Registry(#[from] TransferError),
}

impl From<DiscoverError> for Fault {
    fn from(error: DiscoverError) -> Self {
        Self::Registry(error.into())
    }
}

impl Line {
    pub(super) fn new(context: Shared, root: Root, spec: Spec, words: mpsc::Sender<Word>) -> Self {
        let watcher = Watcher::new(&root);
        let build = &spec.build;
        let sources = (!build.command.is_empty()).then(|| {
            Sources::new(root.clone(), build.watch.clone(), build.artifact.clone(), build.command.clone())
        });
        Self {
            context,
            root,
            spec,
            words,
            watcher,
            looker: Looker::default(),
            sources,
            known: None,
            half_since: None,
            tried: None,
            chain: 0,
            is_told: false,
            unsettled: None,
            owed: None,
            failures: 0,
            retry: None,
            problems: BTreeMap::new(),
            is_first: true,
        }
    }

    /// Works until it is dropped, or with `once` for one pass.
    pub(super) async fn run(mut self, turn: Arc<Semaphore>, once: bool) {
        let mut quiet = Quiet::default();
        let mut failed = None;
        if self.sources.is_some() {
            let result = self.build(&turn, &mut quiet).await;
            failed = failed.or(self.tell(COMMAND, result));
        }
        let result = self.look().await;
        failed = failed.or(self.tell(ARTIFACT, result));
        self.is_first = false;
        if once {
            _ = self.words.send(Word::Over(self.spec.name.clone(), failed)).await;
            return;
        }
        loop {
            if let Some(why) = self.watcher.silence() {
                let (app, image) = &self.spec.name;
                tracing::warn!(%app, %image, why, "changes below --allow-builds are looked for every few seconds");
            }
            let next = self.wait(&mut quiet).await;
            let began = Instant::now();
            match next {
                Next::Artifact => {
                    let result = self.look().await;
                    self.tell(ARTIFACT, result);
                }
                Next::Sources => {
                    let result = self.build(&turn, &mut quiet).await;
                    self.tell(COMMAND, result);
                    // What came into a folder that was not watched yet.
                    let result = self.look().await;
                    self.tell(ARTIFACT, result);
                }
                Next::Retry => {
                    let result = self.bring().await.map(|()| true);
                    self.tell(PUSH, result);
                }
            }
            self.watcher.looked(began.elapsed().min(LOOKING));
        }
    }

    /// Waits until there is something to do.
    async fn wait(&mut self, quiet: &mut Quiet) -> Next {
        let far = Instant::now() + Duration::from_hours(1);
        loop {
            tokio::select! {
                () = sleep_until(quiet.until().unwrap_or(far)), if quiet.until().is_some() => {
                    quiet.end();
                    return Next::Sources;
                }
                () = sleep_until(self.retry.unwrap_or(far)), if self.retry.is_some() => return Next::Retry,
                () = self.watcher.changed() => {
                    self.watcher.looked(Duration::ZERO);
                    if self.sources.is_some() {
                        quiet.hear(Instant::now());
                    }
                    if self.spec.build.artifact.is_some() {
                        tokio::time::sleep(LOOK).await;
                        return Next::Artifact;
                    }
                }
            }
        }
    }

    /// Tells how a step went, where it has anything to say; the exit code of a failure.
    fn tell(&mut self, step: &'static str, result: Result<bool, Fault>) -> Option<Exit> {
        let exit = match result {
            Ok(true) => {
                self.problems.remove(step);
                None
            }
            Ok(false) => None,
            Err(Fault::Build(error)) => {
                self.problems.insert(step, error.to_string());
                Some(Exit::Usage)
            }
            Err(Fault::Registry(error)) => {
                self.problems.insert(PUSH, format!("{error}; the push is tried again"));
                Some(Exit::Unreachable)
            }
        };
        if self.owed.is_none() && exit.is_none() {
            self.problems.remove(PUSH);
        }
        let words: Vec<&str> = self.problems.values().map(String::as_str).collect();
        self.context.health.tell(&part(&self.spec.name), (!words.is_empty()).then(|| words.join("; ")));
        exit
    }

    fn owe(&mut self, owed: Owed) {
        self.owed = Some(owed);
        (self.failures, self.retry) = (0, None);
    }

    fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.context.mirror.snapshots().borrow().clone()
    }

    fn desired<'a>(&self, snapshot: &'a Snapshot, environment: &EnvironmentName) -> Option<&'a Desired> {
        snapshot.desired.get(&(self.spec.name.0.clone(), environment.clone())).map(|desired| &**desired)
    }
}

fn lost(path: &str, error: &tokio::task::JoinError) -> BuildError {
    BuildError::Unreadable { path: path.to_owned(), cause: error.to_string() }
}
