//! Waiting for the verdict on what was promoted, with or without a daemon.
//!
//! The command line judges by itself, as the daemon does, and takes a daemon's verdict where that comes first. Both
//! may take back a failed version: the second one finds that it was done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::Failure;
use super::output::Printer;
use crate::daemon::Context;
use crate::daemon::follow::{self, Subject};
use crate::model::{AppName, CommitId, EnvironmentName, Exit, Source, Times, Verdict, VerdictNote};
use crate::publish::{Outcome, Snapshot};
use crate::rollout::rollback::Circumstances;
use crate::rollout::{Decision, Phase, Rules, rollback};

/// How often a daemon's verdict is looked for.
const LOOK: Duration = Duration::from_secs(2);
/// What a judgement gets beyond `--timeout`, so that one that is due then comes first.
const GRACE: Duration = Duration::from_secs(1);

/// What is waited for.
pub(super) struct Wanted {
    pub(super) environment: EnvironmentName,
    pub(super) apps: Vec<AppName>,
    pub(super) timeout: Option<Duration>,
}

/// What the tasks tell.
enum Word {
    Phase(AppName, Phase, String),
    Ended(AppName, Result<End, Failure>),
}

/// How one app's wait ended.
struct End {
    exit: Exit,
    verdict: Verdict,
    reasons: Vec<String>,
    versions: String,
    commit: CommitId,
    seconds: f64,
    /// What became of a failed version.
    after: Option<String>,
}

/// Waits for all; returns the exit code and the verdicts as JSON.
pub(super) async fn for_verdicts(
    context: &Arc<Context>,
    printer: &Printer,
    wanted: &Wanted,
) -> Result<(Exit, Value), Failure> {
    let (words, mut told) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for app in wanted.apps.clone() {
        let (context, words) = (context.clone(), words.clone());
        let (environment, timeout) = (wanted.environment.clone(), wanted.timeout);
        tasks.spawn(async move {
            let told = words.clone();
            let progress =
                |phase, detail: &str| _ = told.send(Word::Phase(app.clone(), phase, detail.to_owned()));
            let end = one(&context, &app, &environment, timeout, progress).await;
            _ = words.send(Word::Ended(app, end));
        });
    }
    drop(words);
    let mut phases: BTreeMap<AppName, (Phase, String)> = BTreeMap::new();
    let (mut exits, mut verdicts) = (Vec::new(), Vec::new());
    while let Some(word) = told.recv().await {
        match word {
            Word::Phase(app, phase, detail) => {
                let known = phases.get(&app);
                if known.is_none_or(|(before, words)| *before != phase || *words != detail) {
                    let text = format!("{app} in {}: {phase}: {detail}", wanted.environment);
                    printer.step(
                        "rollout",
                        &text,
                        &json!({"app": app, "phase": phase.to_string(), "detail": detail}),
                    );
                    phases.insert(app, (phase, detail));
                }
            }
            Word::Ended(app, Ok(end)) => {
                let environment = &wanted.environment;
                let mut text = format!(
                    "{app} {} in {environment}: {} after {:.1} s",
                    end.versions, end.verdict, end.seconds
                );
                if end.verdict != Verdict::Verified {
                    text = format!("{text}: {}", end.reasons.join("; "));
                }
                printer.human(&text);
                if let Some(after) = &end.after {
                    printer.human(&format!("{app}: {after}"));
                }
                if end.exit == Exit::Unknown {
                    printer.human(&format!(
                        "look again: promote status --environment {environment} --app {app}"
                    ));
                }
                exits.push(end.exit);
                verdicts.push(json!({
                    "app": app, "environment": environment, "verdict": end.verdict, "reasons": end.reasons,
                    "commit": end.commit, "seconds": end.seconds, "after": end.after,
                }));
            }
            Word::Ended(_, Err(failure)) => return Err(failure),
        }
    }
    Ok((Exit::first(exits), Value::Array(verdicts)))
}

async fn one(
    context: &Context,
    app: &AppName,
    environment: &EnvironmentName,
    timeout: Option<Duration>,
    progress: impl FnMut(Phase, &str) + Send,
) -> Result<End, Failure> {
    let snapshot = context.mirror.refresh().await?;
    let Some(subject) = subject(&snapshot, app, environment) else {
        return Err(Failure::new(
            Exit::Internal,
            format!("the commit that brought {app} to {environment} was not found"),
        ));
    };
    let decision = verdict(context, &snapshot, &subject, timeout, progress).await?;
    let seconds = decision.times.decided.duration_since(decision.times.committed).as_secs_f64();
    let mut end = End {
        exit: Exit::Done,
        verdict: decision.verdict,
        reasons: decision.reasons.clone(),
        versions: subject.versions(),
        commit: subject.commit.clone(),
        seconds: seconds.max(0.0),
        after: None,
    };
    end.exit = match decision.verdict {
        Verdict::Verified => Exit::Done,
        Verdict::Unknown if decision.blocked => Exit::Blocked,
        Verdict::Unknown | Verdict::Superseded => Exit::Unknown,
        Verdict::Failed => {
            let (exit, after) = take_back(context, &subject, &decision.reasons.join("; "), timeout).await?;
            end.after = Some(after);
            exit
        }
    };
    Ok(end)
}

fn subject(snapshot: &Snapshot, app: &AppName, environment: &EnvironmentName) -> Option<Subject> {
    let desired = snapshot.desired.get(&(app.clone(), environment.clone()))?;
    Subject::of(app, environment, desired)
}

/// The verdict on a subject: one that is written, or our own, whichever comes first.
async fn verdict(
    context: &Context,
    snapshot: &Snapshot,
    subject: &Subject,
    timeout: Option<Duration>,
    progress: impl FnMut(Phase, &str) + Send,
) -> Result<Decision, Failure> {
    if let Some(decision) = written(snapshot, subject) {
        return Ok(decision);
    }
    let Some(mut rules) = follow::rules(snapshot, &subject.environment) else {
        return Err(Failure::new(Exit::Usage, format!("promote.yaml no longer has {}", subject.environment)));
    };
    if let Some(timeout) = timeout.and_then(|timeout| SignedDuration::try_from(timeout).ok()) {
        rules = Rules { timeout, ..rules };
    }
    let others = async {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Ok(newer) = context.mirror.refresh().await
                && let Some(decision) = written(&newer, subject)
            {
                return decision;
            }
        }
    };
    // A version that is good, but not yet for long enough, is not judged at the deadline: that would be no evidence.
    let patience = async {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout + GRACE).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        decision = follow::follow(context, subject, rules, progress) => {
            // Without the right to write notes the verdict still counts for this run.
            if let Err(error) = context.mirror.note(follow::notes(subject, &decision)).await {
                tracing::warn!(%error, "the verdict was not written");
            }
            Ok(decision)
        }
        decision = others => Ok(decision),
        () = patience => Ok(going_on(subject, rules)),
    }
}

/// What is said, and nowhere written, when the time to wait is over before the judgement is.
fn going_on(subject: &Subject, rules: Rules) -> Decision {
    let (waited, stable) = (rules.timeout, rules.stable_for);
    Decision {
        verdict: Verdict::Unknown,
        reasons: vec![format!(
            "still going on after {waited:#}, since a good version is looked at for {stable:#}"
        )],
        layers: Vec::new(),
        times: Times {
            committed: subject.committed,
            applied: None,
            rolled_out: None,
            decided: Timestamp::now(),
        },
        blocked: false,
    }
}

/// The verdict that somebody has written for exactly this commit.
fn written(snapshot: &Snapshot, subject: &Subject) -> Option<Decision> {
    let note = |(image, _): &(_, _)| -> Option<&VerdictNote> {
        snapshot.verdicts.on(&subject.commit, &subject.app, &subject.environment, image)
    };
    let notes: Vec<&VerdictNote> = subject.images.iter().map(note).collect::<Option<_>>()?;
    let worst = |verdict: Verdict| match verdict {
        Verdict::Failed => 3,
        Verdict::Unknown => 2,
        Verdict::Superseded => 1,
        Verdict::Verified => 0,
    };
    let note = notes.into_iter().max_by_key(|note| worst(note.verdict))?;
    if note.verdict == Verdict::Unknown {
        return None;
    }
    Some(Decision {
        verdict: note.verdict,
        reasons: note.reasons.clone(),
        layers: note.layers.clone(),
        times: note.times.clone(),
        blocked: false,
    })
}

/// Takes back a failed version and verifies what stands in for it.
async fn take_back(
    context: &Context,
    subject: &Subject,
    reason: &str,
    timeout: Option<Duration>,
) -> Result<(Exit, String), Failure> {
    let snapshot = context.mirror.refresh().await?;
    let place = (subject.app.clone(), subject.environment.clone());
    let (Some(desired), Some(settings)) =
        (snapshot.desired.get(&place), snapshot.config.environments.get(&subject.environment))
    else {
        return Ok((Exit::Failed, "promote.yaml no longer has it".to_owned()));
    };
    let done = desired
        .origin()
        .and_then(|origin| origin.trailers.as_ref())
        .is_some_and(|trailers| trailers.source == Source::Rollback { commit: subject.commit.clone() });
    let stands = desired.origin().is_some_and(|origin| origin.commit == subject.commit);
    if !done && !stands {
        return Ok((
            Exit::Failed,
            "somebody has changed the version meanwhile; nothing was rolled back".to_owned(),
        ));
    }
    if !done {
        let bad = |digest: &crate::model::Digest| {
            desired.record.quarantine.iter().any(|entry| entry.digest == *digest)
        };
        let (app, environment) = (&subject.app, &subject.environment);
        let now = Timestamp::now();
        let since = now - rollback::WINDOW;
        let recent = rollback::count(&context.mirror.history(since).await?, app, environment, since);
        let circumstances = Circumstances { on_failure: settings.verify.on_failure, recent, now };
        let change = match rollback::of(app, environment, &desired.events, circumstances, reason, bad) {
            Ok(change) => change,
            Err(kept) => return Ok((Exit::Failed, format!("the failed version stays: {kept}"))),
        };
        let published = context.mirror.publish(vec![change], true).await?;
        if let Some(Outcome::Overtaken { image, now }) = published.outcomes.first() {
            return Ok((
                Exit::Failed,
                format!("somebody changed {image} to {now} meanwhile; nothing was rolled back"),
            ));
        }
        if let Some(Outcome::Impossible(words)) = published.outcomes.first() {
            return Ok((Exit::Failed, format!("the rollback could not be written: {words}")));
        }
    }
    let snapshot = context.mirror.refresh().await?;
    let Some(back) = self::subject(&snapshot, &subject.app, &subject.environment) else {
        return Ok((Exit::Failed, "the rollback was not found".to_owned()));
    };
    let commit = back.commit.short().to_owned();
    let decision = verdict(context, &snapshot, &back, timeout, |_, _| {}).await?;
    let words = format!("rolled back to {} with {commit}, which is {}", back.versions(), decision.verdict);
    Ok((if decision.verdict == Verdict::Verified { Exit::RolledBack } else { Exit::Failed }, words))
}
