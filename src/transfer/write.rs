//! Every request that changes a registry.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use url::Url;

use super::{TransferError, blob, head};
use crate::discover::manifest::MANIFEST_TYPES;
use crate::discover::referrers::fallback_tag;
use crate::discover::registry::{CALL_DEADLINE, manifest_path, within};
use crate::discover::request::{Access, Payload, Request, Target, remote_path};
use crate::discover::{Descriptor, DiscoverError, Manifest, Reference, Registries};
use crate::model::{Digest, Repository, Tag};

/// The slowest blob transfer that is not given up, in bytes per second.
const SLOWEST: u64 = 64 * 1024;

/// Sends one request that changes something. All writing to registries goes through here.
async fn change(
    registries: &Registries,
    request: Request<'_>,
    deadline: Duration,
) -> Result<Response, TransferError> {
    let (registry, what) = (request.access.registry(), request.what);
    Ok(within(deadline, registry, what, registries.connections.send(request)).await?)
}

async fn refused(registries: &Registries, to: &Repository, what: &str, response: Response) -> TransferError {
    let reason = match registries.connections.unexpected(to.host(), what, response).await {
        DiscoverError::NotFound { reason, .. } | DiscoverError::Garbage { reason, .. } => reason,
        other => return other.into(),
    };
    TransferError::Refused { repository: to.clone(), what: what.to_owned(), reason }
}

pub(super) async fn has_blob(
    registries: &Registries,
    to: &Repository,
    digest: &Digest,
) -> Result<bool, TransferError> {
    let what = format!("blob {digest} of {to}");
    let path = format!("/v2/{}/blobs/{digest}", remote_path(to));
    let request = Request::new(Method::HEAD, Access::Push(to), path, &what);
    let response = within(CALL_DEADLINE, to.host(), &what, registries.connections.send(request)).await?;
    match blob::is_there(response.status()) {
        Some(there) => Ok(there),
        None => Err(refused(registries, to, &what, response).await),
    }
}

/// Takes a blob over from another repository of the same registry; `None` if that was done, else an upload that it opened.
pub(super) async fn mount(
    registries: &Registries,
    from: &Repository,
    to: &Repository,
    digest: &Digest,
) -> Result<Option<Target>, TransferError> {
    let what = format!("blob {digest}");
    let path = format!("/v2/{}/blobs/uploads/?mount={digest}&from={}", remote_path(to), remote_path(from));
    let request = Request::new(Method::POST, Access::Mount { to, from }, path, &what);
    let response = change(registries, request, CALL_DEADLINE).await?;
    match response.status() {
        StatusCode::CREATED => Ok(None),
        StatusCode::ACCEPTED => location(&response, to, &what).map(Some),
        _ => Err(refused(registries, to, &what, response).await),
    }
}

pub(super) async fn start_upload(
    registries: &Registries,
    to: &Repository,
    digest: &Digest,
) -> Result<Target, TransferError> {
    let what = format!("blob {digest}");
    let path = format!("/v2/{}/blobs/uploads/", remote_path(to));
    let request = Request::new(Method::POST, Access::Push(to), path, &what);
    let response = change(registries, request, CALL_DEADLINE).await?;
    match response.status() {
        StatusCode::ACCEPTED | StatusCode::CREATED => location(&response, to, &what),
        _ => Err(refused(registries, to, &what, response).await),
    }
}

/// Sends a blob into an open upload, and closes the upload again where that fails.
pub(super) async fn upload(
    registries: &Registries,
    to: &Repository,
    blob: &Descriptor,
    upload: Target,
    body: reqwest::Body,
) -> Result<(), TransferError> {
    let what = format!("blob {}", blob.digest);
    let mut request = Request::new(Method::PUT, Access::Push(to), String::new(), &what);
    request.target = with_digest(upload.clone(), &blob.digest);
    request.payload = Payload::Stream(body, blob.size);
    request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    let deadline = CALL_DEADLINE * 2 + Duration::from_secs(blob.size / SLOWEST);
    let error = match change(registries, request, deadline).await {
        Ok(response) if response.status() == StatusCode::CREATED => return Ok(()),
        Ok(response) => refused(registries, to, &what, response).await,
        Err(error) => error,
    };
    let mut cancel = Request::new(Method::DELETE, Access::Push(to), String::new(), &what);
    cancel.target = upload;
    // Registries clear forgotten uploads by themselves after a week or so.
    if let Err(left_open) = change(registries, cancel, CALL_DEADLINE).await {
        tracing::debug!(error = %left_open, repository = %to, "an upload stays open");
    }
    Err(error)
}

/// Writes a manifest under its digest; whether that was needed.
pub(super) async fn manifest(
    registries: &Registries,
    to: &Repository,
    manifest: &Manifest,
) -> Result<bool, TransferError> {
    let reference = Reference::Digest(&manifest.digest);
    let present = head(registries, to, reference).await?.is_some();
    let answer = if present { None } else { Some(put(registries, to, reference, manifest).await?) };
    if let Some(subject) = &manifest.contents.subject {
        let listed = match &answer {
            // The registry says so when it keeps the list of referrers itself (OCI-Subject).
            Some(response) if response.headers().contains_key("oci-subject") => true,
            _ => {
                let found = registries.referrers(to, &subject.digest).await?;
                found.manifests.iter().any(|listed| listed.digest == manifest.digest)
            }
        };
        if !listed {
            list_referrer(registries, to, &subject.digest, manifest).await?;
        }
    }
    Ok(answer.is_some())
}

/// Writes the tag of an image, last of all.
pub(super) async fn tag(
    registries: &Registries,
    to: &Repository,
    tag: &Tag,
    manifest: &Manifest,
) -> Result<(), TransferError> {
    match put(registries, to, Reference::Tag(tag), manifest).await {
        Ok(_) => Ok(()),
        // Immutable tags are refused even with the same content; somebody else may have made it just now.
        Err(error @ TransferError::Refused { .. }) => {
            if super::tag_is(registries, to, tag, &manifest.digest).await? { Ok(()) } else { Err(error) }
        }
        Err(error) => Err(error),
    }
}

/// Writes a tag that attaches something to a digest. What the target has beyond it is never taken away:
/// then nothing is written, and the answer is a sentence about it.
pub(super) async fn attach(
    registries: &Registries,
    to: &Repository,
    tag: &Tag,
    manifest: &Manifest,
) -> Result<Option<String>, TransferError> {
    let reference = Reference::Tag(tag);
    let theirs = match registries.manifest(to, reference).await {
        Ok(theirs) if theirs.digest == manifest.digest => return Ok(None),
        Ok(theirs) => Some(theirs),
        Err(DiscoverError::NotFound { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(theirs) = theirs {
        let covers = |all: &Manifest, part: &Manifest| {
            part.contents
                .layers
                .iter()
                .all(|layer| all.contents.layers.iter().any(|other| other.digest == layer.digest))
        };
        if covers(&theirs, manifest) {
            return Ok(None);
        }
        if !covers(manifest, &theirs) {
            return Ok(Some(format!("{to}:{tag} has signatures of its own and was left as it is")));
        }
    }
    put(registries, to, reference, manifest).await?;
    Ok(None)
}

async fn put(
    registries: &Registries,
    to: &Repository,
    reference: Reference<'_>,
    manifest: &Manifest,
) -> Result<Response, TransferError> {
    let what = format!("manifest {reference}");
    let mut request = Request::new(Method::PUT, Access::Push(to), manifest_path(to, reference), &what);
    let media_type = HeaderValue::from_str(&manifest.media_type)
        .map_err(|_| DiscoverError::Setup { reason: "a media type with illegal letters".to_owned() })?;
    request.headers.insert(CONTENT_TYPE, media_type);
    request.payload = Payload::Bytes(manifest.bytes.clone());
    let response = change(registries, request, CALL_DEADLINE).await?;
    if response.status().is_success() {
        Ok(response)
    } else {
        Err(refused(registries, to, &what, response).await)
    }
}

/// Adds a manifest to the referrers tag of its subject, as clients must where a registry has no referrers API
/// (OCI Distribution Specification 1.1, "Pushing Manifests with Subject").
async fn list_referrer(
    registries: &Registries,
    to: &Repository,
    subject: &Digest,
    referrer: &Manifest,
) -> Result<(), TransferError> {
    let Some(tag) = fallback_tag(subject, "") else { return Ok(()) };
    let present = match registries.manifest(to, Reference::Tag(&tag)).await {
        Ok(manifest) => Some(manifest.bytes),
        Err(DiscoverError::NotFound { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let bytes = Bytes::from(with_referrer(present.as_deref(), referrer).to_string());
    let digest = Digest::of(&bytes);
    let index = Manifest {
        media_type: MANIFEST_TYPES[0].to_owned(),
        bytes,
        digest,
        contents: crate::discover::Contents::default(),
    };
    put(registries, to, Reference::Tag(&tag), &index).await?;
    Ok(())
}

/// The index of referrers with one more entry; entries that are there stay as they are.
fn with_referrer(present: Option<&[u8]>, referrer: &Manifest) -> Value {
    let mut entry = json!({
        "mediaType": referrer.media_type,
        "digest": referrer.digest,
        "size": referrer.bytes.len(),
    });
    let contents = &referrer.contents;
    let kind = contents.artifact_type.as_ref().or(contents.config.as_ref().map(|config| &config.media_type));
    if let Some(kind) = kind {
        entry["artifactType"] = json!(kind);
    }
    if !contents.annotations.is_empty() {
        entry["annotations"] = json!(contents.annotations);
    }
    let mut index = present
        .and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok())
        .filter(|index| index["manifests"].is_array())
        .unwrap_or_else(|| json!({"schemaVersion": 2, "mediaType": MANIFEST_TYPES[0], "manifests": []}));
    if let Some(entries) = index["manifests"].as_array_mut()
        && !entries.iter().any(|known| known["digest"] == entry["digest"])
    {
        entries.push(entry);
    }
    index
}

/// Where the registry wants the upload; relative addresses are its own.
fn location(response: &Response, to: &Repository, what: &str) -> Result<Target, TransferError> {
    let text = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    target(text, response.url()).ok_or_else(|| TransferError::Refused {
        repository: to.clone(),
        what: what.to_owned(),
        reason: "it opened an upload without saying where".to_owned(),
    })
}

fn target(location: Option<&str>, asked: &Url) -> Option<Target> {
    let location = location?;
    if let Ok(named) = Url::parse(location) {
        return Some(Target::Named(named));
    }
    let joined = asked.join(location).ok()?;
    if joined.host_str() != asked.host_str() || joined.port() != asked.port() {
        return Some(Target::Named(joined));
    }
    Some(Target::Path(match joined.query() {
        Some(query) => format!("{}?{query}", joined.path()),
        None => joined.path().to_owned(),
    }))
}

fn with_digest(upload: Target, digest: &Digest) -> Target {
    match upload {
        Target::Path(path) => {
            let joint = if path.contains('?') { '&' } else { '?' };
            Target::Path(format!("{path}{joint}digest={digest}"))
        }
        Target::Named(mut url) => {
            url.query_pairs_mut().append_pair("digest", digest.as_str());
            Target::Named(url)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shown(location: &str) -> String {
        let asked = Url::parse("https://r.example/v2/a/blobs/uploads/").unwrap();
        let digest: Digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
        match with_digest(target(Some(location), &asked).unwrap(), &digest) {
            Target::Path(path) => format!("own {path}").replace(&"0".repeat(64), "0"),
            Target::Named(url) => format!("named {url}").replace(&"0".repeat(64), "0"),
        }
    }

    #[test]
    fn an_upload_goes_where_the_registry_says_and_keeps_its_state() {
        for (location, expected) in [
            ("/v2/a/blobs/uploads/1?_state=x%3D", "own /v2/a/blobs/uploads/1?_state=x%3D&digest=sha256:0"),
            ("/v2/a/blobs/uploads/1", "own /v2/a/blobs/uploads/1?digest=sha256:0"),
            ("1", "own /v2/a/blobs/uploads/1?digest=sha256:0"),
            ("https://r.example/u?_state=x%3D", "named https://r.example/u?_state=x%3D&digest=sha256%3A0"),
            ("//evil.example/u", "named https://evil.example/u?digest=sha256%3A0"),
        ] {
            assert_eq!(shown(location), expected);
        }
    }

    #[test]
    fn a_referrer_is_listed_once_and_others_stay() {
        let bytes = Bytes::from_static(b"{}");
        let digest = Digest::of(&bytes);
        let contents =
            serde_json::from_value(json!({"artifactType": "a/b", "annotations": {"k": "v"}})).unwrap();
        let referrer = Manifest { media_type: MANIFEST_TYPES[1].to_owned(), bytes, digest, contents };
        let first = with_referrer(None, &referrer);
        assert_eq!(first["manifests"][0]["artifactType"], "a/b");
        assert_eq!(with_referrer(Some(first.to_string().as_bytes()), &referrer), first);
        let other = json!({"manifests": [{"digest": "sha256:x", "extra": 1}]});
        let both = with_referrer(Some(other.to_string().as_bytes()), &referrer);
        assert_eq!(both["manifests"].as_array().unwrap().len(), 2);
        assert_eq!(both["manifests"][0]["extra"], 1);
    }
}
