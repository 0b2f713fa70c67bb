//! The mesh: Istio, an Envoy as its gateway, pods that answer, and Prometheus. It starts when everything else is ready.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::layout::{Bed, Places, SOURCE, found};
use crate::{actor, cluster, gateway, istiod, network, prometheus};

/// The namespace of the mesh's own parts.
pub(crate) const NAMESPACE: &str = "istio-system";

/// Starts the mesh and writes `mesh.json`: where it is, or why it is not there, under `failed`. A bed without a mesh goes on.
pub(crate) async fn begin(bed: &Bed, api: u16) -> Result<()> {
    let places = start(bed, api).await.unwrap_or_else(|error| {
        let mut places = Places::new();
        places.insert("failed".into(), json!(format!("{error:#}")));
        places
    });
    let (file, fresh) = (bed.path("mesh.json"), bed.path("mesh.json.new"));
    std::fs::write(&fresh, Value::Object(places).to_string())?;
    // Whoever sees the file sees all of it.
    std::fs::rename(fresh, file)?;
    bed.progress("the mesh is ready, or mesh.json says why it is not");
    Ok(())
}

async fn start(bed: &Bed, api: u16) -> Result<Places> {
    let built = found("mesh/build.sh")?;
    network::start(bed).await?;
    let (kubeconfig, crds, xds) = (bed.path("kubeconfig"), built.join("crds"), bed.port()?);
    let ((), (), (), (actor, scraped)) = tokio::try_join!(
        cluster::definitions(api, &crds),
        cluster::namespace(api, NAMESPACE),
        objects(api),
        actor::start(bed, &kubeconfig, xds),
    )?;
    let (istiod, prometheus) = tokio::try_join!(
        istiod::start(bed, api, &built, &kubeconfig, xds),
        prometheus::start(bed, &scraped)
    )?;
    let gateway = gateway::start(bed, api, &built, &istiod).await?;
    let mut places = Places::new();
    places.insert("actor".into(), json!(format!("http://127.0.0.1:{actor}")));
    places.insert("prometheus".into(), json!(format!("http://127.0.0.1:{prometheus}")));
    places.insert("gateway".into(), json!(format!("http://127.0.0.1:{}", gateway.port)));
    places.insert("gatewayAdmin".into(), json!(format!("http://127.0.0.1:{}", gateway.admin)));
    places.insert("istiod".into(), json!(format!("http://127.0.0.1:{}", istiod.monitoring)));
    places.insert("istioctl".into(), json!(built.join("bin/istioctl")));
    Ok(places)
}

/// Creates what stands for the injector: where a namespace asks for sidecars, its new pods get one.
async fn objects(api: u16) -> Result<()> {
    let text = std::fs::read_to_string(format!("{SOURCE}/injection.yaml"))?;
    let (policy, binding) = text.split_once("\n---\n").context("injection.yaml has two documents")?;
    let group = "/apis/admissionregistration.k8s.io/v1";
    for (plural, document) in
        [("mutatingadmissionpolicies", policy), ("mutatingadmissionpolicybindings", binding)]
    {
        cluster::post(api, &format!("{group}/{plural}"), "application/yaml", document.as_bytes()).await?;
    }
    Ok(())
}
