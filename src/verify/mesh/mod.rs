//! The mesh layer: do the new pods have their proxies, and do routes lead to them?
//!
//! In: a [`Snapshot`] of what the cluster shows of Istio and the Gateway API around the workloads, and what was seen
//! [`Before`] the change arrived. Out: an [`Answer`]. Only what came with the change can fail; what was wrong before is
//! named beside it.

mod collisions;
pub mod injection;
pub mod routes;
pub mod routing;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use self::injection::{Expected, Pod};
use self::routes::Problem;
use self::routing::Routing;
use super::{Answer, Judgement};

/// Objects of one change arrive one after the other, and watches of several kinds tell of them in any order.
const SETTLED: SignedDuration = SignedDuration::from_secs(5);
/// How long a ready pod may take to be found behind its routes, and a subset to have pods.
const ENDPOINTS: SignedDuration = SignedDuration::from_secs(30);
/// The most problems that one answer names.
const MOST: usize = 3;
/// istiod tells it only to its own namespace, or by a port-forward.
const SYNC: &str = "whether the proxies have istiod's present configuration is left out";

/// What the cluster shows at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// The new pods of the workloads under judgement.
    pub pods: Vec<Pod>,
    /// Pods of the same workloads that are of another version.
    pub old: Vec<Pod>,
    /// Whether new pods should have proxies, and who says so.
    pub expected: Expected,
    /// The routes around them.
    pub routing: Routing,
    /// What could not be looked at, and why.
    pub unseen: Vec<String>,
}

/// What was seen before the change arrived, to tell new problems from old ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Before {
    problems: BTreeSet<String>,
    /// Routes that led to the workloads, so that one that leads nowhere now is still known as theirs.
    ours: BTreeSet<String>,
    proxies: bool,
}

impl Before {
    /// What is worth remembering of a snapshot.
    pub fn of(snapshot: &Snapshot) -> Self {
        let problems = routes::problems(&snapshot.routing, &snapshot.pods);
        Self {
            problems: problems.iter().map(Problem::to_string).collect(),
            ours: routes::ours(&snapshot.routing, &snapshot.pods),
            proxies: snapshot.pods.iter().any(|pod| pod.proxy.is_some()),
        }
    }
}

/// Since when each problem is seen without a break.
pub type Seen = BTreeMap<String, Timestamp>;

/// What the mesh says about the new version. `seen` is kept from one look to the next.
pub fn judge(snapshot: &Snapshot, before: Option<&Before>, seen: &mut Seen, now: Timestamp) -> Answer {
    let had_proxies =
        before.is_some_and(|before| before.proxies) || snapshot.old.iter().any(|pod| pod.proxy.is_some());
    let ours = routes::ours(&snapshot.routing, &snapshot.pods);
    let proxies = injection::judge(&snapshot.pods, &snapshot.expected, had_proxies);
    if proxies.is_none() && ours.is_empty() && before.is_none_or(|before| before.ours.is_empty()) {
        return Answer::LeftOut(with(
            "the pods are not in the mesh, and no route leads to them",
            &snapshot.unseen,
        ));
    }
    let (routing, notes) = problems(snapshot, before, &ours, seen, now);
    let endpoints = routes::endpoints(&snapshot.routing, &snapshot.pods, now, ENDPOINTS);
    let all: Vec<Judgement> = proxies.into_iter().chain(routing).chain(endpoints).collect();
    let good: Vec<&str> = all.iter().map(Judgement::detail).filter(|words| !words.is_empty()).collect();
    let unasked = snapshot.pods.iter().any(|pod| pod.proxy.is_some()).then(|| SYNC.to_owned());
    let more: Vec<String> =
        notes.into_iter().chain(snapshot.unseen.clone()).take(MOST).chain(unasked).collect();
    let good = with(&good.join("; "), &more);
    Answer::Judged(match Judgement::all(all) {
        Some(Judgement::Pass(_)) | None => Judgement::Pass(good),
        Some(other) => other,
    })
}

fn with(words: &str, more: &[String]) -> String {
    let more = more.iter().take(MOST + 1).map(String::as_str);
    std::iter::once(words).chain(more).collect::<Vec<_>>().join("; ")
}

/// What is wrong with the routes and came with the change, and in words what was so before.
fn problems(
    snapshot: &Snapshot,
    before: Option<&Before>,
    ours: &BTreeSet<String>,
    seen: &mut Seen,
    now: Timestamp,
) -> (Option<Judgement>, Vec<String>) {
    let found = routes::problems(&snapshot.routing, &snapshot.pods);
    let words: BTreeSet<String> = found.iter().map(Problem::to_string).collect();
    seen.retain(|known, _| words.contains(known));
    let (mut judgements, mut notes) = (Vec::new(), Vec::new());
    for problem in &found {
        let words = problem.to_string();
        let since = *seen.entry(words.clone()).or_insert(now);
        let theirs = !ours.contains(&problem.object)
            && before.is_none_or(|before| !before.ours.contains(&problem.object));
        if theirs {
            continue;
        }
        let note = match before {
            Some(before) if before.problems.contains(&words) => format!("{words} (as before the change)"),
            None => format!("{words} (the change was applied before the first look, so it may be older)"),
            Some(_) if !problem.error => words,
            Some(_) => {
                let patience = if problem.of_pods { ENDPOINTS } else { SETTLED };
                judgements.push(if now.duration_since(since) >= patience {
                    Judgement::Fail(words)
                } else {
                    Judgement::wait(words)
                });
                continue;
            }
        };
        notes.push(note);
    }
    (Judgement::all(judgements), notes)
}

#[cfg(test)]
mod tests;
