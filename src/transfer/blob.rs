//! Brings one blob to the target: it is there, it is mounted, or it streams through without being held.
//!
//! It comes from another registry or from a file of a local build.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{Response, StatusCode};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::{TransferError, write};
use crate::discover::build::{Artifact, BuildError, Root};
use crate::discover::manifest::Hash;
use crate::discover::{Descriptor, DiscoverError, Registries};
use crate::model::{Digest, Repository};

/// No data for so long means a dead source.
const IDLE_DEADLINE: Duration = Duration::from_secs(30);
/// How much of a file is read at once.
const CHUNK: usize = 256 * 1024;

pub(super) enum Outcome {
    Present,
    Mounted,
    Sent,
    /// A layer that registries need not hold, and the source does not.
    LeftOut,
}

pub(super) async fn bring(
    registries: &Registries,
    from: &Repository,
    to: &Repository,
    blob: &Descriptor,
) -> Result<Outcome, TransferError> {
    if write::has_blob(registries, to, &blob.digest).await? {
        return Ok(Outcome::Present);
    }
    let what = format!("blob {} of {from}", blob.digest);
    let mounted = if from.host() == to.host() {
        let upload = write::mount(registries, from, to, &blob.digest).await?;
        if upload.is_none() {
            return Ok(Outcome::Mounted);
        }
        upload
    } else {
        None
    };
    let source = match registries.open_blob(from, &blob.digest, &what).await {
        Err(DiscoverError::NotFound { .. }) if blob.is_nondistributable() => return Ok(Outcome::LeftOut),
        answer => answer?,
    };
    let upload = match mounted {
        Some(upload) => upload,
        None => write::start_upload(registries, to, &blob.digest).await?,
    };
    let fault = Arc::new(Mutex::new(None));
    let body = checked(Source::Registry(source), blob, Arc::clone(&fault));
    let sent = write::upload(registries, to, blob, upload, body).await;
    let fault = fault.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (sent, fault) {
        (_, Some(Fault::Content(reason))) => {
            Err(TransferError::Mismatch { repository: from.clone(), digest: blob.digest.clone(), reason })
        }
        (Err(_), Some(Fault::Connection(reason))) => {
            Err(DiscoverError::Unreachable { registry: from.host().clone(), what, reason }.into())
        }
        (Err(error), None) => Err(error),
        (Ok(()), _) => Ok(Outcome::Sent),
    }
}

/// Sends a blob of a local build to where it is not yet.
pub(super) async fn send(
    registries: &Registries,
    root: &Root,
    artifact: &Artifact,
    to: &Repository,
    blob: &Descriptor,
) -> Result<Outcome, TransferError> {
    if write::has_blob(registries, to, &blob.digest).await? {
        return Ok(Outcome::Present);
    }
    let file = File::from_std(artifact.open(root, &blob.digest)?);
    let upload = write::start_upload(registries, to, &blob.digest).await?;
    let fault = Arc::new(Mutex::new(None));
    let body = checked(Source::File(file), blob, Arc::clone(&fault));
    let sent = write::upload(registries, to, blob, upload, body).await;
    let fault = fault.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (sent, fault) {
        (_, Some(Fault::Content(reason) | Fault::Connection(reason))) => Err(BuildError::Incomplete {
            path: artifact.path.clone(),
            missing: format!("blob {} changed while it was sent: {reason}", blob.digest.short()),
        }
        .into()),
        (Err(error), None) => Err(error),
        (Ok(()), None) => Ok(Outcome::Sent),
    }
}

enum Source {
    Registry(Response),
    File(File),
}

enum Fault {
    Content(String),
    Connection(String),
}

struct Flow {
    source: Source,
    hash: Hash,
    left: u64,
    digest: Digest,
    fault: Arc<Mutex<Option<Fault>>>,
}

/// The source's body as a request body. Its last bytes are let through only once the whole has the right digest.
fn checked(source: Source, blob: &Descriptor, fault: Arc<Mutex<Option<Fault>>>) -> reqwest::Body {
    let flow =
        Flow { source, hash: Hash::of(&blob.digest), left: blob.size, digest: blob.digest.clone(), fault };
    reqwest::Body::wrap_stream(futures::stream::try_unfold(flow, |mut flow| async move {
        match flow.next().await {
            Ok(Some(chunk)) => Ok(Some((chunk, flow))),
            Ok(None) => Ok(None),
            Err(fault) => {
                *flow.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
                Err(std::io::Error::other("the source failed"))
            }
        }
    }))
}

impl Flow {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let chunk = match &mut self.source {
            Source::Registry(response) => tokio::time::timeout(IDLE_DEADLINE, response.chunk())
                .await
                .map_err(|_| Fault::Connection(format!("no data for {} seconds", IDLE_DEADLINE.as_secs())))?
                .map_err(|error| Fault::Connection(error.without_url().to_string()))?,
            // An archive goes on after the blob.
            Source::File(_) if self.left == 0 => None,
            Source::File(file) => {
                let most = usize::try_from(self.left).map_or(CHUNK, |left| left.min(CHUNK));
                let mut chunk = BytesMut::with_capacity(most);
                let read = file.take(most as u64).read_buf(&mut chunk).await;
                let read = read.map_err(|error| Fault::Content(error.to_string()))?;
                (read > 0).then(|| chunk.freeze())
            }
        };
        let Some(chunk) = chunk else {
            return match self.left {
                0 => Ok(None),
                left => Err(Fault::Content(format!("it ends {left} bytes too early"))),
            };
        };
        self.left = self
            .left
            .checked_sub(chunk.len() as u64)
            .ok_or_else(|| Fault::Content("it is longer than its descriptor says".to_owned()))?;
        self.hash.update(&chunk);
        if self.left == 0 && !chunk.is_empty() {
            let found = self.hash.finish();
            if found != self.digest.as_str() {
                return Err(Fault::Content(format!("it is {found}")));
            }
        }
        Ok(Some(chunk))
    }
}

/// The status of a question whether a blob is there.
pub(super) fn is_there(status: StatusCode) -> Option<bool> {
    match status {
        StatusCode::OK => Some(true),
        StatusCode::NOT_FOUND => Some(false),
        _ => None,
    }
}
