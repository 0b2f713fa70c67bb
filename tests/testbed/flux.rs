//! Flux: the source, kustomize and notification controllers.

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use crate::layout::{Bed, Places};
use crate::process;

/// Starts the controllers. Their CRDs must exist.
pub(crate) async fn start(bed: &Bed, kubeconfig: &Path) -> Result<Places> {
    let (storage, events, receivers) = (bed.port()?, bed.port()?, bed.port()?);
    let events_address = format!("--events-addr=http://127.0.0.1:{events}/");
    let parts = [
        (
            "source-controller",
            vec![
                format!("--storage-path={}", bed.path("artifacts").display()),
                format!("--storage-addr=127.0.0.1:{storage}"),
                format!("--storage-adv-addr=127.0.0.1:{storage}"),
                events_address.clone(),
            ],
        ),
        ("kustomize-controller", vec!["--requeue-dependency=5s".to_owned(), events_address]),
        (
            "notification-controller",
            vec![
                format!("--receiverAddr=127.0.0.1:{receivers}"),
                format!("--events-addr=127.0.0.1:{events}"),
            ],
        ),
    ];
    std::fs::create_dir(bed.path("artifacts"))?;
    let mut waiting = Vec::new();
    for (name, mut arguments) in parts {
        let (metrics, health) = (bed.port()?, bed.port()?);
        arguments.push(format!("--metrics-addr=127.0.0.1:{metrics}"));
        arguments.push(format!("--health-addr=127.0.0.1:{health}"));
        if name != "notification-controller" {
            arguments.push("--kube-api-qps=500".to_owned());
            arguments.push("--kube-api-burst=1000".to_owned());
        }
        // Tests run side by side, and one that waits for health must not hold up the others.
        arguments.push("--concurrent=12".to_owned());
        let environment = [
            ("KUBECONFIG", kubeconfig.as_os_str()),
            ("RUNTIME_NAMESPACE", std::ffi::OsStr::new("flux-system")),
        ];
        process::spawn(bed, name, &bed.program(name), arguments, &environment)?;
        waiting.push((name, health));
    }
    for (name, health) in waiting {
        process::ready(bed, name, health, Some("/readyz")).await?;
    }
    let mut places = Places::new();
    places.insert("fluxReceivers".into(), json!(format!("http://127.0.0.1:{receivers}")));
    Ok(places)
}
