//! One pod that is played: its sockets, and what it does wrong.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use regex::Regex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::answers::{Kind, Ledger};
use super::metrics;
use super::sidecar::{self, Manner};

/// Where Istio's agent shows the metrics of proxy and app together.
const METRICS: u16 = 15020;

/// What a pod is, as far as it is played.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Role {
    pub(super) uid: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) address: IpAddr,
    pub(super) labels: BTreeMap<String, String>,
    /// The Deployment or other owner.
    pub(super) workload: String,
    /// The first container's tag.
    pub(super) tag: String,
    ports: Vec<u16>,
    /// It has a container `istio-proxy`.
    pub(super) sidecar: bool,
    manner: Manner,
    errors: f64,
    delay: Duration,
}

impl Role {
    /// The role of a pod that runs; `None` for all others.
    pub(super) fn of(pod: &Pod) -> Option<Self> {
        let (spec, status) = (pod.spec.as_ref()?, pod.status.as_ref()?);
        let containers = status.container_statuses.as_deref().unwrap_or_default();
        let runs = status.phase.as_deref() == Some("Running")
            && pod.metadata.deletion_timestamp.is_none()
            && containers.iter().all(|one| one.state.as_ref().is_some_and(|state| state.running.is_some()));
        if !runs {
            return None;
        }
        let names = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        let image = spec.containers.first()?.image.clone().unwrap_or_default();
        let name = image.split('@').next().unwrap_or_default();
        let tag = name.rsplit('/').next().unwrap_or_default().split_once(':').map_or("", |(_, tag)| tag);
        let labels = pod.labels().clone();
        let owner = pod.metadata.owner_references.iter().flatten().next().map_or_else(
            || pod.name_any(),
            |owner| match labels.get("pod-template-hash") {
                Some(hash) => owner.name.trim_end_matches(&format!("-{hash}")).to_owned(),
                None => owner.name.clone(),
            },
        );
        let told = |word: &str| {
            let annotation = pod.annotations().get(&format!("bed/{word}")).cloned();
            annotation.or_else(|| by_tag(tag, word))
        };
        let percent = told("errors").map(|share| share.parse().unwrap_or(50.0));
        let milliseconds = told("delay").map(|delay| delay.parse().unwrap_or(1000));
        let manner = match told("sidecar") {
            Some(word) => Manner::named(&word)?,
            None => [Manner::Rejecting, Manner::Stalled, Manner::Absent]
                .into_iter()
                .find(|manner| by_tag(tag, manner.word()).is_some())
                .unwrap_or(Manner::Good),
        };
        Some(Self {
            uid: pod.uid().unwrap_or_default(),
            namespace: pod.namespace().unwrap_or_default(),
            name: pod.name_any(),
            address: status.pod_ip.as_ref()?.parse().ok()?,
            labels,
            workload: owner,
            tag: tag.to_owned(),
            ports: spec
                .containers
                .iter()
                .flat_map(|container| container.ports.iter().flatten())
                .filter_map(|port| u16::try_from(port.container_port).ok())
                .collect(),
            sidecar: names.into_iter().any(|container| container.name == "istio-proxy"),
            manner,
            errors: percent.unwrap_or(0.0) / 100.0,
            delay: Duration::from_millis(milliseconds.unwrap_or(0)),
        })
    }

    /// What Prometheus is told of it.
    pub(super) fn target(&self) -> Option<Value> {
        let mut labels = json!({"namespace": self.namespace, "pod": self.name});
        for (name, value) in &self.labels {
            let letters =
                name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' });
            labels[letters.collect::<String>()] = json!(value);
        }
        let address = SocketAddr::new(self.address, METRICS);
        self.sidecar.then(|| json!({"targets": [address.to_string()], "labels": labels}))
    }
}

/// What a tag like `1.1.0-bad-errors-5` says of a fault: its number, or nothing where the tag gives none.
fn by_tag(tag: &str, fault: &str) -> Option<String> {
    let found = Regex::new(&format!("bad-{fault}(?:-([0-9.]+))?")).ok()?.captures(tag)?;
    Some(found.get(1).map_or_else(String::new, |number| number.as_str().to_owned()))
}

/// What it does wrong now.
#[derive(Debug, Clone)]
pub(super) struct Faults {
    /// The share of requests that fail, 0 to 1: exactly that many of any number.
    pub(super) errors: f64,
    /// What they are answered.
    pub(super) status: u16,
    /// How long every request takes.
    pub(super) delay: Duration,
    /// Whether Prometheus is answered.
    pub(super) scrape: bool,
    due: f64,
}

/// What the sockets of one pod share.
pub(super) struct Act {
    pub(super) role: Role,
    faults: Mutex<Faults>,
    ledger: Mutex<Ledger>,
}

impl Act {
    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pod that is played as long as this lives.
pub(super) struct Player {
    pub(super) role: Role,
    pub(super) act: Arc<Act>,
    pub(super) manner: watch::Sender<Manner>,
    _tasks: JoinSet<()>,
}

impl Player {
    /// Opens the pod's sockets; one that cannot be had is told in the log.
    pub(super) fn start(role: Role, xds: u16) -> Self {
        let faults = Faults { errors: role.errors, status: 500, delay: role.delay, scrape: true, due: 0.0 };
        let act = Arc::new(Act { role: role.clone(), faults: Mutex::new(faults), ledger: Mutex::default() });
        let (manner, told) = watch::channel(role.manner);
        let mut tasks = JoinSet::new();
        for port in &role.ports {
            let router = axum::Router::new().fallback(answer).with_state(act.clone());
            tasks.spawn(serve(SocketAddr::new(role.address, *port), router));
        }
        if role.sidecar {
            let router = axum::Router::new().fallback(scraped).with_state(act.clone());
            tasks.spawn(serve(SocketAddr::new(role.address, METRICS), router));
            // The gateway has a real Envoy.
            if role.labels.get("istio").is_none_or(|name| name != "ingressgateway") {
                tasks.spawn(sidecar::run(role.clone(), xds, told));
            }
        }
        Self { role, act, manner, _tasks: tasks }
    }
}

async fn serve(address: SocketAddr, router: axum::Router) {
    // The socket of the pod that had the address before may not be closed yet.
    for _ in 0..20 {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                _ = axum::serve(listener, router).await;
                return;
            }
            Err(error) => super::told(&format!("{address}: {error}")),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn answer(State(act): State<Arc<Act>>) -> Response {
    let began = Instant::now();
    let (status, delay) = {
        let mut faults = act.faults();
        faults.due += faults.errors;
        let fails = faults.due >= 1.0;
        faults.due -= if fails { 1.0 } else { 0.0 };
        (if fails { faults.status } else { 200 }, faults.delay)
    };
    tokio::time::sleep(delay).await;
    let kind = Kind::http(status, "-");
    act.ledger().add(kind, 1, began.elapsed().as_secs_f64() * 1000.0);
    let body = format!("{} {}\n", act.role.name, act.role.tag);
    (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body).into_response()
}

async fn scraped(State(act): State<Arc<Act>>) -> Response {
    if !act.faults().scrape {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    metrics::page(&metrics::of_pod(&act.role), &act.ledger()).into_response()
}
