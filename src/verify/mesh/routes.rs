//! What is wrong with routes, by the codes of `istioctl analyze`, and whether they lead to pods of the new version.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::collisions;
use super::injection::Pod;
use super::routing::{Destination, Place, Routing, Service, VirtualService, selects, service_of};
use crate::verify::Judgement;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Such as `VirtualService NAMESPACE/NAME`.
    pub object: String,
    /// istioctl's code.
    pub code: &'static str,
    /// What is wrong.
    pub words: String,
    /// Requests fail by it; else it is worth a warning.
    pub error: bool,
    /// It depends on which pods there are, and these come and go during a rollout.
    pub of_pods: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.code, self.object, self.words)
    }
}

pub(super) fn named(kind: &str, place: &Place) -> String {
    format!("{kind} {}/{}", place.0, place.1)
}

/// The services that select one of the pods.
fn services_of<'r>(routing: &'r Routing, pods: &[Pod]) -> BTreeSet<&'r Place> {
    let leads = |place: &Place, service: &Service| {
        pods.iter().any(|pod| of_namespace(pod, &place.0) && selects(&service.selector, &pod.labels))
    };
    routing.services.iter().filter(|(place, service)| leads(place, service)).map(|(place, _)| place).collect()
}

fn of_namespace(pod: &Pod, namespace: &str) -> bool {
    pod.name.split_once('/').is_some_and(|(own, _)| own == namespace)
}

/// The objects that have to do with the pods: they name a service that selects one.
pub fn ours(routing: &Routing, pods: &[Pod]) -> BTreeSet<String> {
    let services = services_of(routing, pods);
    let is_ours = |host: &str, namespace: &str| {
        service_of(host, namespace).is_some_and(|service| services.contains(&service))
    };
    let virtual_services = routing.virtual_services.iter().filter(|(place, object)| {
        object.named().chain(object.mirrored()).any(|it| is_ours(&it.host, &place.0))
    });
    let rules = routing.destination_rules.iter().filter(|(place, object)| is_ours(&object.host, &place.0));
    let routes =
        || routing.routes.iter().filter(|route| route.services.iter().any(|it| services.contains(it)));
    let complains = |place: &Place| routing.services.get(place).is_some_and(|it| !it.complaints.is_empty());
    let complaining = services.iter().filter(|place| complains(place));
    let virtual_services: Vec<_> = virtual_services.collect();
    let gateways = virtual_services.iter().flat_map(|(place, object)| {
        let named_there = object.gateways.iter().filter(|gateway| *gateway != "mesh");
        named_there.map(|gateway| named("Gateway", &gateway_of(gateway, &place.0)))
    });
    let gateways: Vec<String> = gateways.chain(routes().flat_map(|it| it.gateways.clone())).collect();
    virtual_services
        .into_iter()
        .map(|(place, _)| named("VirtualService", place))
        .chain(gateways)
        .chain(complaining.map(|place| named("Service", place)))
        .chain(rules.map(|(place, _)| named("DestinationRule", place)))
        .chain(routes().map(|route| route.object.clone()))
        .collect()
}

/// Everything that is wrong in the namespaces that were looked at, in a fixed order.
pub fn problems(routing: &Routing, pods: &[Pod]) -> Vec<Problem> {
    let mut found = BTreeSet::new();
    for (place, object) in &routing.virtual_services {
        let name = named("VirtualService", place);
        gateways(routing, place, object, &name, &mut found);
        for (destinations, kind) in
            [(object.named().collect::<Vec<_>>(), ""), (object.mirrored().collect(), "mirror ")]
        {
            for destination in destinations {
                self::destination(routing, place, destination, &name, kind, &mut found);
            }
        }
    }
    for (place, object) in &routing.destination_rules {
        let name = named("DestinationRule", place);
        let Some(service) = judged(routing, &object.host, &place.0) else { continue };
        let Some(selector) = routing.services.get(&service).map(|service| &service.selector) else {
            if !by_hand(routing, &object.host, &service) {
                found.insert(Problem {
                    object: name,
                    code: "IST0174",
                    words: format!("its host {} is not found", object.host),
                    error: false,
                    of_pods: false,
                });
            }
            continue;
        };
        for subset in &object.subsets {
            let mut all = selector.clone();
            all.extend(subset.labels.clone());
            // A pod's place is known from its node, which is not looked at.
            let by_place =
                all.keys().any(|label| label.contains("topology.") || label.ends_with("/hostname"));
            let known = routing.pods.iter().map(|(namespace, labels)| (namespace, labels));
            let there = known.filter(|(namespace, _)| **namespace == service.0);
            let own = pods.iter().filter(|pod| of_namespace(pod, &service.0)).map(|pod| &pod.labels);
            let mut labels = there.map(|(_, labels)| labels).chain(own);
            if !by_place && !all.is_empty() && !labels.any(|labels| selects(&all, labels)) {
                found.insert(Problem {
                    object: name.clone(),
                    code: "IST0173",
                    words: format!("subset {} selects no pod of {}", subset.name, object.host),
                    error: true,
                    of_pods: true,
                });
            }
        }
    }
    for route in &routing.routes {
        complaints(&route.object, &route.complaints, route.is_route, &mut found);
    }
    for (place, service) in &routing.services {
        complaints(&named("Service", place), &service.complaints, false, &mut found);
    }
    collisions::problems(routing, &mut found);
    found.into_iter().collect()
}

/// IST0171: what an object's own conditions say.
fn complaints(object: &str, conditions: &[String], error: bool, found: &mut BTreeSet<Problem>) {
    let complaint = |words: &String| Problem {
        object: object.to_owned(),
        code: "IST0171",
        words: words.clone(),
        error,
        of_pods: false,
    };
    found.extend(conditions.iter().map(complaint));
}

/// The gateway that a `VirtualService` of that namespace means.
fn gateway_of(gateway: &str, namespace: &str) -> Place {
    let (named, own) = gateway.split_once('/').unwrap_or((namespace, gateway));
    // `./NAME` is a gateway of the same namespace.
    (if named == "." { namespace.to_owned() } else { named.to_owned() }, own.to_owned())
}

/// The service that a host means, if all services of its namespace are known.
fn judged(routing: &Routing, host: &str, namespace: &str) -> Option<Place> {
    service_of(host, namespace).filter(|service| routing.namespaces.contains(&service.0))
}

/// Whether a host is one that somebody has added to the mesh by hand.
fn by_hand(routing: &Routing, host: &str, service: &Place) -> bool {
    let full = format!("{}.{}.svc.cluster.local", service.1, service.0);
    routing
        .service_entries
        .values()
        .flat_map(|entry| &entry.hosts)
        .any(|known| known == host || *known == full)
}

fn gateways(
    routing: &Routing,
    place: &Place,
    object: &VirtualService,
    name: &str,
    found: &mut BTreeSet<Problem>,
) {
    for gateway in object.gateways.iter().filter(|gateway| *gateway != "mesh") {
        let meant = gateway_of(gateway, &place.0);
        if !routing.namespaces.contains(&meant.0) {
            continue;
        }
        let known = routing.gateways.get(&meant);
        if known.is_none() {
            found.insert(Problem {
                object: name.to_owned(),
                code: "IST0101",
                words: format!("gateway {gateway} is not found"),
                error: true,
                of_pods: false,
            });
        }
        let taken: Vec<&str> = known
            .iter()
            .flat_map(|gateway| &gateway.servers)
            .flat_map(|server| &server.hosts)
            .filter_map(|host| taken_for(host, &meant.0, &place.0))
            .collect();
        if !object.hosts.iter().any(|host| taken.iter().any(|taken| overlap(taken, host))) {
            found.insert(Problem {
                object: name.to_owned(),
                code: "IST0132",
                words: format!("none of its hosts ({}) is one of gateway {gateway}", object.hosts.join(", ")),
                error: false,
                of_pods: false,
            });
        }
    }
}

/// A gateway's host where it is for routes of that namespace: `NAMESPACE/HOST` is for one, `*/HOST` for all.
fn taken_for<'h>(host: &'h str, gateway: &str, route: &str) -> Option<&'h str> {
    match host.split_once('/') {
        None | Some(("*", _)) => Some(host.rsplit('/').next().unwrap_or_default()),
        Some((".", rest)) => (gateway == route).then_some(rest),
        Some((namespace, rest)) => (namespace == route).then_some(rest),
    }
}

/// Whether two hosts, each of which may begin with `*`, have a name in common.
fn overlap(one: &str, other: &str) -> bool {
    match (one.strip_prefix('*'), other.strip_prefix('*')) {
        (None, None) => one == other,
        (Some(end), None) => other.ends_with(end),
        (None, Some(end)) => one.ends_with(end),
        (Some(one), Some(other)) => one.ends_with(other) || other.ends_with(one),
    }
}

fn destination(
    routing: &Routing,
    place: &Place,
    destination: &Destination,
    name: &str,
    kind: &str,
    found: &mut BTreeSet<Problem>,
) {
    let Some(service) = judged(routing, &destination.host, &place.0) else { return };
    let mut add = |code, words| {
        found.insert(Problem { object: name.to_owned(), code, words, error: true, of_pods: false });
    };
    let host = &destination.host;
    match routing.services.get(&service) {
        None if by_hand(routing, host, &service) => {}
        None => add("IST0101", format!("{kind}host {host} is not found")),
        Some(known) => match &destination.port {
            None if known.ports.len() > 1 => {
                add("IST0112", format!("{kind}host {host} has several ports, and none is named"));
            }
            Some(port) if known.ports.iter().all(|known| known.port != port.number) => {
                add("IST0101", format!("{kind}host {host} has no port {}", port.number));
            }
            _ => {}
        },
    }
    if !destination.subset.is_empty() && subset(routing, &service, &destination.subset).is_none() {
        add("IST0101", format!("{kind}subset {} of host {host} is not found", destination.subset));
    }
}

/// The labels of a service's subset.
fn subset<'r>(routing: &'r Routing, service: &Place, name: &str) -> Option<&'r BTreeMap<String, String>> {
    routing
        .destination_rules
        .iter()
        .filter(|(place, rule)| service_of(&rule.host, &place.0).as_ref() == Some(service))
        .flat_map(|(_, rule)| &rule.subsets)
        .find(|subset| subset.name == name)
        .map(|subset| &subset.labels)
}

/// Whether each route to the pods' services finds one of the new pods ready; `None` where no route leads to them.
///
/// A subset that is not for pods with these labels leads to other pods, about which nothing is said here.
pub fn endpoints(
    routing: &Routing,
    pods: &[Pod],
    now: Timestamp,
    patience: SignedDuration,
) -> Option<Judgement> {
    let services = services_of(routing, pods);
    let nothing = BTreeMap::new();
    let mut ways: BTreeSet<(String, Place, &BTreeMap<String, String>)> = BTreeSet::new();
    for (place, object) in &routing.virtual_services {
        for destination in object.destinations() {
            let Some(service) = service_of(&destination.host, &place.0) else { continue };
            let labels = match destination.subset.as_str() {
                "" => Some(&nothing),
                name => subset(routing, &service, name),
            };
            if let Some(labels) = labels {
                ways.insert((named("VirtualService", place), service, labels));
            }
        }
    }
    for route in &routing.routes {
        ways.extend(route.services.iter().map(|service| (route.object.clone(), service.clone(), &nothing)));
    }
    let judgements: Vec<Judgement> = ways
        .into_iter()
        .filter(|(_, service, _)| services.contains(service))
        .filter_map(|(object, service, labels)| {
            let fits = |pod: &&Pod| of_namespace(pod, &service.0) && meets(labels, &pod.labels);
            let fitting: Vec<&Pod> = pods.iter().filter(fits).collect();
            (!fitting.is_empty()).then(|| way(routing, &object, &service, &fitting, now, patience))
        })
        .collect();
    let count = judgements.len();
    Judgement::all(judgements).map(|worst| match worst {
        Judgement::Pass(_) => {
            let ways = if count == 1 { "1 route leads".to_owned() } else { format!("{count} routes lead") };
            Judgement::Pass(format!("{ways} to ready new pods"))
        }
        other => other,
    })
}

fn meets(wanted: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    wanted.is_empty() || selects(wanted, labels)
}

fn way(
    routing: &Routing,
    object: &str,
    service: &Place,
    pods: &[&Pod],
    now: Timestamp,
    patience: SignedDuration,
) -> Judgement {
    let open = routing.endpoints.iter().any(|endpoint| {
        endpoint.ready && endpoint.service == *service && pods.iter().any(|pod| pod.name == endpoint.pod)
    });
    if open {
        return Judgement::Pass(String::new());
    }
    let words = format!("{object} leads to {}/{}, where no new pod takes requests", service.0, service.1);
    match pods.iter().filter_map(|pod| pod.ready).min() {
        None => Judgement::wait(format!("{words}: none is ready yet")),
        Some(since) if now.duration_since(since) < patience => Judgement::wait(words),
        Some(_) => Judgement::Fail(format!("{words}, though one is ready")),
    }
}
