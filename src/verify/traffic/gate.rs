//! The gate of one workload's traffic: readings in, a judgement out.

use std::collections::BTreeSet;

use super::bet::float;
use super::evidence::{Counts, Evidence, Goal, MISSED, Standing};
use super::ledger::{Arms, Ledger, Reading, Share};
use crate::verify::Judgement;

/// The part of the allowed false rollbacks that goes to latency, where both properties are judged.
const OF_LATENCY: f64 = 0.25;

/// What the traffic of a version must meet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// The share of requests that may fail, between 0 and 1; none where failures are not judged.
    pub may_fail: Option<f64>,
    /// The share of requests that may be slower than the bound, between 0 and 1, and the bound in milliseconds.
    pub may_be_slow: Option<(f64, f64)>,
    /// How often a version that is not worse may be blamed in all, between 0 and 1.
    pub false_rollback: f64,
}

/// What is known of the traffic of one workload.
#[derive(Debug, Clone)]
pub struct Gate {
    ledger: Ledger,
    failures: Option<Measure>,
    slow: Option<Measure>,
}

/// One property of requests.
#[derive(Debug, Clone)]
struct Measure {
    evidence: Evidence,
    /// `failed`, or `slower than 500 ms`.
    word: String,
    served: BTreeSet<String>,
    troubled: BTreeSet<String>,
}

/// How much the traffic says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Enough to judge.
    Enough(Judgement),
    /// Too little; nothing in it speaks against the version.
    TooLittle(String),
    /// Too little; something in it speaks against the version.
    Doubt(String),
}

impl Gate {
    /// A gate that has seen nothing. `parts` is the number of gates that share the allowed false rollbacks.
    pub fn new(rules: &Rules, parts: usize) -> Self {
        let alpha = rules.false_rollback / float(parts.max(1) as u64);
        let (of_failures, of_latency) = match (rules.may_fail, rules.may_be_slow) {
            (Some(_), Some(_)) => (alpha * (1.0 - OF_LATENCY), alpha * OF_LATENCY),
            _ => (alpha, alpha),
        };
        let measure = |allowed, alpha, word| Measure {
            evidence: Evidence::new(Goal { allowed, alpha }),
            word,
            served: BTreeSet::new(),
            troubled: BTreeSet::new(),
        };
        Self {
            ledger: Ledger::default(),
            failures: rules.may_fail.map(|allowed| measure(allowed, of_failures, "failed".to_owned())),
            slow: rules
                .may_be_slow
                .map(|(allowed, bound)| measure(allowed, of_latency, format!("slower than {bound} ms"))),
        }
    }

    /// Enters a reading.
    pub fn enter(&mut self, reading: &Reading, arms: &Arms) {
        let entry = self.ledger.enter(reading, arms);
        if let Some(measure) = &mut self.failures {
            measure.enter(entry.history.0, entry.window.as_ref().map(|window| &window.failures));
        }
        if let Some(measure) = &mut self.slow {
            measure.enter(entry.history.1, entry.window.as_ref().map(|window| &window.slow));
        }
    }

    /// What the traffic says so far.
    pub fn says(&self) -> Said {
        let measures: Vec<&Measure> = self.failures.iter().chain(&self.slow).collect();
        let words = measures.iter().map(|measure| measure.words()).collect::<Vec<_>>().join("; ");
        let standings: Vec<Standing> = measures.iter().map(|measure| measure.standing()).collect();
        if let Some(place) = standings.iter().position(|standing| *standing == Standing::Worse) {
            return Said::Enough(Judgement::Fail(measures[place].words()));
        }
        if standings.iter().all(|standing| *standing == Standing::Accepted) {
            return Said::Enough(Judgement::Pass(words));
        }
        let needed =
            measures.iter().map(|measure| measure.evidence.goal().enough()).max().unwrap_or_default();
        if measures.iter().all(|measure| measure.evidence.is_clean()) {
            Said::TooLittle(format!("{words}; {needed} good requests are enough"))
        } else {
            Said::Doubt(words)
        }
    }
}

impl Measure {
    fn enter(&mut self, history: Counts, window: Option<&Share>) {
        self.evidence.history(history);
        if let Some(share) = window {
            self.evidence.window(share.new, share.old);
            self.served.extend(share.served.iter().cloned());
            self.troubled.extend(share.troubled.iter().cloned());
        }
    }

    fn standing(&self) -> Standing {
        match self.evidence.standing() {
            // One pod alone may be on a bad node.
            Standing::Worse if self.served.len() > 1 && self.troubled.len() < 2 => Standing::Open,
            standing => standing,
        }
    }

    /// `new 17/310 failed, old 2/900, E=143`, and what an accepted version does not have.
    fn words(&self) -> String {
        let (new, old) = self.evidence.counts();
        let beside = match old.all {
            0 => format!("allowed {}", percent(self.evidence.goal().allowed)),
            _ => format!("old {}/{}", old.bad, old.all),
        };
        let told = format!(
            "new {}/{} {}, {beside}, E={}",
            new.bad,
            new.all,
            self.word,
            spell(self.evidence.value())
        );
        match self.standing() {
            Standing::Accepted => {
                let excluded = percent(self.evidence.goal().excluded());
                format!("{told}, {excluded} or more excluded with {}", percent(1.0 - MISSED))
            }
            Standing::Worse | Standing::Open => told,
        }
    }
}

fn percent(share: f64) -> String {
    let text = format!("{:.3}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

fn spell(evidence: f64) -> String {
    if evidence >= 10.0 { format!("{:.0}", evidence.min(1e9)) } else { format!("{evidence:.1}") }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
