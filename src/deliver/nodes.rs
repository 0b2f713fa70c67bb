//! The platforms of a cluster's nodes, which are those that an image must be there for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};

use super::DeliverError;
use super::cluster::Cluster;
use crate::discover::Platform;

/// How many nodes are asked for at a time.
const PAGE: u32 = 500;
/// A word of Go's lists of systems and architectures is never longer.
const LONGEST: usize = 20;

/// Each platform that at least one node has, in a fixed order; none where this account may not list nodes.
pub async fn platforms(cluster: &Cluster) -> Result<Option<Vec<Platform>>, DeliverError> {
    let api: Api<Node> = Api::all(cluster.client().clone());
    let mut found = BTreeMap::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let nodes = match api.list(&page).await {
            Ok(nodes) => nodes,
            Err(error) => match cluster.explain(&error, "list", "nodes", "the whole cluster") {
                DeliverError::Forbidden { .. } => return Ok(None),
                other => return Err(other),
            },
        };
        for platform in nodes.items.into_iter().filter_map(platform) {
            found.insert(platform.to_string(), platform);
        }
        match nodes.metadata.continue_ {
            Some(next) if !next.is_empty() => page = page.continue_token(&next),
            _ => return Ok(Some(found.into_values().collect())),
        }
    }
}

/// What the node's kubelet says that it runs on; none for one that has not said it yet.
fn platform(node: Node) -> Option<Platform> {
    let info = node.status?.node_info?;
    let legal = |word: &str| {
        (1..=LONGEST).contains(&word.len())
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let (os, architecture) = (info.operating_system, info.architecture);
    (legal(&os) && legal(&architecture)).then_some(Platform { os, architecture, variant: None })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn of(info: serde_json::Value) -> Option<String> {
        let mut node = json!({"metadata": {"name": "one"}, "status": {}});
        node["status"]["nodeInfo"] = info;
        platform(serde_json::from_value(node).unwrap()).map(|platform| platform.to_string())
    }

    #[test]
    fn a_node_says_its_platform_or_none() {
        let info = |os: &str, architecture: &str| {
            json!({
                "operatingSystem": os, "architecture": architecture, "bootID": "", "containerRuntimeVersion": "",
                "kernelVersion": "", "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "", "osImage": "",
                "systemUUID": "",
            })
        };
        assert_eq!(of(info("linux", "arm64")).unwrap(), "linux/arm64");
        assert_eq!(of(info("", "")), None);
        assert_eq!(of(info("linux", "arm64\n")), None);
        assert_eq!(of(info("linux", &"a".repeat(200))), None);
        assert_eq!(of(serde_json::Value::Null), None);
    }
}
