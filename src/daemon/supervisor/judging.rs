//! The supervisor's second half: what stands without a verdict is followed to one, and what failed is taken back.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Done, JUDGE_AGAIN, Lately, Place, Supervisor, exit_of};
use crate::boundary;
use crate::daemon::Context;
use crate::daemon::events::{Decided, Event as _, PlatformSuspected, Progressed};
use crate::daemon::follow::{self, Subject};
use crate::edit::Record;
use crate::model::{CommitId, EnvironmentName, Exit, Verdict, VerdictNote};
use crate::publish::{Change, PublishError};
use crate::rollout::rollback::Circumstances;
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

    pub(super) fn decided(&mut self, subject: &Subject, mut decision: Decision) {
        boundary::reached("decided");
        self.weigh(subject, &mut decision);
        let decision = &decision;
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
        let stands = self.snapshot.desired.get(&place).and_then(|desired| desired.origin());
        let back = subject.back && stands.is_some_and(|origin| origin.commit == subject.commit);
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

    /// Where many apps fail together, none of their versions is blamed: what is unknown is judged again.
    fn weigh(&mut self, subject: &Subject, decision: &mut Decision) {
        let failures = self.failures.entry(subject.environment.clone()).or_default();
        match decision.verdict {
            Verdict::Failed => failures.note(&subject.app, Timestamp::now()),
            Verdict::Verified => failures.forget(&subject.app),
            Verdict::Unknown | Verdict::Superseded => {}
        }
        if let Some(words) = self.suspicion(&subject.environment)
            && decision.verdict == Verdict::Failed
        {
            decision.verdict = Verdict::Unknown;
            decision.reasons.insert(0, words);
        }
    }

    /// Why all rollbacks of an environment are stopped, if they are; a change is told.
    fn suspicion(&mut self, environment: &EnvironmentName) -> Option<String> {
        let apps = self.snapshot.desired.keys().filter(|(_, known)| known == environment).count();
        let words = self.failures.get_mut(environment)?.weigh(apps, Timestamp::now());
        PlatformSuspected { environment, suspected: words.is_some() }.emit(&self.context.metrics);
        self.context.health.tell(&format!("platform of {environment}"), words.clone());
        words
    }

    /// Takes back the version that `commit` brought, or says once why it stays.
    fn take_back(&mut self, place: &Place, commit: &CommitId, reason: &str, known: bool) {
        let stands = self.snapshot.desired.get(place).and_then(|desired| desired.origin());
        // Whatever came after the failed version is another one, with a verdict of its own to come.
        let stands = stands.is_some_and(|origin| origin.commit == *commit);
        if !stands || self.publishing.contains(place) || self.taking_back.contains(place) {
            return;
        }
        if self.suspicion(&place.1).is_some() {
            return self.end(Exit::Failed);
        }
        let reason = self.why(place, reason, known);
        // What stays anyway needs no count.
        match self.way_back(place, &reason, 0) {
            Some(Ok(_)) if self.kept.contains(&(place.clone(), commit.clone())) => self.end(Exit::Failed),
            Some(Ok(_)) => {
                self.taking_back.insert(place.clone());
                let (mirror, place, commit) = (self.context.mirror.clone(), place.clone(), commit.clone());
                self.tasks.spawn(async move {
                    let since = Timestamp::now() - rollback::WINDOW;
                    let counted = mirror.history(since).await;
                    let (app, environment) = (&place.0, &place.1);
                    let counted = counted.map(|entries| Lately {
                        rollbacks: rollback::count(&entries, app, environment, since),
                        held: rollback::was_held(&entries, app, environment, &commit),
                    });
                    Done::Counted(place, commit, reason, counted)
                });
            }
            Some(Err(kept)) => self.keep(place, commit, &reason, &kept),
            None => {}
        }
    }

    /// Goes on with a rollback, now that it is known how many there were lately.
    pub(super) fn counted(
        &mut self,
        place: &Place,
        commit: &CommitId,
        reason: &str,
        lately: Result<Lately, PublishError>,
    ) {
        self.taking_back.remove(place);
        let Lately { rollbacks, held } = match lately {
            Ok(lately) => lately,
            // The next pass tries again.
            Err(error) => {
                self.end(exit_of(&error));
                return self.context.health.set("git", Some(error.to_string()));
            }
        };
        let stands = self.snapshot.desired.get(place).and_then(|desired| desired.origin());
        let stands = stands.is_some_and(|origin| origin.commit == *commit);
        if !stands || self.publishing.contains(place) {
            return;
        }
        match self.way_back(place, reason, rollbacks) {
            Some(Ok(change)) => self.publish(vec![change]),
            Some(Err(kept)) => {
                self.keep(place, commit, reason, &kept);
                if kept == rollback::Kept::TooOften && !held {
                    self.hold(place, reason);
                }
            }
            None => {}
        }
    }

    /// Keeps the next version from coming by itself, unless nothing comes anyway.
    fn hold(&mut self, place: &Place, reason: &str) {
        let held = |record: &Record| record.held(Timestamp::now()).is_some();
        if self.snapshot.desired.get(place).is_some_and(|desired| !held(&desired.record)) {
            self.publish(vec![rollback::hold(&place.0, &place.1, reason)]);
        }
    }

    /// The reason of a failure: as it was judged by this process, or as the note has it.
    fn why(&self, place: &Place, reason: &str, known: bool) -> String {
        let origin = self.snapshot.desired.get(place).and_then(|desired| desired.origin());
        let note = origin.filter(|_| !known).and_then(|origin| {
            let notes = self.snapshot.verdicts.of_commit(&origin.commit);
            notes.iter().find(|note| note.verdict == Verdict::Failed).map(|note| note.reasons.join("; "))
        });
        note.unwrap_or_else(|| reason.to_owned())
    }

    /// The change that takes back what stands, after so many rollbacks within the last hour.
    fn way_back(&self, place: &Place, reason: &str, recent: usize) -> Option<Result<Change, rollback::Kept>> {
        let (app, environment) = place;
        let desired = self.snapshot.desired.get(place)?;
        let settings = self.snapshot.config.environments.get(environment)?;
        let bad = |digest: &crate::model::Digest| {
            let quarantined = desired.record.quarantine.iter().any(|entry| entry.digest == *digest);
            let failed = desired.images.keys().any(|image| {
                self.snapshot
                    .verdicts
                    .latest(app, environment, image, digest)
                    .is_some_and(|note| note.verdict == Verdict::Failed)
            });
            quarantined || failed
        };
        let circumstances =
            Circumstances { on_failure: settings.verify.on_failure, recent, now: Timestamp::now() };
        Some(rollback::of(app, environment, &desired.events, circumstances, reason, bad))
    }

    fn keep(&mut self, place: &Place, commit: &CommitId, reason: &str, kept: &rollback::Kept) {
        self.end(Exit::Failed);
        if self.kept.insert((place.clone(), commit.clone())) {
            let (app, environment) = place;
            tracing::error!(%app, %environment, %commit, reason, %kept, "the failed version stays");
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
