//! The loop around a rollout: looks, steps, waits for the next change.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::Context;
use crate::deliver::DeliverError;
use crate::deliver::flux::Flux;
use crate::edit::Written;
use crate::model::{AppName, CommitId, Digest, EnvironmentName, ImageName, Repository, VerdictNote};
use crate::publish::{Desired, Held, Snapshot, reference};
use crate::rollout::{Decision, Delivered, Observation, Phase, Rollout, Rules, Step};
use crate::verify::kube::{Seen, Watches};
use crate::verify::{Judgement, pods, workload};

/// Flux is asked again after this long, a few times.
const ASK_AGAIN: Duration = Duration::from_secs(15);
const ASKS: u32 = 4;
/// A revision that could not be applied for this long is not a passing trouble.
const REFUSED_FOR: SignedDuration = SignedDuration::from_secs(5);
/// The longest time between two looks; watches make nearly all looks come sooner.
const LOOK_ANYWAY: Duration = Duration::from_secs(10);

/// One version in one environment, to be followed from its commit to its verdict.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The commit that brought the version.
    pub commit: CommitId,
    /// The commit before it.
    pub parent: Option<CommitId>,
    /// When it was made.
    pub committed: Timestamp,
    /// What the overlay says since then.
    pub images: Vec<(ImageName, Written)>,
}

impl Subject {
    /// What stands in `environment` now, since the commit that brought it.
    pub fn of(app: &AppName, environment: &EnvironmentName, desired: &Desired) -> Option<Self> {
        let origin = desired.origin()?;
        Some(Self {
            app: app.clone(),
            environment: environment.clone(),
            commit: origin.commit.clone(),
            parent: origin.parent.clone(),
            committed: origin.time,
            images: desired.images.iter().map(|(image, written)| (image.clone(), written.clone())).collect(),
        })
    }

    /// The tags, for people.
    pub fn versions(&self) -> String {
        let versions: Vec<String> =
            self.images.iter().map(|(_, written)| crate::publish::version(written)).collect();
        versions.join(", ")
    }

    fn still_stands(&self, snapshot: &Snapshot) -> Result<(), String> {
        let key = (self.app.clone(), self.environment.clone());
        let Some(desired) = snapshot.desired.get(&key) else {
            return Err(format!("promote.yaml no longer has {} in {}", self.app, self.environment));
        };
        for (image, written) in &self.images {
            match desired.images.get(image) {
                Some(now) if now == written => {}
                Some(now) => return Err(format!("the overlay says {} now", reference(image, now))),
                None => return Err(format!("the overlay no longer has {image}")),
            }
        }
        Ok(())
    }
}

/// The lines to write for a decision: one per image that can be named exactly.
pub fn notes(subject: &Subject, decision: &Decision) -> Vec<VerdictNote> {
    let line = |(image, written): &(ImageName, Written)| {
        Some(VerdictNote {
            v: 1,
            app: subject.app.clone(),
            environment: subject.environment.clone(),
            image: image.clone(),
            reference: written.new_name.as_deref()?.parse().ok()?,
            tag: written.new_tag.clone()?,
            digest: written.digest.clone()?,
            commit: subject.commit.clone(),
            verdict: decision.verdict,
            reasons: decision.reasons.clone(),
            layers: decision.layers.clone(),
            times: decision.times.clone(),
        })
    };
    subject.images.iter().filter_map(line).collect()
}

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
        watches: Watches::default(),
        held: HashMap::new(),
        expected: None,
        asks: 0,
        asked: None,
        refused_since: None,
        broken: None,
        applied: false,
    };
    let mut rollout = Rollout::new(rules, subject.committed, Timestamp::now());
    let mut snapshots = context.mirror.snapshots();
    loop {
        let snapshot = snapshots.borrow_and_update().clone();
        let (seen, changes) = follower.look(snapshot.as_deref()).await;
        let now = Timestamp::now();
        let (next, step) = rollout.step(&seen, now);
        rollout = next;
        let until = match step {
            Step::Decided(decision) => return *decision,
            Step::Wait(until) => until,
        };
        progress(rollout.phase(), rollout.detail());
        let patience = Duration::try_from(until.duration_since(now)).unwrap_or_default().min(LOOK_ANYWAY);
        tokio::select! {
            () = tokio::time::sleep(patience.max(Duration::from_millis(1))) => {}
            () = changed(changes) => {}
            Ok(()) = snapshots.changed() => {}
        }
    }
}

/// Waits for word from the cluster, or a while where there is no watch.
async fn changed(changes: Option<watch::Receiver<u64>>) {
    match changes {
        Some(mut changes) => {
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
        None => tokio::time::sleep(Duration::from_secs(2)).await,
    }
}

struct Follower<'a> {
    context: &'a Context,
    subject: &'a Subject,
    flux: Option<Arc<Flux>>,
    watches: Watches,
    held: HashMap<CommitId, Held>,
    expected: Option<BTreeSet<Digest>>,
    asks: u32,
    asked: Option<tokio::time::Instant>,
    refused_since: Option<Timestamp>,
    broken: Option<String>,
    applied: bool,
}

impl Follower<'_> {
    /// One look at everything, and the word of change that was subscribed to before it.
    async fn look(&mut self, snapshot: Option<&Snapshot>) -> (Observation, Option<watch::Receiver<u64>>) {
        let only = |delivered| Observation { delivered, workload: None, pods: None };
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
        let Some(flux) = &self.flux else {
            return (
                only(Delivered::Blocked("the environment has nothing that delivers to it".to_owned())),
                None,
            );
        };
        let mut changes = flux.cluster().changes();
        changes.borrow_and_update();
        let cluster = format!("cluster {}", flux.cluster().name());
        let delivery = flux.delivery();
        let silent = match &delivery {
            Err(error @ (DeliverError::Unreachable { .. } | DeliverError::Forbidden { .. })) => {
                Some(error.to_string())
            }
            _ => None,
        };
        let listing = silent.as_ref().is_some_and(|words| words.contains("not listed yet"));
        if !listing {
            self.context.health.set(&cluster, silent);
        }
        let delivery = match delivery {
            Ok(delivery) => delivery,
            Err(error @ DeliverError::Target(_)) => {
                return (only(Delivered::NotYet(error.to_string())), Some(changes));
            }
            Err(error) => return (only(Delivered::Silent(error.to_string())), Some(changes)),
        };
        let delivered = self.delivered(&delivery).await;
        if delivered != Delivered::Yes {
            if matches!(delivered, Delivered::NotYet(_)) {
                self.ask().await;
            }
            return (only(delivered), Some(changes));
        }
        if !std::mem::replace(&mut self.applied, true) {
            crate::boundary::reached("applied");
        }
        let (workload, pods) = self.judge(&delivery.workloads).await;
        (Observation { delivered, workload: Some(workload), pods }, Some(changes))
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

    /// What the delivery means for the subject's commit.
    async fn delivered(&mut self, delivery: &crate::deliver::Delivery) -> Delivered {
        if let Some(applied) = &delivery.applied {
            match self.held(applied).await {
                Ok(Held::Yes) => return Delivered::Yes,
                Ok(Held::Changed) => {
                    return Delivered::Changed(format!(
                        "{} is applied, which has other images",
                        applied.short()
                    ));
                }
                Ok(Held::No) => {}
                Err(words) => return Delivered::Silent(words),
            }
        }
        if let Some(words) = &delivery.suspended {
            return Delivered::Blocked(words.clone());
        }
        // Between two refusals Flux tries again and says so; that is no reason to begin to count anew.
        if let Some((revision, words)) = &delivery.refused
            && *revision == self.subject.commit
        {
            let now = Timestamp::now();
            let since = *self.refused_since.get_or_insert(now);
            let words = format!("the commit could not be applied: {words}");
            // Only where all before it is applied is it this commit that broke something.
            let alone = delivery.applied.is_some() && delivery.applied == self.subject.parent;
            if alone && now.duration_since(since) >= REFUSED_FOR {
                return Delivered::Refused(words);
            }
            let others =
                if alone { "" } else { " (what else came since the last applied commit may be the cause)" };
            self.broken = Some(format!("{words}{others}"));
        }
        if let Some(words) = &delivery.stalled {
            return Delivered::Blocked(words.clone());
        }
        if delivery.broken.is_some() {
            self.broken.clone_from(&delivery.broken);
        }
        // While Flux tries again it says only that; what it failed at tells more.
        Delivered::NotYet(self.broken.clone().unwrap_or_else(|| delivery.doing.clone()))
    }

    async fn held(&mut self, revision: &CommitId) -> Result<Held, String> {
        if let Some(held) = self.held.get(revision) {
            return Ok(held.clone());
        }
        let key = (self.subject.app.clone(), self.subject.environment.clone());
        let images = self.subject.images.iter().cloned().collect();
        let held = self.context.mirror.held(revision.clone(), self.subject.commit.clone(), key, images).await;
        let held = held.map_err(|error| error.to_string())?;
        self.held.insert(revision.clone(), held.clone());
        Ok(held)
    }

    async fn judge(&mut self, workloads: &[crate::deliver::WorkloadId]) -> (Judgement, Option<Judgement>) {
        let Some(flux) = &self.flux else { return (Judgement::wait("not connected"), None) };
        let repositories: Vec<Repository> = self
            .subject
            .images
            .iter()
            .filter_map(|(_, written)| written.new_name.as_deref().and_then(|name| name.parse().ok()))
            .collect();
        let seen = match self.watches.look(flux.cluster(), workloads, &repositories) {
            Ok(seen) => seen,
            Err(cause) => return (Judgement::wait(format!("the cluster has not told yet: {cause}")), None),
        };
        if seen.is_empty() {
            let words = format!("none of the {} workloads that Flux applied uses the image", workloads.len());
            return (Judgement::Unknown(words), None);
        }
        let now = Timestamp::now();
        let rollouts = seen.iter().map(|seen| match self.foreign(seen) {
            Some(words) => Judgement::wait(words),
            None => workload::judge(&seen.workload, now),
        });
        let workload = Judgement::all(rollouts).unwrap_or_else(|| Judgement::wait("nothing seen yet"));
        let pods = self.judge_pods(&seen, now).await;
        (workload, Some(pods))
    }

    /// Whether the cluster's workload has another image than Git, since something else writes to it.
    fn foreign(&self, seen: &Seen) -> Option<String> {
        let digests: Vec<&Digest> =
            self.subject.images.iter().filter_map(|(_, written)| written.digest.as_ref()).collect();
        let foreign = seen.images.iter().find(|image| {
            !digests.is_empty() && !digests.iter().any(|digest| image.ends_with(digest.as_str()))
        })?;
        Some(format!("{} has {foreign}, which is not what Git says", seen.workload.name))
    }

    async fn judge_pods(&mut self, seen: &[Seen], now: Timestamp) -> Judgement {
        let named: BTreeSet<Digest> =
            self.subject.images.iter().filter_map(|(_, written)| written.digest.clone()).collect();
        let judge = |expected: &BTreeSet<Digest>| {
            let judgements = seen.iter().map(|seen| pods::judge(&seen.pods, expected, now));
            Judgement::all(judgements).unwrap_or_else(|| Judgement::wait("no pod seen yet"))
        };
        if let Some(expected) = &self.expected {
            return judge(expected);
        }
        let first = judge(&named);
        // Runtimes may report a platform's or a configuration's digest instead of the index's: only then is the
        // registry asked which those are.
        let doubtful = match &first {
            Judgement::Fail(words) => words.contains("none of the expected digests"),
            Judgement::Unknown(_) => true,
            _ => false,
        };
        if !doubtful && !named.is_empty() {
            return first;
        }
        match self.resolve().await {
            Ok(expected) => {
                let judgement = judge(&expected);
                self.expected = Some(expected);
                judgement
            }
            Err(words) => Judgement::Unknown(format!("the image's digests are not known: {words}")),
        }
    }

    async fn resolve(&self) -> Result<BTreeSet<Digest>, String> {
        let mut expected = BTreeSet::new();
        for (_, written) in &self.subject.images {
            let Some(repository) =
                written.new_name.as_deref().and_then(|name| name.parse::<Repository>().ok())
            else {
                continue;
            };
            let registries = &self.context.registries;
            let digest = match (&written.digest, &written.new_tag) {
                (Some(digest), _) => digest.clone(),
                (None, Some(tag)) => registries
                    .digest(&repository, tag)
                    .await
                    .map_err(|error| error.to_string())?
                    .ok_or_else(|| format!("{repository} has no tag {tag}"))?,
                (None, None) => continue,
            };
            expected.extend(
                registries.digests_of(&repository, &digest).await.map_err(|error| error.to_string())?,
            );
        }
        Ok(expected)
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
