//! Brings an image from one repository to another: by digest, all platforms, with everything that refers to it.
//!
//! In: two repositories, or a local build and a repository; a digest, the tag that it gets. Out: what had to be moved. Order makes it safe to stop anywhere:
//! blobs, manifests from the leaves up, what refers to them, and the tag last. Running it again moves what is missing.
//! May fail as [`TransferError`].

mod blob;
mod family;
mod push;
mod write;

pub use push::push;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;

use crate::discover::build::BuildError;
use crate::discover::request::Access;
use crate::discover::{Descriptor, DiscoverError, Manifest, Reference, Registries};
use crate::model::{Digest, Repository, Tag};

/// Blobs on the way at the same time.
const PARALLEL_BLOBS: usize = 4;
const ATTEMPTS: u32 = 3;
/// A registry's pause up to this long is waited for in the middle of a copy.
const PATIENCE: Duration = Duration::from_mins(1);

/// A copy that did not come to its end. What was copied so far stays and is not copied again.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// Source or target did not answer as needed.
    #[error(transparent)]
    Registry(#[from] DiscoverError),
    /// The local build changed or can't be read.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The target's tag already means something else.
    #[error(
        "{repository}:{tag} already is {found}, so it can't become {wanted}; a tag means one thing: promote under another tag, or delete that one in the registry"
    )]
    TagTaken {
        /// The target.
        repository: Repository,
        /// The tag.
        tag: Tag,
        /// What it names now.
        found: Digest,
        /// What it was to name.
        wanted: Digest,
    },
    /// The target does not take what is written.
    #[error(
        "{repository} does not take {what}: {reason}; check that the repository exists and that the credentials may push to it"
    )]
    Refused {
        /// The target.
        repository: Repository,
        /// What was written.
        what: String,
        /// The status and the registry's words.
        reason: String,
    },
    /// The source gave other content than the digest says.
    #[error("{repository} gave wrong content for {digest}: {reason}; nothing of it was kept")]
    Mismatch {
        /// The source.
        repository: Repository,
        /// What was asked for.
        digest: Digest,
        /// What came.
        reason: String,
    },
    /// More belongs to the image than is reasonable.
    #[error(
        "{repository}@{digest} has more than {limit} manifests with all that refers to it; nothing was copied"
    )]
    TooMany {
        /// The source.
        repository: Repository,
        /// The image.
        digest: Digest,
        /// The cap.
        limit: usize,
    },
    /// All was written, but the target does not show it.
    #[error("after the copy {repository}:{tag} reads as {}, expected {wanted}; look at the registry, then copy again", found.as_ref().map_or("nothing", |digest| digest.as_str()))]
    ReadBack {
        /// The target.
        repository: Repository,
        /// The tag.
        tag: Tag,
        /// What the target says.
        found: Option<Digest>,
        /// What was written.
        wanted: Digest,
    },
}

impl TransferError {
    /// The metric label of this kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Registry(error) => error.kind(),
            Self::Build(_) => "build",
            Self::TagTaken { .. } => "tag_taken",
            Self::Refused { .. } => "refused",
            Self::Mismatch { .. } => "mismatch",
            Self::TooMany { .. } => "too_many",
            Self::ReadBack { .. } => "read_back",
        }
    }
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Blobs that the target has, of `blobs`.
    pub blobs_done: usize,
    /// All blobs of the image and of what refers to it.
    pub blobs: usize,
    /// Bytes that the target has, of `bytes`; a blob that is sent again does not count twice.
    pub bytes_done: u64,
    /// Bytes of all blobs.
    pub bytes: u64,
}

/// What a finished copy moved. All zero: everything was there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Copied {
    /// Manifests written to the target.
    pub manifests: usize,
    /// Blobs sent to the target.
    pub blobs_copied: usize,
    /// Blobs that the registry took over from the source repository by itself.
    pub blobs_mounted: usize,
    /// Blobs that the target had.
    pub blobs_present: usize,
    /// Bytes of the blobs sent.
    pub bytes: u64,
    /// Whether the tag was written.
    pub tagged: bool,
    /// What could not be brought along though it refers to the image, one sentence each.
    pub notices: Vec<String>,
}

/// Makes `to:tag` be `digest` with everything that belongs and refers to it, and reads it back.
///
/// Within one repository only the tag is made. A tag that names something else is never moved.
pub async fn copy(
    registries: &Registries,
    from: &Repository,
    to: &Repository,
    digest: &Digest,
    tag: &Tag,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Copied, TransferError> {
    let tagged = tag_is(registries, to, tag, digest).await?;
    let mut copied = Copied::default();
    let root = if from == to {
        if tagged {
            return Ok(copied);
        }
        patiently(|| async { Ok(registries.manifest(from, Reference::Digest(digest)).await?) }).await?
    } else {
        let family = family::collect(registries, from, digest).await?;
        copied.notices.clone_from(&family.notices);
        blobs(registries, from, to, &family, &mut copied, progress).await?;
        for manifest in &family.manifests {
            copied.manifests += usize::from(patiently(|| write::manifest(registries, to, manifest)).await?);
        }
        for (attached, digest) in &family.tags {
            if let Some(manifest) = family.manifests.iter().find(|manifest| manifest.digest == *digest)
                && let Some(notice) = patiently(|| write::attach(registries, to, attached, manifest)).await?
            {
                copied.notices.push(notice);
            }
        }
        family.root
    };
    if !tagged {
        patiently(|| write::tag(registries, to, tag, &root)).await?;
        copied.tagged = true;
    }
    read_back(registries, to, tag, digest).await?;
    Ok(copied)
}

/// Makes sure that the target shows what was written.
async fn read_back(
    registries: &Registries,
    to: &Repository,
    tag: &Tag,
    digest: &Digest,
) -> Result<(), TransferError> {
    let found = patiently(|| head(registries, to, Reference::Tag(tag))).await?;
    if found.as_ref() == Some(digest) {
        return Ok(());
    }
    Err(TransferError::ReadBack { repository: to.clone(), tag: tag.clone(), found, wanted: digest.clone() })
}

/// Whether the tag is there and right; [`TransferError::TagTaken`] where it is there and wrong.
async fn tag_is(
    registries: &Registries,
    repository: &Repository,
    tag: &Tag,
    wanted: &Digest,
) -> Result<bool, TransferError> {
    match patiently(|| head(registries, repository, Reference::Tag(tag))).await? {
        None => Ok(false),
        Some(found) if found == *wanted => Ok(true),
        Some(found) => Err(TransferError::TagTaken {
            repository: repository.clone(),
            tag: tag.clone(),
            found,
            wanted: wanted.clone(),
        }),
    }
}

/// The digest at the target, asked with the token that also writes.
async fn head(
    registries: &Registries,
    repository: &Repository,
    reference: Reference<'_>,
) -> Result<Option<Digest>, TransferError> {
    Ok(registries.head_manifest(Access::Push(repository), repository, reference).await?)
}

async fn blobs(
    registries: &Registries,
    from: &Repository,
    to: &Repository,
    family: &family::Family,
    copied: &mut Copied,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<(), TransferError> {
    let all: BTreeMap<&Digest, &Descriptor> =
        family.manifests.iter().flat_map(Manifest::blobs).map(|blob| (&blob.digest, blob)).collect();
    let total = Progress {
        blobs: all.len(),
        bytes: all.values().fold(0, |sum, blob| sum.saturating_add(blob.size)),
        ..Progress::default()
    };
    let (done, bytes) = (AtomicUsize::new(0), AtomicU64::new(0));
    let report = || {
        progress(Progress {
            blobs_done: done.load(Ordering::Relaxed),
            bytes_done: bytes.load(Ordering::Relaxed).min(total.bytes),
            ..total
        });
    };
    report();
    // Collected first: a stream that still maps lazily cannot be spawned (rust-lang/rust#102211).
    let moves: Vec<_> = all
        .into_values()
        .map(|blob| {
            let (done, bytes, report) = (&done, &bytes, &report);
            async move {
                let outcome = patiently(|| blob::bring(registries, from, to, blob)).await?;
                done.fetch_add(1, Ordering::Relaxed);
                bytes.fetch_add(blob.size, Ordering::Relaxed);
                report();
                Ok::<_, TransferError>((outcome, blob))
            }
        })
        .collect();
    let mut outcomes = futures::stream::iter(moves).buffer_unordered(PARALLEL_BLOBS);
    while let Some((outcome, blob)) = outcomes.try_next().await? {
        match outcome {
            blob::Outcome::Present => copied.blobs_present += 1,
            blob::Outcome::Mounted => copied.blobs_mounted += 1,
            blob::Outcome::Sent => {
                copied.blobs_copied += 1;
                copied.bytes += blob.size;
            }
            blob::Outcome::LeftOut => {
                copied.notices.push(format!("layer {} may not be redistributed", blob.digest));
            }
        }
    }
    Ok(())
}

/// Does `work` again after a broken connection, an expired token or a short pause of the registry.
async fn patiently<T, F>(work: impl Fn() -> F) -> Result<T, TransferError>
where
    F: Future<Output = Result<T, TransferError>>,
{
    let mut attempt = 1;
    loop {
        let error = match work().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let wait = match &error {
            TransferError::Registry(DiscoverError::Unreachable { .. }) => {
                Duration::from_millis(500) * attempt
            }
            TransferError::Registry(DiscoverError::Unauthorized { .. }) if attempt == 1 => Duration::ZERO,
            TransferError::Registry(refused) => match refused.until() {
                Some(until) => Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default(),
                None => return Err(error),
            },
            _ => return Err(error),
        };
        if attempt == ATTEMPTS || wait > PATIENCE {
            return Err(error);
        }
        tokio::time::sleep(wait).await;
        attempt += 1;
    }
}
