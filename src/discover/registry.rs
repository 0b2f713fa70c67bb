//! Asks registries: tags, digests, manifests, small blobs. Reads only; `transfer` alone writes.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH, LINK};
use reqwest::{Method, Response, StatusCode};
use sha2::Digest as _;

use super::connection::Connections;
use super::manifest::{self, MANIFEST_LIMIT};
use super::request::{Access, Request, remote_path};
use super::{
    Descriptor, DiscoverError, Manifest, Reference, RegistriesOptions, RegistryEvent, TagList, link, tags,
};
use crate::model::{Digest, RegistryHost, Repository, Tag};

/// The whole time of one question, with all pages, redirects and tokens.
pub(crate) const CALL_DEADLINE: Duration = Duration::from_secs(30);
pub(crate) const PAGE_LIMIT: usize = 200;
const LIST_BYTES_LIMIT: usize = 32 * 1024 * 1024;
/// ECR refuses more than 1000 with 405, Quay more than 100 with 413; 0 leaves the size to the registry.
const PAGE_SIZES: [usize; 3] = if cfg!(test) { [2, 1, 0] } else { [1000, 100, 0] };
/// Manifests of one image that [`Registries::digests_of`] looks at.
const FAMILY_LIMIT: usize = 200;
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// All registries: one set of connections, tokens and pauses, shared by every clone.
#[derive(Clone)]
pub struct Registries {
    pub(crate) connections: Arc<Connections>,
}

impl std::fmt::Debug for Registries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Registries")
    }
}

impl Registries {
    /// Prepares the clients; nothing is asked yet. A rustls crypto provider must be installed before.
    pub fn new(options: RegistriesOptions) -> Result<Self, DiscoverError> {
        Ok(Self { connections: Arc::new(Connections::new(options)?) })
    }

    /// Replaces the set of registries that speak plain HTTP.
    pub fn set_insecure(&self, insecure: BTreeSet<RegistryHost>) {
        self.connections.set_insecure(insecure);
    }

    /// Connects to `address` (`host[:port]`) whenever `host` is meant, as `--registry-endpoint` does.
    pub fn set_endpoint(&self, host: RegistryHost, address: &str) -> Result<(), DiscoverError> {
        self.connections.set_endpoint(host, address)
    }

    /// All legal tags of a repository: the complete list or an error.
    ///
    /// With the list `known` from before, an unchanged one costs neither parsing nor memory.
    pub async fn tags(
        &self,
        repository: &Repository,
        known: Option<&TagList>,
    ) -> Result<TagList, DiscoverError> {
        let what = format!("the tags of {repository}");
        within(CALL_DEADLINE, repository.host(), &what, self.list(repository, known, &what)).await
    }

    async fn list(
        &self,
        repository: &Repository,
        known: Option<&TagList>,
        what: &str,
    ) -> Result<TagList, DiscoverError> {
        let registry = repository.host();
        let host = self.connections.host(registry);
        let garbage = |reason: String| DiscoverError::Garbage {
            registry: registry.clone(),
            what: what.to_owned(),
            reason,
        };
        let mut page_size = host.page_size.load(Ordering::Relaxed);
        let mut path = first_page(repository, page_size);
        let mut asked = BTreeSet::new();
        let mut pages: Vec<Bytes> = Vec::new();
        let mut size = 0;
        let mut hash = sha2::Sha256::new();
        let etag = loop {
            if pages.len() == PAGE_LIMIT {
                return Err(garbage(format!("more than {PAGE_LIMIT} pages")));
            }
            let mut request = Request::new(Method::GET, Access::Pull(repository), path.clone(), what);
            if let (true, Some(known_etag)) = (pages.is_empty(), known.and_then(|known| known.etag.as_ref()))
            {
                known_etag.parse().ok().map(|value| request.headers.insert(IF_NONE_MATCH, value));
            }
            let response = self.connections.send(request).await?;
            match (response.status(), known) {
                (StatusCode::OK, _) => {}
                (StatusCode::NOT_MODIFIED, Some(known)) => return Ok(known.confirmed()),
                (
                    StatusCode::METHOD_NOT_ALLOWED | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::BAD_REQUEST,
                    _,
                ) if pages.is_empty() && page_size + 1 < PAGE_SIZES.len() => {
                    page_size += 1;
                    host.page_size.fetch_max(page_size, Ordering::Relaxed);
                    path = first_page(repository, page_size);
                    continue;
                }
                _ => return Err(self.connections.unexpected(registry, what, response).await),
            }
            asked.insert(std::mem::take(&mut path));
            let next = next_page(registry, &response).map_err(garbage)?;
            let etag = response.headers().get(ETAG).and_then(|value| value.to_str().ok()).map(str::to_owned);
            let body = self.connections.body(registry, what, response, LIST_BYTES_LIMIT - size).await?;
            size += body.len();
            // The length keeps two pages from hashing like one.
            hash.update((body.len() as u64).to_be_bytes());
            hash.update(&body);
            pages.push(body);
            match next {
                None => break etag.filter(|_| pages.len() == 1),
                Some(next) if asked.contains(&next) => {
                    return Err(garbage("its Link leads to a page that was read".to_owned()));
                }
                Some(next) => path = next,
            }
        };
        let fingerprint: Digest = format!("sha256:{}", hex::encode(hash.finalize()))
            .parse()
            .map_err(|error| garbage(format!("{error}")))?;
        if let Some(known) = known
            && known.fingerprint == fingerprint
        {
            return Ok(TagList { etag, ..known.confirmed() });
        }
        let (found, dropped) = tags::collect(pages.iter().map(AsRef::as_ref)).map_err(garbage)?;
        // distribution 2.8 gives the same tags in another order each time.
        if let Some(known) = known
            && *known.tags == *found
        {
            return Ok(TagList { dropped, fingerprint, etag, ..known.confirmed() });
        }
        if dropped > 0 {
            (self.connections.observer)(&RegistryEvent::DroppedTags {
                repository: repository.clone(),
                count: dropped,
            });
        }
        Ok(TagList { tags: found.into(), unchanged: false, dropped, fingerprint, etag })
    }

    /// The digest that a tag names now, `None` where the registry knows no such tag. Costs no pull (HEAD).
    pub async fn digest(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, DiscoverError> {
        self.head_manifest(Access::Pull(repository), repository, Reference::Tag(tag)).await
    }

    pub(crate) async fn head_manifest(
        &self,
        access: Access<'_>,
        repository: &Repository,
        reference: Reference<'_>,
    ) -> Result<Option<Digest>, DiscoverError> {
        let what = format!("{repository}:{reference}");
        within(CALL_DEADLINE, repository.host(), &what, async {
            let request = Request::new(Method::HEAD, access, manifest_path(repository, reference), &what);
            let response = self.connections.send(request.for_manifests()).await?;
            match response.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND => return Ok(None),
                StatusCode::METHOD_NOT_ALLOWED => {
                    return self.digest_by_get(access, repository, reference, &what).await;
                }
                _ => return Err(self.connections.unexpected(repository.host(), &what, response).await),
            }
            match response.headers().get(CONTENT_DIGEST).map(|value| value.to_str().unwrap_or("not text")) {
                Some(text) => text.parse().map(Some).map_err(|error| DiscoverError::Garbage {
                    registry: repository.host().clone(),
                    what: what.clone(),
                    reason: format!("Docker-Content-Digest: {error}"),
                }),
                None => self.digest_by_get(access, repository, reference, &what).await,
            }
        })
        .await
    }

    async fn digest_by_get(
        &self,
        access: Access<'_>,
        repository: &Repository,
        reference: Reference<'_>,
        what: &str,
    ) -> Result<Option<Digest>, DiscoverError> {
        match self.get_manifest(access, repository, reference, what).await {
            Ok(manifest) => Ok(Some(manifest.digest)),
            Err(DiscoverError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One manifest or index, its bytes checked against the digest; at most 4 MiB.
    pub async fn manifest(
        &self,
        repository: &Repository,
        reference: Reference<'_>,
    ) -> Result<Manifest, DiscoverError> {
        let what = format!("{repository}:{reference}");
        let access = Access::Pull(repository);
        within(
            CALL_DEADLINE,
            repository.host(),
            &what,
            self.get_manifest(access, repository, reference, &what),
        )
        .await
    }

    async fn get_manifest(
        &self,
        access: Access<'_>,
        repository: &Repository,
        reference: Reference<'_>,
        what: &str,
    ) -> Result<Manifest, DiscoverError> {
        let registry = repository.host();
        let request = Request::new(Method::GET, access, manifest_path(repository, reference), what);
        let response = self.connections.send(request.for_manifests()).await?;
        if response.status() != StatusCode::OK {
            return Err(self.connections.unexpected(registry, what, response).await);
        }
        let header =
            |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (content_type, announced) = (header(CONTENT_TYPE), header(CONTENT_DIGEST));
        let body = self.connections.body(registry, what, response, MANIFEST_LIMIT).await?;
        let wanted = match reference {
            Reference::Digest(digest) => Some(digest),
            Reference::Tag(_) => None,
        };
        manifest::verify(body, wanted, content_type.as_deref(), announced.as_deref()).map_err(|reason| {
            DiscoverError::Garbage { registry: registry.clone(), what: what.to_owned(), reason }
        })
    }

    /// Every digest that a node may report for this image: its own, and those of its platforms' manifests and configurations.
    pub async fn digests_of(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<BTreeSet<Digest>, DiscoverError> {
        let what = format!("{repository}@{digest} and its platforms");
        within(CALL_DEADLINE, repository.host(), &what, async {
            let mut found = BTreeSet::from([digest.clone()]);
            let mut open = vec![digest.clone()];
            while let Some(next) = open.pop() {
                let manifest = match self.manifest(repository, Reference::Digest(&next)).await {
                    // An index may list platforms that were never copied here; none of them can run from here.
                    Err(DiscoverError::NotFound { .. }) if next != *digest => continue,
                    answer => answer?,
                };
                for child in &manifest.contents.children {
                    if found.insert(child.digest.clone()) {
                        open.push(child.digest.clone());
                    }
                }
                found.extend(manifest.contents.config.map(|config| config.digest));
                if found.len() > 2 * FAMILY_LIMIT {
                    return Err(DiscoverError::Garbage {
                        registry: repository.host().clone(),
                        what: what.clone(),
                        reason: format!("more than {FAMILY_LIMIT} manifests"),
                    });
                }
            }
            Ok(found)
        })
        .await
    }

    /// A small blob (a configuration, a signature) as a whole, checked against its digest; an error above `limit` bytes.
    pub async fn blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        limit: usize,
    ) -> Result<Bytes, DiscoverError> {
        let what = format!("blob {} of {repository}", blob.digest);
        let registry = repository.host();
        within(CALL_DEADLINE, registry, &what, async {
            let response = self.open_blob(repository, &blob.digest, &what).await?;
            let body = self.connections.body(registry, &what, response, limit).await?;
            if manifest::has_digest(&body, &blob.digest) {
                Ok(body)
            } else {
                let reason = format!("the body is {}", Digest::of(&body));
                Err(DiscoverError::Garbage { registry: registry.clone(), what: what.clone(), reason })
            }
        })
        .await
    }

    /// Starts reading a blob; the caller bounds and checks what comes.
    pub(crate) async fn open_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        what: &str,
    ) -> Result<Response, DiscoverError> {
        let path = format!("/v2/{}/blobs/{digest}", remote_path(repository));
        let request = Request::new(Method::GET, Access::Pull(repository), path, what);
        let response = within(CALL_DEADLINE, repository.host(), what, self.connections.send(request)).await?;
        if response.status() == StatusCode::OK {
            Ok(response)
        } else {
            Err(self.connections.unexpected(repository.host(), what, response).await)
        }
    }

    /// Whether the registry answers and takes the credentials, if there are any for it.
    pub async fn reachable(&self, registry: &RegistryHost) -> Result<(), DiscoverError> {
        let what = "its version";
        let request = Request::new(Method::GET, Access::Registry(registry), "/v2/".to_owned(), what);
        match within(CALL_DEADLINE, registry, what, self.connections.send(request)).await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(self.connections.unexpected(registry, what, response).await),
            // Asking for credentials is an answer too.
            Err(error @ DiscoverError::Unauthorized { .. }) => {
                match self.connections.credentials.for_host(registry)? {
                    Some(_) => Err(error),
                    None => Ok(()),
                }
            }
            Err(error) => Err(error),
        }
    }
}

/// The path of the next page that an answer links to.
pub(crate) fn next_page(registry: &RegistryHost, response: &Response) -> Result<Option<String>, String> {
    let links = response.headers().get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    link::next_page(links, registry, response.url())
}

fn first_page(repository: &Repository, size: usize) -> String {
    let path = format!("/v2/{}/tags/list", remote_path(repository));
    match PAGE_SIZES.get(size) {
        None | Some(0) => path,
        Some(size) => format!("{path}?n={size}"),
    }
}

pub(crate) fn manifest_path(repository: &Repository, reference: Reference<'_>) -> String {
    format!("/v2/{}/manifests/{reference}", remote_path(repository))
}

/// Ends `work` with an error once `deadline` is over.
pub(crate) async fn within<T>(
    deadline: Duration,
    registry: &RegistryHost,
    what: &str,
    work: impl Future<Output = Result<T, DiscoverError>>,
) -> Result<T, DiscoverError> {
    tokio::time::timeout(deadline, work).await.unwrap_or_else(|_| {
        Err(DiscoverError::Unreachable {
            registry: registry.clone(),
            what: what.to_owned(),
            reason: format!("no complete answer within {} seconds", deadline.as_secs()),
        })
    })
}
