//! What a person wants to know of a cluster before anything is delivered there: single questions, no watch.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, PostParams};
use serde::Deserialize;

use super::DeliverError;
use super::cluster::Cluster;
use crate::config::FluxTarget;
use crate::model::printable;

/// Something that an account may do to a kind of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// `list`, `watch`, `patch`, …
    pub verb: &'static str,
    /// The API group; empty is the core one.
    pub group: &'static str,
    /// The resource, in the plural, with its subresource behind a slash.
    pub resource: &'static str,
}

/// A Kustomization of Flux, as far as it matters for a verdict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kustomization {
    /// A person has stopped it.
    pub suspended: bool,
    /// It waits for its objects' health before it looks at the next commit.
    pub waits: bool,
    /// How long it waits; none where the words are no duration.
    pub timeout: Option<Duration>,
    /// The kind of its source.
    pub source_kind: String,
    /// The namespace and the name of its source.
    pub source: (String, String),
    /// The namespaces of what it has applied.
    pub namespaces: BTreeSet<String>,
}

/// Whether this account may do that in `namespace`; nothing is done.
pub async fn may(cluster: &Cluster, right: Right, namespace: &str) -> Result<bool, DeliverError> {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (right.resource, None),
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                group: Some(right.group.to_owned()),
                namespace: Some(namespace.to_owned()),
                resource: Some(resource.to_owned()),
                subresource,
                verb: Some(right.verb.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(cluster.client().clone());
    let answer = api.create(&PostParams::default(), &review).await;
    let answer = answer.map_err(|error| {
        cluster.explain(&error, "create", "selfsubjectaccessreviews", "the whole cluster")
    })?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// The name by which the API server knows this account; none where it does not tell (before Kubernetes 1.28).
pub async fn account(cluster: &Cluster) -> Option<String> {
    let api: Api<SelfSubjectReview> = Api::all(cluster.client().clone());
    let answer = api.create(&PostParams::default(), &SelfSubjectReview::default()).await.ok()?;
    let name = answer.status?.user_info?.username?;
    Some(printable(&name, 200))
}

/// Flux's version, as its own kinds are labelled; none where they can't be read or say nothing.
pub async fn flux_version(cluster: &Cluster) -> Option<String> {
    let kind = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let api: Api<DynamicObject> = Api::all_with(cluster.client().clone(), &ApiResource::from_gvk(&kind));
    let found = api.get_opt("kustomizations.kustomize.toolkit.fluxcd.io").await.ok()??;
    let version = found.metadata.labels?.remove("app.kubernetes.io/version")?;
    Some(printable(&version, 60))
}

/// The Kustomization; none if there is none of that name.
pub async fn kustomization(
    cluster: &Cluster,
    target: &FluxTarget,
) -> Result<Option<Kustomization>, DeliverError> {
    let kind = GroupVersionKind::gvk("kustomize.toolkit.fluxcd.io", "v1", "Kustomization");
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> =
        Api::namespaced_with(cluster.client().clone(), &target.namespace, &resource);
    // Listing is what the daemon may do as well; getting is a right of its own.
    let only = ListParams::default().fields(&format!("metadata.name={}", target.name));
    let found = match api.list(&only).await {
        Ok(found) => found,
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
        Err(error) => return Err(cluster.explain(&error, "list", "kustomizations", &target.namespace)),
    };
    Ok(found.items.into_iter().next().map(|object| reduce(&object, &target.namespace)))
}

fn reduce(object: &DynamicObject, namespace: &str) -> Kustomization {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Fields {
        spec: Spec,
        status: Status,
    }
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Spec {
        suspend: bool,
        wait: bool,
        timeout: Option<String>,
        interval: String,
        source_ref: Source,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Source {
        kind: String,
        name: String,
        namespace: Option<String>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Status {
        inventory: Option<Inventory>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Inventory {
        entries: Vec<Entry>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Entry {
        id: String,
    }
    let Fields { spec, status } = serde_json::from_value(object.data.clone()).unwrap_or_default();
    let entries = status.inventory.map(|inventory| inventory.entries).unwrap_or_default();
    Kustomization {
        suspended: spec.suspend,
        waits: spec.wait,
        timeout: duration(spec.timeout.as_deref().unwrap_or(&spec.interval)),
        source_kind: printable(&spec.source_ref.kind, 60),
        source: (
            spec.source_ref.namespace.unwrap_or_else(|| namespace.to_owned()),
            printable(&spec.source_ref.name, 253),
        ),
        // Entries read `NAMESPACE_NAME_GROUP_KIND`; what belongs to no namespace begins with the underscore.
        namespaces: entries
            .iter()
            .filter_map(|entry| entry.id.split_once('_'))
            .filter(|(namespace, _)| !namespace.is_empty())
            .map(|(namespace, _)| printable(namespace, 63))
            .collect(),
    }
}

/// A duration in Go's words: numbers with `h`, `m`, `s` or `ms`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut whole = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let (unit, seconds) = [("ms", 0.001), ("h", 3600.0), ("m", 60.0), ("s", 1.0)]
            .into_iter()
            .find(|(unit, _)| rest.starts_with(unit))?;
        whole = whole.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = &rest[unit.len()..];
    }
    (!text.is_empty()).then_some(whole)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(text: &str) -> Kustomization {
        let mut object: serde_json::Value = serde_json::from_str(text).unwrap();
        object["metadata"] = serde_json::json!({"name": "apps"});
        object["apiVersion"] = "v1".into();
        object["kind"] = "Kustomization".into();
        reduce(&serde_json::from_value(object).unwrap(), "flux-system")
    }

    #[test]
    fn a_kustomization_waits_as_long_as_its_timeout_or_else_its_interval() {
        let with = read(r#"{"spec": {"wait": true, "timeout": "1h30m0s", "interval": "10m"}}"#);
        assert_eq!((with.waits, with.timeout), (true, Some(Duration::from_mins(90))));
        assert_eq!(read(r#"{"spec": {"interval": "2.5m"}}"#).timeout, Some(Duration::from_secs(150)));
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        for odd in ["", "5", "m", "-5m", "5 m", "five", "99999999999999999999h"] {
            assert_eq!(duration(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn its_namespaces_are_those_of_what_it_applied_and_odd_fields_say_nothing() {
        let read = read(
            r#"{"spec": {"sourceRef": {"kind": "GitRepository", "name": "deploy"}}, "status": {"inventory": {"entries":
            [{"id": "wiki_wiki_apps_Deployment"}, {"id": "_wiki__Namespace"}, {"id": "nonsense"}, {}]}}}"#,
        );
        assert_eq!(read.source, ("flux-system".to_owned(), "deploy".to_owned()));
        assert_eq!(read.namespaces, BTreeSet::from(["wiki".to_owned()]));
        let odd = super::reduce(
            &serde_json::from_str(r#"{"apiVersion": "v1", "kind": "K", "metadata": {}, "spec": [1]}"#)
                .unwrap(),
            "x",
        );
        assert_eq!(odd.source, ("x".to_owned(), String::new()));
    }
}
