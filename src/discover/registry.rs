//! Asks registries: tags, digests, manifests, small blobs. Reads only; `transfer` alone writes.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use reqwest::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, LINK};
use reqwest::{Method, Response, StatusCode};

use super::connection::Connections;
use super::manifest::{self, MANIFEST_LIMIT};
use super::request::{Access, Request, remote_path};
use super::{Descriptor, DiscoverError, Manifest, Reference, RegistriesOptions, link};
use crate::config::RegistryOptions;
use crate::model::{Digest, RegistryHost, Repository, Tag};

/// The whole time of one question, with all pages, redirects and tokens.
pub(crate) const CALL_DEADLINE: Duration = Duration::from_secs(30);
pub(crate) const PAGE_LIMIT: usize = 200;
/// Manifests of one image that [`Registries::digests_of`] looks at.
const FAMILY_LIMIT: usize = 200;
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// What a tag named when it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The manifest or index.
    pub digest: Digest,
    /// By which the registry tells that it is still so.
    etag: Option<HeaderValue>,
}

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
    /// How long to wait between two questions to a registry that grants few more; none where nothing speaks for it.
    pub(crate) fn spacing(&self, registry: &RegistryHost) -> Option<Duration> {
        self.connections.host(registry).spacing()
    }

    /// Waits as long as a registry that grants few more questions needs between two of them.
    pub(crate) async fn pace(&self, registry: &RegistryHost) {
        self.connections.host(registry).pace().await;
    }

    /// Prepares the clients; nothing is asked yet. A rustls crypto provider must be installed before.
    pub fn new(options: RegistriesOptions) -> Result<Self, DiscoverError> {
        Ok(Self { connections: Arc::new(Connections::new(options)?) })
    }

    /// Takes over how each registry is spoken to.
    pub fn configure(&self, registries: &BTreeMap<RegistryHost, RegistryOptions>) {
        self.connections.configure(registries);
    }

    /// Connects to `address` (`host[:port]`) whenever `host` is meant, as `--registry-endpoint` does.
    pub fn set_endpoint(&self, host: RegistryHost, address: &str) -> Result<(), DiscoverError> {
        self.connections.set_endpoint(host, address)
    }

    /// The digest that a tag names now, `None` where the registry knows no such tag. Costs no pull (HEAD).
    pub async fn digest(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, DiscoverError> {
        self.head_manifest(Access::Pull(repository), repository, Reference::Tag(tag)).await
    }

    /// The same, asked in short where the answer `known` from before may still be right (`If-None-Match`).
    pub async fn named(
        &self,
        repository: &Repository,
        tag: &Tag,
        known: Option<&Named>,
    ) -> Result<Option<Named>, DiscoverError> {
        self.head(Access::Pull(repository), repository, Reference::Tag(tag), known).await
    }

    /// Whether a repository has this manifest or index.
    pub async fn has(&self, repository: &Repository, digest: &Digest) -> Result<bool, DiscoverError> {
        let found =
            self.head_manifest(Access::Pull(repository), repository, Reference::Digest(digest)).await?;
        Ok(found.is_some())
    }

    pub(crate) async fn head_manifest(
        &self,
        access: Access<'_>,
        repository: &Repository,
        reference: Reference<'_>,
    ) -> Result<Option<Digest>, DiscoverError> {
        Ok(self.head(access, repository, reference, None).await?.map(|named| named.digest))
    }

    async fn head(
        &self,
        access: Access<'_>,
        repository: &Repository,
        reference: Reference<'_>,
        known: Option<&Named>,
    ) -> Result<Option<Named>, DiscoverError> {
        let what = format!("{repository}:{reference}");
        within(CALL_DEADLINE, repository.host(), &what, async {
            let request = Request::new(Method::HEAD, access, manifest_path(repository, reference), &what);
            let mut request = request.for_manifests();
            if let Some(etag) = known.and_then(|known| known.etag.clone()) {
                request.headers.insert(IF_NONE_MATCH, etag);
            }
            let response = self.connections.send(request).await?;
            match (response.status(), known) {
                (StatusCode::OK, _) => {}
                // Nothing but the status is sure to be in this answer: distribution leaves the digest out.
                (StatusCode::NOT_MODIFIED, Some(known)) => return Ok(Some(known.clone())),
                (StatusCode::NOT_FOUND, _) => return Ok(None),
                (StatusCode::METHOD_NOT_ALLOWED, _) => {
                    return self.digest_by_get(access, repository, reference, &what).await;
                }
                _ => return Err(self.connections.unexpected(repository.host(), &what, response).await),
            }
            let etag = etag_of(&response);
            match response.headers().get(CONTENT_DIGEST).map(|value| value.to_str().unwrap_or("not text")) {
                Some(text) => {
                    let digest = text.parse().map_err(|error| DiscoverError::Garbage {
                        registry: repository.host().clone(),
                        what: what.clone(),
                        reason: format!("Docker-Content-Digest: {error}"),
                    })?;
                    Ok(Some(Named { digest, etag }))
                }
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
    ) -> Result<Option<Named>, DiscoverError> {
        match self.get_manifest(access, repository, reference, what).await {
            Ok(manifest) => Ok(Some(Named { digest: manifest.digest, etag: None })),
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
                let host = self.connections.host(registry);
                if self.connections.has_login(&host).await? { Err(error) } else { Ok(()) }
            }
            Err(error) => Err(error),
        }
    }
}

/// The `ETag` of an answer, by itself: a header as it came holds the buffer that the whole answer was read into.
pub(super) fn etag_of(response: &Response) -> Option<HeaderValue> {
    HeaderValue::from_bytes(response.headers().get(ETAG)?.as_bytes()).ok()
}

/// The path of the next page that an answer links to.
pub(crate) fn next_page(registry: &RegistryHost, response: &Response) -> Result<Option<String>, String> {
    let links = response.headers().get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    link::next_page(links, registry, response.url())
}

pub(crate) fn manifest_path(repository: &Repository, reference: Reference<'_>) -> String {
    format!("/v2/{}/manifests/{reference}", remote_path(repository))
}

/// Ends `work` with an error once `deadline` is over. It is boxed: what speaks to a registry is large, and waited for by much.
pub(crate) fn within<'w, T>(
    deadline: Duration,
    registry: &'w RegistryHost,
    what: &'w str,
    work: impl Future<Output = Result<T, DiscoverError>> + Send + 'w,
) -> BoxFuture<'w, Result<T, DiscoverError>>
where
    T: 'w,
{
    Box::pin(async move {
        let work = tokio::time::timeout(deadline, work);
        work.await.unwrap_or_else(|_| {
            Err(DiscoverError::Unreachable {
                registry: registry.clone(),
                what: what.to_owned(),
                reason: format!("no complete answer within {} seconds", deadline.as_secs()),
            })
        })
    })
}
