//! One build from its sources or its artifact to the registry, again and again.

mod bring;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};

use super::{Spec, Word, part};
use crate::daemon::follow::Shared;
use crate::discover::DiscoverError;
use crate::discover::build::{
    Artifact, BuildError, Looker, Quiet, Root, Seen, Sources, Stamp, Watcher, command,
};
use crate::model::{BuildTag, Digest, EnvironmentName, Exit, Repository};
use crate::publish::{Desired, Snapshot};
use crate::transfer::TransferError;

/// Half an artifact is told after this long; builders take their time.
const PATIENCE: Duration = Duration::from_secs(30);
/// An artifact is looked at at most so often.
const LOOK: Duration = Duration::from_millis(20);
/// A look that took longer than this is not asked for any less often.
const LOOKING: Duration = Duration::from_secs(3);
/// So many builds in a row may change their own sources.
const CHAIN: u32 = 3;

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

    /// Looks at the artifact, and brings it where it is news; whether that says anything new of it.
    async fn look(&mut self) -> Result<bool, Fault> {
        let Some(path) = self.spec.build.artifact.clone() else { return Ok(false) };
        if self.sources.is_none() {
            self.watcher.watch(artifact_folders(&self.root, &path));
        }
        let stamp = stamp(&self.root, &path);
        if stamp.is_some() && stamp == self.known.as_ref().and_then(|known| known.stamp) {
            return Ok(false);
        }
        let artifact = match self.read(&path).await {
            Ok(artifact) => artifact,
            Err(BuildError::Incomplete { path, missing }) => {
                // The rest may be on its way: nothing to worry about yet.
                let since = *self.half_since.get_or_insert_with(Instant::now);
                tracing::debug!(path, missing, "not whole yet");
                if since.elapsed() < PATIENCE && !self.is_first {
                    return Ok(false);
                }
                return Err(BuildError::Incomplete { path, missing }.into());
            }
            Err(error) => return Err(error.into()),
        };
        self.half_since = None;
        let Some(artifact) = artifact else { return Ok(true) };
        let digest = artifact.digest().clone();
        let written = artifact.written;
        let before = self.known.replace(Known { stamp, digest: digest.clone(), written: Some(written) });
        if before.is_some_and(|before| {
            before.digest == digest && before.written.is_none_or(|before| before == written)
        }) {
            return Ok(true);
        }
        let tag = BuildTag::new(written, &digest);
        let found = self.is_first.then_some(written);
        self.owe(Owed { tag, digest, content: Content::Artifact(Box::new(artifact)), found });
        self.bring().await.map(|()| true)
    }

    fn owe(&mut self, owed: Owed) {
        self.owed = Some(owed);
        (self.failures, self.retry) = (0, None);
    }

    /// Reads the artifact on a thread that may block.
    async fn read(&mut self, path: &str) -> Result<Option<Artifact>, BuildError> {
        let (mut looker, root, name) = (std::mem::take(&mut self.looker), self.root.clone(), path.to_owned());
        let looked = tokio::task::spawn_blocking(move || {
            let found = looker.look(&root, &name);
            (looker, found)
        });
        let (looker, found) = looked.await.map_err(|error| lost(path, &error))?;
        self.looker = looker;
        found
    }

    /// Looks at the sources on a thread that may block, and watches their folders.
    async fn sources(&mut self) -> Result<Seen, BuildError> {
        loop {
            let Some(mut sources) = self.sources.take() else {
                return Err(BuildError::Unreadable {
                    path: "watch".to_owned(),
                    cause: "it was lost".to_owned(),
                });
            };
            let looked = tokio::task::spawn_blocking(move || {
                let seen = sources.look();
                (sources, seen)
            });
            let (sources, seen) = looked.await.map_err(|error| lost("watch", &error))?;
            self.sources = Some(sources);
            let mut seen = match seen {
                Ok(seen) => seen,
                Err(error) => {
                    // What is missing may come; only its folder can tell.
                    let folders =
                        self.spec.build.watch.iter().flat_map(|path| artifact_folders(&self.root, path));
                    self.watcher.watch(folders.collect());
                    return Err(error);
                }
            };
            if let Some(path) = &self.spec.build.artifact {
                seen.folders.extend(artifact_folders(&self.root, path));
            }
            // What came into a folder before it was watched is found by looking again.
            if !self.watcher.watch(seen.folders.clone()) {
                return Ok(seen);
            }
        }
    }

    /// Runs the command if its sources changed, and brings what it made; whether it ran.
    async fn build(&mut self, turn: &Arc<Semaphore>, quiet: &mut Quiet) -> Result<bool, Fault> {
        let seen = self.sources().await?;
        if self.tried.as_ref() == Some(&seen.digest) {
            return Ok(false);
        }
        if !self.is_told {
            let was_built = self.was_built(&seen).await?;
            self.is_told = true;
            if was_built {
                self.tried = Some(seen.digest);
                return self.bring().await.map(|()| true);
            }
        }
        self.tried = Some(seen.digest.clone());
        let Some(repository) = self.spec.targets.values().next().cloned() else { return Ok(false) };
        let Ok(_turn) = turn.acquire().await else { return Ok(false) };
        let began = Instant::now();
        let tag = BuildTag::new(Timestamp::now(), &seen.digest);
        let reference = format!("{repository}:{}", tag.tag());
        let (app, image) = self.spec.name.clone();
        tracing::info!(%app, %image, reference, files = seen.files, "building");
        let say = |line: &str| tracing::debug!(%app, %image, line, "build");
        command::run(&self.root, &self.spec.build.command, &reference, command::LONGEST, say).await?;
        tracing::info!(%app, %image, reference, milliseconds = began.elapsed().as_millis(), "built");
        let made = self.made(tag, &repository).await?;
        self.owe(made);
        let brought = self.bring().await;
        self.again(&seen, quiet).await;
        brought.map(|()| true)
    }

    /// What a command that ended well has left behind.
    async fn made(&mut self, tag: BuildTag, repository: &Repository) -> Result<Owed, Fault> {
        let command = self.spec.build.command.join(" ");
        let failed = |how: String| BuildError::Failed { command: command.clone(), how };
        let Some(path) = self.spec.build.artifact.clone() else {
            let found = self.context.registries.digest(repository, &tag.tag()).await?;
            let missing = || {
                failed(format!(
                    "ended well, but {repository}:{} is not in the registry; let it push there, or write `artifact: PATH`",
                    tag.tag()
                ))
            };
            let digest = found.ok_or_else(missing)?;
            return Ok(Owed { tag, digest, content: Content::Pushed(repository.clone()), found: None });
        };
        let missing = |why: String| failed(format!("ended well, but left no whole artifact: {why}"));
        let stamp = stamp(&self.root, &path);
        let artifact = match self.read(&path).await {
            Ok(Some(artifact)) => artifact,
            Ok(None) => return Err(missing(format!("there is no {path}")).into()),
            Err(error) => return Err(missing(error.to_string()).into()),
        };
        let digest = artifact.digest().clone();
        self.known = Some(Known { stamp, digest: digest.clone(), written: Some(artifact.written) });
        self.half_since = None;
        Ok(Owed { tag, digest, content: Content::Artifact(Box::new(artifact)), found: None })
    }

    /// Sees to it that sources which changed during the build are built too, but not for ever.
    async fn again(&mut self, before: &Seen, quiet: &mut Quiet) {
        match self.sources().await {
            Ok(seen) if seen.digest == before.digest => self.chain = 0,
            _ => {
                self.chain += 1;
                quiet.hear(Instant::now());
            }
        }
        if self.chain >= CHAIN {
            let pause = Duration::from_secs(1 << (self.chain - CHAIN).min(6));
            if self.chain == CHAIN {
                let (app, image) = (&self.spec.name.0, &self.spec.name.1);
                tracing::warn!(%app, %image,
                    "each of the last builds changed its own sources; name what it writes in .gitignore");
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.context.mirror.snapshots().borrow().clone()
    }

    fn desired<'a>(&self, snapshot: &'a Snapshot, environment: &EnvironmentName) -> Option<&'a Desired> {
        snapshot.desired.get(&(self.spec.name.0.clone(), environment.clone()))
    }
}

fn lost(path: &str, error: &tokio::task::JoinError) -> BuildError {
    BuildError::Unreadable { path: path.to_owned(), cause: error.to_string() }
}

/// The file whose change tells of a new artifact: the archive, or the folder's index.
fn stamp(root: &Root, path: &str) -> Option<Stamp> {
    let place = root.find(path).ok()??;
    let place = if place.is_dir() { root.find(&format!("{path}/index.json")).ok()?? } else { place };
    let stamp = Stamp::of(&std::fs::metadata(place).ok()?);
    (!stamp.is_fresh(Timestamp::now())).then_some(stamp)
}

/// The folders in which an artifact comes to be: those on the way to it, as far as they exist, and those of its blobs.
fn artifact_folders(root: &Root, path: &str) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::from([root.folder().to_owned()]);
    let mut below = String::new();
    for part in Path::new(path).components() {
        below = format!("{below}/{}", part.as_os_str().to_string_lossy());
        folders.extend(folder(root, below.trim_start_matches('/')));
    }
    for blobs in ["blobs", "blobs/sha256", "blobs/sha512"] {
        folders.extend(folder(root, &format!("{path}/{blobs}")));
    }
    folders
}

fn folder(root: &Root, path: &str) -> Option<PathBuf> {
    root.find(path).ok().flatten().filter(|place| place.is_dir())
}
