//! Lists the tags of a repository, page by page: the complete list or an error.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderValue, IF_NONE_MATCH};
use reqwest::{Method, StatusCode};
use sha2::Digest as _;

use super::host::Host;
use super::registry::{etag_of, next_page, within};
use super::request::{Access, Request, remote_path};
use super::tags::Fingerprint;
use super::{DiscoverError, Registries, RegistryEvent, TagList, tags};
use crate::model::Repository;

/// The whole time of one list, with all pages, redirects and tokens.
const LIST_DEADLINE: Duration = Duration::from_mins(1);
/// As many tags as may be in a list, in the smallest pages that a registry is known for.
const PAGE_LIMIT: usize = 1000;
/// As many tags as may be in a list, of the greatest length.
const LIST_BYTES_LIMIT: usize = 16 * 1024 * 1024;
/// The sizes of a page that are asked for, one after the other if a registry refuses; none leaves it to the registry.
///
/// Without a size most registries give everything in one answer (distribution, Harbor, Docker Hub). Those that give a page
/// with a Link (GHCR, ECR, Quay) are asked for large pages from then on; ECR refuses more than 1000 with 405, Quay more
/// than 100 with 413.
const PAGE_SIZES: [Option<usize>; 4] =
    if cfg!(test) { [None, Some(2), Some(1), None] } else { [None, Some(1000), Some(100), None] };

/// What became of one walk through the pages.
enum Walk {
    Unchanged(TagList),
    Read {
        pages: Vec<Bytes>,
        etag: Option<HeaderValue>,
        fingerprint: Fingerprint,
    },
    /// The registry gives its lists in another way, which is known now.
    Other,
    /// A page that a Link led to is not there any more.
    Vanished(DiscoverError),
}

impl Registries {
    /// All legal tags of a repository: the complete list or an error.
    ///
    /// With the list `known` from before, an unchanged one costs neither parsing nor memory.
    pub async fn tags(
        &self,
        repository: &Repository,
        known: Option<&TagList>,
    ) -> Result<TagList, DiscoverError> {
        let what = format!("the tags of {repository}");
        within(LIST_DEADLINE, repository.host(), &what, self.list(repository, known, &what)).await
    }

    async fn list(
        &self,
        repository: &Repository,
        known: Option<&TagList>,
        what: &str,
    ) -> Result<TagList, DiscoverError> {
        let host = self.connections.host(repository.host());
        let mut begun_again = false;
        let mut way = host.listing.load(Ordering::Relaxed);
        let (pages, etag, fingerprint) = loop {
            match self.walk(&host, repository, known, what, way).await? {
                Walk::Unchanged(list) => return Ok(list),
                Walk::Read { pages, etag, fingerprint } => break (pages, etag, fingerprint),
                Walk::Other => way += 1,
                Walk::Vanished(error) if begun_again => return Err(error),
                Walk::Vanished(_) => begun_again = true,
            }
        };
        // What one repository refuses says nothing about the others, until another way has worked.
        host.listing.fetch_max(way, Ordering::Relaxed);
        let garbage = |reason: String| garbage(&host, what, reason);
        if let Some(known) = known
            && known.fingerprint == fingerprint
        {
            return Ok(TagList { etag, ..known.confirmed() });
        }
        let (found, dropped) = tags::collect(pages.iter().map(AsRef::as_ref)).map_err(garbage)?;
        // distribution 2.8 gives the same tags in another order each time.
        if let Some(known) = known
            && *known.tags == found
        {
            return Ok(TagList { dropped, fingerprint, etag, ..known.confirmed() });
        }
        if dropped > 0 && known.is_none_or(|known| known.dropped != dropped) {
            (self.connections.observer)(&RegistryEvent::DroppedTags {
                repository: repository.clone(),
                count: dropped,
            });
        }
        Ok(TagList { tags: found.into(), unchanged: false, dropped, fingerprint, etag })
    }

    /// Reads all pages once, from the first on.
    async fn walk(
        &self,
        host: &Host,
        repository: &Repository,
        known: Option<&TagList>,
        what: &str,
        way: usize,
    ) -> Result<Walk, DiscoverError> {
        let (connections, registry) = (&self.connections, repository.host());
        let garbage = |reason: String| garbage(host, what, reason);
        let has_other = way + 1 < PAGE_SIZES.len();
        let mut path = first_page(repository, way);
        let mut asked = BTreeSet::new();
        let mut pages: Vec<Bytes> = Vec::new();
        let mut size = 0;
        let mut hash = sha2::Sha256::new();
        let mut turn = connections.turn(host);
        loop {
            if pages.len() == PAGE_LIMIT {
                return Err(garbage(format!("more than {PAGE_LIMIT} pages")));
            }
            let mut request = Request::new(Method::GET, Access::Pull(repository), path.clone(), what);
            let etag = known.and_then(|known| known.etag.clone()).filter(|_| pages.is_empty());
            if let Some(etag) = etag {
                request.headers.insert(IF_NONE_MATCH, etag);
            }
            let response = connections.send(request).await?;
            match (response.status(), known) {
                (StatusCode::OK, _) => {}
                (StatusCode::NOT_MODIFIED, Some(known)) if pages.is_empty() => {
                    return Ok(Walk::Unchanged(known.confirmed()));
                }
                (
                    StatusCode::METHOD_NOT_ALLOWED | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::BAD_REQUEST,
                    _,
                ) if pages.is_empty() && has_other => {
                    return Ok(Walk::Other);
                }
                (StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::BAD_REQUEST, _)
                    if !pages.is_empty() =>
                {
                    return Ok(Walk::Vanished(connections.unexpected(registry, what, response).await));
                }
                _ => return Err(connections.unexpected(registry, what, response).await),
            }
            asked.insert(std::mem::take(&mut path));
            let next = next_page(registry, &response).map_err(garbage)?;
            if next.is_some() && way == 0 {
                return Ok(Walk::Other);
            }
            let etag = etag_of(&response);
            let limit = LIST_BYTES_LIMIT - size;
            let body = connections.body_in_turn(registry, what, response, limit, &mut turn).await?;
            size += body.len();
            // The length keeps two pages from hashing like one.
            hash.update((body.len() as u64).to_be_bytes());
            hash.update(&body);
            pages.push(body);
            match next {
                None => {
                    let fingerprint = hash.finalize().into();
                    let etag = etag.filter(|_| pages.len() == 1);
                    return Ok(Walk::Read { pages, etag, fingerprint });
                }
                Some(next) if asked.contains(&next) => {
                    return Err(garbage("its Link leads to a page that was read".to_owned()));
                }
                Some(next) => path = next,
            }
        }
    }
}

fn garbage(host: &Host, what: &str, reason: String) -> DiscoverError {
    DiscoverError::Garbage { registry: host.name.clone(), what: what.to_owned(), reason }
}

fn first_page(repository: &Repository, way: usize) -> String {
    let path = format!("/v2/{}/tags/list", remote_path(repository));
    match PAGE_SIZES.get(way) {
        Some(Some(size)) => format!("{path}?n={size}"),
        _ => path,
    }
}
