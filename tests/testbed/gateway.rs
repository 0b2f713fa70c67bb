//! The ingress gateway: a stock Envoy that istiod configures, and the objects by which the mesh knows it.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::istiod::Istiod;
use crate::layout::Bed;
use crate::{cluster, mesh, process};

/// Where it listens, on loopback.
pub(crate) struct Gateway {
    /// For traffic, as soon as a Gateway has a server on this port with `bind: 127.0.0.1`.
    pub(crate) port: u16,
    /// Envoy's own interface.
    pub(crate) admin: u16,
}

/// Starts it and connects it with istiod.
pub(crate) async fn start(bed: &Bed, api: u16, built: &Path, istiod: &Istiod) -> Result<Gateway> {
    let gateway = Gateway { port: bed.port()?, admin: bed.port()? };
    objects(api, gateway.port).await?;
    let bootstrap = bed.path("envoy.json");
    std::fs::write(&bootstrap, configuration(bed, &gateway, istiod).to_string())?;
    let bootstrap = bootstrap.display().to_string();
    // Two Envoys of one machine would share memory for a restart that no test makes.
    let arguments =
        ["-c", &bootstrap, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"];
    process::spawn(bed, "envoy", &built.join("bin/envoy"), arguments, &[])?;
    // It is initialised, in its own words, only with the first listener, which a Gateway of a test brings.
    process::ready(bed, "envoy", gateway.admin, None).await?;
    Ok(gateway)
}

fn configuration(bed: &Bed, gateway: &Gateway, istiod: &Istiod) -> Value {
    let address = |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let ip = format!("{}.255.1", bed.pod_range());
    json!({
        "node": {
            "id": format!("router~{ip}~istio-ingressgateway-0.{0}~{0}.svc.cluster.local", mesh::NAMESPACE),
            "cluster": format!("istio-ingressgateway.{}", mesh::NAMESPACE),
            "metadata": {
                "NAMESPACE": mesh::NAMESPACE,
                "NAME": "istio-ingressgateway-0",
                "LABELS": {"istio": "ingressgateway"},
                "ISTIO_VERSION": "1.31.0",
                "CLUSTER_ID": "Kubernetes",
                "INSTANCE_IPS": ip,
            },
        },
        "admin": {"address": address(gateway.admin)},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
            },
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
            "lds_config": {"ads": {}, "resource_api_version": "V3"},
        },
        "static_resources": {"clusters": [{
            "name": "xds",
            "type": "STATIC",
            "connect_timeout": "1s",
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}},
                },
            },
            "load_assignment": {
                "cluster_name": "xds",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(istiod.xds)}}]}],
            },
        }]},
    })
}

/// The pod and the service that stand for the Envoy: a Gateway's selector and a host's port have something to meet.
async fn objects(api: u16, port: u16) -> Result<()> {
    let labels = json!({"app": "istio-ingressgateway", "istio": "ingressgateway"});
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "istio-ingressgateway-0", "labels": labels},
        "spec": {"containers": [{"name": "istio-proxy", "image": "proxyv2:1.31.0"}]},
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "istio-ingressgateway", "labels": labels},
        "spec": {"selector": labels, "ports": [{"name": "http2", "port": port, "targetPort": port}]},
    });
    let folder = format!("/api/v1/namespaces/{}", mesh::NAMESPACE);
    cluster::post_when_possible(api, &format!("{folder}/pods"), &pod).await?;
    cluster::post_when_possible(api, &format!("{folder}/services"), &service).await
}
