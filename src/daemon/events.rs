//! What is worth telling: one struct per event, which emits its log line and its metrics together.

use std::fmt;
use std::time::Duration;

use crate::discover::{RegistryEvent, feed::Sighting};
use crate::model::{AppName, Digest, EnvironmentName, Repository, Tag, Verdict};
use crate::publish::{Change, version};
use crate::rollout::{Decision, Phase};

use super::metrics::Metrics;

/// Something that happened.
pub trait Event {
    /// Tells it.
    fn emit(self, metrics: &Metrics);
}

impl Event for &RegistryEvent {
    fn emit(self, metrics: &Metrics) {
        match self {
            RegistryEvent::Request { registry, method, code } => {
                metrics
                    .registry_requests
                    .with_label_values(&[registry.as_str(), method, &code.to_string()])
                    .inc();
            }
            RegistryEvent::Backoff { registry, until } => {
                let pause = until.duration_since(jiff::Timestamp::now()).as_secs_f64().max(0.0);
                metrics.registry_backoff.with_label_values(&[registry.as_str()]).set(pause);
                // Each pause is one more attempt; the state that they make is told by `Health`.
                tracing::debug!(%registry, %until, "the registry asks to be left alone");
            }
            RegistryEvent::Answers { registry } => {
                metrics.registry_backoff.with_label_values(&[registry.as_str()]).set(0.0);
            }
            RegistryEvent::Blocked { registry, reason } => {
                metrics.outbound_blocked.with_label_values(&[*reason]).inc();
                tracing::debug!(%registry, %reason, "an address that the registry named was not connected to");
            }
            RegistryEvent::DroppedTags { repository, count } => {
                tracing::info!(%repository, count, "tags that name no version were left out");
            }
            RegistryEvent::Quota { registry, remaining } => {
                let remaining = i64::try_from(*remaining).unwrap_or(i64::MAX);
                metrics.registry_quota.with_label_values(&[registry.as_str()]).set(remaining);
            }
        }
    }
}

/// A repository was looked at.
pub struct Scanned<'a>(pub &'a Sighting);

impl Event for Scanned<'_> {
    fn emit(self, metrics: &Metrics) {
        let Self(sighting) = self;
        let result = match &sighting.result {
            Ok(list) if list.unchanged => "unchanged",
            Ok(_) => "changed",
            Err(error) => error.kind(),
        };
        metrics.scans.with_label_values(&[sighting.repository.host().as_str(), result]).inc();
        metrics.stage_seconds.with_label_values(&["scan"]).observe(sighting.took.as_secs_f64());
    }
}

/// A tag that stands in Git was pushed again with other content, which no policy follows.
pub struct TagMoved<'a> {
    /// Where it is.
    pub repository: &'a Repository,
    /// The tag.
    pub tag: &'a Tag,
    /// What stands in Git.
    pub committed: &'a Digest,
    /// What the registry has now.
    pub found: &'a Digest,
}

impl fmt::Display for TagMoved<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { committed, found, .. } = self;
        write!(
            f,
            "pushed again with other content: {committed} stands in Git and stays, the registry now has {found}; \
             push it under a new tag to have it elected"
        )
    }
}

impl Event for TagMoved<'_> {
    fn emit(self, metrics: &Metrics) {
        let Self { repository, tag, committed, found } = self;
        metrics.tag_mutations.with_label_values(&[repository.host().as_str()]).inc();
        tracing::warn!(
            %repository, %tag, %committed, %found,
            "a tag was pushed again with other content; what stands in Git stays"
        );
    }
}

/// The remote has taken a commit.
pub struct Committed<'a> {
    /// What it did.
    pub change: &'a Change,
    /// The commit.
    pub commit: &'a str,
    /// How long it took to make the commit.
    pub committing: Duration,
    /// How long commit and push took.
    pub took: Duration,
    /// How often the push lost its race.
    pub races: u32,
}

impl Event for Committed<'_> {
    fn emit(self, metrics: &Metrics) {
        let Self { change, commit, committing, took, races } = self;
        let (app, environment) = (change.app.as_str(), change.environment.as_str());
        metrics.commits.with_label_values(&[app, environment, change.source.kind()]).inc();
        let stages = [("commit", committing), ("push", took.saturating_sub(committing))];
        for (stage, took) in stages {
            metrics.stage_seconds.with_label_values(&[stage]).observe(took.as_secs_f64());
        }
        for step in &change.moves {
            tracing::info!(
                app, environment, image = %step.image, from = version(&step.from), to = version(&step.to),
                source = %change.source, commit, races, milliseconds = took.as_millis(), "committed"
            );
        }
    }
}

/// A change went from one phase to the next.
pub struct Progressed<'a> {
    /// The app.
    pub app: &'a AppName,
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// The commit.
    pub commit: &'a str,
    /// The phase that begins.
    pub phase: Phase,
    /// The stage that has ended, and how long it took.
    pub ended: Option<(&'static str, Duration)>,
}

impl Event for Progressed<'_> {
    fn emit(self, metrics: &Metrics) {
        let Self { app, environment, commit, phase, ended } = self;
        if let Some((stage, took)) = ended {
            metrics.stage_seconds.with_label_values(&[stage]).observe(took.as_secs_f64());
        }
        tracing::info!(%app, %environment, commit, %phase, "rollout");
    }
}

/// There is a verdict.
pub struct Decided<'a> {
    /// The app.
    pub app: &'a AppName,
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// The commit.
    pub commit: &'a str,
    /// The versions, for people.
    pub versions: &'a str,
    /// The verdict with its reasons.
    pub decision: &'a Decision,
    /// How long ago the version was first seen.
    pub lead: Option<Duration>,
}

impl Event for Decided<'_> {
    fn emit(self, metrics: &Metrics) {
        let Self { app, environment, commit, versions, decision, lead } = self;
        let place = [app.as_str(), environment.as_str()];
        let verdict = decision.verdict;
        metrics.rollouts.with_label_values(&[place[0], place[1], &verdict.to_string()]).inc();
        let reason = decision.reasons.join("; ");
        let seconds = decision.times.decided.duration_since(decision.times.committed).as_secs_f64();
        match verdict {
            Verdict::Verified => {
                let decided = decision.times.decided.as_duration().as_secs_f64();
                metrics.last_success.with_label_values(&place).set(decided);
                if let Some(lead) = lead {
                    metrics.lead_time.with_label_values(&place).observe(lead.as_secs_f64());
                }
                tracing::info!(%app, %environment, versions, commit, %verdict, reason, seconds, "verdict");
            }
            Verdict::Superseded => {
                tracing::info!(%app, %environment, versions, commit, %verdict, reason, seconds, "verdict");
            }
            Verdict::Failed | Verdict::Unknown => {
                tracing::warn!(%app, %environment, versions, commit, %verdict, reason, seconds, "verdict");
            }
        }
    }
}

/// A failed version was taken back.
pub struct RolledBack<'a> {
    /// The app.
    pub app: &'a AppName,
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// The layer that failed.
    pub cause: &'a str,
}

impl Event for RolledBack<'_> {
    fn emit(self, metrics: &Metrics) {
        let Self { app, environment, cause } = self;
        metrics.rollbacks.with_label_values(&[app.as_str(), environment.as_str(), cause]).inc();
    }
}

/// It was weighed whether an environment's platform is to blame for the failures in it.
pub struct PlatformSuspected<'a> {
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// Whether it is: then nothing is rolled back there. What is known of it, and every change, is told by
    /// [`super::health::Health`].
    pub suspected: bool,
}

impl Event for PlatformSuspected<'_> {
    fn emit(self, metrics: &Metrics) {
        let Self { environment, suspected } = self;
        metrics.rollbacks_stopped.with_label_values(&[environment.as_str()]).set(i64::from(suspected));
    }
}

/// A receiver of webhooks was called.
pub struct Called<'a> {
    /// The receiver's configured name; `unknown` where there is none of the name that was called.
    pub receiver: &'a str,
    /// What came of it, as the metric's label.
    pub result: &'static str,
    /// More about it, for people; nothing that the caller wrote.
    pub detail: &'a str,
    /// Something is wrong on one of the two sides, and it was not told a moment ago.
    pub warn: bool,
}

impl Event for Called<'_> {
    fn emit(self, metrics: &Metrics) {
        let Self { receiver, result, detail, warn } = self;
        metrics.webhooks.with_label_values(&[receiver, result]).inc();
        if warn {
            tracing::warn!(receiver, result, detail, "a webhook was not taken");
        } else {
            tracing::debug!(receiver, result, detail, "webhook");
        }
    }
}
