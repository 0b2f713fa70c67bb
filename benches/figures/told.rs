//! From a commit on the remote to Flux being told, and from the last ready pod to the verdict on the remote.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};

use crate::bed::{self, Site, bed};
use crate::ground::watch;
use crate::report::{Report, Sample};

const ROUNDS: u32 = 11;

/// What a watch of the cluster showed, and when.
enum Seen {
    /// Flux was asked.
    Asked,
    /// A pod's image, and whether it is ready; none: it is gone.
    Pod(String, Option<(String, bool)>),
    /// The Deployment's image, once its rollout is complete.
    Complete(String),
}

pub(crate) fn answer(report: &mut Report) {
    _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let site = bed::site("told").environments(&["local"]).verify("{timeout: 60s, stableFor: 0s}").create();
    let seen = runtime.block_on(observe(&site.namespace("local")));
    let daemon = site.promoted().start();
    site.wait_verdict("test-app", "local", "1.0.0");
    let (mut told, mut verdict, mut complete) = (Sample::default(), Sample::default(), Sample::default());
    for round in 0..=ROUNDS {
        let times = follow(&site, &seen, &format!("1.1.{round}"));
        if round > 0 {
            told.add(times.asked.saturating_duration_since(times.committed));
            verdict.add(times.written.saturating_duration_since(times.ready));
            complete.add(times.complete.saturating_duration_since(times.ready));
        }
    }
    daemon.stop();
    report.limit("commit on the remote → Flux told (seen by a watch)", &told, "", Duration::from_millis(50));
    let floor = format!("rollout complete in the Deployment's status: {complete}");
    report.limit(
        "last pod ready → verdict on the remote, `stableFor: 0s`",
        &verdict,
        &floor,
        Duration::from_millis(300),
    );
}

struct Times {
    committed: Instant,
    asked: Instant,
    ready: Instant,
    complete: Instant,
    written: Instant,
}

fn follow(site: &Site, seen: &Receiver<(Instant, Seen)>, version: &str) -> Times {
    while seen.try_recv().is_ok() {}
    let reference = |name: &str| -> PathBuf { site.bare().join("refs").join(name) };
    let read = |path: &PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let (branch, notes) = (reference("heads/main"), reference("notes/promote"));
    let (head, note) = (read(&branch), read(&notes));
    site.push_image("local", "test-app", version);
    let moved = |path: &PathBuf, old: &str| {
        let changed = || Some(read(path)).filter(|now| !now.is_empty() && now != old);
        watch(changed).unwrap_or_else(|| site.give_up(&format!("{} did not move", path.display()))).0
    };
    let committed = moved(&branch, &head);
    let written = moved(&notes, &note);

    let wanted = format!("/test-app:{version}@");
    let (mut asked, mut ready, mut complete) = (None, None, None);
    let mut pods: BTreeMap<String, (String, bool)> = BTreeMap::new();
    while complete.is_none() || ready.is_none() || asked.is_none() {
        let (when, what) =
            seen.recv_timeout(bed::DEADLINE).unwrap_or_else(|_| site.give_up("the watch saw nothing"));
        match what {
            Seen::Asked => _ = asked.get_or_insert(when),
            Seen::Pod(name, Some(state)) => _ = pods.insert(name, state),
            Seen::Pod(name, None) => _ = pods.remove(&name),
            Seen::Complete(image) if image.contains(&wanted) => _ = complete.get_or_insert(when),
            Seen::Complete(_) => {}
        }
        if pods.values().filter(|(image, ready)| *ready && image.contains(&wanted)).count() == 2 {
            ready.get_or_insert(when);
        }
    }
    Times { committed, asked: asked.unwrap(), ready: ready.unwrap(), complete: complete.unwrap(), written }
}

/// Watches a namespace from now on.
async fn observe(namespace: &str) -> Receiver<(Instant, Seen)> {
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
