//! From what was built to where it is news: the push, and the word of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Content, Fault, Known, Line, Owed};
use crate::daemon::builds::election::last_change;
use crate::daemon::builds::{Made, Word};
use crate::daemon::elections::standing;
use crate::discover::DiscoverError;
use crate::discover::build::Seen;
use crate::elect::build::{LastChange, is_news};
use crate::model::{BuildTag, EnvironmentName, Repository};
use crate::transfer;

/// A push that failed is tried again after this long, then after twice as long, …
const RETRY: Duration = Duration::from_secs(1);
/// … and at the latest after this long.
const RETRY_LONGEST: Duration = Duration::from_mins(1);

impl Line {
    /// Whether these sources were built before, as Git and the registry tell by their tags; what was never committed is owed.
    pub(super) async fn was_built(&mut self, seen: &Seen) -> Result<bool, Fault> {
        let hash = BuildTag::hash_of(&seen.digest);
        let Some(snapshot) = self.snapshot() else { return Ok(false) };
        let stands = |environment: &EnvironmentName| {
            let written = self
                .desired(&snapshot, environment)
                .and_then(|desired| desired.images.get(&self.spec.name.1));
            let tag = written.and_then(|written| written.new_tag.as_ref()).and_then(BuildTag::of);
            tag.is_some_and(|tag| tag.hash() == hash)
        };
        if self.spec.targets.keys().all(stands) {
            return Ok(true);
        }
        let repositories: BTreeSet<Repository> = self.spec.targets.values().cloned().collect();
        for repository in repositories {
            let Some(tag) = self.pushed(&repository, &hash).await? else { continue };
            let Some(digest) = self.context.registries.digest(&repository, &tag.tag()).await? else {
                continue;
            };
            let found = Some(tag.time());
            self.known = Some(Known { stamp: None, digest: digest.clone(), written: None });
            self.owe(Owed { tag, digest, content: Content::Pushed(repository), found });
            return Ok(true);
        }
        Ok(false)
    }

    /// The newest tag of a build of this content.
    async fn pushed(&self, repository: &Repository, hash: &str) -> Result<Option<BuildTag>, Fault> {
        match self.context.registries.tags(repository, None).await {
            Ok(list) => Ok(list
                .tags
                .iter()
                .filter_map(|tag| BuildTag::of(&tag))
                .filter(|tag| tag.hash() == hash)
                .max()),
            Err(DiscoverError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Brings what is owed to every environment where it is news, and tells the supervisor.
    pub(super) async fn bring(&mut self) -> Result<(), Fault> {
        if self.owed.is_none() && self.unsettled.is_none() {
            self.retry = None;
            return Ok(());
        }
        self.failures += 1;
        let pause = RETRY.saturating_mul(1 << (self.failures - 1).min(10)).min(RETRY_LONGEST);
        self.retry = Some(Instant::now() + pause);
        self.settle().await?;
        let Some(owed) = self.owed.clone() else { return Ok(()) };
        let mut tag = owed.tag.clone();
        let mut targets = BTreeMap::new();
        let Some(snapshot) = self.snapshot() else { return Ok(()) };
        for (environment, repository) in &self.spec.targets {
            let Some(desired) = self.desired(&snapshot, environment) else { continue };
            let written = desired.images.get(&self.spec.name.1).cloned().unwrap_or_default();
            if written.digest.as_ref() == Some(&owed.digest) {
                continue;
            }
            if let Some(made) = owed.found {
                let last = last_change(desired, &self.spec.name.1).or(desired.events.first());
                let last = last.map(|event| LastChange { time: event.time, ours: event.trailers.is_some() });
                let before = match owed.content {
                    Content::Artifact(_) => self.pushed(repository, owed.tag.hash()).await?,
                    Content::Pushed(_) => Some(owed.tag.clone()),
                };
                let at = before.as_ref().map_or(made, |before| before.time().max(made));
                if !is_news(at, before.is_some(), &standing(&written), last) {
                    let (app, image) = (&self.spec.name.0, &self.spec.name.1);
                    tracing::info!(%app, %image, %environment, digest = owed.digest.short(),
                        "what was built before the last commit is left alone; build it again to have it run");
                    continue;
                }
                // It is new here since now, and a start after a crash must see that.
                let is_late = last.is_some_and(|last| at.as_second() < last.time.as_second());
                tag = match before {
                    Some(before) if before.time().as_second() >= made.as_second() => before,
                    _ if is_late => BuildTag::new(Timestamp::now(), &owed.digest),
                    _ => tag,
                };
            }
            targets.insert(environment.clone(), repository.clone());
        }
        for repository in targets.values().collect::<BTreeSet<_>>() {
            self.push(&owed, &tag, repository).await?;
        }
        self.owed = None;
        (self.failures, self.retry) = (0, None);
        if targets.is_empty() {
            return Ok(());
        }
        let Some(snapshot) = self.snapshot() else { return Ok(()) };
        let since = |environment: &EnvironmentName| {
            let last = last_change(self.desired(&snapshot, environment)?, &self.spec.name.1)?;
            Some(last.commit.clone())
        };
        let places = targets.into_keys().map(|name| (name.clone(), since(&name))).collect();
        let made = Made { tag: tag.tag(), digest: owed.digest, places };
        _ = self.words.send(Word::Made(self.spec.name.clone(), made)).await;
        Ok(())
    }

    /// Makes the tag be the image in one repository.
    async fn push(&self, owed: &Owed, tag: &BuildTag, to: &Repository) -> Result<(), Fault> {
        let registries = &self.context.registries;
        let began = Instant::now();
        let copied = match &owed.content {
            Content::Artifact(artifact) => {
                transfer::push(registries, &self.root, artifact, to, &tag.tag()).await?
            }
            Content::Pushed(from) if from == to && *tag == owed.tag => return Ok(()),
            Content::Pushed(from) => {
                transfer::copy(registries, from, to, &owed.digest, &tag.tag(), &|_| {}).await?
            }
        };
        let (app, image) = (&self.spec.name.0, &self.spec.name.1);
        tracing::info!(%app, %image, reference = %format!("{to}:{}", tag.tag()), digest = owed.digest.short(),
            blobs = copied.blobs_copied, bytes = copied.bytes, milliseconds = began.elapsed().as_millis(), "pushed");
        Ok(())
    }
}
