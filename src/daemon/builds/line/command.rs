//! The command: whether its sources changed, its run, and what it leaves behind.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::artifact::{artifact_folders, stamp};
use super::{Content, Fault, Known, Line, Owed, lost};
use crate::discover::build::{BuildError, Quiet, Seen, command};
use crate::model::{BuildTag, Repository};

/// So many builds in a row may change their own sources.
const CHAIN: u32 = 3;

impl Line {
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
    pub(super) async fn build(&mut self, turn: &Arc<Semaphore>, quiet: &mut Quiet) -> Result<bool, Fault> {
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
        if self.spec.build.artifact.is_some() {
            let made = self.made(tag, &repository).await?;
            self.owe(made);
        } else {
            (self.unsettled, self.failures) = (Some(tag), 0);
        }
        let brought = self.bring().await;
        self.again(&seen, quiet).await;
        brought.map(|()| true)
    }

    /// Asks what a command has pushed, until the registry tells; none where there is nothing to ask for.
    pub(super) async fn settle(&mut self) -> Result<(), Fault> {
        let Some((tag, repository)) = self.unsettled.clone().zip(self.spec.targets.values().next().cloned())
        else {
            return Ok(());
        };
        let made = self.made(tag, &repository).await;
        if !matches!(made, Err(Fault::Registry(_))) {
            self.unsettled = None;
        }
        self.owed = Some(made?);
        Ok(())
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
}
