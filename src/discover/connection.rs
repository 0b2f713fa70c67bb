//! One request to a registry: credentials, redirects, pauses. All requests of the product to registries pass here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Client, Method, Response, StatusCode};
use tokio::sync::Semaphore;

use super::RegistriesOptions;
use super::answer;
use super::ca::Private;
use super::challenge::{self, Challenge};
use super::ecr::Passwords;
use super::egress::{NoLinkLocal, PublicOnly, Way};
use super::host::{Host, lock};
use super::request::{Access, Payload, Request, Target};
use super::route::{Endpoint, Route, build, client_builder};
use super::{Credentials, DiscoverError, Observer, RegistryEvent};
use crate::config::RegistryOptions;
use crate::model::RegistryHost;

const REDIRECT_LIMIT: usize = 5;
/// How many large answers are held in memory at the same time, each of another host: one that is slow holds up only itself.
const LARGE_AT_ONCE: usize = 4;

/// HTTP clients and what was learned about each host.
pub(crate) struct Connections {
    pub(crate) client: Client,
    pub(crate) guarded: Client,
    pub(crate) user_agent: String,
    pub(crate) endpoints: RwLock<BTreeMap<RegistryHost, Arc<Endpoint>>>,
    pub(crate) routes: RwLock<BTreeMap<RegistryHost, Arc<Route>>>,
    pub(crate) manners: RwLock<BTreeMap<RegistryHost, RegistryOptions>>,
    /// The folder of the files that hold private CAs.
    pub(crate) secrets: Option<PathBuf>,
    pub(crate) private: Mutex<BTreeMap<RegistryHost, Private>>,
    hosts: Mutex<BTreeMap<RegistryHost, Arc<Host>>>,
    pub(crate) credentials: Credentials,
    pub(crate) passwords: Passwords,
    pub(crate) observer: Observer,
    /// Held by answers that take much memory.
    pub(crate) large: Semaphore,
}

impl Connections {
    pub(crate) fn new(options: RegistriesOptions) -> Result<Self, DiscoverError> {
        let builder = || client_builder(&options.user_agent);
        let connections = Self {
            client: build(builder().dns_resolver(Arc::new(NoLinkLocal)))?,
            guarded: build(builder().dns_resolver(Arc::new(PublicOnly)))?,
            passwords: Passwords::new(options.aws, &options.user_agent)?,
            user_agent: options.user_agent.clone(),
            endpoints: RwLock::default(),
            routes: RwLock::default(),
            manners: RwLock::default(),
            secrets: options.secrets,
            private: Mutex::default(),
            hosts: Mutex::default(),
            credentials: options.credentials,
            observer: options.observer,
            large: Semaphore::new(LARGE_AT_ONCE),
        };
        for (host, address) in options.endpoints {
            connections.set_endpoint(host, &address)?;
        }
        Ok(connections)
    }

    pub(crate) fn configure(&self, manners: &BTreeMap<RegistryHost, RegistryOptions>) {
        let mut current = write(&self.manners);
        // A token learned over TLS must not be shown in clear.
        let mut hosts = lock(&self.hosts);
        hosts.retain(|host, _| current.get(host) == manners.get(host));
        lock(&self.private).retain(|host, _| manners.get(host).is_some_and(|manner| manner.ca.is_some()));
        current.clone_from(manners);
        write(&self.routes).clear();
    }

    pub(crate) fn host(&self, name: &RegistryHost) -> Arc<Host> {
        let mut hosts = lock(&self.hosts);
        if let Some(host) = hosts.get(name) {
            return Arc::clone(host);
        }
        let host = Arc::new(Host::new(name.clone()));
        hosts.insert(name.clone(), Arc::clone(&host));
        host
    }

    /// Sends one request and returns what the registry said, except for what is the same for all questions:
    /// refused credentials, pauses, server errors and redirects. Has no deadline of its own.
    pub(crate) async fn send(&self, request: Request<'_>) -> Result<Response, DiscoverError> {
        let registry = request.access.registry();
        let host = self.host(registry);
        let route = self.route(registry, request.what)?;
        let (mut url, mut way) = match request.target {
            Target::Path(path) => {
                let url = route
                    .base
                    .join(&path)
                    .map_err(|error| DiscoverError::Setup { reason: error.to_string() })?;
                (url, Way::Registry)
            }
            Target::Named(url) => {
                let way = self.judged(&route, registry, &url, request.what)?;
                (url, way)
            }
        };
        let mut payload = Some(request.payload);
        let (mut refreshed, mut hops) = (false, 0);
        loop {
            host.not_paused()?;
            let known = lock(&host.challenge).clone();
            let authorization = match (way, known) {
                (Way::Registry, Some(challenge)) => {
                    let shown = self.authorization(&host, &route, &challenge, request.access, request.what);
                    shown.await.inspect_err(|error| host.doubts(&challenge, error))?
                }
                _ => None,
            };
            let mut builder = self
                .prepare(&route, way, request.method.clone(), url.clone())
                .headers(request.headers.clone());
            if let Some(value) = &authorization {
                builder = builder.header(AUTHORIZATION, value.clone());
            }
            builder = match payload.take() {
                Some(Payload::Bytes(bytes)) => {
                    payload = Some(Payload::Bytes(bytes.clone()));
                    if bytes.is_empty() { builder } else { builder.body(bytes) }
                }
                Some(Payload::Stream(stream, length)) => builder.header(CONTENT_LENGTH, length).body(stream),
                None => builder,
            };
            if matches!(request.method, Method::POST | Method::PUT)
                && matches!(&payload, Some(Payload::Bytes(bytes)) if bytes.is_empty())
            {
                builder = builder.header(CONTENT_LENGTH, 0);
            }
            let response = builder
                .send()
                .await
                .map_err(|error| self.unreachable(registry, &url, request.what, error))?;
            let status = response.status();
            self.saw(&host, request.method.as_str(), &response);
            let (response, expired) = match status {
                StatusCode::BAD_REQUEST if authorization.is_some() => answer::speaks_of_token(response).await,
                _ => (response, false),
            };
            if expired || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                // A stream can't be sent again, but the refused token is forgotten for the next attempt.
                let learned = way == Way::Registry
                    && !refreshed
                    && Box::pin(self.learn(&host, request.access, &response, authorization.as_ref())).await;
                let retry = learned && payload.is_some();
                if !retry {
                    return Err(Box::pin(self.unauthorized(&host, request.what, response)).await);
                }
                refreshed = true;
                continue;
            }
            if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
                return Err(self.pause(&host, request.what, &response));
            }
            if status.is_server_error() {
                let reason = format!("it answered {status}");
                return Err(DiscoverError::Unreachable {
                    registry: registry.clone(),
                    what: request.what.to_owned(),
                    reason,
                });
            }
            if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
                let garbage = |reason: &str| DiscoverError::Garbage {
                    registry: registry.clone(),
                    what: request.what.to_owned(),
                    reason: reason.to_owned(),
                };
                if !matches!(request.method, Method::GET | Method::HEAD) {
                    return Err(garbage("a redirect of a request that writes"));
                }
                hops += 1;
                if hops > REDIRECT_LIMIT {
                    return Err(garbage("more than 5 redirects"));
                }
                let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
                let next = location
                    .and_then(|location| url.join(location).ok())
                    .ok_or_else(|| garbage("a redirect without an address"))?;
                way = self.judged(&route, registry, &next, request.what)?;
                url = next;
                continue;
            }
            if host.answered() {
                (self.observer)(&RegistryEvent::Answers { registry: registry.clone() });
            }
            return Ok(response);
        }
    }

    /// Remembers the challenge of a refusal. Whether asking again can help.
    async fn learn(
        &self,
        host: &Host,
        access: Access<'_>,
        response: &Response,
        used: Option<&HeaderValue>,
    ) -> bool {
        let headers = response.headers().get_all(WWW_AUTHENTICATE);
        let told = challenge::choose(headers.iter().filter_map(|value| value.to_str().ok()));
        let changed = match told {
            Some(told) => {
                let mut known = lock(&host.challenge);
                let changed = known.as_ref() != Some(&told);
                *known = Some(told);
                changed
            }
            None => false,
        };
        let basic = matches!(*lock(&host.challenge), Some(Challenge::Basic));
        if basic && used.is_none() && !matches!(self.has_login(host).await, Ok(true)) {
            return false;
        }
        // An expired token is refused with 401, by ECR with 403.
        let dropped = match used {
            Some(used) => self.forget(host, access, used).await,
            None => false,
        };
        changed || dropped || (used.is_none() && response.status() == StatusCode::UNAUTHORIZED)
    }
}

pub(crate) fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
