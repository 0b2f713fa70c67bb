//! Why a version stands where it stands, and what is waited for: what Git alone tells.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::config::Update;
use crate::daemon::builds;
use crate::daemon::promotion::{self, Plan, Wish};
use crate::elect::gates::Unmet;
use crate::model::{AppName, CommitId, EnvironmentName, Verdict, VerdictNote};
use crate::publish::{Desired, Snapshot, version};
use crate::rollout::platform::is_blamed;

/// One thing that keeps a place as it is, or that is waited for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cause {
    /// `overlay`, `record`, `markers`, `platform`, `hold`, `quarantine`, `person`, `build`, `released`, `verdict`, `upstream`, `candidate`
    /// or `now`.
    pub(super) kind: &'static str,
    /// For people.
    pub(super) words: String,
    /// Who decided it.
    pub(super) by: Option<String>,
    /// Why.
    pub(super) reason: Option<String>,
    /// Since when.
    pub(super) since: Option<Timestamp>,
    /// When it ends by itself, or at the latest.
    pub(super) until: Option<Timestamp>,
    /// The commit that it comes from.
    pub(super) commit: Option<CommitId>,
    /// The command that ends it.
    pub(super) undo: Option<String>,
}

impl Cause {
    pub(super) fn new(kind: &'static str, words: impl Into<String>) -> Self {
        Self { kind, words: words.into(), ..Self::default() }
    }

    /// The words with the command.
    pub(super) fn told(&self) -> String {
        match &self.undo {
            Some(undo) => format!("{}; to change that: {undo}", self.words),
            None => self.words.clone(),
        }
    }
}

/// Every cause, the most important first.
pub(super) fn causes(
    snapshot: &Snapshot,
    (app, environment): (&AppName, &EnvironmentName),
    desired: &Desired,
    note: Option<&VerdictNote>,
    now: Timestamp,
) -> Vec<Cause> {
    let verdict = note.map(|note| note.verdict);
    let release = format!("promote release --environment {environment} --app {app} --reason …");
    let mut causes = Vec::new();
    causes.extend(desired.problem.iter().map(|words| Cause::new("overlay", words)));
    causes.extend(desired.record_problem.iter().map(|words| Cause::new("record", words)));
    causes.extend(desired.remarks.iter().map(|words| Cause::new("markers", words)));
    let platform = platform(snapshot, app, environment, note);
    causes.extend(platform.or_else(|| open_verdict(snapshot, environment, desired, verdict, now)));
    if let Some(hold) = &desired.record.hold {
        let held = desired.record.held(now).is_some();
        let words = if held { hold.to_string() } else { format!("not held any more: it was {hold}") };
        causes.push(Cause {
            by: hold.by.clone(),
            reason: hold.reason.clone(),
            until: hold.until,
            undo: held.then(|| release.clone()),
            ..Cause::new("hold", words)
        });
    }
    for taken in desired.barred() {
        let words = format!(
            "{} is not elected again: {} replaced it with {}",
            version(&taken.version),
            taken.author,
            taken.commit.short()
        );
        causes.push(Cause {
            by: Some(taken.author),
            commit: Some(taken.commit),
            undo: Some(release.clone()),
            ..Cause::new("person", words)
        });
    }
    let built = desired.images.keys().filter(|image| builds::stands(desired, image));
    for image in built.filter(|_| !desired.is_released()) {
        let words = format!("{image} is a local build, and versions of its policy wait for a release");
        causes.push(Cause { undo: Some(release.clone()), ..Cause::new("build", words) });
    }
    if let Some(released) = desired.record.released.as_ref().filter(|_| desired.is_released()) {
        let by = released.by.as_deref().unwrap_or("somebody");
        causes.push(Cause {
            by: released.by.clone(),
            reason: released.reason.clone(),
            since: released.at,
            commit: Some(released.commit.clone()),
            ..Cause::new(
                "released",
                format!("released by {by}: elections go on from {}", released.commit.short()),
            )
        });
    }
    causes.extend(upstream(snapshot, app, environment, now));
    for entry in &desired.record.quarantine {
        let tag = entry.tag.as_ref().map_or_else(|| entry.digest.short().to_owned(), ToString::to_string);
        let at = entry.tag.as_ref().map_or_else(|| entry.digest.to_string(), ToString::to_string);
        let reason = entry.reason.as_deref().unwrap_or("no reason given");
        causes.push(Cause {
            reason: entry.reason.clone(),
            since: entry.at,
            undo: Some(format!("promote unquarantine --app {app} --at {at} --reason …")),
            ..Cause::new("quarantine", format!("{tag} is quarantined: {reason}"))
        });
    }
    causes
}

/// Why a version that is bad is not taken back while too many apps of its environment are.
fn platform(
    snapshot: &Snapshot,
    app: &AppName,
    environment: &EnvironmentName,
    note: Option<&VerdictNote>,
) -> Option<Cause> {
    let note = note.filter(|note| matches!(note.verdict, Verdict::Failed | Verdict::Unknown))?;
    let is_kept_back = |note: &VerdictNote| note.verdict == Verdict::Unknown && is_blamed(&note.reasons);
    let mut standing = snapshot.desired.iter().filter(|((_, place), _)| place == environment);
    let any = standing.any(|(place, desired)| {
        let mut notes =
            desired.images.keys().filter_map(|image| super::note(snapshot, place, desired, image));
        notes.any(is_kept_back)
    });
    let words = format!(
        "not taken back: too many apps of {environment} fail together, which points at what they share; mend that, and the \
         daemon that serves {environment} judges them again every few minutes"
    );
    (is_kept_back(note) || (note.verdict == Verdict::Failed && any)).then(|| Cause {
        since: Some(note.times.decided),
        commit: Some(note.commit.clone()),
        undo: Some(format!("promote rollback --environment {environment} --app {app}")),
        ..Cause::new("platform", words)
    })
}

/// What is waited for where there is no verdict yet, or none that says anything.
fn open_verdict(
    snapshot: &Snapshot,
    environment: &EnvironmentName,
    desired: &Desired,
    verdict: Option<Verdict>,
    now: Timestamp,
) -> Option<Cause> {
    let settings = snapshot.config.environments.get(environment)?;
    settings.watched()?;
    let origin = desired.origin()?;
    if verdict.is_some_and(|verdict| verdict != Verdict::Unknown) {
        return None;
    }
    let timeout = SignedDuration::try_from(settings.verify.timeout).ok()?;
    let until = origin.time.checked_add(timeout).ok()?;
    let words = match (verdict, until > now) {
        (Some(_), _) => {
            "there is no evidence either way: it is looked at again by the daemon that serves it".to_owned()
        }
        (None, true) => format!("no verdict yet; its time is up at {until:.0}"),
        (None, false) => format!(
            "no verdict, although its time was up at {until:.0}: no daemon serves {environment}, or it cannot write"
        ),
    };
    let mut cause = Cause { since: Some(origin.time), until: Some(until), ..Cause::new("verdict", words) };
    cause.commit = Some(origin.commit.clone());
    Some(cause)
}

/// What stands upstream, and why it is not here.
fn upstream(snapshot: &Snapshot, app: &AppName, environment: &EnvironmentName, now: Timestamp) -> Vec<Cause> {
    let Some(settings) = snapshot.config.environments.get(environment) else { return Vec::new() };
    if settings.after.is_empty() {
        return Vec::new();
    }
    let promote = format!("promote --to {environment} --app {app}");
    match promotion::plan(snapshot, app, environment, &Wish::default(), now) {
        Plan::Gated(unmet) => {
            let approve = format!("promote approve --environment {environment} --app {app} --reason …");
            let cause = |unmet: Unmet| Cause {
                until: unmet.until,
                undo: (unmet.gate == "approvals").then(|| approve.clone()),
                ..Cause::new("upstream", unmet.words)
            };
            unmet.into_iter().map(cause).collect()
        }
        Plan::Go(found) => {
            let versions: Vec<String> = found.change.moves.iter().map(|step| version(&step.to)).collect();
            let versions = versions.join(", ");
            let cause = |words: String| Cause::new("upstream", words);
            vec![match settings.update {
                Update::Auto => cause(format!("{versions} is verified in {} and on its way", found.from)),
                Update::Manual => Cause {
                    undo: Some(promote),
                    ..cause(format!("{versions} is verified in {} and waits for a person", found.from))
                },
            }]
        }
        // What stands in the way is told by its own cause, or stands upstream.
        Plan::Blocked(..) | Plan::AlreadyThere(..) | Plan::Unusable(_) => Vec::new(),
    }
}
