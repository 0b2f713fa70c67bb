//! What an answer says when it is not the hoped-for one, and bodies that can't grow without bound.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use url::Url;

use super::DiscoverError;
use super::RegistryEvent;
use super::connection::Connections;
use super::egress::NotPublic;
use super::host::Host;
use crate::model::{RegistryHost, printable};

/// As much of an error's body as is worth reading, and as long.
const ERROR_BODY_LIMIT: usize = 8 * 1024;
const ERROR_BODY_DEADLINE: Duration = Duration::from_secs(5);

impl Connections {
    /// Reports one answer to the observer.
    pub(crate) fn saw(&self, registry: &RegistryHost, method: &str, response: &Response) {
        let code = response.status().as_u16();
        let (registry, method) = (registry.clone(), method.to_owned());
        let remaining = response
            .headers()
            .get("ratelimit-remaining")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next()?.trim().parse().ok());
        if let Some(remaining) = remaining {
            (self.observer)(&RegistryEvent::Quota { registry: registry.clone(), remaining });
        }
        (self.observer)(&RegistryEvent::Request { registry, method, code });
    }

    /// Starts a pause for this host as 429 or 503 demand.
    pub(crate) fn pause(&self, host: &Host, what: &str, response: &Response) -> DiscoverError {
        let until = host.pause(response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()));
        (self.observer)(&RegistryEvent::Backoff { registry: host.name.clone(), until });
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
            reason = inner.to_string();
            source = inner.source();
        }
        DiscoverError::Unreachable {
            registry: registry.clone(),
            what: what.to_owned(),
            reason: printable(&reason, 200),
        }
    }

    pub(crate) async fn unauthorized(&self, host: &Host, what: &str, response: Response) -> DiscoverError {
        let registry = host.name.clone();
        let words = words(response).await;
        match self.credentials.for_host(&registry) {
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
        mut response: Response,
        limit: usize,
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
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

/// Status and the registry's own words (OCI error format), or the start of its body.
async fn words(mut response: Response) -> String {
    let status = response.status();
    let mut body = Vec::new();
    while let Ok(Ok(Some(chunk))) = tokio::time::timeout(ERROR_BODY_DEADLINE, response.chunk()).await {
        body.extend_from_slice(&chunk);
        if body.len() > ERROR_BODY_LIMIT {
            break;
        }
    }
    body.truncate(ERROR_BODY_LIMIT);
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
