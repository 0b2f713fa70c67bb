//! The probes of one rollout: a task that sends them for as long as the rollout lasts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::Subject;
use crate::config;
use crate::publish::Snapshot;
use crate::verify::probe::Probes;
use crate::verify::probe::request::Prober;
use crate::verify::{Finding, Layer};

/// The time between the beginnings of two probes.
const PACE: Duration = Duration::from_millis(500);

/// Probes under way.
pub(super) struct Probing {
    target: String,
    probes: watch::Receiver<Probes>,
    /// No pod of an older version serves any more.
    alone: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Drop for Probing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Probing {
    /// Begins to probe; an error is told in words.
    pub(super) fn start(
        settings: &config::Probe,
        subject: &Subject,
        snapshot: &Snapshot,
    ) -> Result<Self, String> {
        let prober = Prober::new(settings)?;
        let target = prober.target().to_owned();
        // Git knows whether the same probe has worked for a version before this one.
        let worked = snapshot.verdicts.all().any(|note| {
            note.app == subject.app
                && note.environment == subject.environment
                && note.layers.iter().any(|layer| {
                    let probe = layer.layer == Layer::Probe.to_string() && layer.result == "pass";
                    probe && layer.detail.ends_with(&format!(", {target}"))
                })
        });
        let (told, answers) = watch::channel(Probes::new(settings.count, worked));
        let alone = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(probe(prober, alone.clone(), told)).abort_handle();
        Ok(Self { target, probes: answers, alone, task })
    }

    /// Waits for an answer.
    pub(super) async fn news(&mut self) {
        if self.probes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// How the probes fare. `alone` tells that no pod of an older version serves any more.
    pub(super) fn look(&self, alone: bool, now: Timestamp) -> (Finding, bool) {
        self.alone.store(alone, Ordering::Relaxed);
        let probes = self.probes.borrow();
        (Finding::judged(Layer::Probe, probes.judge(&self.target, now)), probes.passes())
    }
}

async fn probe(prober: Prober, alone: Arc<AtomicBool>, told: watch::Sender<Probes>) {
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        // As it was when the probe began: an old pod may have answered since.
        let was_alone = alone.load(Ordering::Relaxed);
        let answer = prober.probe().await;
        told.send_modify(|probes| probes.enter(answer, was_alone, Timestamp::now()));
    }
}
