//! What each layer of the judgement says of the apps as they stand: whether it has anything to judge by here.

use std::sync::Arc;
use std::time::Duration;

use super::Check;
use crate::config::Environment;
use crate::daemon::Context;
use crate::daemon::follow::{self, Subject};
use crate::model::{AppName, EnvironmentName, Exit};
use crate::publish::Snapshot;
use crate::rollout::{Delivered, Observation};
use crate::verify::{Answer, Judgement};

/// How long the cluster has to tell of all apps.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn look(
    context: &Arc<Context>,
    snapshot: &Snapshot,
    name: &EnvironmentName,
    settings: &Environment,
) -> Vec<Check> {
    let subjects: Vec<Subject> = snapshot
        .desired
        .iter()
        .filter(|((_, environment), _)| environment == name)
        .filter_map(|((app, environment), desired)| Subject::of(app, environment, desired))
        .collect();
    let looks = subjects.iter().map(|subject| async move {
        let seen = follow::glance(context, subject, PATIENCE).await;
        told(&subject.app, name, &seen)
    });
    let mut checks: Vec<Check> = futures::future::join_all(looks).await.into_iter().flatten().collect();
    let gates = &settings.gates;
    if gates.min_age.is_some() && settings.after.is_empty() {
        checks.push(Check::ok(
            "gates",
            "gates.minAge counts from when the daemon that serves it first saw a version",
        ));
    }
    checks
}

/// A line for each layer.
fn told(app: &AppName, environment: &EnvironmentName, seen: &Observation) -> Vec<Check> {
    let status = format!("promote status --environment {environment} --app {app}");
    match &seen.delivered {
        Delivered::Yes => {}
        Delivered::Blocked(words) => {
            return vec![Check::missing(Exit::Blocked, "applied", format!("{app}: {words}"))];
        }
        Delivered::Silent(words) => {
            return vec![Check::missing(Exit::Unreachable, "applied", format!("{app}: {words}"))];
        }
        Delivered::Changed(words) | Delivered::Refused(words) | Delivered::NotYet(words) => {
            return vec![Check::advice(
                "applied",
                format!("{app}: what stands in Git is not applied: {words}"),
                status,
            )];
        }
    }
    let mut checks =
        vec![Check::ok("applied", format!("{app}: applied: what stands in Git is in the cluster"))];
    for finding in &seen.findings {
        let layer = finding.layer.to_string();
        checks.push(match &finding.answer {
            Answer::LeftOut(why) => Check::ok(&layer, format!("{app}: {layer}: left out: {why}")),
            Answer::Judged(Judgement::Pass(words)) => Check::ok(&layer, format!("{app}: {layer}: {words}")),
            Answer::Judged(Judgement::Unknown(words)) | Answer::Silent(words) => {
                Check::missing(Exit::Unknown, &layer, format!("{app}: {layer}: {words}")).mended_by(&status)
            }
            Answer::Judged(Judgement::Fail(words) | Judgement::Wait { reason: words, .. }) => {
                Check::advice(&layer, format!("{app}: {layer}: {words}"), &status)
            }
        });
    }
    checks
}
