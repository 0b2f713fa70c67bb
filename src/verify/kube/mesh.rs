//! Objects of the mesh reduced to what its layer judges.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Seen;
use super::workloads::instant;
use crate::deliver::cluster::{Cluster, Unseen, Watched};
use crate::model::printable;
use crate::verify::mesh::injection::{Pod, Proxy};
use crate::verify::mesh::routing::{Endpoint, Place, Route, Routing, Service, service_of};

/// Istio's kinds of this version are there since Istio 1.22.
pub const ISTIO: &str = "networking.istio.io/v1";
/// The Gateway API.
pub const GATEWAY_API: &str = "gateway.networking.k8s.io/v1";

const OF_ISTIO: [(&str, &str); 4] = [
    ("VirtualService", "virtualservices"),
    ("DestinationRule", "destinationrules"),
    ("Gateway", "gateways"),
    ("ServiceEntry", "serviceentries"),
];

/// `gateways` is Istio's kind alone.
const GATEWAYS: &str = "gateways.gateway.networking.k8s.io";
const OF_GATEWAY_API: [(&str, &str); 3] =
    [("HTTPRoute", "httproutes"), ("GRPCRoute", "grpcroutes"), ("Gateway", GATEWAYS)];

/// Which kinds the cluster has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    /// Istio's.
    pub istio: bool,
    /// Those of the Gateway API.
    pub gateway_api: bool,
}

/// The watches of the mesh's objects, held as long as a judgement lasts.
#[derive(Debug, Default)]
pub struct Watches(BTreeMap<(String, &'static str), Arc<Watched<DynamicObject>>>);

/// What was seen around the workloads.
#[derive(Debug, Default)]
pub struct Around {
    /// The new pods.
    pub pods: Vec<Pod>,
    /// Pods of the same workloads that are of another version.
    pub old: Vec<Pod>,
    /// The routes.
    pub routing: Routing,
    /// The kinds that may not be looked at, and why.
    pub unseen: Vec<String>,
}

impl Watches {
    /// What the cluster shows around the workloads that were `seen`; an error as long as it has not told.
    pub fn look(&mut self, cluster: &Cluster, seen: &[Seen], served: Served) -> Result<Around, Unseen> {
        let namespaces: BTreeSet<&str> = seen.iter().map(|seen| seen.namespace.as_str()).collect();
        let mut kinds: Vec<(&str, &str, &'static str)> =
            vec![("v1", "Service", "services"), ("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")];
        if served.istio {
            kinds.extend(OF_ISTIO.map(|(kind, plural)| (ISTIO, kind, plural)));
        }
        if served.gateway_api {
            kinds.extend(OF_GATEWAY_API.map(|(kind, plural)| (GATEWAY_API, kind, plural)));
        }
        // All watches are begun before the first is read, so that they list side by side.
        for namespace in &namespaces {
            for (group_version, kind, plural) in &kinds {
                self.0
                    .entry(((*namespace).to_owned(), plural))
                    .or_insert_with(|| cluster.objects(&resource(group_version, kind, plural), namespace));
            }
        }
        let mut around = Around::default();
        for namespace in namespaces {
            let mut complete = true;
            for (_, _, plural) in &kinds {
                let Some(watched) = self.0.get(&(namespace.to_owned(), *plural)) else { continue };
                let read = watched.read(|objects| {
                    for object in objects.values() {
                        around.add(plural, object);
                    }
                });
                match read {
                    Ok(()) => {}
                    Err(unseen @ (Unseen::Listing | Unseen::Silent(_))) => return Err(unseen),
                    // An older Gateway API has none of these, so that there is nothing to see.
                    Err(Unseen::NoSuchKind) if *plural == "grpcroutes" => {}
                    Err(why @ (Unseen::Forbidden(_) | Unseen::NoSuchKind)) => {
                        around.unseen.push(format!("{plural} of {namespace} are left out: {why}"));
                        complete &= *plural != "services" && *plural != "serviceentries";
                    }
                }
            }
            // Without all services and hosts nothing can be said to be missing.
            if complete {
                around.routing.namespaces.insert(namespace.to_owned());
            }
            let read = cluster.pods(namespace).read(|pods| {
                for pod in pods.values() {
                    around.add_pod(namespace, pod, seen);
                }
            });
            // Pods that must not be seen are told by their own layer.
            if let Err(unseen @ (Unseen::Listing | Unseen::Silent(_))) = read {
                return Err(unseen);
            }
        }
        let new: Vec<_> = around.pods.iter().map(|pod| without_version(&pod.labels)).collect();
        around.old.retain(|pod| new.contains(&without_version(&pod.labels)));
        Ok(around)
    }
}

/// A pod's labels but for those by which Kubernetes tells the versions of a workload apart.
fn without_version(labels: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    let of_version = ["pod-template-hash", "controller-revision-hash", "statefulset.kubernetes.io/pod-name"];
    let of_workload = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    of_workload
        .filter(|(name, _)| !of_version.contains(name) && *name != "apps.kubernetes.io/pod-index")
        .collect()
}

fn resource(group_version: &str, kind: &str, plural: &str) -> ApiResource {
    let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
    let plural = plural.split('.').next().unwrap_or(plural);
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// The `spec`; `None` where it is not of the form that the API defines.
fn spec<T: DeserializeOwned>(object: &DynamicObject) -> Option<T> {
    T::deserialize(object.data.get("spec")?).ok()
}

impl Around {
    fn add(&mut self, plural: &str, object: &DynamicObject) {
        let place = (object.namespace().unwrap_or_default(), object.name_any());
        let routing = &mut self.routing;
        let known = match plural {
            "virtualservices" => spec(object).map(|it| _ = routing.virtual_services.insert(place, it)),
            "destinationrules" => spec(object).map(|it| _ = routing.destination_rules.insert(place, it)),
            "gateways" => spec(object).map(|it| _ = routing.gateways.insert(place, it)),
            "serviceentries" => spec(object).map(|it| _ = routing.service_entries.insert(place, it)),
            "services" => spec::<Service>(object).map(|it| {
                let conditions = &object.data["status"]["conditions"];
                let complaints = complaints(None, [conditions], &["istio.io/WaypointBound"]);
                routing.services.insert(place, Service { complaints, ..it });
            }),
            "httproutes" | "grpcroutes" => spec::<ApiRoute>(object).map(|it| {
                let kind = if plural == "httproutes" { "HTTPRoute" } else { "GRPCRoute" };
                let parents = object.data["status"]["parents"].as_array().into_iter().flatten();
                let conditions = parents.map(|parent| &parent["conditions"]);
                routing.routes.push(Route {
                    object: format!("{kind} {}/{}", place.0, place.1),
                    services: it.services(&place.0),
                    gateways: it.gateways(&place.0),
                    is_route: true,
                    complaints: complaints(object.metadata.generation, conditions, &CONDITIONS),
                });
            }),
            GATEWAYS => {
                let status = &object.data["status"];
                let listeners = status["listeners"].as_array().into_iter().flatten();
                let conditions = listeners.map(|listener| &listener["conditions"]);
                let conditions = std::iter::once(&status["conditions"]).chain(conditions);
                routing.routes.push(Route {
                    object: of_gateway_api(&place),
                    complaints: complaints(object.metadata.generation, conditions, &CONDITIONS),
                    ..Route::default()
                });
                Some(())
            }
            _ => slice(object).map(|endpoints| routing.endpoints.extend(endpoints)),
        };
        if known.is_none() {
            let name = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
            self.unseen.push(format!("{plural} {name} can't be read"));
        }
    }

    fn add_pod(&mut self, namespace: &str, pod: &k8s_openapi::api::core::v1::Pod, seen: &[Seen]) {
        // A pod that has done its work, as that of a Job, has no proxy any more, and takes no requests.
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if pod.metadata.deletion_timestamp.is_some() || matches!(phase, Some("Succeeded" | "Failed")) {
            return;
        }
        let name = pod.name_any();
        let mut own = seen.iter().filter(|seen| seen.namespace == namespace);
        if own.any(|seen| seen.pods.iter().any(|known| known.name == name)) {
            self.pods.push(reduce(namespace, pod));
        } else {
            self.old.push(reduce(namespace, pod));
        }
        self.routing.pods.push((namespace.to_owned(), pod.labels().clone()));
    }
}

fn reduce(namespace: &str, pod: &k8s_openapi::api::core::v1::Pod) -> Pod {
    let status = pod.status.clone().unwrap_or_default();
    let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
    let mut statuses =
        status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten());
    let wish = |place: &BTreeMap<String, String>| match place.get("sidecar.istio.io/inject") {
        Some(word) if word == "true" => Some(true),
        Some(word) if word == "false" => Some(false),
        _ => None,
    };
    // The injector's own account of what it did; a container of that name alone may be anything.
    let injected = pod.annotations().get("sidecar.istio.io/status").map(|text| {
        let told: Value = serde_json::from_str(text).unwrap_or_default();
        printable(told["revision"].as_str().unwrap_or_default(), 60)
    });
    let proxy = injected.map(|revision| {
        let proxy = statuses.find(|container| container.name == "istio-proxy");
        Proxy { ready: proxy.is_some_and(|proxy| proxy.ready && proxy.started.unwrap_or(true)), revision }
    });
    let ambient = pod.annotations().get("ambient.istio.io/redirection").is_some_and(|word| word == "enabled");
    Pod {
        name: format!("{namespace}/{}", pod.name_any()),
        labels: pod.labels().clone(),
        ready: ready
            .filter(|condition| condition.status == "True")
            .map(|condition| condition.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, instant)),
        host_network: pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or_default(),
        wish: wish(pod.labels()).or_else(|| wish(pod.annotations())),
        proxy,
        ambient,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Slice {
    #[serde(default)]
    endpoints: Vec<SliceEndpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SliceEndpoint {
    #[serde(default)]
    conditions: Conditions,
    target_ref: Option<Target>,
}

#[derive(Deserialize, Default)]
struct Conditions {
    ready: Option<bool>,
    serving: Option<bool>,
}

#[derive(Deserialize)]
struct Target {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: String,
}

fn slice(object: &DynamicObject) -> Option<Vec<Endpoint>> {
    let namespace = object.namespace().unwrap_or_default();
    let service = object.labels().get("kubernetes.io/service-name").cloned().unwrap_or_default();
    let slice = Slice::deserialize(&object.data).ok()?;
    let endpoint = |endpoint: SliceEndpoint| {
        let pod = endpoint.target_ref.filter(|target| target.kind == "Pod")?;
        let conditions = endpoint.conditions;
        Some(Endpoint {
            service: (namespace.clone(), service.clone()),
            pod: format!("{namespace}/{}", pod.name),
            // What is not said is true, as the API defines.
            ready: conditions.ready.unwrap_or(true) && conditions.serving.unwrap_or(true),
        })
    };
    Some(slice.endpoints.into_iter().filter_map(endpoint).collect())
}

/// A Gateway of the Gateway API, which is not Istio's of the same name.
fn of_gateway_api(place: &Place) -> String {
    format!("Gateway {}/{} (Gateway API)", place.0, place.1)
}

/// A route of the Gateway API, of HTTP or gRPC.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiRoute {
    #[serde(default)]
    rules: Vec<HttpRouteRule>,
    #[serde(default)]
    parent_refs: Vec<Parent>,
}

#[derive(Deserialize)]
struct Parent {
    #[serde(default)]
    kind: Option<String>,
    name: String,
    #[serde(default)]
    namespace: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpRouteRule {
    #[serde(default)]
    backend_refs: Vec<Backend>,
}

#[derive(Deserialize)]
struct Backend {
    #[serde(default)]
    kind: Option<String>,
    name: String,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    weight: Option<u32>,
}

impl ApiRoute {
    fn gateways(&self, namespace: &str) -> BTreeSet<String> {
        let gateways =
            self.parent_refs.iter().filter(|it| it.kind.as_deref().is_none_or(|kind| kind == "Gateway"));
        let place = |parent: &Parent| {
            (parent.namespace.clone().unwrap_or_else(|| namespace.to_owned()), parent.name.clone())
        };
        gateways.map(|parent| of_gateway_api(&place(parent))).collect()
    }

    fn services(&self, namespace: &str) -> BTreeSet<Place> {
        let backends = self.rules.iter().flat_map(|rule| &rule.backend_refs);
        backends
            .filter(|backend| backend.weight != Some(0))
            .filter(|backend| backend.kind.as_deref().is_none_or(|kind| kind == "Service"))
            .filter_map(|backend| {
                service_of(&backend.name, backend.namespace.as_deref().unwrap_or(namespace))
            })
            .collect()
    }
}

/// The conditions of the Gateway API that must not be `False`.
const CONDITIONS: [&str; 3] = ["Accepted", "Programmed", "ResolvedRefs"];

/// The conditions of those types that say no, of the object's present form where its generation tells it.
fn complaints<'v>(
    generation: Option<i64>,
    conditions: impl IntoIterator<Item = &'v Value>,
    types: &[&str],
) -> Vec<String> {
    let conditions = conditions.into_iter().flat_map(|list| list.as_array().into_iter().flatten());
    let text = |value: &Value, limit| printable(value.as_str().unwrap_or_default(), limit);
    conditions
        .filter(|condition| condition["status"] == "False")
        .filter(|condition| condition["type"].as_str().is_some_and(|it| types.contains(&it)))
        .filter(|condition| generation.is_none() || condition["observedGeneration"].as_i64() == generation)
        .map(|it| {
            format!(
                "{}=False {}: {}",
                text(&it["type"], 40),
                text(&it["reason"], 60),
                text(&it["message"], 200)
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn around(plural: &str, object: Value) -> Routing {
        let mut around = Around::default();
        around.add(plural, &serde_json::from_value(object).unwrap());
        assert_eq!(around.unseen, [""; 0]);
        around.routing
    }

    fn condition(kind: &str, status: &str, generation: i64) -> Value {
        json!({"type": kind, "status": status, "reason": "R", "message": "m", "observedGeneration": generation})
    }

    #[test]
    fn a_gateway_of_the_gateway_api_is_told_by_its_conditions_and_its_listeners() {
        let routing = around(
            GATEWAYS,
            json!({"metadata": {"name": "api", "namespace": "shop", "generation": 2}, "spec": {}, "status": {
                "conditions": [condition("Accepted", "True", 2), condition("Programmed", "False", 1)],
                "listeners": [{"name": "http", "conditions": [condition("ResolvedRefs", "False", 2)]}]}}),
        );
        let [gateway] = &routing.routes[..] else { panic!("{routing:?}") };
        assert_eq!(gateway.object, "Gateway shop/api (Gateway API)");
        assert_eq!(gateway.complaints, ["ResolvedRefs=False R: m"], "what an older form was is over");
        assert!(!gateway.is_route);
    }

    #[test]
    fn a_route_of_grpc_hangs_on_its_gateways_and_leads_to_its_services() {
        let routing = around(
            "grpcroutes",
            json!({"metadata": {"name": "web", "namespace": "shop", "generation": 1},
                "spec": {"parentRefs": [{"name": "api"}, {"name": "web", "kind": "Service", "group": ""}],
                    "rules": [{"backendRefs": [{"name": "web", "port": 80}]}]},
                "status": {"parents": [{"conditions": [condition("Accepted", "False", 1)]}]}}),
        );
        let [route] = &routing.routes[..] else { panic!("{routing:?}") };
        assert_eq!(route.object, "GRPCRoute shop/web");
        assert_eq!(route.gateways, BTreeSet::from(["Gateway shop/api (Gateway API)".to_owned()]));
        assert_eq!(route.services, BTreeSet::from([("shop".to_owned(), "web".to_owned())]));
        assert_eq!(route.complaints, ["Accepted=False R: m"]);
    }

    #[test]
    fn a_service_is_told_by_its_waypoint() {
        let service = |status: &str| {
            let condition =
                json!({"type": "istio.io/WaypointBound", "status": status, "reason": "R", "message": "m"});
            let routing = around(
                "services",
                json!({"metadata": {"name": "web", "namespace": "shop", "generation": 1}, "spec": {"ports": []},
                    "status": {"conditions": [condition]}}),
            );
            routing.services.into_values().next().unwrap().complaints
        };
        assert_eq!(service("True"), [""; 0]);
        assert_eq!(service("False"), ["istio.io/WaypointBound=False R: m"]);
    }
}
