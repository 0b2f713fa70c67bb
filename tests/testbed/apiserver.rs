//! The API server, and beside it a `kubectl proxy`: the API in plain HTTP with an administrator's rights, for the bed
//! and its tests. Whoever can reach this machine's loopback can use it.

use std::path::Path;

use anyhow::Result;

use crate::layout::Bed;
use crate::process;

/// What service accounts of the tests ask for is written down, so that a test can hold it against what they may.
const AUDIT: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- {level: None, userGroups: ['system:serviceaccounts:kube-system']}
- {level: Metadata, userGroups: ['system:serviceaccounts']}
- {level: None}
";

/// Starts the API server on `port` and the proxy; ready when both are. Returns the proxy's port. A bare one takes webhooks
/// and calls none.
pub(crate) async fn start(bed: &Bed, port: u16, etcd: u16, kubeconfig: &Path, bare: bool) -> Result<u16> {
    let pki = |name: &str| bed.path("pki").join(name).display().to_string();
    let policy = bed.path("audit.yaml");
    std::fs::write(&policy, AUDIT)?;
    let mut arguments = vec![
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", bed.path("audit.log").display()),
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        "--advertise-address=127.0.0.1".to_owned(),
        format!("--tls-cert-file={}", pki("server.crt")),
        format!("--tls-private-key-file={}", pki("server.key")),
        format!("--client-ca-file={}", pki("ca.crt")),
        format!("--service-account-key-file={}", pki("accounts.pub")),
        format!("--service-account-signing-key-file={}", pki("accounts.key")),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        "--allow-privileged=true".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
    ];
    if bare {
        arguments.push(
            "--disable-admission-plugins=MutatingAdmissionWebhook,ValidatingAdmissionWebhook".to_owned(),
        );
    }
    process::spawn(bed, "kube-apiserver", &bed.program("kube-apiserver"), arguments, &[])?;
    let proxy = bed.port()?;
    let arguments =
        ["proxy".to_owned(), format!("--port={proxy}"), format!("--kubeconfig={}", kubeconfig.display())];
    process::spawn(bed, "kubectl-proxy", &bed.program("kubectl"), arguments, &[])?;
    process::ready(bed, "kubectl-proxy", proxy, None).await?;
    tokio::try_join!(
        process::ready(bed, "kube-apiserver", port, None),
        process::ready(bed, "kubectl-proxy", proxy, Some("/readyz"))
    )?;
    Ok(proxy)
}
