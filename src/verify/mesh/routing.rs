//! The objects that lead requests to pods, reduced to what is judged. The fields have the names and the defaults of
//! Istio's API `networking.istio.io/v1`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

/// A namespace and a name in it.
pub type Place = (String, String);

/// All of them, in the namespaces that were looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Routing {
    /// The namespaces whose objects are all here; nothing is said about others.
    pub namespaces: BTreeSet<String>,
    /// Istio's routes.
    pub virtual_services: BTreeMap<Place, VirtualService>,
    /// Istio's subsets.
    pub destination_rules: BTreeMap<Place, DestinationRule>,
    /// Istio's gateways.
    pub gateways: BTreeMap<Place, Gateway>,
    /// Hosts that are added to the mesh by hand.
    pub service_entries: BTreeMap<Place, ServiceEntry>,
    /// Kubernetes' services.
    pub services: BTreeMap<Place, Service>,
    /// What stands behind the services.
    pub endpoints: Vec<Endpoint>,
    /// The labels of every pod, by its namespace.
    pub pods: Vec<(String, BTreeMap<String, String>)>,
    /// Routes of the Gateway API.
    pub routes: Vec<Route>,
}

/// A `VirtualService`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct VirtualService {
    /// The hosts that requests are for.
    pub hosts: Vec<String>,
    /// Where they come in: `NAMESPACE/NAME`, `NAME`, or `mesh`, which is also the default.
    pub gateways: Vec<String>,
    /// The namespaces that it holds for: `.` for its own, `*` or nothing for all.
    #[serde(rename = "exportTo")]
    pub export_to: Vec<String>,
    /// Rules of HTTP.
    pub http: Vec<HttpRule>,
    /// Rules of TLS that is passed on.
    pub tls: Vec<Rule>,
    /// Rules of TCP.
    pub tcp: Vec<Rule>,
}

/// A rule of HTTP.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct HttpRule {
    /// Its name.
    pub name: String,
    /// Which requests it is for; all without any.
    #[serde(rename = "match")]
    pub matches: Vec<Value>,
    /// Where requests go.
    pub route: Vec<Weighted>,
    /// Where copies go.
    pub mirror: Option<Destination>,
    /// Where more copies go.
    pub mirrors: Vec<Mirror>,
}

/// A rule of TCP or TLS.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// Which connections it is for; all without any.
    #[serde(rename = "match")]
    pub matches: Vec<Value>,
    /// Where connections go.
    pub route: Vec<Weighted>,
}

/// A share of requests.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Weighted {
    /// Where they go.
    pub destination: Destination,
    /// Their share; without one all of them where there is one destination, and else none.
    pub weight: Option<u32>,
}

/// Copies of requests.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Mirror {
    /// Where they go.
    pub destination: Destination,
}

/// Where requests go.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Destination {
    /// A service's name, or a host.
    pub host: String,
    /// A subset of it.
    pub subset: String,
    /// Its port, which a service with one needs not have named.
    pub port: Option<Port>,
}

/// A port.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Port {
    /// Its number.
    pub number: u32,
}

/// A `DestinationRule`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DestinationRule {
    /// The service.
    pub host: String,
    /// Its subsets.
    pub subsets: Vec<Subset>,
}

/// A subset.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Subset {
    /// Its name.
    pub name: String,
    /// What its pods have.
    pub labels: BTreeMap<String, String>,
}

/// A Gateway of Istio.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Gateway {
    /// The labels of the pods that it is for.
    pub selector: BTreeMap<String, String>,
    /// Its ports.
    pub servers: Vec<Server>,
}

/// A port of a gateway.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Server {
    /// The port.
    pub port: Port,
    /// The address, where it is not every one.
    pub bind: String,
    /// The hosts that it takes: `HOST` or `NAMESPACE/HOST`.
    pub hosts: Vec<String>,
}

/// A `ServiceEntry`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ServiceEntry {
    /// Its hosts.
    pub hosts: Vec<String>,
}

/// A Service.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Service {
    /// What its pods have; none where somebody else writes its endpoints.
    pub selector: BTreeMap<String, String>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// The conditions that are not as they should be; they do not stand in its `spec`.
    #[serde(skip)]
    pub complaints: Vec<String>,
}

/// A port of a Service.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServicePort {
    /// Its number.
    pub port: u32,
    /// Its protocol; TCP unless given.
    pub protocol: String,
    /// The pods' port, by number or name.
    pub target_port: Value,
}

/// A pod behind a service, as an `EndpointSlice` has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The service.
    pub service: Place,
    /// The pod: `NAMESPACE/NAME`.
    pub pod: String,
    /// It is ready and takes requests.
    pub ready: bool,
}

/// A route or a gateway of the Gateway API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// Such as `HTTPRoute NAMESPACE/NAME`.
    pub object: String,
    /// The services that take a share of its requests.
    pub services: BTreeSet<Place>,
    /// The gateways that it hangs on, by their `object`.
    pub gateways: BTreeSet<String>,
    /// Requests fail by its complaints; those of a gateway may only mean that it has no address yet.
    pub is_route: bool,
    /// The conditions that are not as they should be, such as `ResolvedRefs=False BackendNotFound: …`.
    pub complaints: Vec<String>,
}

/// Whether a pod with these labels is selected; an empty selector selects nothing.
pub fn selects(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    !selector.is_empty() && selector.iter().all(|(name, value)| labels.get(name) == Some(value))
}

/// The service that a host means in the namespace of the object that names it; `None` for a host of another kind.
///
/// A name without a dot is a service of the same namespace; with dots it is one only as
/// `NAME.NAMESPACE.svc[.cluster.local]`.
pub fn service_of(host: &str, namespace: &str) -> Option<Place> {
    if host.is_empty() || host.starts_with('*') {
        return None;
    }
    let mut parts = host.split('.');
    let name = parts.next()?.to_owned();
    match (parts.next(), parts.next()) {
        (None, _) => Some((namespace.to_owned(), name)),
        (Some(other), Some("svc")) => Some((other.to_owned(), name)),
        _ => None,
    }
}

impl VirtualService {
    /// Every destination that takes requests.
    pub fn destinations(&self) -> impl Iterator<Item = &Destination> {
        let http = self.http.iter().map(|rule| &rule.route);
        let other = self.tls.iter().chain(&self.tcp).map(|rule| &rule.route);
        http.chain(other).flat_map(|route| {
            let alone = route.len() == 1;
            route
                .iter()
                .filter(move |one| one.weight.unwrap_or(u32::from(alone)) > 0)
                .map(|one| &one.destination)
        })
    }

    /// Every destination that is named for requests, whatever its share.
    pub fn named(&self) -> impl Iterator<Item = &Destination> {
        let http = self.http.iter().map(|rule| &rule.route);
        let other = self.tls.iter().chain(&self.tcp).map(|rule| &rule.route);
        http.chain(other).flatten().map(|one| &one.destination)
    }

    /// Every destination of copies.
    pub fn mirrored(&self) -> impl Iterator<Item = &Destination> {
        self.http
            .iter()
            .flat_map(|rule| rule.mirror.iter().chain(rule.mirrors.iter().map(|it| &it.destination)))
    }
}
