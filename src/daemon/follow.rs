//! The loop around a rollout: looks, steps, waits for the next change.

mod arrival;
mod glance;
mod layers;
mod mesh;
mod probing;
mod subject;
mod traffic;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use self::arrival::Arrival;
pub use self::glance::glance;
use self::layers::Layers;
pub use self::subject::{Subject, notes};
use super::Context;
use crate::deliver::DeliverError;
use crate::deliver::cluster::Changes;
use crate::deliver::flux::Flux;
use crate::model::{EnvironmentName, Verdict};
use crate::publish::Snapshot;
use crate::rollout::{Decision, Delivered, Observation, Phase, Rollout, Rules, Step};

/// Flux is asked again after this long, a few times.
const ASK_AGAIN: Duration = Duration::from_secs(15);
const ASKS: u32 = 4;
/// The longest time between two looks; watches make nearly all looks come sooner.
const LOOK_ANYWAY: Duration = Duration::from_secs(10);

/// Follows `subject` until there is a verdict; `progress` is told of each phase and of what is waited for.
pub async fn follow(
    context: &Context,
    subject: &Subject,
    rules: Rules,
    mut progress: impl FnMut(Phase, &str) + Send,
) -> Decision {
    let mut follower = Follower {
        context,
        subject,
        flux: None,
        arrival: Arrival::new(context, subject),
        layers: Layers::new(context, subject),
        asks: 0,
        asked: None,
        applied: false,
    };
    let rules = if subject.back { rules.on_the_way_back() } else { rules };
    let mut rollout = Rollout::new(rules, subject.committed, Timestamp::now());
    let mut snapshots = context.mirror.snapshots();
    loop {
        let snapshot = snapshots.borrow_and_update().clone();
        let (mut seen, changes) = follower.look(snapshot.as_deref()).await;
        let now = Timestamp::now();
        if now >= rollout.deadline() {
            follower.make_sure(&mut seen).await;
        }
        let (next, step) = rollout.step(&seen, now);
        rollout = next;
        let until = match step {
            Step::Decided(mut decision) => {
                if matches!(decision.verdict, Verdict::Failed | Verdict::Unknown) {
                    decision.reasons.extend(follower.explain().await);
                }
                return *decision;
            }
            Step::Wait(until) => until,
        };
        progress(rollout.phase(), rollout.detail());
        let patience = Duration::try_from(until.duration_since(now)).unwrap_or_default().min(LOOK_ANYWAY);
        tokio::select! {
            () = tokio::time::sleep(patience.max(Duration::from_millis(1))) => {}
            () = changed(changes) => {}
            () = follower.layers.news() => {}
            Ok(()) = snapshots.changed() => {}
        }
    }
}

/// Waits for word from the cluster, or a while where there is no watch.
async fn changed(changes: Option<Changes>) {
    match changes {
        Some(mut changes) => changes.next().await,
        None => tokio::time::sleep(Duration::from_secs(2)).await,
    }
}

struct Follower<'a> {
    context: &'a Context,
    subject: &'a Subject,
    flux: Option<Arc<Flux>>,
    arrival: Arrival<'a>,
    layers: Layers<'a>,
    asks: u32,
    asked: Option<tokio::time::Instant>,
    applied: bool,
}

impl Follower<'_> {
    /// One look at everything, and the word of change that was subscribed to before it.
    async fn look(&mut self, snapshot: Option<&Snapshot>) -> (Observation, Option<Changes>) {
        let only = |delivered| Observation { delivered, findings: Vec::new() };
        let Some(snapshot) = snapshot else {
            return (only(Delivered::Silent("the repository has not been read yet".to_owned())), None);
        };
        if let Err(words) = self.subject.still_stands(snapshot) {
            return (only(Delivered::Changed(words)), None);
        }
        if let Err(words) = self.connect(snapshot).await {
            let part = format!("delivery to {}", self.subject.environment);
            self.context.health.tell(&part, Some(words.clone()));
            return (only(Delivered::Silent(words)), None);
        }
        let Some(flux) = self.flux.clone() else {
            return (
                only(Delivered::Blocked("the environment has nothing that delivers to it".to_owned())),
                None,
            );
        };
        let mut changes = flux.changes();
        let cluster = format!("cluster {}", flux.cluster().name());
        let delivery = flux.delivery();
        match &delivery {
            Err(DeliverError::Listing { .. }) => {}
            Err(error @ DeliverError::Target(_)) => {
                tracing::debug!(cluster, %error, "nothing to deliver by");
                self.context.health.set(&cluster, None);
            }
            Err(error) => self.context.health.set(&cluster, Some(error.to_string())),
            Ok(_) => self.context.health.set(&cluster, None),
        }
        let delivery = match delivery {
            Ok(delivery) => delivery,
            Err(error @ DeliverError::Target(_)) => {
                return (only(Delivered::NotYet(error.to_string())), Some(changes));
            }
            Err(error) => return (only(Delivered::Silent(error.to_string())), Some(changes)),
        };
        let delivered = self.arrival.of(&delivery).await;
        let verify = snapshot.config.environments.get(&self.subject.environment).map(|it| &it.verify);
        let Some(verify) = verify else {
            let words = format!("promote.yaml no longer has {}", self.subject.environment);
            return (only(Delivered::Changed(words)), None);
        };
        let namespaces = delivery.workloads.iter().map(|id| &id.namespace);
        for namespace in namespaces.chain(delivery.others.iter().map(|id| &id.namespace)) {
            flux.cluster().listen(&mut changes, namespace);
        }
        if delivered != Delivered::Yes {
            // Only Flux can change that, and of Flux everybody is told.
            changes.only(BTreeSet::new());
            self.layers.remember(flux.cluster(), &delivery, verify).await;
            if matches!(delivered, Delivered::NotYet(_)) {
                self.ask().await;
            }
            return (only(delivered), Some(changes));
        }
        if !std::mem::replace(&mut self.applied, true) {
            crate::boundary::reached("applied");
        }
        let seen = match self.layers.look(flux.cluster(), &delivery, snapshot, verify).await {
            Ok(findings) => {
                if let Some(names) = self.layers.workloads() {
                    changes.only(names);
                }
                Observation { delivered, findings }
            }
            Err(unseen) => only(Delivered::Silent(unseen.to_string())),
        };
        (seen, Some(changes))
    }

    /// A watch has nothing to say of an API server that hangs. Before the time is up, it has to answer once.
    async fn make_sure(&self, seen: &mut Observation) {
        let Some(flux) = self.flux.as_ref().filter(|_| seen.delivered == Delivered::Yes) else { return };
        let answer = tokio::time::timeout(LOOK_ANYWAY, flux.cluster().reachable()).await;
        let silence = match answer {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("cluster {} does not answer", flux.cluster().name()),
        };
        *seen = Observation { delivered: Delivered::Silent(silence), findings: Vec::new() };
    }

    /// What the cluster tells beyond what was judged.
    async fn explain(&self) -> Vec<String> {
        match &self.flux {
            Some(flux) => self.layers.explain(flux.cluster()).await,
            None => Vec::new(),
        }
    }

    async fn connect(&mut self, snapshot: &Snapshot) -> Result<(), String> {
        if self.flux.is_some() {
            return Ok(());
        }
        let Some(environment) = snapshot.config.environments.get(&self.subject.environment) else {
            return Ok(());
        };
        let flux = self.context.clusters.flux(environment).await.map_err(|error| error.to_string())?;
        if let Some(flux) = flux {
            // The first request needs the objects' names, which the watch brings.
            _ = tokio::time::timeout(Duration::from_secs(5), flux.ready()).await;
            self.flux = Some(flux);
        }
        Ok(())
    }

    /// Asks Flux to look, at once and then now and again.
    async fn ask(&mut self) {
        let due = self.asked.is_none_or(|asked| asked.elapsed() >= ASK_AGAIN);
        if self.asks >= ASKS || !due {
            return;
        }
        let Some(flux) = self.flux.clone() else { return };
        (self.asked, self.asks) = (Some(tokio::time::Instant::now()), self.asks + 1);
        let part = format!("delivery to {}", self.subject.environment);
        let result = flux.ask(&self.subject.commit, ASK_AGAIN).await;
        crate::boundary::reached("asked");
        self.context.health.tell(&part, result.err().map(|error| error.to_string()));
    }
}

/// The rules of an environment.
pub fn rules(snapshot: &Snapshot, environment: &EnvironmentName) -> Option<Rules> {
    let verify = &snapshot.config.environments.get(environment)?.verify;
    let signed = |duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    Some(Rules { timeout: signed(verify.timeout), stable_for: signed(verify.stable_for) })
}

/// A context that many tasks share.
pub type Shared = Arc<Context>;
