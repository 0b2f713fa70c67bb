//! Routes and gateways that stand in each other's way, or in their own, by the codes of `istioctl analyze`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::routes::{Problem, named};
use super::routing::{Gateway, Place, Routing, Rule, Server, VirtualService, selects};

/// Everything of that kind.
pub(super) fn problems(routing: &Routing, found: &mut BTreeSet<Problem>) {
    hosts(routing, found);
    for (place, object) in &routing.virtual_services {
        unused(&named("VirtualService", place), object, found);
    }
    for (place, gateway) in &routing.gateways {
        let name = named("Gateway", place);
        twins(routing, place, gateway, &name, found);
        ports(routing, gateway, &name, found);
    }
}

/// IST0109: of two routes for one host inside the mesh only one is obeyed.
fn hosts(routing: &Routing, found: &mut BTreeSet<Problem>) {
    let mut by_host: BTreeMap<String, BTreeMap<&Place, &VirtualService>> = BTreeMap::new();
    for (place, object) in &routing.virtual_services {
        if object.gateways.is_empty() || object.gateways.iter().any(|gateway| gateway == "mesh") {
            for host in &object.hosts {
                by_host.entry(full_name(host, &place.0)).or_default().insert(place, object);
            }
        }
    }
    for (host, objects) in &by_host {
        for (place, object) in objects {
            let others = objects.iter().filter(|(other, _)| *other != place);
            let met: Vec<String> = others
                .filter(|(other, theirs)| meet((place, object), (other, theirs)))
                .map(|(other, _)| named("VirtualService", other))
                .collect();
            if !met.is_empty() {
                found.insert(Problem {
                    object: named("VirtualService", place),
                    code: "IST0109",
                    words: format!("host {host} is also that of {} inside the mesh", met.join(", ")),
                    error: true,
                    of_pods: false,
                });
            }
        }
    }
}

/// A host inside the mesh: a name without a dot is a service of the object's namespace.
fn full_name(host: &str, namespace: &str) -> String {
    if host.contains(['.', '*']) { host.to_owned() } else { format!("{host}.{namespace}.svc.cluster.local") }
}

/// Whether two routes are seen from one namespace.
fn meet(one: (&Place, &VirtualService), other: (&Place, &VirtualService)) -> bool {
    let scope = |(place, object): (&Place, &VirtualService)| -> Option<BTreeSet<String>> {
        let everywhere = object.export_to.is_empty() || object.export_to.iter().any(|scope| scope == "*");
        let own = |scope: &String| if scope == "." { place.0.clone() } else { scope.clone() };
        (!everywhere).then(|| object.export_to.iter().map(own).collect())
    };
    match (scope(one), scope(other)) {
        (Some(one), Some(other)) => !one.is_disjoint(&other),
        _ => true,
    }
}

/// IST0130: a rule behind one that takes everything, or with nothing but matches of rules before it.
fn unused(name: &str, object: &VirtualService, found: &mut BTreeSet<Problem>) {
    let http = object.http.iter().map(|rule| (rule.name.as_str(), rule.matches.as_slice())).collect();
    for rules in [http, unnamed(&object.tls), unnamed(&object.tcp)] {
        let mut taken: Option<String> = None;
        let mut known: Vec<Value> = Vec::new();
        for (number, (own, matches)) in rules.into_iter().enumerate() {
            let rule = if own.is_empty() { format!("#{number}") } else { own.to_owned() };
            let matches: Vec<Value> = matches.iter().cloned().map(without_name).collect();
            let all_known = !matches.is_empty() && matches.iter().all(|it| known.contains(it));
            let why = match &taken {
                Some(before) => Some(format!("rule {before} before it takes everything")),
                None if all_known => Some("rules before it have all its matches".to_owned()),
                None => None,
            };
            found.extend(why.map(|why| Problem {
                object: name.to_owned(),
                code: "IST0130",
                words: format!("rule {rule} is never used: {why}"),
                error: false,
                of_pods: false,
            }));
            if matches.is_empty() {
                taken.get_or_insert(rule);
            }
            known.extend(matches);
        }
    }
}

fn unnamed(rules: &[Rule]) -> Vec<(&str, &[Value])> {
    rules.iter().map(|rule| ("", rule.matches.as_slice())).collect()
}

/// A match without its name, which says nothing about what it matches.
fn without_name(mut it: Value) -> Value {
    if let Some(fields) = it.as_object_mut() {
        fields.remove("name");
    }
    it
}

/// IST0145: two gateways on the same pods take the same host at the same port.
fn twins(routing: &Routing, place: &Place, gateway: &Gateway, name: &str, found: &mut BTreeSet<Problem>) {
    let both = |other: &Gateway| {
        let on_one_pod = routing
            .pods
            .iter()
            .any(|(_, labels)| selects(&gateway.selector, labels) && selects(&other.selector, labels));
        other.selector == gateway.selector || on_one_pod
    };
    for server in &gateway.servers {
        let collides = |other: &Server| {
            other.port.number == server.port.number
                && other.bind == server.bind
                && other.hosts.iter().any(|host| server.hosts.contains(host))
        };
        let twins: Vec<String> = routing
            .gateways
            .iter()
            .filter(|(other, theirs)| *other != place && both(theirs) && theirs.servers.iter().any(collides))
            .map(|(other, _)| named("Gateway", other))
            .collect();
        if !twins.is_empty() {
            let (port, hosts) = (server.port.number, server.hosts.join(", "));
            found.insert(Problem {
                object: name.to_owned(),
                code: "IST0145",
                words: format!("port {port} with hosts {hosts} is also taken by {}", twins.join(", ")),
                error: true,
                of_pods: false,
            });
        }
    }
}

/// IST0162: a gateway's port that no service in front of its pods has. Pods and services elsewhere are not looked at.
fn ports(routing: &Routing, gateway: &Gateway, name: &str, found: &mut BTreeSet<Problem>) {
    let pods = || {
        let known = routing.pods.iter().filter(|(namespace, _)| routing.namespaces.contains(namespace));
        known.filter(|(_, labels)| selects(&gateway.selector, labels))
    };
    let leads =
        |namespace: &str, selector| pods().any(|(own, labels)| own == namespace && selects(selector, labels));
    let services = routing.services.iter().filter(|((namespace, _), it)| leads(namespace, &it.selector));
    let open: BTreeSet<u32> = services
        .flat_map(|(_, service)| &service.ports)
        .filter(|port| port.protocol.is_empty() || port.protocol == "TCP")
        .flat_map(|port| [Some(port.port), port.target_port.as_u64().and_then(|it| u32::try_from(it).ok())])
        .flatten()
        .collect();
    if pods().next().is_none() {
        return;
    }
    for server in gateway.servers.iter().filter(|server| !open.contains(&server.port.number)) {
        found.insert(Problem {
            object: name.to_owned(),
            code: "IST0162",
            words: format!("no service in front of its pods has its port {}", server.port.number),
            error: false,
            of_pods: true,
        });
    }
}
