//! Counters as they are read, turned into windows of requests of the new and the old version.
//!
//! A counter that falls was reset, and what it shows then is new; one that is missing, such as a vanished pod's, adds
//! nothing. A window ends once it is long enough and each version that could serve has served.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::Counts;

/// A window lasts at least this long, in seconds.
pub const WINDOW: f64 = 15.0;
/// Requests of the first seconds are no measure of speed: caches are empty, connections are made.
const WARM_UP: f64 = 30.0;

/// What Prometheus shows of one workload at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// When, by Prometheus's clock, in seconds since 1970.
    pub at: f64,
    /// Counters of requests.
    pub requests: Vec<Counter>,
    /// Counters of requests by their duration.
    pub durations: Vec<Durations>,
}

/// One counter of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// Whose it is: a pod's name, or an instance's address where series have no pod.
    pub of: String,
    /// What tells it from the others of the same pod.
    pub series: String,
    /// Whether it counts failures.
    pub failed: bool,
    /// Requests so far.
    pub value: u64,
}

/// How many requests of a pod took how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durations {
    /// Whose they are.
    pub of: String,
    /// All requests so far.
    pub all: u64,
    /// Those within the bound; at most `all`.
    pub within: u64,
}

/// Which version a counter belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arms {
    /// The new version's pods, and whether each is so young that its first value is all its own.
    pub new: BTreeMap<String, bool>,
    /// The old version's pods, those that are gone among them.
    pub old: BTreeSet<String>,
    /// Whether a pod of the old version still serves.
    pub old_serves: bool,
}

/// The requests between two moments, as far as one property of them is concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Share {
    /// Those of the new version.
    pub new: Counts,
    /// Those of the old version, where it served beside the new one.
    pub old: Option<Counts>,
    /// Pods of the new version that had requests.
    pub served: BTreeSet<String>,
    /// Pods of the new version that had bad ones.
    pub troubled: BTreeSet<String>,
}

impl Share {
    fn count(&mut self, pod: &str, counts: Counts) {
        self.new.add(counts);
        if counts.all > 0 {
            self.served.insert(pod.to_owned());
        }
        if counts.bad > 0 {
            self.troubled.insert(pod.to_owned());
        }
    }

    fn count_old(&mut self, counts: Counts) {
        self.old.get_or_insert_default().add(counts);
    }
}

/// The requests between two moments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Window {
    /// Failures are bad.
    pub failures: Share,
    /// Slow requests are bad.
    pub slow: Share,
}

/// What a reading has completed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Requests of the old version from before it was first read: failures, and slow ones.
    pub history: (Counts, Counts),
    /// The window that ended.
    pub window: Option<Window>,
}

/// Last values, and the window under way.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    begun: Option<f64>,
    opened: f64,
    last: f64,
    read: BTreeSet<String>,
    counters: BTreeMap<(String, String), u64>,
    durations: BTreeMap<String, (u64, u64)>,
    open: Window,
    old_served: bool,
}

impl Ledger {
    /// Enters a reading. One that is older than the last is dropped.
    pub fn enter(&mut self, reading: &Reading, arms: &Arms) -> Entry {
        let mut entry = Entry::default();
        let first = self.begun.is_none();
        let begun = *self.begun.get_or_insert(reading.at);
        if first {
            self.opened = reading.at;
        } else if reading.at < self.last {
            return entry;
        }
        self.last = reading.at;
        self.failures(&reading.requests, arms, &mut entry.history.0);
        self.slow(&reading.durations, arms, reading.at - begun >= WARM_UP, &mut entry.history.1);
        self.old_served |= arms.old_serves;
        if first && self.old_served {
            // Requests from before the first reading have nothing of the old version's beside them.
            self.open = Window::default();
        } else {
            entry.window = self.close(reading.at, arms);
        }
        entry
    }

    fn failures(&mut self, counters: &[Counter], arms: &Arms, history: &mut Counts) {
        let mut read = BTreeSet::new();
        for counter in counters {
            let key = (counter.of.clone(), counter.series.clone());
            let known = self.counters.get(&key).copied();
            self.counters.insert(key, known.map_or(counter.value, |before| kept(before, counter.value)));
            let read_before = self.read.contains(&counter.of);
            read.insert(counter.of.clone());
            let counts = |before| {
                let all = since(before, counter.value);
                Counts { all, bad: if counter.failed { all } else { 0 } }
            };
            if let Some(young) = arms.new.get(&counter.of) {
                // A series that turns up later began at zero.
                let began = if *young || read_before { 0 } else { counter.value };
                self.open.failures.count(&counter.of, counts(known.unwrap_or(began)));
            } else if arms.old.contains(&counter.of) {
                match known {
                    Some(before) => self.open.failures.count_old(counts(before)),
                    None if read_before => self.open.failures.count_old(counts(0)),
                    None => history.add(counts(0)),
                }
            }
        }
        self.read.append(&mut read);
    }

    fn slow(&mut self, durations: &[Durations], arms: &Arms, warm: bool, history: &mut Counts) {
        for one in durations {
            let now = (one.all, one.within.min(one.all));
            let known = self.durations.get(&one.of).copied();
            let keep = |before: (u64, u64)| (kept(before.0, now.0), kept(before.1, now.1));
            self.durations.insert(one.of.clone(), known.map_or(now, keep));
            let counts = |before: (u64, u64)| {
                let all = since(before.0, now.0);
                Counts { all, bad: all.saturating_sub(since(before.1, now.1)) }
            };
            if arms.new.contains_key(&one.of) {
                if let (Some(before), true) = (known, warm) {
                    self.open.slow.count(&one.of, counts(before));
                }
            } else if arms.old.contains(&one.of) {
                match known {
                    Some(before) if warm => self.open.slow.count_old(counts(before)),
                    Some(_) => {}
                    None => history.add(counts((0, 0))),
                }
            }
        }
    }

    fn close(&mut self, at: f64, arms: &Arms) -> Option<Window> {
        let Share { new, old, .. } = &self.open.failures;
        let one_sided = arms.old_serves && (new.all == 0) != old.is_none_or(|old| old.all == 0);
        if at - self.opened < WINDOW || one_sided {
            return None;
        }
        let mut window = std::mem::take(&mut self.open);
        if std::mem::replace(&mut self.old_served, arms.old_serves) {
            window.failures.old.get_or_insert_default();
            window.slow.old.get_or_insert_default();
        }
        self.opened = at;
        Some(window)
    }
}

/// How far a counter came from `before` to `now`: a much smaller value began anew at zero.
fn since(before: u64, now: u64) -> u64 {
    now.checked_sub(before).unwrap_or(if is_late(before, now) { 0 } else { now })
}

/// What the next value is compared with.
fn kept(before: u64, now: u64) -> u64 {
    if is_late(before, now) { before } else { now }
}

/// Of two Prometheus servers behind one address, one may be some seconds behind: a value a little below the last is an
/// old one.
fn is_late(before: u64, now: u64) -> bool {
    now < before && now >= before / 2
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
