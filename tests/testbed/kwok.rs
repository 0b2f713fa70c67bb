//! KWOK: nodes without machines; what becomes of a pod is told by the Stages of `stages/`.

use std::path::Path;

use anyhow::Result;

use crate::layout::Bed;
use crate::process;

/// Starts KWOK. Its CRD must exist.
pub(crate) async fn start(bed: &Bed, kubeconfig: &Path) -> Result<()> {
    let (port, pods) = (bed.port()?, bed.pod_range());
    let arguments = [
        format!("--kubeconfig={}", kubeconfig.display()),
        "--manage-all-nodes=true".to_owned(),
        // Stages come from the cluster, so that a running test can add and remove them.
        "--enable-crds=Stage".to_owned(),
        format!("--cidr={pods}.0.1/16"),
        format!("--node-ip={pods}.0.1"),
        format!("--server-address=127.0.0.1:{port}"),
        "--node-lease-duration-seconds=10".to_owned(),
    ];
    process::spawn(bed, "kwok", &bed.program("kwok"), arguments, &[])?;
    process::ready(bed, "kwok", port, Some("/healthz")).await
}
