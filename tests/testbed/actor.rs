//! The pod actor: gives KWOK's pods sockets on their own addresses, so that a gateway, Prometheus and istiod meet them as
//! they meet real ones.
//!
//! A pod that runs is answered for on each of its ports; one that has a container `istio-proxy` also shows Istio's metrics
//! on port 15020 and is connected with istiod. What it does wrong is told by its tag (`…-bad-errors-5`), by annotations
//! (`bed/errors`), or at any time by a request to the control port. It is a process of its own: ten thousand pods must not
//! take the bed's file descriptors.

mod answers;
mod control;
mod metrics;
mod player;
mod sidecar;
mod xds;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use tokio::sync::Notify;

use self::answers::Ledger;
use self::player::Player;
use crate::layout::Bed;
use crate::process;

/// Starts the actor as a part. `xds` is istiod's port, which need not listen yet. Returns the control port, and the file
/// that tells Prometheus what to scrape.
pub(crate) async fn start(bed: &Bed, kubeconfig: &Path, xds: u16) -> Result<(u16, PathBuf)> {
    let (control, gateway) = (bed.port()?, bed.port()?);
    let targets = bed.path("targets.json");
    let program = std::env::current_exe()?;
    let arguments = [
        "actor".to_owned(),
        kubeconfig.display().to_string(),
        targets.display().to_string(),
        control.to_string(),
        gateway.to_string(),
        xds.to_string(),
    ];
    process::spawn(bed, "pod-actor", &program, arguments, &[])?;
    process::ready(bed, "pod-actor", control, Some("/pods")).await?;
    Ok((control, targets))
}

/// A line of the actor's log.
fn told(line: &str) {
    _ = writeln!(std::io::stderr(), "{line}");
}

/// All pods that are played, by namespace and name.
type Cast = BTreeMap<(String, String), Arc<Player>>;

/// What the watch, the control port and the scraped pages share.
struct Stage {
    cast: Mutex<Cast>,
    /// What the ingress gateway tells about requests, which may never have reached a pod.
    gateway: Mutex<Ledger>,
    changed: Notify,
    xds: u16,
}

impl Stage {
    fn player(&self, namespace: &str, name: &str) -> Option<Arc<Player>> {
        let cast = self.cast.lock().unwrap_or_else(PoisonError::into_inner);
        cast.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// Begins, goes on or ends to play a pod, as its state demands.
    fn consider(&self, pod: &Pod) {
        let key = (pod.namespace().unwrap_or_default(), pod.name_any());
        let mut cast = self.cast.lock().unwrap_or_else(PoisonError::into_inner);
        let role = player::Role::of(pod);
        let same = match (&role, cast.get(&key)) {
            (Some(role), Some(player)) => player.role == *role,
            (None, None) => true,
            _ => false,
        };
        if same {
            return;
        }
        // Its sockets close before new ones open.
        cast.remove(&key);
        if let Some(role) = role {
            cast.insert(key, Arc::new(Player::start(role, self.xds)));
        }
        self.changed.notify_one();
    }

    fn forget(&self, keys: impl Fn(&(String, String)) -> bool) {
        self.cast.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, _| !keys(key));
        self.changed.notify_one();
    }

    /// Keeps Prometheus' list of targets.
    async fn list_targets(&self, file: &Path, gateway: u16) -> Result<()> {
        loop {
            let mut groups = vec![json!({
                "targets": [format!("127.0.0.1:{gateway}")],
                "labels": {"namespace": "istio-system", "pod": "istio-ingressgateway-0", "app": "istio-ingressgateway"},
            })];
            {
                let cast = self.cast.lock().unwrap_or_else(PoisonError::into_inner);
                groups.extend(cast.values().filter_map(|player| player.role.target()));
            }
            let fresh = file.with_extension("new");
            tokio::fs::write(&fresh, serde_json::Value::from(groups).to_string()).await?;
            tokio::fs::rename(&fresh, file).await?;
            self.changed.notified().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The part's own program: `bed actor KUBECONFIG TARGETS CONTROL GATEWAY XDS`.
#[tokio::main]
pub(crate) async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(2).collect();
    let [kubeconfig, targets, control, gateway, xds] = &words[..] else {
        anyhow::bail!("the actor is started by the bed");
    };
    _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let client = kube::Client::try_from(config)?;
    let stage = Arc::new(Stage {
        cast: Mutex::default(),
        gateway: Mutex::default(),
        changed: Notify::new(),
        xds: xds.parse()?,
    });
    let gateway: u16 = gateway.parse()?;
    tokio::try_join!(
        watch(client, &stage),
        stage.list_targets(Path::new(targets), gateway),
        control::serve(stage.clone(), control.parse()?),
        control::serve_gateway(stage.clone(), gateway),
    )
    .map(|_: ((), (), (), ())| ())
}

async fn watch(client: kube::Client, stage: &Stage) -> Result<()> {
    let mut seen = BTreeSet::new();
    let mut events = pin!(watcher(Api::<Pod>::all(client), watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => seen.clear(),
            Ok(watcher::Event::InitApply(pod)) => {
                seen.insert((pod.namespace().unwrap_or_default(), pod.name_any()));
                stage.consider(&pod);
            }
            Ok(watcher::Event::InitDone) => stage.forget(|key| !seen.contains(key)),
            Ok(watcher::Event::Apply(pod)) => stage.consider(&pod),
            Ok(watcher::Event::Delete(pod)) => {
                let gone = (pod.namespace().unwrap_or_default(), pod.name_any());
                stage.forget(|key| *key == gone);
            }
            Err(error) => told(&format!("watch: {error}")),
        }
    }
    Err(anyhow::anyhow!("the watch of pods ended")).context("it is restarted for ever")
}
