//! Connections: how many there may be, and how long each may take to say what it wants.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::tls::Tls;

/// The most connections at once. One more ends the oldest, so that slow ones can't keep others out.
const MOST: usize = 512;
/// How long a request's line and headers may take, and how long a connection may rest between two requests.
const HEADERS: Duration = Duration::from_secs(10);
/// How many bytes a request's line and headers may have.
const HEADER_BYTES: usize = 32 * 1024;
/// How long the handshake of TLS may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long nobody is taken after the system refused to hand over a connection (it is out of files, most likely).
const PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` to everybody who connects until `stop`.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<Tls>>,
    stop: CancellationToken,
) {
    let mut open: BTreeMap<u64, CancellationToken> = BTreeMap::new();
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => {
                if let Ok(ended) = ended {
                    open.remove(&ended);
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    while open.len() >= MOST
                        && let Some((_, oldest)) = open.pop_first()
                    {
                        oldest.cancel();
                    }
                    number += 1;
                    let closed = CancellationToken::new();
                    open.insert(number, closed.clone());
                    let connection = connection(stream, router.clone(), tls.clone(), closed, stop.clone());
                    connections.spawn(async move {
                        connection.await;
                        number
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be taken");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
    // What is being answered is answered to its end.
    while connections.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    router: Router,
    tls: Option<Arc<Tls>>,
    closed: CancellationToken,
    stop: CancellationToken,
) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    match tls {
        None => converse(stream, router, closed, stop).await,
        Some(tls) => {
            let handshake = timeout(HANDSHAKE, tls.acceptor().accept(stream));
            let stream = tokio::select! {
                stream = handshake => stream,
                () = closed.cancelled() => return,
                () = stop.cancelled() => return,
            };
            if let Ok(Ok(stream)) = stream {
                converse(stream, router, closed, stop).await;
            }
        }
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    closed: CancellationToken,
    stop: CancellationToken,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let mut stopping = false;
    loop {
        tokio::select! {
            // How a connection ends is the business of the other side.
            _ = connection.as_mut() => return,
            () = closed.cancelled() => return,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
