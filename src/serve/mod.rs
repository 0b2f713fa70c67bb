//! HTTP: metrics and health to read, and webhooks, which only say where to look again.
//!
//! In: connections from anywhere, of which nothing is believed. Every request is bounded in size and time, every
//! connection can be ended for a newer one, and a message is proved before it is read.

mod body;
mod listener;
mod tls;
mod webhooks;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::tls::Tls;
use self::webhooks::Desk;
use crate::daemon::health::Health;
use crate::daemon::metrics::Metrics;
use crate::daemon::receivers::Receivers;

/// What the server shows, and whom it hands webhooks to.
#[derive(Debug, Clone)]
pub struct Shown {
    /// What is usable.
    pub health: Arc<Health>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The receivers of webhooks.
    pub receivers: Arc<Receivers>,
}

/// Serves `/metrics`, `/healthz`, `/readyz` and `/webhooks` until `stop`; returns the address, whose port may have been 0.
///
/// With `tls` it speaks HTTPS alone, with `tls.crt` and `tls.key` of that folder.
pub async fn start(
    listen: SocketAddr,
    tls: Option<PathBuf>,
    shown: Shown,
    stop: CancellationToken,
) -> Result<SocketAddr, String> {
    let tls = tls.map(|folder| Tls::load(&folder).map(Arc::new)).transpose()?;
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| format!("--listen {listen}: {error}; name a free address"))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    if let Some(tls) = tls.clone() {
        let (health, stop) = (shown.health.clone(), stop.clone());
        tokio::spawn(async move { tls.keep(&health, stop).await });
    }
    let desk = Desk::new(shown.receivers.clone(), shown.metrics.clone());
    let webhooks = Router::new()
        .route("/webhooks/{name}", post(webhooks::receive))
        .route("/webhooks/{name}/{secret}", post(webhooks::receive_with_secret))
        .with_state(Arc::new(desk));
    let router = Router::new()
        .route("/metrics", get(metrics_text))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(readiness))
        .with_state(shown)
        .merge(webhooks);
    tokio::spawn(listener::serve(listener, router, tls, stop));
    Ok(address)
}

async fn metrics_text(State(shown): State<Shown>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shown.metrics.render())
}

async fn readiness(State(shown): State<Shown>) -> impl IntoResponse {
    let (ready, report) = shown.health.report();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report))
}
