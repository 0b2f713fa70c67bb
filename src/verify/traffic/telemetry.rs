//! Telemetry: is what was read of a workload's requests recent, and of every pod that serves?

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::ledger::Reading;

/// One reading may fail without taking what is known away.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is known of how a workload's requests are told.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// How often Prometheus scrapes.
    interval: Duration,
    /// When the last whole reading came.
    read: Option<Timestamp>,
    /// How old the newest sample of each pod was then, in seconds.
    ages: BTreeMap<String, f64>,
    /// Whose counters have been seen.
    counted: BTreeSet<String>,
    /// Pods whose counters were seen, and were not in the last reading.
    gone: BTreeSet<String>,
    /// Why the last round brought no reading.
    silence: Option<String>,
}

/// Why what is known can't be relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gap {
    /// Nobody answers.
    Silence(String),
    /// Who answers does not see the pods.
    Blind(String),
}

impl Telemetry {
    /// Nothing is known yet. `interval` is assumed until a reading tells better.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            read: None,
            ages: BTreeMap::new(),
            counted: BTreeSet::new(),
            gone: BTreeSet::new(),
            silence: None,
        }
    }

    /// A whole reading came, with the age of each pod's newest sample in seconds.
    pub fn heard(
        &mut self,
        reading: &Reading,
        ages: &BTreeMap<String, f64>,
        interval: Duration,
        now: Timestamp,
    ) {
        let counted: BTreeSet<String> = reading.requests.iter().map(|counter| counter.of.clone()).collect();
        self.gone = self.counted.difference(&counted).cloned().collect();
        self.counted.extend(counted);
        self.ages.clone_from(ages);
        self.interval = interval;
        (self.read, self.silence) = (Some(now), None);
    }

    /// No reading came, and why.
    pub fn silent(&mut self, words: &str) {
        self.silence = Some(words.to_owned());
    }

    /// What is missing now to rely on the counters of these pods, which serve.
    pub fn gap<'a>(&self, serving: impl IntoIterator<Item = &'a str>, now: Timestamp) -> Option<Gap> {
        self.silence(now).or_else(|| {
            serving
                .into_iter()
                .find_map(|pod| self.blind_to(pod))
                .map(|words| Gap::Blind(format!("telemetry gap: {words}")))
        })
    }

    /// The same where counters are not told by pod: some instance has to be seen.
    pub fn gap_of_instances(&self, now: Timestamp) -> Option<Gap> {
        let blind = || !self.ages.values().any(|age| *age <= self.oldest());
        let gap = || Gap::Blind("telemetry gap: no instance has a fresh sample".to_owned());
        self.silence(now).or_else(|| blind().then(gap))
    }

    fn silence(&self, now: Timestamp) -> Option<Gap> {
        let patience =
            SignedDuration::try_from((self.interval * 2).max(PATIENCE)).unwrap_or(SignedDuration::MAX);
        let silent = self.read.is_none_or(|read| now.duration_since(read) > patience);
        let words = self.silence.as_deref().unwrap_or("Prometheus has not answered yet");
        silent.then(|| Gap::Silence(words.to_owned()))
    }

    fn blind_to(&self, pod: &str) -> Option<String> {
        match self.ages.get(pod) {
            None => Some(format!("Prometheus does not reach pod {pod}")),
            Some(age) if *age > self.oldest() => {
                Some(format!("the newest sample of pod {pod} is {age:.0} s old"))
            }
            Some(_) if self.gone.contains(pod) => Some(format!("the counters of pod {pod} are gone")),
            Some(_) => None,
        }
    }

    /// In seconds.
    fn oldest(&self) -> f64 {
        2.0 * self.interval.as_secs_f64() + 1.0
    }
}

#[cfg(test)]
#[path = "telemetry_tests.rs"]
mod tests;
