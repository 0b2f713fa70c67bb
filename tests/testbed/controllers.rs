//! Kubernetes' own controllers and scheduler.

use anyhow::Result;

use crate::layout::Bed;
use crate::pki::Authority;
use crate::process;

/// Starts both; ready when both say so.
pub(crate) async fn start(bed: &Bed, authority: &Authority, apiserver: u16) -> Result<()> {
    let pki = |name: &str| bed.path("pki").join(name).display().to_string();
    let parts = [
        (
            "kube-controller-manager",
            vec![
                format!("--service-account-private-key-file={}", pki("accounts.key")),
                format!("--root-ca-file={}", pki("ca.crt")),
                // Without it the controllers lack their rights.
                "--use-service-account-credentials=true".to_owned(),
                // A busy machine is no reason to call a node dead.
                "--node-monitor-grace-period=5m".to_owned(),
            ],
        ),
        ("kube-scheduler", vec![]),
    ];
    let mut waiting = Vec::new();
    for (name, own) in parts {
        let port = bed.port()?;
        let kubeconfig = bed.path(format!("pki/{name}.kubeconfig"));
        std::fs::write(&kubeconfig, authority.kubeconfig(apiserver, &format!("system:{name}"), None)?)?;
        let common = [
            format!("--kubeconfig={}", kubeconfig.display()),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            format!("--tls-cert-file={}", pki("server.crt")),
            format!("--tls-private-key-file={}", pki("server.key")),
            "--leader-elect=false".to_owned(),
            // With the default of 20 a namespace waits 6 s for its service account.
            "--kube-api-qps=500".to_owned(),
            "--kube-api-burst=1000".to_owned(),
        ];
        process::spawn(bed, name, &bed.program(name), common.into_iter().chain(own), &[])?;
        waiting.push((name, port));
    }
    for (name, port) in waiting {
        process::ready(bed, name, port, None).await?;
    }
    Ok(())
}
