//! The supervisor's second half: what stands without a verdict is followed to one, and what failed is taken back.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Done, JUDGE_AGAIN, Place, Supervisor};
use crate::boundary;
use crate::daemon::Context;
use crate::daemon::events::{Decided, Event as _, Progressed};
use crate::daemon::follow::{self, Subject};
use crate::model::{CommitId, Exit, Verdict, VerdictNote};
use crate::rollout::{Decision, Phase, rollback};

impl Supervisor {
    /// Starts to follow every version that stands somewhere without a verdict.
    pub(super) fn start_rollouts(&mut self) {
        if self.mode.dry_run {
            return;
        }
        let snapshot = self.snapshot.clone();
        let standing: BTreeSet<&Place> = snapshot.desired.keys().collect();
        self.rollouts.retain(|place, (_, abort)| {
            standing.contains(place) || {
                abort.abort();
                false
            }
        });
        for (place, desired) in &snapshot.desired {
            let (app, environment) = place;
            let Some(settings) = snapshot.config.environments.get(environment) else { continue };
            let serves = self.mode.served.is_empty() || self.mode.served.contains(environment);
            if !serves || settings.watched().is_none() || desired.problem.is_some() {
                continue;
            }
            let Some(subject) = Subject::of(app, environment, desired) else { continue };
            let says_something = subject
                .images
                .iter()
                .any(|(_, written)| written.new_tag.is_some() || written.digest.is_some());
            if !says_something {
                continue;
            }
            let judged: Vec<Option<Verdict>> = subject
                .images
                .iter()
                .map(|(image, _)| {
                    snapshot.verdicts.on(&subject.commit, app, environment, image).map(|note| note.verdict)
                })
                .collect();
            let open = judged.iter().any(|verdict| matches!(verdict, None | Some(Verdict::Unknown)));
            let failed = judged.contains(&Some(Verdict::Failed));
            match self.failed.get(place).cloned() {
                Some((commit, _, reason)) if commit == subject.commit => {
                    self.take_back(place, &commit, &reason, true);
                    continue;
                }
                _ if failed => {
                    self.take_back(place, &subject.commit, "judged as failed before", false);
                    continue;
                }
                _ => {}
            }
            let waits = self.judged.get(place).is_some_and(|(commit, at)| {
                *commit == subject.commit && (self.mode.once || at.elapsed() < JUDGE_AGAIN)
            });
            let running = self.rollouts.get(place).is_some_and(|(commit, _)| *commit == subject.commit);
            if open && !waits && !running {
                self.follow(place.clone(), subject);
            }
        }
    }

    fn follow(&mut self, place: Place, subject: Subject) {
        let Some(rules) = follow::rules(&self.snapshot, &subject.environment) else { return };
        let context = self.context.clone();
        let commit = subject.commit.clone();
        let abort = self.tasks.spawn(async move {
            let mut told: Option<(Phase, Instant)> = None;
            let decision = follow::follow(&context, &subject, rules, |phase, detail| {
                let part = format!("rollout of {} in {}", subject.app, subject.environment);
                tracing::debug!(part, detail, "waiting");
                let now = Instant::now();
                match told {
                    Some((before, since)) if before != phase => {
                        progressed(&context, &subject, phase, Some((before.stage(), now - since)));
                        told = Some((phase, now));
                    }
                    Some(_) => {}
                    None => {
                        progressed(&context, &subject, phase, None);
                        told = Some((phase, now));
                    }
                }
            })
            .await;
            // The verdict ends the last phase; a stage that failed or was given up tells no duration.
            if let (Verdict::Verified, Some((phase, since))) = (decision.verdict, told) {
                context
                    .metrics
                    .stage_seconds
                    .with_label_values(&[phase.stage()])
                    .observe(since.elapsed().as_secs_f64());
            }
            Done::Decided(Box::new(subject), Box::new(decision))
        });
        // A rollout of an older commit sees by itself that it is superseded, and says so.
        self.rollouts.insert(place, (commit, abort));
    }

    pub(super) fn decided(&mut self, subject: &Subject, decision: &Decision) {
        boundary::reached("decided");
        let place = (subject.app.clone(), subject.environment.clone());
        if self.rollouts.get(&place).is_some_and(|(commit, _)| *commit == subject.commit) {
            self.rollouts.remove(&place);
        }
        let lead = subject.images.iter().filter_map(|(_, written)| {
            let key = (written.new_name.as_deref()?.parse().ok()?, written.new_tag.clone()?);
            let seen = self.listed.get(&key)?;
            Duration::try_from(decision.times.decided.duration_since(*seen)).ok()
        });
        let already_unknown = decision.verdict == Verdict::Unknown
            && self.snapshot.verdicts.of_commit(&subject.commit).iter().any(|note| {
                note.app == subject.app
                    && note.environment == subject.environment
                    && note.verdict == Verdict::Unknown
            });
        if !already_unknown {
            Decided {
                app: &subject.app,
                environment: &subject.environment,
                commit: subject.commit.as_str(),
                versions: &subject.versions(),
                decision,
                lead: lead.max(),
            }
            .emit(&self.context.metrics);
        }
        self.judged.insert(place.clone(), (subject.commit.clone(), Instant::now()));
        let lines = follow::notes(subject, decision);
        if !already_unknown {
            self.write(lines);
        }
        let back =
            self.snapshot.desired.get(&place).and_then(|desired| desired.origin()).is_some_and(|origin| {
                origin.commit == subject.commit
                    && matches!(&origin.trailers, Some(trailers) if trailers.is_automatic_rollback())
            });
        match decision.verdict {
            Verdict::Verified => self.end(if back { Exit::RolledBack } else { Exit::Done }),
            // What failed was taken back, and whether that helped is not known.
            Verdict::Unknown if back => self.end(Exit::Failed),
            Verdict::Unknown => self.end(if decision.blocked { Exit::Blocked } else { Exit::Unknown }),
            Verdict::Superseded => {}
            Verdict::Failed => {
                let cause = decision
                    .layers
                    .iter()
                    .find(|layer| layer.result == "fail" || layer.result == "wait")
                    .map_or("applied", |layer| layer.layer.as_str());
                let reason = decision.reasons.join("; ");
                let failed = (subject.commit.clone(), cause.to_owned(), reason.clone());
                self.failed.insert(place.clone(), failed);
                self.take_back(&place, &subject.commit, &reason, true);
            }
        }
    }

    pub(super) fn write(&mut self, lines: Vec<VerdictNote>) {
        if !lines.is_empty() {
            let mirror = self.context.mirror.clone();
            self.tasks.spawn(async move {
                let result = mirror.note(lines.clone()).await;
                Done::Noted(lines, result)
            });
        }
    }

    /// Takes back the version that `commit` brought, or says once why it stays.
    fn take_back(&mut self, place: &Place, commit: &CommitId, reason: &str, known: bool) {
        let (app, environment) = place;
        let snapshot = self.snapshot.clone();
        let (Some(desired), Some(settings)) =
            (snapshot.desired.get(place), snapshot.config.environments.get(environment))
        else {
            return;
        };
        // Whatever came after the failed version is another one, with a verdict of its own to come.
        let stands = desired.origin().is_some_and(|origin| origin.commit == *commit);
        if !stands || self.publishing.contains(place) {
            return;
        }
        let reason = match (known, desired.origin()) {
            (false, Some(origin)) => snapshot
                .verdicts
                .of_commit(&origin.commit)
                .iter()
                .find(|note| note.verdict == Verdict::Failed)
                .map_or(reason.to_owned(), |note| note.reasons.join("; ")),
            _ => reason.to_owned(),
        };
        let bad = |digest: &crate::model::Digest| {
            let quarantined = desired.record.quarantine.iter().any(|entry| entry.digest == *digest);
            let failed = desired.images.keys().any(|image| {
                snapshot
                    .verdicts
                    .latest(app, environment, image, digest)
                    .is_some_and(|note| note.verdict == Verdict::Failed)
            });
            quarantined || failed
        };
        let verify = settings.verify.on_failure;
        match rollback::of(app, environment, &desired.events, verify, &reason, Timestamp::now(), bad) {
            Ok(change) => {
                self.publish(vec![change]);
            }
            Err(kept) => {
                self.end(Exit::Failed);
                let commit = desired.origin().map(|origin| origin.commit.clone());
                if let Some(commit) = commit
                    && self.kept.insert((place.clone(), commit.clone()))
                {
                    tracing::error!(%app, %environment, %commit, reason, %kept, "the failed version stays");
                }
            }
        }
    }
}

fn progressed(context: &Context, subject: &Subject, phase: Phase, ended: Option<(&'static str, Duration)>) {
    Progressed {
        app: &subject.app,
        environment: &subject.environment,
        commit: subject.commit.as_str(),
        phase,
        ended,
    }
    .emit(&context.metrics);
}
