//! Every metric, in one place: names, labels and units as promised to Prometheus.

use std::collections::BTreeMap;

use prometheus::{
    Encoder as _, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

use crate::model::{AppName, EnvironmentName, Tag};
use crate::publish::Snapshot;

/// Seconds from a few milliseconds (a commit) to an hour (a slow rollout).
const BUCKETS: [f64; 15] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0];

/// The metrics of one process.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is documented by its help text below")]
pub struct Metrics {
    registry: Registry,
    pub scans: IntCounterVec,
    pub registry_requests: IntCounterVec,
    pub registry_backoff: GaugeVec,
    pub registry_quota: IntGaugeVec,
    pub outbound_blocked: IntCounterVec,
    pub tag_mutations: IntCounterVec,
    pub webhooks: IntCounterVec,
    pub commits: IntCounterVec,
    pub push_retries: IntCounter,
    pub rollouts: IntCounterVec,
    pub rollbacks: IntCounterVec,
    /// Environments where so many apps fail together that nothing is rolled back.
    pub rollbacks_stopped: IntGaugeVec,
    pub stage_seconds: HistogramVec,
    pub lead_time: HistogramVec,
    pub version: IntGaugeVec,
    pub behind: IntGaugeVec,
    pub last_success: GaugeVec,
    pub config_valid: IntGauge,
    pub leader: IntGauge,
}

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("promote".to_owned()), None)?;
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let metric = GaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let whole = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let seconds = |name: &str, help: &str, labels: &[&str]| {
            let metric = HistogramVec::new(HistogramOpts::new(name, help).buckets(BUCKETS.to_vec()), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let place = ["app", "environment"];
        let push_retries =
            IntCounter::new("push_retries_total", "Pushes that lost their race and were made again.")?;
        registry.register(Box::new(push_retries.clone()))?;
        let config_valid = IntGauge::new(
            "config_valid",
            "1 if the configuration at the branch's head is the one in force, else 0.",
        )?;
        registry.register(Box::new(config_valid.clone()))?;
        let leader =
            IntGauge::new("leader", "1 if this replica works, 0 if it waits for another one to stop.")?;
        registry.register(Box::new(leader.clone()))?;
        Ok(Self {
            scans: counter("scans_total", "Looks at a repository's tags.", &["registry", "result"])?,
            registry_requests: counter(
                "registry_requests_total",
                "Requests to registries and their token servers.",
                &["registry", "method", "code"],
            )?,
            registry_backoff: gauge(
                "registry_backoff_seconds",
                "How long a registry asked to be left alone, when it last did.",
                &["registry"],
            )?,
            registry_quota: whole(
                "registry_quota_remaining",
                "Pulls that a registry still grants in its present window.",
                &["registry"],
            )?,
            outbound_blocked: counter(
                "outbound_blocked_total",
                "Addresses named by a registry that were not connected to.",
                &["reason"],
            )?,
            tag_mutations: counter(
                "tag_mutations_total",
                "Tags that stand in Git and were pushed again with other content.",
                &["registry"],
            )?,
            webhooks: counter(
                "webhook_requests_total",
                "Messages to the receivers of webhooks, by what came of them.",
                &["receiver", "result"],
            )?,
            commits: counter(
                "commits_total",
                "Commits that the remote has taken, by where the version came from.",
                &["app", "environment", "kind"],
            )?,
            push_retries,
            rollouts: counter("rollouts_total", "Verdicts.", &["app", "environment", "verdict"])?,
            rollbacks: counter("rollbacks_total", "Versions taken back.", &["app", "environment", "cause"])?,
            rollbacks_stopped: whole(
                "rollbacks_stopped",
                "1 while so many apps fail together that nothing is rolled back, else 0.",
                &["environment"],
            )?,
            stage_seconds: seconds(
                "stage_duration_seconds",
                "How long each stage of a change took.",
                &["stage"],
            )?,
            lead_time: seconds(
                "lead_time_seconds",
                "From the first sight of a version to its verification.",
                &place,
            )?,
            version: whole(
                "version_info",
                "1 for the version that an environment shall run.",
                &["app", "environment", "image", "tag", "digest"],
            )?,
            behind: whole(
                "versions_behind",
                "Versions in the registry that the policy puts above the one that stands in Git.",
                &place,
            )?,
            last_success: gauge(
                "last_success_timestamp_seconds",
                "When a version was last verified, in seconds since 1970.",
                &place,
            )?,
            config_valid,
            leader,
            registry,
        })
    }

    /// Sets how far the environments of apps are behind their registries; what is not named is no longer there.
    pub fn set_behind(&self, behind: &BTreeMap<(AppName, EnvironmentName), usize>) {
        self.behind.reset();
        for ((app, environment), count) in behind {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            self.behind.with_label_values(&[app.as_str(), environment.as_str()]).set(count);
        }
    }

    /// Sets what stands in Git; what is not there any more is gone.
    pub fn set_versions(&self, snapshot: &Snapshot) {
        self.version.reset();
        for ((app, environment), desired) in &snapshot.desired {
            for (image, written) in &desired.images {
                let tag = written.new_tag.as_ref().map_or("", Tag::as_str);
                let digest = written.digest.as_ref().map_or("", |digest| digest.as_str());
                let labels = [app.as_str(), environment.as_str(), image.as_str(), tag, digest];
                self.version.with_label_values(&labels).set(1);
            }
        }
    }

    /// The text that Prometheus scrapes.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "the metrics could not be written");
        }
        String::from_utf8(text).unwrap_or_default()
    }
}
