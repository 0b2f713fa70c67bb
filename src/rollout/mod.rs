//! The life of one change in one environment: from the commit to the verdict.
//!
//! In: what delivery and the layers say at a moment. Out: the next state, and in the end a [`Decision`]. Everything is
//! a function of (state, observation, now); the loop around it is `daemon::follow`.

pub mod platform;
pub mod rollback;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::model::{LayerNote, Times, Verdict};
use crate::verify::{Answer, Finding, Judgement, Layer};

/// How long a change may take, and how long it must stay good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// From the commit to the end of the rollout's stability.
    pub timeout: SignedDuration,
    /// How long all layers must pass without a break.
    pub stable_for: SignedDuration,
}

/// What was good before is given at least this long to be good again.
const BACK_AT_LEAST: SignedDuration = SignedDuration::from_mins(1);

impl Rules {
    /// The rules for a version that was put back: it ran here before, so that half the time must do.
    #[must_use]
    pub fn on_the_way_back(self) -> Self {
        let least = BACK_AT_LEAST.max(self.stable_for + LATE_CHANCE);
        Self { timeout: (self.timeout / 2).max(least).min(self.timeout), ..self }
    }
}

/// What delivery means for this change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// Our commit is applied, or a later one that still has the image.
    Yes,
    /// The images are others now.
    Changed(String),
    /// Our commit itself cannot be applied.
    Refused(String),
    /// Not yet.
    NotYet(String),
    /// A person has stopped delivery, or has to help it.
    Blocked(String),
    /// Nobody answers.
    Silent(String),
}

/// What is seen at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The delivery.
    pub delivered: Delivered,
    /// What the layers say; only looked at once delivered.
    pub findings: Vec<Finding>,
}

/// Where a change stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The commit is on its way to the cluster.
    Delivering,
    /// The cluster is rolling it out.
    RollingOut,
    /// All is well, and has to stay so.
    Stabilizing,
}

impl Phase {
    /// The stage that metrics know it as.
    pub fn stage(self) -> &'static str {
        match self {
            Self::Delivering => "reconcile",
            Self::RollingOut => "rollout",
            Self::Stabilizing => "verify",
        }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Delivering => "delivering",
            Self::RollingOut => "rolling out",
            Self::Stabilizing => "stabilizing",
        })
    }
}

/// A change under way.
#[derive(Debug, Clone)]
pub struct Rollout {
    rules: Rules,
    committed: Timestamp,
    deadline: Timestamp,
    applied: Option<Timestamp>,
    rolled_out: Option<Timestamp>,
    /// Since when each layer passes without a break.
    passing: BTreeMap<Layer, Timestamp>,
    /// Since when nobody has answered.
    silent: Option<Timestamp>,
    /// How much time silence has cost so far, which the deadline gives back.
    lost: SignedDuration,
    /// What stood in the way at the last look, for people.
    detail: String,
}

/// What follows from a look.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Look again when something changes, and at this instant at the latest.
    Wait(Timestamp),
    /// It is over.
    Decided(Box<Decision>),
}

/// The end of a change.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The answer.
    pub verdict: Verdict,
    /// Why.
    pub reasons: Vec<String>,
    /// Each layer.
    pub layers: Vec<LayerNote>,
    /// When what happened.
    pub times: Times,
    /// Delivery is stopped by a person, which is told apart from other unknowns.
    pub blocked: bool,
}

/// A start that finds a change past its time still gives it this long to show how it stands, but never longer than a
/// new change has.
const LATE_CHANCE: SignedDuration = SignedDuration::from_secs(30);

impl Rollout {
    /// A change that was committed at `committed` and is looked at from `now` on.
    pub fn new(rules: Rules, committed: Timestamp, now: Timestamp) -> Self {
        // A committer's clock may be ahead of ours.
        let committed = committed.min(now);
        let late = now + rules.timeout.min(rules.stable_for + LATE_CHANCE);
        let deadline = (committed + rules.timeout).max(late);
        let detail = "the commit has not arrived yet".to_owned();
        Self {
            rules,
            committed,
            deadline,
            applied: None,
            rolled_out: None,
            passing: BTreeMap::new(),
            silent: None,
            lost: SignedDuration::ZERO,
            detail,
        }
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        match (self.applied, self.rolled_out) {
            (None, _) => Phase::Delivering,
            (Some(_), None) => Phase::RollingOut,
            (Some(_), Some(_)) => Phase::Stabilizing,
        }
    }

    /// What it waits for, in words.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// When it must be over.
    pub fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// Takes a look into account.
    pub fn step(mut self, seen: &Observation, now: Timestamp) -> (Self, Step) {
        let silence = silence(seen);
        if silence.is_none() {
            self.give_back(now);
        }
        let late = now >= self.deadline;
        let step = match &seen.delivered {
            Delivered::Yes => {
                self.applied.get_or_insert(now);
                self.remember(&seen.findings, now);
                return match silence {
                    Some(words) => self.hear_nothing(words, seen, now),
                    None => self.judge(seen, now),
                };
            }
            Delivered::Changed(words) => self.decide(Verdict::Superseded, words, seen, now),
            Delivered::Refused(words) => self.decide(Verdict::Failed, words, seen, now),
            Delivered::Blocked(words) if late => {
                let step = self.decide(Verdict::Unknown, words, seen, now);
                match step {
                    Step::Decided(mut decision) => {
                        decision.blocked = true;
                        Step::Decided(decision)
                    }
                    wait @ Step::Wait(_) => wait,
                }
            }
            Delivered::NotYet(words) if late => self.decide(Verdict::Unknown, words, seen, now),
            Delivered::NotYet(words) | Delivered::Blocked(words) => {
                self.detail.clone_from(words);
                Step::Wait(self.deadline)
            }
            Delivered::Silent(words) => return self.hear_nothing(words, seen, now),
        };
        (self, step)
    }

    /// The clock stands while nobody answers; a silence as long as the whole time is an answer of its own.
    fn hear_nothing(mut self, words: &str, seen: &Observation, now: Timestamp) -> (Self, Step) {
        let since = *self.silent.get_or_insert(now);
        let patience = since + self.rules.timeout;
        words.clone_into(&mut self.detail);
        let step = if now >= patience {
            self.decide(Verdict::Unknown, words, seen, now)
        } else {
            Step::Wait(patience)
        };
        (self, step)
    }

    /// After a silence: what it took is no time of the version's, neither to get ready in nor to stay good for.
    fn give_back(&mut self, now: Timestamp) {
        let Some(since) = self.silent.take() else { return };
        // Whoever answers only now and then gets no more than the time once again.
        let gap = now.duration_since(since).min(self.rules.timeout - self.lost);
        self.lost += gap;
        self.deadline += gap;
        let known_before = self.rolled_out.iter_mut().chain(self.passing.values_mut());
        for moment in known_before.filter(|moment| **moment <= since) {
            *moment += now.duration_since(since);
        }
    }

    fn judge(mut self, seen: &Observation, now: Timestamp) -> (Self, Step) {
        let judgement = Judgement::all(seen.findings.iter().filter_map(Finding::judgement))
            .unwrap_or_else(|| Judgement::wait("the workloads have not been looked at yet"));
        let late = now >= self.deadline;
        let step = match &judgement {
            Judgement::Pass(words) => {
                let since = *self.rolled_out.get_or_insert(now);
                let stable = since + self.rules.stable_for;
                self.detail.clone_from(words);
                if now >= stable {
                    self.decide(Verdict::Verified, words, seen, now)
                } else {
                    Step::Wait(stable)
                }
            }
            Judgement::Fail(words) => self.decide(Verdict::Failed, words, seen, now),
            Judgement::Wait { reason, blame: true } if late => {
                let words = format!("the time is up ({}): {reason}", spell(self.rules.timeout));
                self.decide(Verdict::Failed, &words, seen, now)
            }
            Judgement::Wait { reason, .. } | Judgement::Unknown(reason) if late => {
                self.decide(Verdict::Unknown, reason, seen, now)
            }
            Judgement::Wait { reason, .. } | Judgement::Unknown(reason) => {
                // A break in the good state begins the wait for stability anew.
                self.rolled_out = None;
                self.detail.clone_from(reason);
                Step::Wait(self.deadline)
            }
        };
        (self, step)
    }

    fn remember(&mut self, findings: &[Finding], now: Timestamp) {
        for Finding { layer, answer } in findings {
            if matches!(answer, Answer::Judged(Judgement::Pass(_))) {
                self.passing.entry(*layer).or_insert(now);
            } else {
                self.passing.remove(layer);
            }
        }
    }

    fn decide(&self, verdict: Verdict, reason: &str, seen: &Observation, now: Timestamp) -> Step {
        let seconds = |from: Option<Timestamp>, to: Option<Timestamp>| match (from, to) {
            (Some(from), Some(to)) => {
                (to.duration_since(from).as_secs_f64().max(0.0) * 1000.0).round() / 1000.0
            }
            _ => 0.0,
        };
        let note = |layer: &str, result: &str, detail: &str, seconds: f64| LayerNote {
            layer: layer.to_owned(),
            result: result.to_owned(),
            detail: detail.to_owned(),
            seconds,
        };
        let (result, detail) = match &seen.delivered {
            Delivered::Yes => ("pass", "the commit is applied"),
            Delivered::Refused(words) => ("fail", words.as_str()),
            Delivered::NotYet(words) | Delivered::Blocked(words) => ("wait", words.as_str()),
            Delivered::Changed(words) | Delivered::Silent(words) => ("unknown", words.as_str()),
        };
        let mut layers =
            vec![note("applied", result, detail, seconds(Some(self.committed), self.applied.or(Some(now))))];
        for finding in &seen.findings {
            if let Some(judgement) = finding.judgement() {
                let took = seconds(self.applied, self.passing.get(&finding.layer).copied().or(Some(now)));
                layers.push(note(&finding.layer.to_string(), judgement.word(), judgement.detail(), took));
            }
        }
        if verdict == Verdict::Verified {
            let words = format!("for {}", spell(self.rules.stable_for));
            layers.push(note("stable", "pass", &words, seconds(self.rolled_out, Some(now))));
        }
        for Finding { layer, answer } in &seen.findings {
            if let Answer::LeftOut(why) = answer {
                layers.push(note(&layer.to_string(), "left-out", why, 0.0));
            }
        }
        let times = Times {
            committed: self.committed,
            applied: self.applied,
            rolled_out: self.rolled_out,
            decided: now,
        };
        Step::Decided(Box::new(Decision {
            verdict,
            reasons: vec![reason.to_owned()],
            layers,
            times,
            blocked: false,
        }))
    }
}

/// Who does not answer, where nothing else stands in the way.
fn silence(seen: &Observation) -> Option<&str> {
    match &seen.delivered {
        Delivered::Silent(words) => return Some(words),
        Delivered::Yes => {}
        _ => return None,
    }
    let silent = seen.findings.iter().find_map(|finding| match &finding.answer {
        Answer::Silent(words) => Some(words.as_str()),
        Answer::Judged(_) | Answer::LeftOut(_) => None,
    });
    let in_the_way = |finding: &Finding| matches!(&finding.answer, Answer::Judged(judgement) if !matches!(judgement, Judgement::Pass(_)));
    silent.filter(|_| !seen.findings.iter().any(in_the_way))
}

fn spell(duration: SignedDuration) -> String {
    format!("{duration:#}")
}

#[cfg(test)]
mod tests;
