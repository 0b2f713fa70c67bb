//! The registry that a local cluster pulls from, and the way to it from outside: the `ConfigMap`
//! `kube-public/local-registry-hosting` (KEP-1755), as k3d writes it and people write it for kind.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;
use serde::Deserialize;

use super::DeliverError;
use super::cluster::Cluster;
use crate::model::RegistryHost;

const NAMESPACE: &str = "kube-public";
const NAME: &str = "local-registry-hosting";
const KEY: &str = "localRegistryHosting.v1";
/// A longer text is not what the proposal describes.
const LONGEST: usize = 64 * 1024;

/// A registry whose name differs from the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosting {
    /// The name that the nodes pull by.
    pub name: RegistryHost,
    /// Where it is reached from outside of the cluster; a loopback or private address.
    pub way: RegistryHost,
}

/// What the cluster says; none where it says nothing that can be used, or does not let us read it.
pub async fn read(cluster: &Cluster) -> Result<Option<Hosting>, DeliverError> {
    let api: Api<ConfigMap> = Api::namespaced(cluster.client().clone(), NAMESPACE);
    let found = match api.get_opt(NAME).await {
        Ok(found) => found,
        Err(error) => match cluster.explain(&error, "get", "configmaps", NAMESPACE) {
            DeliverError::Forbidden { .. } => None,
            other => return Err(other),
        },
    };
    let text = found.and_then(|mut map| map.data.as_mut()?.remove(KEY));
    let hosting = text.as_deref().map(parse);
    if let Some(Err(why)) = &hosting {
        tracing::debug!(cluster = cluster.name(), why, "{NAMESPACE}/{NAME} names no way to a registry");
    }
    Ok(hosting.and_then(Result::ok))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Text {
    host: Option<String>,
    host_from_container_runtime: Option<String>,
}

fn parse(text: &str) -> Result<Hosting, &'static str> {
    if text.len() > LONGEST {
        return Err("the text is longer than 64 KiB");
    }
    let text: Text = serde_yaml::from_str(text).map_err(|_| "the text can't be read")?;
    let way: RegistryHost =
        text.host.ok_or("it has no host")?.parse().map_err(|_| "its host is not HOST:PORT")?;
    let name = text.host_from_container_runtime.ok_or("the name and the way are the same")?;
    let name: RegistryHost = name.parse().map_err(|_| "its hostFromContainerRuntime is not HOST:PORT")?;
    if name == way {
        return Err("the name and the way are the same");
    }
    // A name in DNS belongs to somebody, and there may be credentials for it.
    let is_local_name = !name.host().contains('.') && !name.host().starts_with('[');
    if !is_local_name && !is_near(&name) {
        return Err("its hostFromContainerRuntime is no local name");
    }
    if !is_near(&way) {
        return Err("its host is neither a loopback nor a private address");
    }
    Ok(Hosting { name, way })
}

/// Whether it can only be this machine or one beside it.
fn is_near(host: &RegistryHost) -> bool {
    let is_private = match host.host().trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(address)) => address.is_private(),
        Ok(IpAddr::V6(address)) => address.is_unique_local(),
        Err(_) => false,
    };
    is_private || host.is_loopback()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(host: &str, runtime: &str) -> Result<(String, String), &'static str> {
        let text =
            format!("host: \"{host}\"\nhostFromContainerRuntime: \"{runtime}\"\nhelp: https://k3d.io/\n");
        parse(&text).map(|hosting| (hosting.name.to_string(), hosting.way.to_string()))
    }

    #[test]
    fn a_local_cluster_names_its_registry_and_the_way_to_it() {
        let way = |host: &str, runtime: &str| Ok((runtime.to_owned(), host.to_owned()));
        for (host, runtime) in [
            ("localhost:41000", "k3d-registry:5000"),
            ("127.0.0.1:5001", "kind-registry:5000"),
            ("192.168.1.5:5000", "registry.localhost:5000"),
            ("[fd00::1]:5000", "10.0.0.7:5000"),
        ] {
            assert_eq!(read(host, runtime), way(host, runtime));
        }
    }

    #[test]
    fn nothing_else_is_taken_for_a_way() {
        for (host, runtime) in [
            ("localhost:5000", "localhost:5000"),
            ("localhost:5000", "ghcr.io"),
            ("localhost:5000", "registry.example.com:5000"),
            ("evil.example:5000", "k3d-registry:5000"),
            ("8.8.8.8:5000", "k3d-registry:5000"),
            ("169.254.169.254:80", "k3d-registry:5000"),
            ("http://localhost:5000", "k3d-registry:5000"),
            ("localhost:5000/path", "k3d-registry:5000"),
            ("", "k3d-registry:5000"),
        ] {
            assert!(read(host, runtime).is_err(), "{host} for {runtime}");
        }
        for text in
            ["", "host: localhost:5000", "hostFromContainerRuntime: a:1", "[]", "host: [1", "host: {a: b}"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"#".repeat(LONGEST + 1)).is_err());
    }
}
