//! What stands for a sidecar towards istiod: it connects, asks for configuration, and takes, ignores or refuses it.

use std::time::Duration;

use anyhow::Result;
use axum::http::uri::PathAndQuery;
use futures::channel::mpsc::{self, UnboundedSender};
use prost::Message as _;
use prost_types::Struct;
use serde::Deserialize;
use tokio::sync::watch;
use tonic::transport::Endpoint;

use super::player::Role;
use super::xds::{Cluster, DiscoveryRequest, DiscoveryResponse, Node, Status, object, text};

const CLUSTERS: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
const LISTENERS: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
const ENDPOINTS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
const ADS: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";

/// What a sidecar does with what it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Manner {
    /// It takes everything.
    #[serde(rename = "good")]
    Good,
    /// It refuses listeners.
    #[serde(rename = "reject")]
    Rejecting,
    /// It answers nothing more.
    #[serde(rename = "stall")]
    Stalled,
    /// It is not connected.
    #[serde(rename = "absent")]
    Absent,
}

impl Manner {
    /// The word for it in tags, annotations and requests.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Rejecting => "reject",
            Self::Stalled => "stall",
            Self::Absent => "absent",
        }
    }

    /// The manner of that word.
    pub(super) fn named(word: &str) -> Option<Self> {
        [Self::Good, Self::Rejecting, Self::Stalled, Self::Absent].into_iter().find(|it| it.word() == word)
    }
}

/// Keeps the sidecar of a pod connected with istiod on port `xds`, as `manner` tells.
pub(super) async fn run(role: Role, xds: u16, mut manner: watch::Receiver<Manner>) {
    loop {
        let now = *manner.borrow_and_update();
        if now == Manner::Absent {
            if manner.changed().await.is_err() {
                return;
            }
            continue;
        }
        if let Err(error) = session(&role, xds, &mut manner).await {
            super::told(&format!("sidecar of {}/{}: {error:#}", role.namespace, role.name));
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

fn node(role: &Role) -> Node {
    let labels = role.labels.iter().map(|(name, value)| (name.clone(), text(value)));
    let address = role.address.to_string();
    let fields = [
        ("NAMESPACE", text(&role.namespace)),
        ("NAME", text(&role.name)),
        ("LABELS", object(labels)),
        ("ISTIO_VERSION", text("1.31.0")),
        ("CLUSTER_ID", text("Kubernetes")),
        ("INSTANCE_IPS", text(&address)),
        ("WORKLOAD_NAME", text(&role.workload)),
    ];
    let Role { name, namespace, .. } = role;
    Node {
        id: format!("sidecar~{address}~{name}.{namespace}~{namespace}.svc.cluster.local"),
        cluster: format!("{}.{namespace}", role.workload),
        metadata: Some(Struct {
            fields: fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        }),
    }
}

/// One connection, until it breaks or the sidecar is to do something else.
async fn session(role: &Role, xds: u16, manner: &mut watch::Receiver<Manner>) -> Result<()> {
    let channel = Endpoint::from_shared(format!("http://127.0.0.1:{xds}"))?.connect().await?;
    let mut client = tonic::client::Grpc::new(channel).max_decoding_message_size(64 << 20);
    client.ready().await?;
    let (requests, sent) = mpsc::unbounded::<DiscoveryRequest>();
    let node = node(role);
    let ask = |type_url: &str, names: Vec<String>| DiscoveryRequest {
        node: Some(node.clone()),
        type_url: type_url.to_owned(),
        resource_names: names,
        ..DiscoveryRequest::default()
    };
    requests.unbounded_send(ask(CLUSTERS, vec![]))?;
    requests.unbounded_send(ask(LISTENERS, vec![]))?;
    let codec = tonic_prost::ProstCodec::<DiscoveryRequest, DiscoveryResponse>::default();
    let answer = client.streaming(tonic::Request::new(sent), PathAndQuery::from_static(ADS), codec).await?;
    let mut responses = answer.into_inner();
    let mut endpoints: Vec<String> = Vec::new();
    loop {
        tokio::select! {
            changed = manner.changed() => {
                changed?;
                // One that stalls keeps its connection; anything else begins anew.
                if *manner.borrow_and_update() != Manner::Stalled {
                    return Ok(());
                }
            }
            response = responses.message() => {
                let Some(response) = response? else { return Ok(()) };
                let manner = *manner.borrow();
                if manner == Manner::Stalled {
                    continue;
                }
                let names = if response.type_url == ENDPOINTS { endpoints.clone() } else { Vec::new() };
                reply(&requests, &response, names, manner)?;
                if response.type_url == CLUSTERS {
                    let names = outbound(&response);
                    if names != endpoints {
                        endpoints.clone_from(&names);
                        requests.unbounded_send(ask(ENDPOINTS, names))?;
                    }
                }
            }
        }
    }
}

fn reply(
    requests: &UnboundedSender<DiscoveryRequest>,
    response: &DiscoveryResponse,
    names: Vec<String>,
    manner: Manner,
) -> Result<()> {
    let refused = manner == Manner::Rejecting && response.type_url == LISTENERS;
    let error = || Status { code: 13, message: "the bed's sidecar refuses this listener".to_owned() };
    Ok(requests.unbounded_send(DiscoveryRequest {
        // One that is refused names the version before, which is none here.
        version_info: if refused { String::new() } else { response.version_info.clone() },
        resource_names: names,
        type_url: response.type_url.clone(),
        response_nonce: response.nonce.clone(),
        error_detail: refused.then(error),
        node: None,
    })?)
}

/// The clusters whose endpoints istiod tells.
fn outbound(response: &DiscoveryResponse) -> Vec<String> {
    let names = response.resources.iter().filter_map(|any| Cluster::decode(any.value.as_slice()).ok());
    let mut names: Vec<String> =
        names.map(|cluster| cluster.name).filter(|name| name.starts_with("outbound|")).collect();
    names.sort();
    names
}
