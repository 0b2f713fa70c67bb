//! istiod: serves xDS, and writes status. Its own injector and webhooks stay off, so that wrong objects are stored and
//! can be judged.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::Result;
use serde_json::json;

use crate::layout::Bed;
use crate::{cluster, mesh, process};

const MESH: &str = "rootNamespace: istio-system
trustDomain: cluster.local
enableAutoMtls: false
";

/// Where istiod listens, all on loopback.
pub(crate) struct Istiod {
    /// xDS without TLS.
    pub(crate) xds: u16,
    /// Metrics and `/debug`.
    pub(crate) monitoring: u16,
}

/// Starts it with xDS on port `xds`. Its CRDs must be served, and its namespace exist.
pub(crate) async fn start(bed: &Bed, api: u16, built: &Path, kubeconfig: &Path, xds: u16) -> Result<Istiod> {
    let [http, monitoring, inside] = [bed.port()?, bed.port()?, bed.port()?];
    let config = bed.path("istio.yaml");
    std::fs::write(&config, MESH)?;
    let arguments = [
        "discovery".to_owned(),
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--httpAddr=127.0.0.1:{http}"),
        "--httpsAddr=".to_owned(),
        format!("--grpcAddr=127.0.0.1:{xds}"),
        "--secureGRPCAddr=".to_owned(),
        format!("--monitoringAddr=127.0.0.1:{monitoring}"),
        format!("--ctrlz_port={inside}"),
        format!("--meshConfig={}", config.display()),
    ];
    let environment = [
        ("POD_NAMESPACE", mesh::NAMESPACE),
        ("POD_NAME", "istiod-0"),
        ("CLUSTER_ID", "Kubernetes"),
        // A stock Envoy lacks Istio's filters.
        ("PILOT_ENABLE_METADATA_EXCHANGE", "false"),
        ("PILOT_ENABLE_ALPN_FILTER", "false"),
        ("PILOT_DISABLE_MX_ALPN", "true"),
    ]
    .map(|(name, value)| (name, OsStr::new(value)));
    process::spawn(bed, "istiod", &built.join("bin/pilot-discovery"), arguments, &environment)?;
    pod(api).await?;
    process::ready(bed, "istiod", http, Some("/ready")).await?;
    Ok(Istiod { xds, monitoring })
}

/// The pod that istiod would be in.
async fn pod(api: u16) -> Result<()> {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "istiod-0", "labels": {"app": "istiod", "istio": "pilot", "istio.io/rev": "default"}},
        "spec": {"containers": [{"name": "discovery", "image": "pilot:1.31.0"}]},
    });
    let path = format!("/api/v1/namespaces/{}/pods", mesh::NAMESPACE);
    cluster::post_when_possible(api, &path, &pod).await
}
