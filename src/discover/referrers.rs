//! What refers to an image: signatures, SBOMs, attestations.
//!
//! Three ways to find them, all asked: the referrers API, its fallback tag (OCI Distribution Specification 1.1), and cosign's
//! tags, which predate both.

use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::manifest::MANIFEST_LIMIT;
use super::registry::{CALL_DEADLINE, PAGE_LIMIT, next_page, within};
use super::request::{Access, Request, remote_path};
use super::{Descriptor, DiscoverError, Reference, Registries};
use crate::model::{Digest, Repository, Tag};

const REFERRER_LIMIT: usize = 1000;

/// Everything that refers to one manifest.
#[derive(Debug, Clone, Default)]
pub struct Referrers {
    /// Manifests that name it as their subject.
    pub manifests: Vec<Descriptor>,
    /// Tags made from its digest (cosign's `.sig`, `.att`, `.sbom`), and what they name.
    pub tags: Vec<(Tag, Digest)>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
}

impl Registries {
    /// Finds what refers to a manifest of a repository; complete, or an error.
    pub async fn referrers(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Referrers, DiscoverError> {
        let what = format!("what refers to {repository}@{digest}");
        within(CALL_DEADLINE, repository.host(), &what, async {
            let mut found =
                Referrers { manifests: self.listed(repository, digest, &what).await?, tags: Vec::new() };
            if let Some(tag) = fallback_tag(digest, "") {
                let fallback = match self.manifest(repository, Reference::Tag(&tag)).await {
                    Ok(manifest) => manifest.contents.children,
                    Err(DiscoverError::NotFound { .. }) => Vec::new(),
                    Err(error) => return Err(error),
                };
                for descriptor in fallback {
                    if !found.manifests.iter().any(|known| known.digest == descriptor.digest) {
                        found.manifests.push(descriptor);
                    }
                }
            }
            let tags =
                [".sig", ".att", ".sbom"].into_iter().filter_map(|suffix| fallback_tag(digest, suffix));
            let asked = tags.map(|tag| async move {
                let digest = self.digest(repository, &tag).await?;
                Ok(digest.map(|digest| (tag, digest)))
            });
            let answers: Vec<Option<(Tag, Digest)>> = futures::future::try_join_all(asked).await?;
            found.tags = answers.into_iter().flatten().collect();
            Ok(found)
        })
        .await
    }

    /// The referrers API with all its pages; empty where the registry has none.
    async fn listed(
        &self,
        repository: &Repository,
        digest: &Digest,
        what: &str,
    ) -> Result<Vec<Descriptor>, DiscoverError> {
        let registry = repository.host();
        let garbage = |reason: String| DiscoverError::Garbage {
            registry: registry.clone(),
            what: what.to_owned(),
            reason,
        };
        let mut path = format!("/v2/{}/referrers/{digest}", remote_path(repository));
        let mut found: Vec<Descriptor> = Vec::new();
        for page in 0..PAGE_LIMIT {
            let request = Request::new(Method::GET, Access::Pull(repository), path.clone(), what);
            let response = self.connections.send(request).await?;
            match response.status() {
                StatusCode::OK => {}
                status if page == 0 && status.is_client_error() => return Ok(found),
                _ => return Err(self.connections.unexpected(registry, what, response).await),
            }
            let next = next_page(registry, &response).map_err(garbage)?;
            let body = self.connections.body(registry, what, response, MANIFEST_LIMIT).await?;
            let read: Page = serde_json::from_slice(&body).map_err(|_| garbage("not an index".to_owned()))?;
            found.extend(read.manifests.unwrap_or_default());
            if found.len() > REFERRER_LIMIT {
                return Err(garbage(format!("more than {REFERRER_LIMIT} referrers")));
            }
            match next {
                None => return Ok(found),
                Some(next) if next == path => return Err(garbage("its Link leads to itself".to_owned())),
                Some(next) => path = next,
            }
        }
        Err(garbage(format!("more than {PAGE_LIMIT} pages")))
    }
}

/// The tag that stands for what refers to `digest`: `sha256-HEX`, with cosign's suffix if any.
pub(crate) fn fallback_tag(digest: &Digest, suffix: &str) -> Option<Tag> {
    // The referrers tag schema cuts the encoded part to 64 characters.
    let (algorithm, digits) = digest.as_str().split_once(':')?;
    let digits = digits.get(..64)?;
    format!("{algorithm}-{digits}{suffix}").parse().ok()
}
