//! What comes in: looks at registries, and the ends of what was started.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Done, Place, Supervisor, exit_of};
use crate::boundary;
use crate::daemon::builds::Word;
use crate::daemon::events::{Committed, Event as _, RolledBack, Scanned, TagMoved};
use crate::daemon::trouble::Trouble;
use crate::discover::{DiscoverError, TagList, feed};
use crate::elect::{Ask, Known};
use crate::model::{Digest, Exit, Image, RegistryHost, Repository, Source, Tag};
use crate::publish::{Change, Outcome, PublishError, Published};

/// The name of a tag in the report of health.
fn part_of((repository, tag): &(Repository, Tag)) -> String {
    format!("tag {repository}:{tag}")
}

impl Supervisor {
    pub(super) fn saw(&mut self, sighting: feed::Sighting) {
        Scanned(&sighting).emit(&self.context.metrics);
        let feed::Sighting { repository, result, digests, unnamed, waiting, .. } = sighting;
        self.unseen.remove(&repository);
        self.owed.insert(repository.host().clone(), waiting);
        self.gathering.hear(Instant::now());
        let trouble = self.troubles.entry(repository.host().clone()).or_default();
        match &result {
            // One repository that does not exist says nothing about its registry.
            Ok(_) | Err(DiscoverError::NotFound { .. } | DiscoverError::Garbage { .. }) => {
                trouble.answered(&repository);
            }
            Err(DiscoverError::BackingOff { .. }) => {}
            Err(error) => {
                trouble.failed(&repository, error.state());
                self.end(Exit::Unreachable);
            }
        }
        self.tell_registry(repository.host());
        match result {
            Ok(list) => {
                self.context.health.tell(&format!("repository {repository}"), None);
                self.note_unnamed(&repository, unnamed);
                let again = self.asks_again(&repository, &list);
                let renamed = self.named(&repository, digests);
                let changed = again || renamed || !list.unchanged || !self.tags.contains_key(&repository);
                if changed {
                    boundary::reached("discovered");
                    self.digests.retain(|(known, tag), _| *known != repository || list.tags.contains(tag));
                    self.digests
                        .retain(|(known, _), digest| *known != repository || *digest != Known::Absent);
                    self.listed.retain(|(known, tag), _| *known != repository || list.tags.contains(tag));
                    if let Some(before) = self.tags.get(&repository) {
                        let now = Timestamp::now();
                        let fresh = list.tags.iter().filter(|tag| !before.tags.contains(tag));
                        self.listed.extend(fresh.map(|tag| ((repository.clone(), tag), now)));
                    }
                    self.tags.insert(repository, list);
                    self.gathering.begin(Instant::now());
                }
            }
            Err(error @ (DiscoverError::NotFound { .. } | DiscoverError::Garbage { .. })) => {
                self.end(Exit::Unreachable);
                self.context.health.tell(&format!("repository {repository}"), Some(error.state()));
            }
            Err(_) => {}
        }
        if waiting == 0 && self.gathering.is_open() {
            self.proceed();
        }
    }

    pub(super) fn built(&mut self, word: Word) {
        match word {
            Word::Made(name, made) => {
                self.builds.pushed.insert(name, made);
            }
            Word::Over(name, failed) => {
                self.builds.pending.remove(&name);
                if let Some(exit) = failed {
                    self.end(exit);
                }
            }
        }
        self.proceed();
    }

    /// Takes note of which listed tags could not be asked for at the last look, and of which can be again.
    fn note_unnamed(&mut self, repository: &Repository, unnamed: BTreeMap<Tag, DiscoverError>) {
        let before = self.unnamed.remove(repository).unwrap_or_default();
        if unnamed.is_empty() && before.is_empty() {
            return;
        }
        let trouble = self.unread.entry(repository.clone()).or_default();
        for tag in before.into_iter().filter(|tag| !unnamed.contains_key(tag)) {
            trouble.answered(&Ask::Tag(tag));
        }
        for (tag, error) in &unnamed {
            trouble.failed(&Ask::Tag(tag.clone()), error.state());
        }
        self.unnamed.insert(repository.clone(), unnamed.into_keys().collect());
        self.tell_unread();
    }

    /// Tells of which repositories images can't be asked for.
    pub(super) fn tell_unread(&mut self) {
        let health = &self.context.health;
        self.unread.retain(|repository, trouble| {
            let (told, failing) = trouble.told();
            health.tell(&format!("images of {repository}"), told.map(str::to_owned));
            failing > 0
        });
    }

    /// Forgets what could not be asked and is not asked any more, after elections have said what they ask. What failed is
    /// asked again once the next list is there.
    pub(super) fn forget_unasked(&mut self) {
        let (unnamed, resolving) = (&self.unnamed, &self.resolving);
        let (listed, wanted) = (&self.tags, self.targets.borrow());
        for (repository, trouble) in &mut self.unread {
            let is_unnamed = |tag: &Tag| unnamed.get(repository).is_some_and(|tags| tags.contains(tag));
            trouble.retain(|ask| {
                wanted.contains_key(repository)
                    && (!listed.contains_key(repository)
                        || resolving.contains(&(repository.clone(), ask.clone()))
                        || matches!(ask, Ask::Tag(tag) if is_unnamed(tag)))
            });
        }
        drop(wanted);
        self.tell_unread();
    }

    /// Tells how a registry is: not usable if none of its repositories can be looked at.
    fn tell_registry(&self, host: &RegistryHost) {
        let Some((told, failing)) = self.troubles.get(host).map(Trouble::told) else { return };
        let part = format!("registry {host}");
        // Counted only where there is trouble: this is told at every look.
        let all = || self.targets.borrow().keys().filter(|repository| repository.host() == host).count();
        match told {
            Some(told) if failing < all() => self.context.health.tell(&part, Some(told.to_owned())),
            told => self.context.health.set(&part, told.map(str::to_owned)),
        }
    }

    /// Forgets that listed tags of `repository` had no digest, for those whose time has come; whether there are any.
    ///
    /// A registry may list a tag a moment before it serves it, and for ever after its manifest was deleted.
    fn asks_again(&mut self, repository: &Repository, list: &TagList) -> bool {
        self.absent.retain(|(known, tag), _| known != repository || list.tags.contains(tag));
        let now = Instant::now();
        let due = self.absent.iter().filter(|((known, _), (_, next))| known == repository && *next <= now);
        let due: Vec<_> = due.map(|(key, _)| key.clone()).collect();
        let mut again = false;
        for key in due {
            if self.resolving.contains(&(key.0.clone(), Ask::Tag(key.1.clone()))) {
                continue;
            }
            // One that was found, and read as far as was needed, is absent no more.
            if let Some(Known::Digest(digest)) = self.digests.get(&key) {
                let (repository, tag) = key.clone();
                if !self.unfit.contains(&Image { repository, tag, digest: digest.clone() }) {
                    self.absent.remove(&key);
                    continue;
                }
            }
            again |= self.digests.remove(&key).is_some();
        }
        again
    }

    /// Takes note of what tags name now, and tells those that no longer name what stands in Git. Whether a digest that
    /// elections are held with has changed.
    fn named(&mut self, repository: &Repository, digests: BTreeMap<Tag, Digest>) -> bool {
        let followed =
            self.targets.borrow().get(repository).map(|look| look.followed.clone()).unwrap_or_default();
        let mut changed = false;
        for (tag, found) in digests {
            let key = (repository.clone(), tag);
            let other = self.committed(&key).find(|digest| **digest != found).cloned();
            if let Some(committed) = other.filter(|_| !followed.contains(&key.1)) {
                if self.moved_tags.get(&key) != Some(&found) {
                    let event = TagMoved { repository, tag: &key.1, committed: &committed, found: &found };
                    self.context.health.note(&part_of(&key), event.to_string());
                    event.emit(&self.context.metrics);
                    self.moved_tags.insert(key.clone(), found.clone());
                }
            } else if self.moved_tags.remove(&key).is_some() {
                self.context.health.forget(&part_of(&key));
            }
            if followed.contains(&key.1) || self.digests.contains_key(&key) {
                self.seen.note(repository, &found, Timestamp::now());
                let known = Known::Digest(found);
                changed |= self.digests.insert(key, known.clone()) != Some(known);
            }
        }
        self.answers += u64::from(changed);
        changed
    }

    /// The digests that stand in Git with a tag.
    fn committed(&self, (repository, tag): &(Repository, Tag)) -> impl Iterator<Item = &Digest> {
        self.standing.get(repository).and_then(|tags| tags.get(tag)).into_iter().flatten()
    }

    /// Takes back what was told of tags that Git has with what they name now, or has no more.
    pub(super) fn forget_moved(&mut self) {
        let mut told = std::mem::take(&mut self.moved_tags);
        told.retain(|key, found| {
            let differs = self.committed(key).any(|digest| digest != found);
            if !differs {
                self.context.health.forget(&part_of(key));
            }
            differs
        });
        self.moved_tags = told;
    }

    pub(super) fn done(&mut self, done: Done) {
        match done {
            Done::Refreshed(result) => {
                self.refreshing = false;
                match result {
                    Ok(snapshot) => {
                        self.context.health.set("git", None);
                        self.read(snapshot);
                    }
                    Err(error @ PublishError::Config(_)) => {
                        self.context.health.set("config", Some(error.to_string()));
                    }
                    Err(error) => self.context.health.set("git", Some(error.to_string())),
                }
                if std::mem::take(&mut self.ask_again) {
                    self.refresh();
                }
            }
            Done::Resolved(repository, ask, answer) => self.resolved(repository, ask, answer),
            Done::Copied(place, promotion, result) => {
                self.copying.remove(&place);
                match result {
                    Ok(()) => {
                        self.copy_failed.remove(&place);
                        self.context.health.tell(&format!("promotion of {} to {}", place.0, place.1), None);
                        self.publish(vec![promotion.change]);
                    }
                    Err(error) => {
                        self.end(Exit::Unreachable);
                        let part = format!("promotion of {} to {}", place.0, place.1);
                        self.context
                            .health
                            .tell(&part, Some(format!("{error}; it is tried again after a minute")));
                        self.copy_failed.insert(place, Instant::now());
                    }
                }
            }
            Done::Published(changes, result) => {
                for change in &changes {
                    self.publishing.remove(&(change.app.clone(), change.environment.clone()));
                }
                match result {
                    Ok(published) => {
                        self.context.health.set("git", None);
                        self.tell(&changes, &published);
                        self.read(published.snapshot.clone());
                        // Also when the snapshot was read before: a place that was busy is free now.
                        self.proceed();
                    }
                    Err(error) => {
                        self.end(exit_of(&error));
                        self.context.health.set("git", Some(error.to_string()));
                        // What failed and was to be held is weighed again at the next pass.
                        let is_of = |change: &Change, place: &Place| {
                            (&change.app, &change.environment) == (&place.0, &place.1)
                        };
                        self.kept.retain(|(place, _)| !changes.iter().any(|change| is_of(change, place)));
                    }
                }
            }
            Done::Previewed(Ok((outcomes, patch))) => {
                let count =
                    outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Committed(_))).count();
                if count > 0 {
                    self.end(Exit::Changes);
                    tracing::info!(changes = count, "would commit\n{patch}");
                }
            }
            Done::Previewed(Err(error)) => {
                self.end(exit_of(&error));
                tracing::warn!(%error, "no preview");
            }
            Done::Noted(lines, result) => {
                match &result {
                    Ok(()) => boundary::reached("noted"),
                    Err(error) => {
                        self.end(exit_of(error));
                        self.unwritten.extend(lines);
                    }
                }
                self.context.health.tell("verdicts", result.err().map(|error| error.to_string()));
            }
            Done::Decided(subject, decision) => self.decided(&subject, *decision),
            Done::Counted(place, commit, reason, recent) => self.counted(&place, &commit, &reason, recent),
        }
    }

    pub(super) fn tell(&mut self, changes: &[Change], published: &Published) {
        self.context.metrics.push_retries.inc_by(u64::from(published.races));
        for (change, outcome) in changes.iter().zip(&published.outcomes) {
            let place = (change.app.clone(), change.environment.clone());
            let part = format!("app {} in {}", change.app, change.environment);
            match outcome {
                Outcome::Committed(commit) => {
                    Committed {
                        change,
                        commit: commit.as_str(),
                        committing: published.committing,
                        took: published.took,
                        races: published.races,
                    }
                    .emit(&self.context.metrics);
                    if matches!(change.source, Source::Rollback { .. }) {
                        let (app, environment) = (&change.app, &change.environment);
                        let cause = self.failed.remove(&place).map(|(_, cause, _)| cause);
                        let cause = cause.as_deref().unwrap_or("recovered");
                        RolledBack { app, environment, cause }.emit(&self.context.metrics);
                    }
                }
                Outcome::AlreadyThere | Outcome::HeldBack => {}
                Outcome::Overtaken { image, now } => {
                    tracing::info!(app = %change.app, environment = %change.environment, %image, now,
                        "somebody changed the image meanwhile, and wins");
                    let taken = change.moves.iter().filter_map(|step| {
                        let written = &step.to;
                        Some(Image {
                            repository: written.new_name.as_deref()?.parse().ok()?,
                            tag: written.new_tag.clone()?,
                            digest: written.digest.clone()?,
                        })
                    });
                    self.overtaken.entry(place).or_default().extend(taken);
                }
                Outcome::Impossible(words) => {
                    self.end(Exit::Usage);
                    self.context.health.tell(&part, Some(words.clone()));
                }
            }
        }
    }
}
