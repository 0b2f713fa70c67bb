//! The way to a registry, and the only two kinds of client: one for configured names, one for public addresses.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use reqwest::header::{HOST, HeaderValue};
use reqwest::{Client, Method, redirect};
use url::Url;

use super::DiscoverError;
use super::RegistryEvent;
use super::answer::LINK_LOCAL;
use super::ca::Private;
use super::connection::{Connections, write};
use super::egress::{self, Instead, Way};
use super::host::lock;
use super::request::connect_name;
use crate::config::SecretName;
use crate::model::{RegistryHost, with_causes};

const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Where to connect instead of a registry's own name.
pub(crate) struct Endpoint {
    address: RegistryHost,
    tls: bool,
    client: Client,
}

/// The way to one registry.
pub(crate) struct Route {
    pub(crate) base: Url,
    pub(crate) client: Client,
    same_host: Client,
    host_header: Option<HeaderValue>,
    plain: bool,
    names: Vec<String>,
}

impl Connections {
    /// Connects to `address` whenever `host` is meant. A loopback address is spoken to in clear unless it starts with `https://`.
    pub(crate) fn set_endpoint(&self, host: RegistryHost, address: &str) -> Result<(), DiscoverError> {
        let bare = address.strip_prefix("https://");
        let tls = bare.is_some();
        let address: RegistryHost = bare
            .unwrap_or(address)
            .parse()
            .map_err(|error| DiscoverError::Setup { reason: format!("the endpoint of {host}: {error}") })?;
        // HTTP/2 has no Host header apart from the address, and the registry is to see its own name.
        let resolver = Arc::new(Instead { host: address.host().to_owned() });
        let client = build(client_builder(&self.user_agent).dns_resolver(resolver).http1_only())?;
        write(&self.routes).remove(&host);
        write(&self.endpoints).insert(host, Arc::new(Endpoint { address, tls, client }));
        Ok(())
    }

    /// The way to a registry, which every request to it takes.
    pub(crate) fn route(&self, registry: &RegistryHost, what: &str) -> Result<Arc<Route>, DiscoverError> {
        if let Some(route) = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(registry) {
            return Ok(Arc::clone(route));
        }
        let (route, stays) = self.find_route(registry, what)?;
        let route = Arc::new(route);
        if stays {
            write(&self.routes).insert(registry.clone(), Arc::clone(&route));
        }
        Ok(route)
    }

    /// The way as it is configured now, and whether it stays so until that changes: the file of a private CA may change at any time.
    fn find_route(&self, registry: &RegistryHost, what: &str) -> Result<(Route, bool), DiscoverError> {
        let endpoint = self.endpoints.read().unwrap_or_else(PoisonError::into_inner).get(registry).cloned();
        let manner = self.manners.read().unwrap_or_else(PoisonError::into_inner).get(registry).cloned();
        let ca = manner.as_ref().and_then(|manner| manner.ca.as_ref());
        let insecure = manner.as_ref().is_some_and(|manner| manner.insecure);
        let name = connect_name(registry);
        let local = endpoint.as_ref().is_some_and(|endpoint| endpoint.address.is_loopback());
        let tls = endpoint.as_ref().is_some_and(|endpoint| endpoint.tls);
        let plain = !tls && ca.is_none() && (insecure || registry.is_loopback() || local);
        let scheme = if plain { "http" } else { "https" };
        let mut names = vec![name.to_owned()];
        let private = match ca {
            Some(ca) => Some(self.private(registry, ca, endpoint.as_deref())?),
            None => None,
        };
        let authority = match &endpoint {
            None => name.to_owned(),
            Some(endpoint) => {
                names.push(endpoint.address.as_str().to_owned());
                let is_ip = registry.host().trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
                if plain || is_ip {
                    endpoint.address.as_str().to_owned()
                } else {
                    // The certificate is checked against the name; only the connection goes elsewhere.
                    let port = endpoint.address.as_str().strip_prefix(endpoint.address.host()).unwrap_or("");
                    format!("{}{port}", registry.host())
                }
            }
        };
        let (client, same_host) = match (private, &endpoint) {
            (Some(Private { client, same_host, .. }), _) => (client, same_host),
            (None, Some(endpoint)) => (endpoint.client.clone(), self.client.clone()),
            (None, None) => (self.client.clone(), self.client.clone()),
        };
        let setup = |reason: String| DiscoverError::Setup { reason: format!("{registry}: {reason}") };
        let base =
            Url::parse(&format!("{scheme}://{authority}/")).map_err(|error| setup(error.to_string()))?;
        let literal = registry.host().trim_matches(['[', ']']).parse();
        if endpoint.is_none() && literal.is_ok_and(egress::is_link_local) {
            return Err(self.blocked(registry, &base, what, LINK_LOCAL));
        }
        let host_header = match &endpoint {
            Some(_) => Some(HeaderValue::from_str(name).map_err(|error| setup(error.to_string()))?),
            None => None,
        };
        Ok((Route { base, client, same_host, host_header, plain, names }, ca.is_none()))
    }

    /// The clients for a registry with a private CA.
    fn private(
        &self,
        registry: &RegistryHost,
        ca: &SecretName,
        endpoint: Option<&Endpoint>,
    ) -> Result<Private, DiscoverError> {
        let mut known = lock(&self.private);
        let elsewhere = endpoint.map(|endpoint| endpoint.address.host());
        let before = known.get(registry);
        let fresh = Private::fresh(before, self.secrets.as_deref(), ca, elsewhere, &self.user_agent);
        let fresh = fresh.map_err(|reason| DiscoverError::Ca { registry: registry.clone(), reason })?;
        known.insert(registry.clone(), fresh.clone());
        Ok(fresh)
    }

    /// Decides the way to an address that the registry named; a refusal is counted and nothing is sent.
    pub(crate) fn judged(
        &self,
        route: &Route,
        registry: &RegistryHost,
        url: &Url,
        what: &str,
    ) -> Result<Way, DiscoverError> {
        let names: Vec<&str> = route.names.iter().map(String::as_str).collect();
        egress::judge(registry, &names, route.plain, url)
            .map_err(|reason| self.blocked(registry, url, what, reason))
    }

    pub(crate) fn blocked(
        &self,
        registry: &RegistryHost,
        url: &Url,
        what: &str,
        reason: &'static str,
    ) -> DiscoverError {
        (self.observer)(&RegistryEvent::Blocked { registry: registry.clone(), reason });
        DiscoverError::Blocked {
            registry: registry.clone(),
            what: what.to_owned(),
            destination: egress::shown(url),
            reason,
        }
    }

    /// A request builder for `url`, on the client that the way demands.
    pub(crate) fn prepare(
        &self,
        route: &Route,
        way: Way,
        method: Method,
        mut url: Url,
    ) -> reqwest::RequestBuilder {
        match way {
            Way::Registry => {
                // The registry may name itself in two ways; the connection goes the way that was configured.
                if (url.host_str(), url.port()) != (route.base.host_str(), route.base.port()) {
                    let _ = url.set_host(route.base.host_str());
                    let _ = url.set_port(route.base.port());
                }
                let request = route.client.request(method, url);
                match &route.host_header {
                    Some(name) => request.header(HOST, name.clone()),
                    None => request,
                }
            }
            Way::SameHost => route.same_host.request(method, url),
            Way::Public => self.guarded.request(method, url),
        }
    }
}

pub(crate) fn client_builder(user_agent: &str) -> reqwest::ClientBuilder {
    Client::builder()
        .user_agent(user_agent)
        .redirect(redirect::Policy::none())
        // A proxy would resolve names itself, out of reach of the check for public addresses.
        .no_proxy()
        // Bodies are bounded as they come, and blobs must arrive as they are.
        .gzip(false)
        .referer(false)
        .connect_timeout(CONNECT_DEADLINE)
        .tcp_nodelay(true)
}

pub(crate) fn build(builder: reqwest::ClientBuilder) -> Result<Client, DiscoverError> {
    builder.build().map_err(|error| DiscoverError::Setup { reason: with_causes(&error, 300) })
}
