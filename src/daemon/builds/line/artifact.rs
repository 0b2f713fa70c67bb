//! The artifact: whether it is whole and new, and where a change of it is told.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Content, Fault, Known, Line, Owed, lost};
use crate::discover::build::{Artifact, BuildError, Root, Stamp};
use crate::model::BuildTag;

/// Half an artifact is told after this long; builders take their time.
const PATIENCE: Duration = Duration::from_secs(30);

impl Line {
    /// Looks at the artifact, and brings it where it is news; whether that says anything new of it.
    pub(super) async fn look(&mut self) -> Result<bool, Fault> {
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

    /// Reads the artifact on a thread that may block.
    pub(super) async fn read(&mut self, path: &str) -> Result<Option<Artifact>, BuildError> {
        let (mut looker, root, name) = (std::mem::take(&mut self.looker), self.root.clone(), path.to_owned());
        let answer = tokio::task::spawn_blocking(move || {
            let found = looker.look(&root, &name);
            (looker, found)
        });
        let (looker, found) = answer.await.map_err(|error| lost(path, &error))?;
        self.looker = looker;
        found
    }
}

/// The file whose change tells of a new artifact: the archive, or the folder's index.
pub(super) fn stamp(root: &Root, path: &str) -> Option<Stamp> {
    let place = root.find(path).ok()??;
    let place = if place.is_dir() { root.find(&format!("{path}/index.json")).ok()?? } else { place };
    let stamp = Stamp::of(&std::fs::metadata(place).ok()?);
    (!stamp.is_fresh(Timestamp::now())).then_some(stamp)
}

/// The folders in which an artifact comes to be: those on the way to it, as far as they exist, and those of its blobs.
pub(super) fn artifact_folders(root: &Root, path: &str) -> BTreeSet<PathBuf> {
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
