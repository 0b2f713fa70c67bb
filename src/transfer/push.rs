//! Brings a local build to a registry: blobs, then what the image points to, then the image under its tag.

use futures::{StreamExt as _, TryStreamExt as _};

use super::{Copied, PARALLEL_BLOBS, TransferError, blob, patiently, read_back, tag_is, write};
use crate::discover::Registries;
use crate::discover::build::{Artifact, Root};
use crate::model::{Repository, Tag};

/// Makes `to:tag` be the artifact, and reads it back. Nobody sees it before all of it is there.
///
/// A tag that names something else is never moved; one that is right costs one question.
pub async fn push(
    registries: &Registries,
    root: &Root,
    artifact: &Artifact,
    to: &Repository,
    tag: &Tag,
) -> Result<Copied, TransferError> {
    let mut copied = Copied::default();
    if tag_is(registries, to, tag, artifact.digest()).await? {
        return Ok(copied);
    }
    // Collected first: a stream that still maps lazily cannot be spawned (rust-lang/rust#102211).
    let moves: Vec<_> = artifact
        .blobs()
        .map(|blob| async move {
            let outcome = patiently(|| blob::send(registries, root, artifact, to, blob)).await?;
            Ok::<_, TransferError>((outcome, blob))
        })
        .collect();
    let mut outcomes = futures::stream::iter(moves).buffer_unordered(PARALLEL_BLOBS);
    while let Some((outcome, blob)) = outcomes.try_next().await? {
        if matches!(outcome, blob::Outcome::Sent) {
            copied.blobs_copied += 1;
            copied.bytes += blob.size;
        } else {
            copied.blobs_present += 1;
        }
    }
    for child in artifact.children() {
        copied.manifests += usize::from(patiently(|| write::manifest(registries, to, child)).await?);
    }
    patiently(|| write::tag(registries, to, tag, artifact.image())).await?;
    copied.manifests += 1;
    copied.tagged = true;
    read_back(registries, to, tag, artifact.digest()).await?;
    Ok(copied)
}
