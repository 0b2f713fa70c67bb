//! The bed's Kubernetes API.

use axum::http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;

use super::{bed, http};

/// Base path of Deployments.
pub(crate) const APPS: &str = "/apis/apps/v1";
/// Base path of Flux's Kustomizations.
pub(crate) const KUSTOMIZE: &str = "/apis/kustomize.toolkit.fluxcd.io/v1";
/// Base path of Flux's sources.
pub(crate) const SOURCE: &str = "/apis/source.toolkit.fluxcd.io/v1";

/// The object at `path`; `None` if there is none.
pub(crate) fn get(path: &str) -> Option<Value> {
    let answer = http::request("GET", &format!("{}{path}", bed().api), &[], b"").ok()?;
    if answer.status == 200 { serde_json::from_slice(&answer.body).ok() } else { None }
}

/// Creates an object in the collection at `path`.
pub(crate) fn create(path: &str, object: &Value) {
    send("POST", path, "application/json", object);
}

/// Merges `changes` into the object at `path`.
pub(crate) fn patch(path: &str, changes: &Value) {
    send("PATCH", path, "application/merge-patch+json", changes);
}

/// Sends a request as `user`; an error is what the API server says.
///
/// The bed's proxy passes no other user on, and kubectl reads before it writes, which this user may not be allowed to.
pub(crate) fn send_as(user: &str, method: &str, path: &str, body: &Value) -> Result<(), String> {
    _ = rustls::crypto::ring::default_provider().install_default();
    let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("Content-Type", content_type)
        .body(body.to_string().into_bytes())
        .map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let kubeconfig = Kubeconfig::read_from(&bed().kubeconfig).unwrap();
        let options = KubeConfigOptions::default();
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        config.auth_info.impersonate = Some(user.to_owned());
        let client = kube::Client::try_from(config).unwrap();
        client.request::<Value>(request).await.map(drop).map_err(|error| error.to_string())
    })
}

/// Whether the API server refuses those changes of the object at `path`.
pub(crate) fn is_refused(path: &str, changes: &Value) -> bool {
    let url = format!("{}{path}", bed().api);
    let headers = [("Content-Type", "application/strategic-merge-patch+json")];
    let answer = http::request("PATCH", &url, &headers, changes.to_string().as_bytes());
    answer.is_ok_and(|answer| answer.status == 422)
}

fn send(method: &str, path: &str, content_type: &str, body: &Value) {
    let url = format!("{}{path}", bed().api);
    let headers = [("Content-Type", content_type)];
    let answer = http::request(method, &url, &headers, body.to_string().as_bytes());
    let answer = answer.unwrap_or_else(|error| panic!("{method} {url}: {error}"));
    assert!(answer.status < 300, "{method} {url}: {} {}", answer.status, answer.text());
}

/// Lets a namespace rest: Flux leaves its Kustomizations alone, and its pods go. Failures do not matter.
pub(crate) fn rest(namespace: &str) {
    let api = &bed().api;
    let suspend = br#"{"spec":{"suspend":true}}"#;
    let url = format!("{api}{KUSTOMIZE}/namespaces/{namespace}/kustomizations/apps");
    let _ = http::request("PATCH", &url, &[("Content-Type", "application/merge-patch+json")], suspend);
    for kind in ["deployments", "statefulsets", "daemonsets"] {
        let url = format!("{api}{APPS}/namespaces/{namespace}/{kind}?propagationPolicy=Background");
        let _ = http::request("DELETE", &url, &[], b"");
    }
}

/// Whether a Deployment's rollout is complete, as Kubernetes defines it.
pub(crate) fn is_complete(deployment: &Value) -> bool {
    let status = &deployment["status"];
    let replicas = &deployment["spec"]["replicas"];
    status["observedGeneration"] == deployment["metadata"]["generation"]
        && ["replicas", "updatedReplicas", "availableReplicas"].iter().all(|field| status[field] == *replicas)
}
