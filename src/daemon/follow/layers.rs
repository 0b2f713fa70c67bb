//! What every layer says about a subject at one moment, and what the layers keep between two looks.
//!
//! Here stands which layer applies, and what is left to look at when an earlier one does not pass; what is good and what is
//! bad is decided in `verify`.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::Subject;
use super::mesh::Mesh;
use super::probing::Probing;
use super::traffic::Traffic;
use crate::config::Verify;
use crate::daemon::Context;
use crate::deliver::Delivery;
use crate::deliver::cluster::{Cluster, Unseen};
use crate::model::{Digest, Repository};
use crate::publish::Snapshot;
use crate::verify::kube::{Seen, View, Watches};
use crate::verify::rollouts::{self, Memory, Version};
use crate::verify::workload::State;
use crate::verify::{Answer, Finding, Judgement, Layer, pods};

/// A registry that did not tell which digests an image has is asked again after this long.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// How long a verdict waits for what explains it …
const PATIENCE: Duration = Duration::from_secs(2);
/// … and how many workloads are explained.
const EXPLAINED: usize = 3;

/// The layers of one rollout.
pub(super) struct Layers<'a> {
    context: &'a Context,
    subject: &'a Subject,
    repositories: Vec<Repository>,
    /// The digests that Git names.
    written: BTreeSet<Digest>,
    watches: Watches,
    /// What the registry told of the images' digests, and when.
    resolved: Option<(Instant, Result<BTreeSet<Digest>, String>)>,
    memory: Memory,
    /// What the last look showed.
    view: View,
    requests: Option<Requests>,
    mesh: Mesh,
}

/// What looks at requests, as the environment had it when the version was first looked at.
struct Requests {
    traffic: Option<Result<Traffic, String>>,
    probe: Option<Result<Probing, String>>,
}

impl<'a> Layers<'a> {
    pub(super) fn new(context: &'a Context, subject: &'a Subject) -> Self {
        let names = subject.images.iter().filter_map(|(_, written)| written.new_name.as_deref());
        let repositories = names.filter_map(|name| name.parse().ok()).collect();
        let written = subject.images.iter().filter_map(|(_, written)| written.digest.clone()).collect();
        Self {
            context,
            subject,
            repositories,
            written,
            watches: Watches::default(),
            resolved: None,
            memory: Memory::default(),
            view: View::default(),
            requests: None,
            mesh: Mesh::default(),
        }
    }

    /// A look at how it was before the change, while the cluster still has the other images.
    pub(super) async fn remember(&mut self, cluster: &Cluster, delivery: &Delivery, verify: &Verify) {
        let (workloads, others) = (&delivery.workloads, &delivery.others);
        self.watches.begin(cluster, workloads, others).await;
        if let Ok(view) = self.watches.look(workloads, others, &self.repositories)
            && !view.seen.is_empty()
            && view.seen.iter().all(|seen| rollouts::foreign(seen, &self.written).is_some())
        {
            self.mesh.remember(cluster, &view.seen, verify.mesh).await;
        }
    }

    /// One look at what was applied; an error is the API server's silence.
    pub(super) async fn look(
        &mut self,
        cluster: &Cluster,
        delivery: &Delivery,
        snapshot: &Snapshot,
        verify: &Verify,
    ) -> Result<Vec<Finding>, Unseen> {
        let mut findings = self.rollouts(cluster, delivery).await?;
        let mesh = match self.view.seen.as_slice() {
            [] => None,
            seen => Some(self.mesh.look(cluster, seen, verify.mesh).await?),
        };
        findings.append(&mut self.requests(&findings, snapshot));
        findings.extend(mesh);
        for layer in Layer::ALL {
            if findings.iter().all(|finding| finding.layer != layer) {
                findings.push(Finding::left_out(layer, "not part of this version's judgement"));
            }
        }
        Ok(findings)
    }

    /// The names of the workloads that the last look judged, where nothing else can change its answer.
    pub(super) fn workloads(&self) -> Option<BTreeSet<String>> {
        // Whose the pods of other kinds are tells nothing but their images.
        let known = |seen: &Seen| !matches!(seen.workload.state, State::Custom(_));
        let plain = !self.view.seen.is_empty() && self.view.seen.iter().all(known);
        let names = self.view.seen.iter().filter_map(|seen| seen.told_by.first());
        plain.then(|| names.cloned().collect())
    }

    /// Waits for news of requests.
    pub(super) async fn news(&mut self) {
        let (traffic, probe) = match &mut self.requests {
            Some(Requests { traffic, probe }) => (traffic.as_mut(), probe.as_mut()),
            None => (None, None),
        };
        let traffic = async {
            match traffic {
                Some(Ok(traffic)) => traffic.news().await,
                _ => std::future::pending().await,
            }
        };
        let probe = async {
            match probe {
                Some(Ok(probe)) => probe.news().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            () = traffic => {}
            () = probe => {}
        }
    }

    /// How the users' requests and our own fare, where the environment says that it matters.
    fn requests(&mut self, findings: &[Finding], snapshot: &Snapshot) -> Vec<Finding> {
        let serving = |seen: &&Seen| matches!(seen.workload.state, State::Replicas(_));
        let seen: Vec<&Seen> = self.view.seen.iter().filter(serving).collect();
        if seen.is_empty() {
            let left_out = |layer| Finding::left_out(layer, "no workload of the version serves");
            return vec![left_out(Layer::Traffic), left_out(Layer::Probe)];
        }
        let now = Timestamp::now();
        let subject = self.subject;
        let requests = self.requests.get_or_insert_with(|| {
            let verify = snapshot.config.environments.get(&subject.environment).map(|found| &found.verify);
            let traffic = verify.and_then(|verify| verify.traffic.as_ref());
            let probe = verify.and_then(|verify| verify.probe.as_ref());
            Requests {
                traffic: traffic.map(|traffic| Traffic::start(traffic, now)),
                probe: probe.map(|probe| Probing::start(probe, subject, snapshot)),
            }
        });
        let (probe, probed) = match &requests.probe {
            None => (Finding::left_out(Layer::Probe, "no verify.probe is set"), None),
            Some(Err(words)) => {
                (Finding::judged(Layer::Probe, Judgement::Unknown(words.clone())), Some(false))
            }
            Some(Ok(probe)) => {
                let rolled_out = findings.iter().any(|finding| {
                    finding.layer == Layer::Workload
                        && matches!(finding.answer, Answer::Judged(Judgement::Pass(_)))
                });
                let alone = rolled_out && seen.iter().all(|one| one.others.iter().all(|other| !other.serves));
                let (finding, passes) = probe.look(alone, now);
                (finding, Some(passes))
            }
        };
        let traffic = match &mut requests.traffic {
            None => Finding::left_out(Layer::Traffic, "no verify.traffic is set"),
            Some(Err(words)) => Finding::judged(Layer::Traffic, Judgement::Unknown(words.clone())),
            Some(Ok(traffic)) => traffic.look(&seen, probed, now),
        };
        vec![traffic, probe]
    }

    /// What the cluster tells beyond the findings of the last look: warnings, and the last lines of a log.
    pub(super) async fn explain(&self, cluster: &Cluster) -> Vec<String> {
        let told = async {
            let mut told = Vec::new();
            for seen in self.view.seen.iter().take(EXPLAINED) {
                let (expected, doubt) = self.expected();
                let view = pods::View { expected, doubt, served: 0, now: Timestamp::now() };
                let culprit = pods::culprit(&seen.pods, view);
                let pod = culprit.map(|(pod, _)| pod.name.as_str());
                for name in seen.told_by.iter().map(String::as_str).chain(pod) {
                    told.extend(cluster.warnings(&seen.namespace, name, self.subject.committed).await);
                }
                if let Some((pod, Some(container))) = culprit {
                    let ended = container.restarts > 0;
                    told.extend(cluster.last_lines(&seen.namespace, &pod.name, &container.name, ended).await);
                }
            }
            told
        };
        tokio::time::timeout(PATIENCE, told).await.unwrap_or_default()
    }

    /// The digests that stand for the version, and why there may be more.
    fn expected(&self) -> (&BTreeSet<Digest>, Option<&str>) {
        match &self.resolved {
            Some((_, Ok(expected))) => (expected, None),
            Some((_, Err(words))) => (&self.written, Some(words.as_str())),
            None => (&self.written, None),
        }
    }

    async fn rollouts(&mut self, cluster: &Cluster, delivery: &Delivery) -> Result<Vec<Finding>, Unseen> {
        let (workloads, others) = (&delivery.workloads, &delivery.others);
        self.watches.begin(cluster, workloads, others).await;
        self.view = match self.watches.look(workloads, others, &self.repositories) {
            Ok(view) => view,
            Err(Unseen::Listing) => {
                let words = "the workloads have not been listed yet";
                return Ok(vec![Finding::judged(Layer::Workload, Judgement::wait(words))]);
            }
            Err(unseen) => return Err(unseen),
        };
        self.learn_digests().await;
        let mut memory = std::mem::take(&mut self.memory);
        let (expected, doubt) = self.expected();
        let version = Version { written: &self.written, expected, doubt, begun: self.subject.committed };
        let findings = rollouts::judge(&self.view, version, &mut memory, Timestamp::now());
        self.memory = memory;
        Ok(findings)
    }

    /// Runtimes may report a platform's or a configuration's digest instead of the index's: only then is the registry asked
    /// which those are.
    async fn learn_digests(&mut self) {
        let doubtful = || {
            let mut seen = self.view.seen.iter();
            self.written.is_empty() || seen.any(|seen| pods::is_doubtful(&seen.pods, &self.written))
        };
        let due = match &self.resolved {
            Some((_, Ok(_))) => false,
            Some((asked, Err(_))) => asked.elapsed() >= ASK_AGAIN,
            None => doubtful(),
        };
        if due {
            self.resolved = Some((Instant::now(), self.resolve().await));
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
