//! What an answer says when it is not the hoped-for one, and bodies that can't grow without bound.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use url::Url;

use super::DiscoverError;
use super::RegistryEvent;
use super::connection::Connections;
use super::egress::{LinkLocal, NotPublic};
use super::host::Host;
use super::quota::Quota;
use crate::model::{RegistryHost, printable};

/// As much of an error's body as is worth reading, and as long.
const ERROR_BODY_LIMIT: usize = 8 * 1024;
const ERROR_BODY_DEADLINE: Duration = Duration::from_secs(5);

/// What is larger waits until few others are, so that many large answers can't fill the memory together.
const SMALL: usize = 1024 * 1024;

/// What one question holds in memory.
pub(crate) struct Turn<'a> {
    large: &'a Semaphore,
    of_host: Arc<Semaphore>,
    permits: Option<(OwnedSemaphorePermit, SemaphorePermit<'a>)>,
    kept: usize,
}

impl Turn<'_> {
    async fn keep(&mut self, length: usize) {
        self.kept += length;
        if self.kept > SMALL && self.permits.is_none() {
            let of_host = Arc::clone(&self.of_host).acquire_owned().await.ok();
            self.permits = of_host.zip(self.large.acquire().await.ok());
        }
    }
}

/// The rule that keeps the names of the configuration away from metadata services.
pub(crate) const LINK_LOCAL: &str = "a link-local address";

impl Connections {
    /// Reports one answer to the observer.
    pub(crate) fn saw(&self, host: &Host, method: &str, response: &Response) {
        let code = response.status().as_u16();
        let (registry, method) = (host.name.clone(), method.to_owned());
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let quota = Quota::read(header("ratelimit-remaining"), header("ratelimit-limit"), Instant::now());
        if let Some(quota) = quota {
            let remaining = quota.remaining;
            host.grants(quota);
            (self.observer)(&RegistryEvent::Quota { registry: registry.clone(), remaining });
        }
        (self.observer)(&RegistryEvent::Request { registry, method, code });
    }

    /// Starts a pause for this host as 429 or 503 demand.
    pub(crate) fn pause(&self, host: &Host, what: &str, response: &Response) -> DiscoverError {
        let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let (until, is_news) = host.pause(asked);
        if is_news {
            (self.observer)(&RegistryEvent::Backoff { registry: host.name.clone(), until });
        }
        let status = response.status().as_u16();
        DiscoverError::RateLimited { registry: host.name.clone(), what: what.to_owned(), status, until }
    }

    pub(crate) fn unreachable(
        &self,
        registry: &RegistryHost,
        url: &Url,
        what: &str,
        error: reqwest::Error,
    ) -> DiscoverError {
        // The address may hold a signature.
        let error = error.without_url();
        let mut reason = error.to_string();
        let mut tls = false;
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            if inner.is::<NotPublic>() {
                return self.blocked(
                    registry,
                    url,
                    what,
                    "a name on another host that resolves to a private address",
                );
            }
            if inner.is::<LinkLocal>() {
                return self.blocked(registry, url, what, LINK_LOCAL);
            }
            tls |= is_of_tls(inner);
            reason = inner.to_string();
            source = inner.source();
        }
        let (registry, what, reason) = (registry.clone(), what.to_owned(), printable(&reason, 200));
        if tls {
            DiscoverError::Tls { registry, what, reason }
        } else {
            DiscoverError::Unreachable { registry, what, reason }
        }
    }

    pub(crate) async fn unauthorized(&self, host: &Host, what: &str, response: Response) -> DiscoverError {
        let registry = host.name.clone();
        let words = words(response).await;
        match self.login(host).await {
            Err(error) => error,
            Ok(Some(_)) => DiscoverError::Unauthorized { registry, what: what.to_owned(), reason: words },
            Ok(None) => DiscoverError::Unauthorized {
                registry,
                what: what.to_owned(),
                reason: format!("{words}, and there are no credentials for it"),
            },
        }
    }

    /// The error for a status that the question did not expect.
    pub(crate) async fn unexpected(
        &self,
        registry: &RegistryHost,
        what: &str,
        response: Response,
    ) -> DiscoverError {
        let (registry, what, status) = (registry.clone(), what.to_owned(), response.status());
        let reason = words(response).await;
        if status == StatusCode::NOT_FOUND {
            DiscoverError::NotFound { registry, what, reason }
        } else {
            DiscoverError::Garbage { registry, what, reason }
        }
    }

    /// Reads a body of at most `limit` bytes.
    pub(crate) async fn body(
        &self,
        registry: &RegistryHost,
        what: &str,
        response: Response,
        limit: usize,
    ) -> Result<Bytes, DiscoverError> {
        self.body_in_turn(registry, what, response, limit, &mut self.turn(&self.host(registry))).await
    }

    /// A turn of what may grow large.
    pub(crate) fn turn(&self, host: &Host) -> Turn<'_> {
        Turn { large: &self.large, of_host: Arc::clone(&host.large), permits: None, kept: 0 }
    }

    /// Reads a body of at most `limit` bytes, as one of several that are held together.
    pub(crate) async fn body_in_turn(
        &self,
        registry: &RegistryHost,
        what: &str,
        mut response: Response,
        limit: usize,
        turn: &mut Turn<'_>,
    ) -> Result<Bytes, DiscoverError> {
        let too_big = || DiscoverError::Garbage {
            registry: registry.clone(),
            what: what.to_owned(),
            reason: format!("more than {limit} bytes"),
        };
        let announced = response.content_length().unwrap_or(0);
        if announced > limit as u64 {
            return Err(too_big());
        }
        let mut body = bytes::BytesMut::new();
        let url = response.url().clone();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| self.unreachable(registry, &url, what, error))?
        {
            if body.len() + chunk.len() > limit {
                return Err(too_big());
            }
            turn.keep(chunk.len()).await;
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

/// Whether TLS is what failed. An `io::Error` hides what it is made of, perhaps another one, from the chain of sources.
fn is_of_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => is_of_tls(inner),
        None => error.is::<rustls::Error>(),
    }
}

/// Whether an answer with 400 says that the token has expired, as Amazon ECR's public registry does; with the answer to go
/// on with, of which only as much is left as was worth reading.
pub(crate) async fn speaks_of_token(mut response: Response) -> (Response, bool) {
    let body = start(&mut response).await;
    let text = String::from_utf8_lossy(&body).to_ascii_lowercase();
    let expired = text.contains("token") && (text.contains("expired") || text.contains("not authorized"));
    let mut read = http::Response::new(body);
    *read.status_mut() = response.status();
    *read.headers_mut() = response.headers().clone();
    (read.into(), expired)
}

/// The start of a body.
async fn start(response: &mut Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Ok(Some(chunk))) = tokio::time::timeout(ERROR_BODY_DEADLINE, response.chunk()).await {
        body.extend_from_slice(&chunk);
        if body.len() > ERROR_BODY_LIMIT {
            break;
        }
    }
    body.truncate(ERROR_BODY_LIMIT);
    body
}

/// Status and the registry's own words (OCI error format), or the start of its body.
async fn words(mut response: Response) -> String {
    let status = response.status();
    let body = start(&mut response).await;
    let parsed: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
    let told = parsed.as_ref().and_then(|value| {
        let error = value.get("errors")?.get(0)?;
        let text = |key| error.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
        Some(format!("{} {}", text("code"), text("message")))
    });
    let told = told.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned());
    if told.trim().is_empty() {
        status.to_string()
    } else {
        format!("{status}: {}", printable(told.trim(), 200))
    }
}
