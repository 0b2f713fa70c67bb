//! etcd: the API server's storage.

use anyhow::Result;

use crate::layout::Bed;
use crate::process;

/// Starts etcd; returns its port for clients.
pub(crate) async fn start(bed: &Bed) -> Result<u16> {
    let (clients, peers) = (bed.port()?, bed.port()?);
    let (client_url, peer_url) = (format!("http://127.0.0.1:{clients}"), format!("http://127.0.0.1:{peers}"));
    let arguments = [
        "--name=bed".to_owned(),
        format!("--data-dir={}", bed.path("etcd").display()),
        // What a crash would lose is thrown away anyway.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
        format!("--listen-client-urls={client_url}"),
        format!("--advertise-client-urls={client_url}"),
        format!("--listen-peer-urls={peer_url}"),
        format!("--initial-advertise-peer-urls={peer_url}"),
        format!("--initial-cluster=bed={peer_url}"),
    ];
    process::spawn(bed, "etcd", &bed.program("etcd"), arguments, &[])?;
    process::ready(bed, "etcd", clients, Some("/health")).await?;
    Ok(clients)
}
