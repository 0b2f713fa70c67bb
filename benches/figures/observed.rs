//! What a watch of the cluster shows, beside the daemon's own.

use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};

use crate::bed::bed;

/// What a watch showed.
pub(crate) enum Seen {
    /// Flux was asked.
    Asked,
    /// A pod's image, and whether it is ready; none: it is gone.
    Pod(String, Option<(String, bool)>),
    /// The Deployment's image, once its rollout is complete.
    Complete(String),
}

/// Watches a namespace from now on.
pub(crate) async fn observe(namespace: &str) -> Receiver<(Instant, Seen)> {
    let kubeconfig = Kubeconfig::read_from(&bed().kubeconfig).unwrap();
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let client = Client::try_from(config).unwrap();
    let (sender, receiver) = mpsc::channel();

    let kind = GroupVersionKind::gvk("source.toolkit.fluxcd.io", "v1", "GitRepository");
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk(&kind));
    let told = sender.clone();
    tokio::spawn(async move {
        let mut stream = watcher(api, watcher::Config::default()).applied_objects().boxed();
        let mut known: Option<String> = None;
        while let Some(object) = stream.next().await {
            let Ok(object) = object else { continue };
            let value = object.annotations().get("reconcile.fluxcd.io/requestedAt").cloned();
            if let Some(value) = value.filter(|value| known.as_ref() != Some(value)) {
                known = Some(value);
                let _ = told.send((Instant::now(), Seen::Asked));
            }
        }
    });

    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let told = sender.clone();
    tokio::spawn(async move {
        let mut stream = watcher(api, watcher::Config::default()).boxed();
        while let Some(event) = stream.next().await {
            let seen = match event {
                Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => {
                    Seen::Pod(pod.name_any(), Some((pod_image(&pod), is_ready(&pod))))
                }
                Ok(watcher::Event::Delete(pod)) => Seen::Pod(pod.name_any(), None),
                _ => continue,
            };
            let _ = told.send((Instant::now(), seen));
        }
    });

    let api: Api<Deployment> = Api::namespaced(client, namespace);
    tokio::spawn(async move {
        let mut stream = watcher(api, watcher::Config::default()).applied_objects().boxed();
        while let Some(deployment) = stream.next().await {
            if let Ok(deployment) = deployment
                && let Some(image) = complete(&deployment)
            {
                let _ = sender.send((Instant::now(), Seen::Complete(image)));
            }
        }
    });
    receiver
}

fn pod_image(pod: &Pod) -> String {
    let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
    container.and_then(|container| container.image.clone()).unwrap_or_default()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|rows| rows.iter().any(|row| row.type_ == "Ready" && row.status == "True"))
}

/// The image of a Deployment whose rollout is complete, as Kubernetes defines it.
fn complete(deployment: &Deployment) -> Option<String> {
    let (spec, status) = (deployment.spec.as_ref()?, deployment.status.as_ref()?);
    let all = [status.replicas, status.updated_replicas, status.available_replicas];
    let done = status.observed_generation == deployment.metadata.generation
        && all.iter().all(|count| *count == spec.replicas);
    let container = spec.template.spec.as_ref()?.containers.first()?;
    container.image.clone().filter(|_| done)
}
