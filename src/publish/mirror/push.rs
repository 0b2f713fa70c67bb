//! Changes and verdicts brought to the remote: made anew for each try, until the remote has them or says no.

use std::time::{Duration, Instant};

use git2::{Oid, Signature};

use super::owner::{Owner, Request};
use super::{Published, Reply};
use crate::boundary;
use crate::edit::Amendment;
use crate::model::VerdictNote;
use crate::publish::history::commit_id;
use crate::publish::remote::{Pushed, Update};
use crate::publish::{Change, Outcome, PublishError, apply, message, notes, objects};

/// How often a push may lose its race before it is given up.
const RACES: u32 = 20;
/// How often a push is tried whose connection broke.
const BREAKS: u32 = 3;

impl Owner {
    /// Brings all requests and notes to the remote, in one push as long as nothing fails.
    pub(super) fn publish(&mut self, requests: Vec<Request>, notes: Vec<(Vec<VerdictNote>, Reply<()>)>) {
        let began = Instant::now();
        let lines: Vec<VerdictNote> = notes.iter().flat_map(|(lines, _)| lines.iter().cloned()).collect();
        let result = self.push_until_done(&requests, &lines);
        let took = began.elapsed();
        let written = match &result {
            Ok(done) => done.notes_failed.clone().map_or(Ok(()), Err),
            Err(error) => Err(error.clone()),
        };
        for (place, request) in requests.into_iter().enumerate() {
            let answer = match (&result, &self.snapshot) {
                (Err(error), _) => Err(error.clone()),
                (Ok(done), Some(snapshot)) => Ok(Published {
                    outcomes: done.outcomes.get(place).cloned().unwrap_or_default(),
                    snapshot: snapshot.clone(),
                    races: done.races,
                    committing: done.committing,
                    took,
                }),
                (Ok(_), None) => Err(PublishError::Stopped),
            };
            _ = request.reply.send(answer);
        }
        for (_, reply) in notes {
            _ = reply.send(written.clone());
        }
    }

    fn push_until_done(&mut self, requests: &[Request], lines: &[VerdictNote]) -> Result<Done, PublishError> {
        let (mut races, mut breaks) = (0, 0);
        let mut committing = Duration::ZERO;
        let mut notes_left = !lines.is_empty();
        let mut ours: Vec<Oid> = Vec::new();
        // The outcomes of a push that the remote took, even if a later note or the connection failed.
        let mut landed: Option<Vec<Vec<Outcome>>> = None;
        loop {
            let (_, head) = self.known()?;
            let began = Instant::now();
            let attempt = match self.prepare(requests, if notes_left { lines } else { &[] }) {
                Ok(attempt) => attempt,
                Err(error) => return Err(self.damaged(&error)),
            };
            committing += began.elapsed();
            let Attempt { updates, outcomes, commit } = attempt;
            if updates.is_empty() {
                return Ok(Done {
                    outcomes: landed.unwrap_or(outcomes),
                    races,
                    committing,
                    notes_failed: None,
                });
            }
            ours.extend(commit);
            if commit.is_some() {
                boundary::reached("committed");
            }
            let pushed = self.remote.push(&self.repository, &updates);
            boundary::reached("push-answered");
            let mut lost = false;
            let mut words = None;
            let mut notes_failed = None;
            match pushed {
                Ok(answers) => {
                    for (update, answer) in updates.iter().zip(answers) {
                        let is_branch = update.reference != notes::NOTES;
                        match answer {
                            Pushed::Done => {
                                self.advance(update, is_branch);
                                if is_branch {
                                    landed = Some(outcomes.clone());
                                }
                            }
                            Pushed::Lost => lost = true,
                            Pushed::Rejected(said) if is_branch => {
                                words = Some((update.reference.clone(), said));
                            }
                            Pushed::Rejected(said) => notes_failed = Some((update.reference.clone(), said)),
                        }
                    }
                }
                Err(
                    error @ (PublishError::Unauthorized { .. }
                    | PublishError::HostKey { .. }
                    | PublishError::Missing { .. }),
                ) => {
                    self.forget();
                    return Err(error);
                }
                Err(error) => {
                    // The remote may have taken the push before the connection broke: only a look can tell.
                    breaks += 1;
                    self.forget();
                    if breaks >= BREAKS {
                        return Err(error);
                    }
                    pause(breaks);
                    self.refresh()?;
                    if let (Some(commit), Some(heads)) = (commit, &self.heads)
                        && (heads.head == commit
                            || self.repository.graph_descendant_of(heads.head, commit).unwrap_or(false))
                    {
                        landed = Some(outcomes);
                    }
                    continue;
                }
            }
            if !lost && words.is_none() && notes_failed.is_none() {
                self.read()?;
                return Ok(Done {
                    outcomes: landed.unwrap_or(outcomes),
                    races,
                    committing,
                    notes_failed: None,
                });
            }
            // Somebody else moved a reference, or the remote refuses: which of both, the head tells.
            self.forget();
            self.refresh()?;
            let moved =
                self.heads.as_ref().is_some_and(|heads| heads.head != head && !ours.contains(&heads.head));
            let refused = |(reference, words): (String, String)| PublishError::Refused {
                remote: self.remote.location().to_string(),
                reference,
                words,
            };
            if let Some(words) = words
                && !moved
                && !transient(&words.1)
            {
                return Err(refused(words));
            }
            if let Some(words) = notes_failed
                && !transient(&words.1)
            {
                if !lost {
                    return Ok(Done {
                        outcomes: landed.unwrap_or(outcomes),
                        races,
                        committing,
                        notes_failed: Some(refused(words)),
                    });
                }
                notes_left = false;
            }
            races += 1;
            if races >= RACES {
                let remote = self.remote.location().to_string();
                let reference = updates.first().map(|update| update.reference.clone()).unwrap_or_default();
                return Err(PublishError::Conflict { remote, reference, attempts: races });
            }
            pause(races);
        }
    }

    /// Makes the commits for one try at the known head.
    fn prepare(&mut self, requests: &[Request], lines: &[VerdictNote]) -> Result<Attempt, git2::Error> {
        let (Some(snapshot), Some(heads), Some(overlays)) =
            (&self.snapshot, &self.heads, self.reader.overlays())
        else {
            return Ok(Attempt::default());
        };
        let parent = self.repository.find_commit(heads.head)?;
        let base = parent.tree()?;
        let mut tree = base.clone();
        let (mut made, mut outcomes) = (Vec::new(), Vec::new());
        for request in requests {
            let applied = apply::apply(
                &self.repository,
                &mut self.reader.memory,
                &tree,
                &overlays,
                &request.changes,
                request.together,
            )?;
            tree = self.repository.find_tree(applied.tree)?;
            made.extend(applied.made.iter().map(|place| request.changes[*place].clone()));
            outcomes.push((applied.others, request.changes.len()));
        }
        let author = &snapshot.config.git.author;
        let signature = Signature::now(&author.name, &author.email)?;
        let mut updates = Vec::new();
        let mut commit = None;
        if tree.id() != base.id() {
            let text = message::compose(&made);
            let author = approver(&made).unwrap_or_else(|| signature.clone());
            let id = self.repository.commit(None, &author, &signature, &text, &tree, &[&parent])?;
            let mut new = objects::added(&self.repository, Some(&base), &tree)?;
            new.push(id);
            commit = Some(id);
            let reference = format!("refs/heads/{}", heads.branch);
            updates.push(Update { reference, old: Some(heads.head), new: id, objects: new });
        }
        let finished = commit.unwrap_or(heads.head);
        let old = notes::tip(&self.repository);
        if !lines.is_empty()
            && notes::append(&self.repository, &signature, lines)?
            && let Some(new) = notes::tip(&self.repository)
        {
            let notes = self.repository.find_commit(new)?.tree()?;
            let before = old.map(|old| self.repository.find_commit(old)?.tree()).transpose()?;
            let mut objects = objects::added(&self.repository, before.as_ref(), &notes)?;
            // Each note is a commit of its own on top of the last.
            let mut walk = self.repository.revwalk()?;
            walk.push(new)?;
            if let Some(old) = old {
                walk.hide(old)?;
            }
            for id in walk {
                let id = id?;
                objects.extend(objects::added(
                    &self.repository,
                    before.as_ref(),
                    &self.repository.find_commit(id)?.tree()?,
                )?);
                objects.push(id);
            }
            updates.push(Update { reference: notes::NOTES.to_owned(), old, new, objects });
        }
        let outcomes = outcomes
            .into_iter()
            .map(|(others, count)| {
                let outcome =
                    |place| others.get(&place).cloned().unwrap_or(Outcome::Committed(commit_id(finished)));
                (0..count).map(outcome).collect()
            })
            .collect();
        Ok(Attempt { updates, outcomes, commit })
    }

    /// Remembers what the remote took.
    fn advance(&mut self, update: &Update, is_branch: bool) {
        if let Some(heads) = &mut self.heads {
            if is_branch {
                heads.head = update.new;
            } else {
                heads.notes = Some(update.new);
            }
        }
    }

    /// Makes the next look fetch, and drops notes that the remote did not take.
    fn forget(&mut self) {
        let notes = self.heads.take().and_then(|heads| heads.notes);
        let reset = match notes {
            Some(old) => {
                self.repository.reference(notes::NOTES, old, true, "as the remote has it").map(|_| ())
            }
            None => self.repository.find_reference(notes::NOTES).and_then(|mut stale| stale.delete()),
        };
        if let Err(error) = reset {
            tracing::debug!(%error, "the notes were not reset; the next fetch does it");
        }
    }
}

struct Done {
    outcomes: Vec<Vec<Outcome>>,
    races: u32,
    committing: Duration,
    notes_failed: Option<PublishError>,
}

#[derive(Default)]
struct Attempt {
    updates: Vec<Update>,
    outcomes: Vec<Vec<Outcome>>,
    commit: Option<Oid>,
}

/// The author of a commit that approves: who approved is who Git shows as that.
fn approver(made: &[Change]) -> Option<Signature<'static>> {
    let approves =
        |change: &&Change| change.amendments.iter().any(|made| matches!(made, Amendment::Approve(..)));
    let actor = made.iter().find(approves)?.actor.as_deref()?;
    let (name, rest) = actor.rsplit_once(" <")?;
    Signature::now(name, rest.strip_suffix('>')?).ok()
}

/// Refusals that mean "somebody is pushing at this moment", in the words of git, GitHub, GitLab and Gitea.
fn transient(words: &str) -> bool {
    [
        "cannot lock ref",
        "failed to update ref",
        "fetch first",
        "non-fast-forward",
        "incorrect old value",
        "stale info",
    ]
    .iter()
    .any(|sign| words.contains(sign))
}

/// Waits longer after each lost race, by a length that differs between writers.
fn pause(attempt: u32) {
    let spread = u64::from(Instant::now().elapsed().subsec_nanos() ^ std::process::id()) % 20;
    let base = 5 * u64::from(attempt.min(20));
    std::thread::sleep(Duration::from_millis(base + spread * u64::from(attempt.min(10))));
}
