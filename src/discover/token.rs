//! Shows credentials: Basic, or a bearer token fetched from the realm (distribution token specification).

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use url::Url;

use super::DiscoverError;
use super::challenge::Challenge;
use super::connection::Connections;
use super::credentials::{Login, Secret};
use super::host::{Host, lock};
use super::registry::within;
use super::request::Access;
use super::route::Route;

const TOKEN_BODY_LIMIT: usize = 256 * 1024;
/// The lifetime of a token that names none (distribution token specification).
const DEFAULT_LIFETIME: u64 = 60;
/// The whole time of one token: shorter than that of any question, so that a silent token server is told apart.
const TOKEN_DEADLINE: Duration = Duration::from_secs(15);
const LONGEST_LIFETIME: u64 = 24 * 60 * 60;

/// The place of one token; whoever holds the lock fetches, all others wait and share.
#[derive(Default)]
pub(crate) struct Slot(tokio::sync::Mutex<Option<Token>>);

struct Token {
    header: HeaderValue,
    until: Instant,
    generation: u64,
}

#[derive(Deserialize)]
struct Reply {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<serde_json::Number>,
}

impl Connections {
    /// The `Authorization` header for one request, `None` where there is nothing to show.
    pub(crate) async fn authorization(
        &self,
        host: &Host,
        route: &Route,
        challenge: &Challenge,
        access: Access<'_>,
        what: &str,
    ) -> Result<Option<HeaderValue>, DiscoverError> {
        match challenge {
            Challenge::Basic => Ok(self.login(host).await?.as_ref().and_then(basic)),
            Challenge::Bearer { realm, service } => {
                let scopes = access.scopes();
                let slot = Arc::clone(lock(&host.slots).entry(scopes.join(" ")).or_default());
                let mut slot = slot.0.lock().await;
                let generation = self.credentials.generation();
                if let Some(token) = slot.as_ref()
                    && token.generation == generation
                    && Instant::now() < token.until
                {
                    return Ok(Some(token.header.clone()));
                }
                host.not_paused()?;
                let asked = self.fetch_token(host, route, realm, service.as_deref(), &scopes, what);
                let token = format!("a token for {what}");
                let (header, lifetime) = within(TOKEN_DEADLINE, &host.name, &token, asked).await?;
                // A tenth of the lifetime is kept back for the way and for clocks.
                let until = Instant::now() + lifetime * 9 / 10;
                *slot = Some(Token { header: header.clone(), until, generation });
                Ok(Some(header))
            }
        }
    }

    /// What the files have for a registry, or else the password that AWS gives for it.
    pub(crate) async fn login(&self, host: &Host) -> Result<Option<Login>, DiscoverError> {
        match (self.credentials.login(&host.name).await, &host.ecr) {
            // The helper that people have configured for ECR would give the same password.
            (
                Ok(None) | Err(DiscoverError::HelperNotRun { .. } | DiscoverError::HelperFailed { .. }),
                Some(ecr),
            ) => {
                // Asked seldom, and too large to be a part of every question.
                Box::pin(self.passwords.login(ecr, &host.name)).await.map(Some)
            }
            (found, _) => found,
        }
    }

    /// Whether there is anything to show to a registry that asks for a password.
    pub(crate) async fn has_login(&self, host: &Host) -> Result<bool, DiscoverError> {
        if host.ecr.is_some() {
            return Ok(true);
        }
        Ok(self.credentials.login(&host.name).await?.is_some())
    }

    /// Drops the token that was refused, unless another request has renewed it. Whether there is a reason to try again.
    pub(crate) async fn forget(&self, host: &Host, access: Access<'_>, used: &HeaderValue) -> bool {
        let slot = lock(&host.slots).get(&access.scopes().join(" ")).map(Arc::clone);
        let Some(slot) = slot else {
            // Basic: worth a second try only if the files changed in between, or AWS can give another password.
            return match (self.credentials.login(&host.name).await, &host.ecr) {
                (Ok(Some(login)), _) => basic(&login).is_some_and(|now| now != *used),
                (_, Some(ecr)) => {
                    self.passwords.refused(ecr, |login| basic(login).as_ref() == Some(used)).await
                }
                _ => false,
            };
        };
        let mut slot = slot.0.lock().await;
        if slot.as_ref().is_some_and(|token| token.header == *used) {
            *slot = None;
        }
        true
    }

    async fn fetch_token(
        &self,
        host: &Host,
        route: &Route,
        realm: &str,
        service: Option<&str>,
        scopes: &[String],
        what: &str,
    ) -> Result<(HeaderValue, Duration), DiscoverError> {
        let registry = &host.name;
        let garbage = |reason: &str| DiscoverError::Garbage {
            registry: registry.clone(),
            what: format!("a token for {what}"),
            reason: reason.to_owned(),
        };
        let url = Url::parse(realm).map_err(|_| garbage("its token server has no valid address"))?;
        let way = self.judged(route, registry, &url, what)?;
        // Without usable credentials a public repository is still readable.
        let (login, missing) = match self.login(host).await {
            Ok(login) => (login, None),
            Err(error @ (DiscoverError::HelperNotRun { .. } | DiscoverError::HelperFailed { .. })) => {
                (None, Some(error))
            }
            Err(error) => return Err(error),
        };
        let builder = if let Some(Login { secret: Secret::IdentityToken(refresh), .. }) = &login {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            form.append_pair("grant_type", "refresh_token")
                .append_pair("refresh_token", refresh)
                .append_pair("client_id", "promoted");
            service.map(|service| form.append_pair("service", service));
            if !scopes.is_empty() {
                form.append_pair("scope", &scopes.join(" "));
            }
            self.prepare(route, way, Method::POST, url.clone())
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.finish())
        } else {
            let mut question = url.clone();
            {
                let mut pairs = question.query_pairs_mut();
                service.map(|service| pairs.append_pair("service", service));
                for scope in scopes {
                    pairs.append_pair("scope", scope);
                }
            }
            let builder = self.prepare(route, way, Method::GET, question);
            match login.as_ref().and_then(basic) {
                Some(header) => builder.header(AUTHORIZATION, header),
                None => builder,
            }
        };
        let response =
            builder.send().await.map_err(|error| self.unreachable(registry, &url, "a token", error))?;
        self.saw(host, "TOKEN", &response);
        let status = response.status();
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                return Err(self.pause(host, "a token", &response));
            }
            _ if status.is_redirection() => {
                return Err(self.blocked(registry, &url, what, "a token server that redirects"));
            }
            _ if status.is_server_error() => {
                let reason = format!("its token server answered {status}");
                return Err(DiscoverError::Unreachable {
                    registry: registry.clone(),
                    what: what.to_owned(),
                    reason,
                });
            }
            _ if !status.is_success() => {
                let reason = match login {
                    Some(_) => format!("its token server answered {status}"),
                    None => {
                        format!("its token server answered {status}, and there are no credentials for it")
                    }
                };
                return Err(missing.unwrap_or_else(|| DiscoverError::Unauthorized {
                    registry: registry.clone(),
                    what: what.to_owned(),
                    reason,
                }));
            }
            _ => {}
        }
        let body = self.body(registry, "a token", response, TOKEN_BODY_LIMIT).await?;
        let reply: Reply = serde_json::from_slice(&body).map_err(|_| garbage("not a token reply"))?;
        let token = reply.token.filter(|token| !token.is_empty()).or(reply.access_token);
        let token =
            token.filter(|token| !token.is_empty()).ok_or_else(|| garbage("no token in the reply"))?;
        let header =
            sensitive(&format!("Bearer {token}")).ok_or_else(|| garbage("a token with illegal letters"))?;
        Ok((header, lifetime(reply.expires_in.as_ref())))
    }
}

/// How long a token is good; nothing, or nothing sensible, means [`DEFAULT_LIFETIME`].
fn lifetime(expires_in: Option<&serde_json::Number>) -> Duration {
    let seconds = expires_in.and_then(serde_json::Number::as_u64).filter(|seconds| *seconds > 0);
    Duration::from_secs(seconds.unwrap_or(DEFAULT_LIFETIME).min(LONGEST_LIFETIME))
}

fn basic(login: &Login) -> Option<HeaderValue> {
    let Secret::Password(password) = &login.secret else { return None };
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{}:{password}", login.username));
    sensitive(&format!("Basic {encoded}"))
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_lifetime_is_sixty_seconds_unless_a_sensible_one_is_given() {
        for (given, seconds) in [
            ("null", 60),
            ("0", 60),
            ("-3", 60),
            ("5", 5),
            ("300", 300),
            ("1e300", 60),
            ("99999999999", 86400),
        ] {
            let number: Option<serde_json::Number> = serde_json::from_str(given).unwrap();
            assert_eq!(lifetime(number.as_ref()).as_secs(), seconds, "{given}");
        }
    }
}
