//! What every layer says about a subject at one moment, and what the layers keep between two looks.
//!
//! Here stands which layer applies, and what is left to look at when an earlier one does not pass; what is good and what is
//! bad is decided in `verify`.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::Subject;
use crate::daemon::Context;
use crate::deliver::WorkloadId;
use crate::deliver::cluster::Cluster;
use crate::model::{Digest, Repository};
use crate::verify::kube::{Seen, Watches};
use crate::verify::{Finding, Judgement, Layer, pods, workload};

/// The layers of one rollout.
pub(super) struct Layers<'a> {
    context: &'a Context,
    subject: &'a Subject,
    repositories: Vec<Repository>,
    watches: Watches,
    expected: Option<BTreeSet<Digest>>,
}

impl<'a> Layers<'a> {
    pub(super) fn new(context: &'a Context, subject: &'a Subject) -> Self {
        let names = subject.images.iter().filter_map(|(_, written)| written.new_name.as_deref());
        let repositories = names.filter_map(|name| name.parse().ok()).collect();
        Self { context, subject, repositories, watches: Watches::default(), expected: None }
    }

    /// One look at the workloads that were applied.
    pub(super) async fn look(&mut self, cluster: &Cluster, workloads: &[WorkloadId]) -> Vec<Finding> {
        let mut findings = self.rollouts(cluster, workloads).await;
        for layer in Layer::ALL {
            if findings.iter().all(|finding| finding.layer != layer) {
                findings.push(Finding::left_out(layer, "not part of this version's judgement"));
            }
        }
        findings
    }

    async fn rollouts(&mut self, cluster: &Cluster, workloads: &[WorkloadId]) -> Vec<Finding> {
        let only = |judgement| vec![Finding::judged(Layer::Workload, judgement)];
        let seen = match self.watches.look(cluster, workloads, &self.repositories) {
            Ok(seen) => seen,
            Err(cause) => return only(Judgement::wait(format!("the cluster has not told yet: {cause}"))),
        };
        if seen.is_empty() {
            let words = format!("none of the {} workloads that Flux applied uses the image", workloads.len());
            return only(Judgement::Unknown(words));
        }
        let now = Timestamp::now();
        let rollouts = seen.iter().map(|seen| match self.foreign(seen) {
            Some(words) => Judgement::wait(words),
            None => workload::judge(&seen.workload, now),
        });
        let workload = Judgement::all(rollouts).unwrap_or_else(|| Judgement::wait("nothing seen yet"));
        let pods = self.judge_pods(&seen, now).await;
        vec![Finding::judged(Layer::Workload, workload), Finding::judged(Layer::Pods, pods)]
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
