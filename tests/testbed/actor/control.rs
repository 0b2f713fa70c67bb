//! The control port: what a test has pods do, and what it asks them.
//!
//! `GET /pods` lists who is played. `POST /pods/NAMESPACE/POD` changes faults, `POST /pods/NAMESPACE/POD/requests` counts
//! requests that nobody made, `DELETE` of the same forgets all, as a proxy does that starts again; `POST /gateway/requests`
//! counts what the ingress gateway tells.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::answers::{Kind, Ledger};
use super::player::Player;
use super::sidecar::Manner;
use super::{Stage, metrics};

/// A change of what a pod does; what is not named stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Orders {
    /// The share of requests that fail, 0 to 1.
    errors: Option<f64>,
    /// What they are answered.
    status: Option<u16>,
    /// Milliseconds that every request takes.
    delay: Option<u64>,
    /// Whether Prometheus is answered.
    scrape: Option<bool>,
    /// What its sidecar does: `good`, `reject`, `stall` or `absent`.
    sidecar: Option<Manner>,
}

/// Requests that are to be counted.
#[derive(Deserialize)]
struct Requests {
    count: u64,
    /// Milliseconds that each took.
    #[serde(default)]
    duration: f64,
    #[serde(flatten)]
    kind: Kind,
}

/// Answers on the control port.
pub(super) async fn serve(stage: Arc<Stage>, port: u16) -> Result<()> {
    let router = Router::new()
        .route("/pods", get(list))
        .route("/pods/{namespace}/{pod}", post(order))
        .route("/pods/{namespace}/{pod}/requests", post(count).delete(forget))
        .route("/gateway/requests", post(count_at_gateway))
        .with_state(stage);
    Ok(axum::serve(TcpListener::bind(("127.0.0.1", port)).await?, router).await?)
}

/// Answers Prometheus for the ingress gateway.
pub(super) async fn serve_gateway(stage: Arc<Stage>, port: u16) -> Result<()> {
    let page = |State(stage): State<Arc<Stage>>| async move {
        let ledger = stage.gateway.lock().unwrap_or_else(PoisonError::into_inner);
        metrics::page(&metrics::of_gateway(), &ledger)
    };
    let router = Router::new().fallback(page).with_state(stage);
    Ok(axum::serve(TcpListener::bind(("127.0.0.1", port)).await?, router).await?)
}

fn told(ledger: &Ledger) -> Value {
    ledger
        .0
        .iter()
        .map(|(kind, count)| {
            json!({"status": kind.status, "flags": kind.flags, "grpc": kind.grpc, "count": count.requests})
        })
        .collect()
}

async fn list(State(stage): State<Arc<Stage>>) -> Json<Value> {
    let cast = stage.cast.lock().unwrap_or_else(PoisonError::into_inner);
    let pods = cast.values().map(|player| {
        let role = &player.role;
        json!({
            "namespace": role.namespace, "name": role.name, "address": role.address, "tag": role.tag,
            "sidecar": role.sidecar, "requests": told(&player.act.ledger()),
        })
    });
    Json(pods.collect())
}

type Answer = Result<StatusCode, (StatusCode, String)>;

fn player(stage: &Stage, namespace: &str, pod: &str) -> Result<Arc<Player>, (StatusCode, String)> {
    let missing = || (StatusCode::NOT_FOUND, format!("{namespace}/{pod} does not run\n"));
    stage.player(namespace, pod).ok_or_else(missing)
}

async fn order(
    State(stage): State<Arc<Stage>>,
    Path((namespace, pod)): Path<(String, String)>,
    Json(orders): Json<Orders>,
) -> Answer {
    let player = player(&stage, &namespace, &pod)?;
    let mut faults = player.act.faults();
    faults.errors = orders.errors.unwrap_or(faults.errors);
    faults.status = orders.status.unwrap_or(faults.status);
    faults.delay = orders.delay.map_or(faults.delay, Duration::from_millis);
    faults.scrape = orders.scrape.unwrap_or(faults.scrape);
    if let Some(manner) = orders.sidecar {
        player.manner.send_replace(manner);
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn count(
    State(stage): State<Arc<Stage>>,
    Path((namespace, pod)): Path<(String, String)>,
    Json(requests): Json<Requests>,
) -> Answer {
    let player = player(&stage, &namespace, &pod)?;
    player.act.ledger().add(requests.kind, requests.count, requests.duration);
    Ok(StatusCode::NO_CONTENT)
}

async fn forget(State(stage): State<Arc<Stage>>, Path((namespace, pod)): Path<(String, String)>) -> Answer {
    player(&stage, &namespace, &pod)?.act.ledger().0.clear();
    Ok(StatusCode::NO_CONTENT)
}

async fn count_at_gateway(State(stage): State<Arc<Stage>>, Json(requests): Json<Requests>) -> StatusCode {
    let mut ledger = stage.gateway.lock().unwrap_or_else(PoisonError::into_inner);
    ledger.add(requests.kind, requests.count, requests.duration);
    StatusCode::NO_CONTENT
}
