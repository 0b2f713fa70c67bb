//! The traffic of one rollout: a task that reads Prometheus for as long as the rollout lasts, and what follows from that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::config;
use crate::verify::kube::Seen;
use crate::verify::prometheus::{Answered, Bound, Prometheus, PrometheusError, Question};
use crate::verify::traffic::{Arms, Gap, Gate, Rules, Said, Telemetry, classify};
use crate::verify::{Answer, Finding, Judgement, Layer};

/// A pod that is older than this when it is first seen has served before, in whatever circumstances.
const YOUNG: SignedDuration = SignedDuration::from_mins(5);
/// Bounds of the time between two readings.
const SHORTEST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_mins(1);

/// What is known of the traffic of one rollout.
pub(super) struct Traffic {
    rules: Rules,
    bound: Option<Bound>,
    begun: Timestamp,
    followed: BTreeMap<String, Followed>,
    wanted: watch::Sender<Vec<(String, Question)>>,
    told: watch::Receiver<Told>,
    /// The last round that was taken.
    taken: u64,
    task: AbortHandle,
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One workload.
struct Followed {
    namespace: String,
    name: String,
    gate: Gate,
    arms: Arms,
    telemetry: Telemetry,
    by_instance: bool,
}

/// The answers of one round.
#[derive(Clone, Default)]
struct Told {
    round: u64,
    interval: Duration,
    answers: BTreeMap<String, Result<Reply, String>>,
}

#[derive(Clone)]
struct Reply {
    answered: Answered,
    /// Counters are told apart by instance, since they have no `pod`.
    by_instance: bool,
}

impl Traffic {
    /// Begins to read; an error is told in words.
    pub(super) fn start(settings: &config::Traffic, now: Timestamp) -> Result<Self, String> {
        let prometheus = Prometheus::new(&settings.prometheus).map_err(|error| error.to_string())?;
        let may_be_slow = settings.latency.and_then(|latency| {
            let bound = classify::bound(latency.max.as_secs_f64() * 1000.0)?;
            Some((latency.percentile.rest(), bound))
        });
        let rules = Rules {
            may_fail: settings.success_rate.map(config::Percent::rest),
            may_be_slow,
            false_rollback: settings.false_rollback.share(),
        };
        let (wanted, questions) = watch::channel(Vec::new());
        let (answers, told) = watch::channel(Told::default());
        let task = tokio::spawn(poll(prometheus, questions, answers)).abort_handle();
        let bound = may_be_slow.map(|(_, bound)| Bound::new(bound));
        Ok(Self { rules, bound, begun: now, followed: BTreeMap::new(), wanted, told, taken: 0, task })
    }

    /// Waits for a new reading.
    pub(super) async fn news(&mut self) {
        if self.told.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Takes what was read since the last look. `probed` tells how probes of the same version fare, where there are any.
    pub(super) fn look(&mut self, seen: &[&Seen], probed: Option<bool>, now: Timestamp) -> Finding {
        let parts = seen.len();
        for one in seen {
            let followed = self.followed.entry(one.workload.name.clone()).or_insert_with(|| Followed {
                namespace: one.namespace.clone(),
                name: one.told_by.first().cloned().unwrap_or_default(),
                gate: Gate::new(&self.rules, parts),
                arms: Arms::default(),
                telemetry: Telemetry::new(Prometheus::default_interval()),
                by_instance: false,
            });
            followed.arrange(one, self.begun);
        }
        self.followed.retain(|id, _| seen.iter().any(|one| one.workload.name == *id));
        self.ask();
        let told = self.told.borrow_and_update().clone();
        if std::mem::replace(&mut self.taken, told.round) != told.round {
            for one in seen {
                if let (Some(followed), Some(answer)) =
                    (self.followed.get_mut(&one.workload.name), told.answers.get(&one.workload.name))
                {
                    followed.take(answer, told.interval, now);
                }
            }
        }
        let said = seen.iter().filter_map(|one| Some(self.followed.get(&one.workload.name)?.says(one, now)));
        Self::finding(said.collect(), probed)
    }

    fn ask(&self) {
        let questions: Vec<(String, Question)> = self
            .followed
            .iter()
            .map(|(id, followed)| {
                let question = Question {
                    namespace: followed.namespace.clone(),
                    workload: followed.name.clone(),
                    new: followed.arms.new.keys().cloned().collect(),
                    old: followed.arms.old.clone(),
                    bound: self.bound,
                };
                (id.clone(), question)
            })
            .collect();
        self.wanted.send_if_modified(|known| {
            let news = *known != questions;
            *known = questions;
            news
        });
    }

    /// One answer for all workloads: the worst.
    fn finding(said: Vec<Result<Said, Gap>>, probed: Option<bool>) -> Finding {
        let mut judgements = Vec::new();
        let mut too_little = Vec::new();
        let mut silent = None;
        for said in said {
            match said {
                Ok(Said::Enough(judgement)) => judgements.push(judgement),
                Ok(Said::Doubt(words)) => {
                    judgements.push(Judgement::Unknown(format!("it can't be told yet: {words}")));
                }
                Ok(Said::TooLittle(words)) => too_little.push(words),
                Err(Gap::Blind(words)) => judgements.push(Judgement::Unknown(words)),
                Err(Gap::Silence(words)) => silent = Some(words),
            }
        }
        if let Some(judged) = judgements.iter().find(|one| matches!(one, Judgement::Fail(_))) {
            return Finding::judged(Layer::Traffic, judged.clone());
        }
        if let Some(words) = silent {
            return Finding { layer: Layer::Traffic, answer: Answer::Silent(words) };
        }
        let little = too_little.join("; ");
        match (too_little.is_empty(), probed) {
            (true, _) => {}
            (false, Some(true)) => {
                if judgements.iter().all(|one| matches!(one, Judgement::Pass(_))) {
                    return Finding::left_out(
                        Layer::Traffic,
                        format!("too few requests to be evidence ({little}); the probe stands in"),
                    );
                }
            }
            (false, Some(false)) => {
                judgements
                    .push(Judgement::wait(format!("too few requests yet, and the probe goes on: {little}")));
            }
            (false, None) => {
                let words = format!("too few requests to judge by, and no probe is set: {little}");
                judgements.push(Judgement::Unknown(words));
            }
        }
        let judgement = Judgement::all(judgements)
            .unwrap_or_else(|| Judgement::Unknown("no workload's traffic is known".to_owned()));
        Finding::judged(Layer::Traffic, judgement)
    }
}

impl Followed {
    /// Which pods are whose.
    fn arrange(&mut self, seen: &Seen, begun: Timestamp) {
        for pod in seen.pods.iter().filter(|pod| !pod.ending) {
            let young = begun.duration_since(pod.since) < YOUNG;
            self.arms.new.entry(pod.name.clone()).or_insert(young);
            // A StatefulSet's pods keep their names.
            self.arms.old.remove(&pod.name);
        }
        for other in seen.others.iter().filter(|other| !self.arms.new.contains_key(&other.name)) {
            self.arms.old.insert(other.name.clone());
        }
        self.arms.old_serves = seen.others.iter().any(|other| other.serves);
    }

    fn take(&mut self, answer: &Result<Reply, String>, interval: Duration, now: Timestamp) {
        let Reply { answered, by_instance } = match answer {
            Ok(reply) => reply,
            Err(words) => return self.telemetry.silent(words),
        };
        self.by_instance = *by_instance;
        self.telemetry.heard(&answered.reading, &answered.ages, interval, now);
        if !by_instance {
            self.gate.enter(&answered.reading, &self.arms);
        } else if !self.arms.old_serves {
            // While old pods serve, it can't be told whose requests these are.
            let new = answered.ages.keys().map(|instance| (instance.clone(), false)).collect();
            self.gate.enter(&answered.reading, &Arms { new, ..Arms::default() });
        }
    }

    fn says(&self, seen: &Seen, now: Timestamp) -> Result<Said, Gap> {
        let said = self.gate.says();
        // What has been shown stays shown, also where no more can be seen.
        if matches!(said, Said::Enough(Judgement::Fail(_))) {
            return Ok(said);
        }
        let serving = seen.pods.iter().filter(|pod| pod.ready && !pod.ending).map(|pod| pod.name.as_str());
        let gap = if self.by_instance {
            self.telemetry.gap_of_instances(now)
        } else {
            self.telemetry.gap(serving, now)
        };
        if let Some(gap) = gap {
            return Err(gap);
        }
        let told = |words: String| format!("by the goal alone, since the metrics have no `pod`: {words}");
        Ok(match said {
            Said::Enough(Judgement::Pass(words)) if self.by_instance => {
                Said::Enough(Judgement::Pass(told(words)))
            }
            Said::TooLittle(words) if self.by_instance => Said::TooLittle(told(words)),
            Said::Doubt(words) if self.by_instance => Said::Doubt(told(words)),
            said => said,
        })
    }
}

/// Reads as often as Prometheus itself does.
async fn poll(
    prometheus: Prometheus,
    mut questions: watch::Receiver<Vec<(String, Question)>>,
    told: watch::Sender<Told>,
) {
    let mut interval = None;
    let mut by_instance = BTreeSet::new();
    let mut round = 0;
    loop {
        let asked = questions.borrow_and_update().clone();
        if asked.is_empty() {
            if questions.changed().await.is_err() {
                return;
            }
            continue;
        }
        let mut answers = BTreeMap::new();
        for (id, question) in asked {
            if interval.is_none() {
                interval = prometheus.interval(&question).await.ok().flatten();
            }
            let scraped = interval.unwrap_or(Prometheus::default_interval());
            let answer = ask(&prometheus, &mut by_instance, &id, &question, scraped).await;
            answers.insert(id, answer.map_err(|error| error.to_string()));
        }
        round += 1;
        let scraped = interval.unwrap_or(Prometheus::default_interval());
        if told.send(Told { round, interval: scraped, answers }).is_err() {
            return;
        }
        // New pods are no targets yet, so that nothing tells how often they are scraped: that is asked again soon.
        tokio::time::sleep(interval.unwrap_or(SHORTEST).clamp(SHORTEST, LONGEST)).await;
    }
}

async fn ask(
    prometheus: &Prometheus,
    by_instance: &mut BTreeSet<String>,
    id: &str,
    question: &Question,
    interval: Duration,
) -> Result<Reply, PrometheusError> {
    if !by_instance.contains(id) {
        let answered = prometheus.read(question, interval).await?;
        let untold =
            answered.reading.requests.is_empty() && prometheus.tells_pods(question).await? == Some(false);
        if !untold {
            return Ok(Reply { answered, by_instance: false });
        }
        by_instance.insert(id.to_owned());
    }
    Ok(Reply { answered: prometheus.read_instances(question).await?, by_instance: true })
}
