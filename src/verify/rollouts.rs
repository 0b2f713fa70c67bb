//! All workloads of a version judged together, with their pods.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::kube::{Seen, View};
use super::workload::{self, Run, State};
use super::{Finding, Judgement, Layer, pods};
use crate::model::Digest;

/// What the version is, and since when it is there.
#[derive(Debug, Clone, Copy)]
pub struct Version<'a> {
    /// The digests that Git names.
    pub written: &'a BTreeSet<Digest>,
    /// Every digest that stands for them, as far as they are known.
    pub expected: &'a BTreeSet<Digest>,
    /// Why not all of them are known, if so.
    pub doubt: Option<&'a str>,
    /// When the change was committed.
    pub begun: Timestamp,
}

/// What is kept from one look to the next: how many pods each workload had when its rollout was last complete.
#[derive(Debug, Clone, Default)]
pub struct Memory(BTreeMap<String, i32>);

/// Judges what the cluster shows of a version.
pub fn judge(view: &View, version: Version<'_>, memory: &mut Memory, now: Timestamp) -> Vec<Finding> {
    let hidden = view.hidden.join("; ");
    if view.seen.is_empty() {
        let words = if hidden.is_empty() {
            "none of the workloads that Flux applied uses the image".to_owned()
        } else {
            format!("no workload that can be seen uses the image: {hidden}; grant it by a Role")
        };
        return vec![Finding::judged(Layer::Workload, Judgement::Unknown(words))];
    }
    let (mut rollouts, mut running) = (Vec::new(), Vec::new());
    for seen in &view.seen {
        let name = &seen.workload.name;
        if let Some(image) = foreign(seen, version.written) {
            let words = format!("{name} has {image}, which is not what Git says");
            rollouts.push((name.clone(), Some(Judgement::wait(words))));
            continue;
        }
        let served = memory.0.get(name).copied().unwrap_or_default();
        let of_pods = pods::View {
            expected: version.expected,
            doubt: version.doubt,
            served: usize::try_from(served.min(wanted(seen))).unwrap_or_default(),
            now,
        };
        let pods = pods_of(seen, of_pods, &hidden);
        let excuse = pods::excuse(&seen.pods, of_pods);
        let of_workload = workload::View { begun: version.begun, excuse: excuse.as_deref(), served, now };
        let judgement = workload::judge(&seen.workload, of_workload);
        let is_good = |judgement: &Option<Judgement>| matches!(judgement, Some(Judgement::Pass(_)));
        if !is_good(&judgement) || !is_good(&pods) {
            memory.0.remove(name);
        } else if let State::Replicas(replicas) = &seen.workload.state {
            memory.0.insert(name.clone(), replicas.ready.min(replicas.wanted));
        }
        rollouts.push((name.clone(), judgement));
        running.extend(pods);
    }
    let pods = match Judgement::all(running) {
        None => Finding::left_out(Layer::Pods, "there is no pod to look at"),
        Some(Judgement::Pass(words)) if !hidden.is_empty() => {
            Finding::judged(Layer::Pods, Judgement::Pass(format!("{words} (not seen: {hidden})")))
        }
        Some(judgement) => Finding::judged(Layer::Pods, judgement),
    };
    vec![Finding::judged(Layer::Workload, workload::all(rollouts)), pods]
}

/// The image of a workload that is not what Git says, since the change is not there yet or something else writes to it.
pub fn foreign<'s>(seen: &'s Seen, written: &BTreeSet<Digest>) -> Option<&'s str> {
    let is_written = |image: &&String| written.iter().any(|digest| image.ends_with(digest.as_str()));
    seen.images.iter().find(|image| !written.is_empty() && !is_written(image)).map(String::as_str)
}

fn wanted(seen: &Seen) -> i32 {
    match &seen.workload.state {
        State::Replicas(replicas) => replicas.wanted,
        _ => 0,
    }
}

/// Judges a workload's pods; none where there need not be any.
fn pods_of(seen: &Seen, view: pods::View<'_>, hidden: &str) -> Option<Judgement> {
    if !seen.pods.is_empty() {
        return Some(pods::judge(&seen.pods, view));
    }
    let may_be_gone = matches!(
        &seen.workload.state,
        State::Custom(_)
            | State::Schedule(None | Some(Run { complete: true, .. }))
            | State::Job(Run { complete: true, .. })
    );
    if may_be_gone {
        None
    } else if hidden.is_empty() {
        Some(pods::judge(&[], view))
    } else {
        Some(Judgement::Unknown(format!("its pods cannot be seen: {hidden}; grant it by a Role")))
    }
}

#[cfg(test)]
mod tests;
