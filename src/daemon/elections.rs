//! All elections over one snapshot: what to commit, what to copy, and what has to be known first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use super::builds::{self, Pushed};
use super::nodes::Nodes;
use super::promotion::{self, Plan, Promotion, Wish};
use super::rankings::{Basis, Rankings};
use crate::config::{Policy, Update};
use crate::discover::feed::{Look, Targets};
use crate::discover::{Depth, TagList};
use crate::edit::Written;
use crate::elect::{self, Ask, Candidates, Choice, Knowledge, Standing, Why};
use crate::model::{AppName, Digest, EnvironmentName, Image, ImageName, Repository, Source, Tag};
use crate::publish::{Change, Desired, Move, Snapshot};

/// An app in an environment.
pub type Place = (AppName, EnvironmentName);

/// The digests that stand in Git with a tag.
pub type StandingTags = BTreeMap<Repository, BTreeMap<Tag, BTreeSet<Digest>>>;

/// What elections are held over.
pub struct World<'a> {
    /// What Git says.
    pub snapshot: &'a Snapshot,
    /// What the registries list.
    pub tags: &'a HashMap<Repository, TagList>,
    /// What is known of their tags.
    pub known: Knowledge<'a>,
    /// Grows with every answer about an image.
    pub answers: u64,
    /// The present.
    pub now: Timestamp,
    /// Versions that were about to be committed when a person was quicker.
    pub overtaken: &'a BTreeMap<Place, Vec<Image>>,
    /// The local builds that were pushed last.
    pub builds: &'a Pushed,
    /// The environments that this process serves; all if empty.
    pub served: &'a BTreeSet<EnvironmentName>,
    /// What the clusters' nodes run on.
    pub nodes: &'a Nodes,
}

/// What follows from them.
#[derive(Debug, Default)]
pub struct Intentions {
    /// To be committed at once.
    pub changes: Vec<Change>,
    /// To be copied and then committed.
    pub promotions: Vec<Promotion>,
    /// What to ask registries for, and how much of it.
    pub resolve: BTreeMap<(Repository, Ask), Depth>,
    /// Versions that a gate keeps waiting, and until when.
    pub waiting: BTreeSet<(Timestamp, Repository, Tag)>,
    /// Versions that do not run where they would go, as they were read.
    pub unfit: BTreeSet<Image>,
    /// What gates demand that no time brings, of the versions that are kept back.
    pub unattended: BTreeMap<Place, Vec<String>>,
    /// Whether a gate keeps back anything.
    pub gated: bool,
    /// How many versions are above what stands, of the image of each app that has the most.
    pub behind: BTreeMap<Place, usize>,
    /// What people should know of places where nothing can move; none clears it.
    pub remarks: BTreeMap<Place, Option<String>>,
}

impl World<'_> {
    fn serves(&self, environment: &EnvironmentName) -> bool {
        self.served.is_empty() || self.served.contains(environment)
    }

    /// The repositories whose tags matter, with the shortest interval that is asked for and the tags that stand in Git.
    pub fn targets(&self, standing: &StandingTags) -> Targets {
        let mut targets = Targets::new();
        let config = &self.snapshot.config;
        for (name, environment) in &config.environments {
            if !self.serves(name) || !environment.after.is_empty() || environment.update != Update::Auto {
                continue;
            }
            for (app, settings) in &config.apps {
                for (image, policy) in &settings.images {
                    if let Some(repository) = config.repository(name, app, image) {
                        let interval = config.interval_of(policy);
                        let look = targets.entry(repository).or_insert_with(|| Look::every(interval));
                        look.interval = interval.min(look.interval);
                        if let Policy::Digest { tag } = &policy.policy {
                            look.followed.insert(tag.clone());
                        }
                    }
                }
            }
        }
        for (repository, look) in &mut targets {
            if let Some(tags) = standing.get(repository) {
                look.watched.extend(tags.keys().cloned());
            }
        }
        targets
    }

    /// What stands in Git with a tag, by repository.
    pub fn standing(&self) -> StandingTags {
        let mut found = StandingTags::new();
        for ((app, environment), desired) in &self.snapshot.desired {
            if !self.serves(environment) {
                continue;
            }
            for (image, written) in &desired.images {
                if let (Some(tag), Some(digest)) = (&written.new_tag, &written.digest)
                    && let Some(repository) = self.snapshot.config.repository(environment, app, image)
                {
                    let tags = found.entry(repository).or_default();
                    tags.entry(tag.clone()).or_default().insert(digest.clone());
                }
            }
        }
        found
    }

    /// Holds all elections.
    pub fn elect(&self, rankings: &mut Rankings) -> Intentions {
        rankings.adopt(&self.snapshot.config);
        let mut intentions = Intentions::default();
        for ((app, environment), desired) in &self.snapshot.desired {
            let Some(settings) = self.snapshot.config.environments.get(environment) else { continue };
            if settings.update != Update::Auto {
                continue;
            }
            let place = (app.clone(), environment.clone());
            let broken = desired.problem.as_ref().or(desired.record_problem.as_ref());
            let free = broken.is_none() && desired.record.held(self.now).is_none();
            let all = || (!desired.remarks.is_empty()).then(|| desired.remarks.join("; "));
            let remark = broken.cloned().or_else(all);
            if settings.after.is_empty() && self.serves(environment) {
                intentions.remarks.insert(place, remark);
                if free {
                    self.elect_from_registry(app, environment, desired, rankings, &mut intentions);
                }
            } else if settings.after.iter().any(|before| self.serves(before)) {
                intentions.remarks.insert(place.clone(), remark);
                if free {
                    match promotion::plan(self.snapshot, app, environment, &Wish::default(), self.now) {
                        Plan::Go(promotion) => intentions.promotions.push(*promotion),
                        Plan::Gated(unmet) => {
                            intentions.gated = true;
                            let words: Vec<String> = unmet.into_iter().map(|unmet| unmet.words).collect();
                            intentions.remarks.insert(place, Some(words.join("; ")));
                        }
                        _ => {}
                    }
                }
            }
        }
        intentions
    }

    fn elect_from_registry(
        &self,
        app: &AppName,
        environment: &EnvironmentName,
        desired: &Desired,
        rankings: &mut Rankings,
        into: &mut Intentions,
    ) {
        // A build is elected when it is pushed; what a policy elects beside it follows with the next commit.
        if let Some(change) = self.elect_builds(app, environment, desired, into) {
            into.changes.push(change);
            return;
        }
        let place = (app.clone(), environment.clone());
        let config = &self.snapshot.config;
        let (Some(settings), Some(target)) = (config.apps.get(app), config.environments.get(environment))
        else {
            return;
        };
        let quarantined: Vec<Digest> =
            desired.record.quarantine.iter().map(|entry| entry.digest.clone()).collect();
        let barred = desired.barred();
        let released = desired.is_released();
        let overtaken = self.overtaken.get(&place).filter(|_| !released);
        let overtaken = overtaken.map(Vec::as_slice).unwrap_or_default();
        let nodes = self.nodes.of(target.cluster.as_ref());
        let mut moves = Vec::new();
        let mut resolve = BTreeMap::new();
        for (image, policy) in &settings.images {
            // Whether a version of the policy is newer than a build can't be told: a person says when it is to go on.
            let build = builds::stands(desired, image);
            if build && !released {
                continue;
            }
            let Some(repository) = self.snapshot.config.repository(environment, app, image) else { continue };
            let Some(list) = self.tags.get(&repository) else { continue };
            let current = desired.images.get(image).cloned().unwrap_or_default();
            let barred: Vec<Standing<'_>> =
                barred
                    .iter()
                    .filter(|barred| barred.image == *image)
                    .map(|barred| standing(&barred.version))
                    .chain(overtaken.iter().filter(|taken| taken.repository == repository).map(|taken| {
                        Standing { name: None, tag: Some(&taken.tag), digest: Some(&taken.digest) }
                    }))
                    .collect();
            let mut over = Candidates {
                repository: &repository,
                tags: &list.tags,
                current: if build { Standing::default() } else { standing(&current) },
                quarantined: &quarantined,
                barred: &barred,
                platforms: if policy.platforms.is_empty() { &nodes } else { &policy.platforms },
                gates: &target.gates,
                approved: &desired.approved,
                now: self.now,
            };
            let dated = matches!(policy.policy, Policy::Newest);
            let basis = Basis {
                tag: over.current.tag.cloned(),
                digest: over.current.digest.cloned().filter(|_| dated),
                // A time in the future comes to count one day.
                known: dated.then(|| (self.answers, self.now.as_second() / 3600)),
            };
            let key = (app.clone(), environment.clone(), image.clone());
            let mut ahead = rankings.of(key, &list.tags, basis, || elect::ahead(policy, &over, &self.known));
            // What a person has released gives way to the best version also where the two can't be compared.
            if released && ahead.as_ref().is_ok_and(|ahead| !ahead.ordered) {
                over.current = Standing::default();
                ahead = elect::ahead(policy, &over, &self.known).map(Arc::new);
            }
            let choice = match &ahead {
                Ok(ahead) => {
                    let behind = into.behind.entry(place.clone()).or_default();
                    *behind = elect::behind(policy, &over, ahead, &self.known).max(*behind);
                    elect::choose(policy, &over, ahead, &self.known)
                }
                Err(choice) => choice.clone(),
            };
            match choice {
                Choice::Move(elected) => {
                    moves.push(Move { image: image.clone(), from: current, to: (&elected).into() });
                }
                Choice::Resolve(asks) => {
                    let depth = elect::depth(policy, &over);
                    // What was said before holds until the answer is there.
                    if into.remarks.get(&place).is_some_and(Option::is_none) {
                        into.remarks.remove(&place);
                    }
                    if asks.len() > 1 {
                        // Without their number, which would make a new remark of each answer.
                        let words = "its tags are being dated; the newest is elected when all are";
                        remark(into, &place, format!("{image}: {words}"));
                    }
                    for ask in asks {
                        let wanted = resolve.entry((repository.clone(), ask)).or_insert(depth);
                        *wanted = depth.max(*wanted);
                    }
                }
                Choice::Stay(why) => note(into, &place, image, &repository, &why),
            }
        }
        // What is pushed together is committed together: one unknown digest holds the app's other images back.
        if resolve.is_empty() && !moves.is_empty() {
            into.changes.push(Change {
                app: app.clone(),
                environment: environment.clone(),
                moves,
                source: Source::Registry,
                actor: None,
                reason: None,
                amendments: Vec::new(),
            });
        }
        for (ask, depth) in resolve {
            let wanted = into.resolve.entry(ask).or_insert(depth);
            *wanted = depth.max(*wanted);
        }
    }
}

/// Says why an image stays, unless that is as it should be.
fn note(into: &mut Intentions, place: &Place, image: &ImageName, repository: &Repository, why: &Why) {
    let first = if let Why::Exhausted(first) = why { first } else { why };
    match first {
        Why::Gated { tag, unmet } => {
            into.gated = true;
            let until = unmet.iter().filter_map(|unmet| unmet.until);
            into.waiting.extend(until.map(|until| (until, repository.clone(), tag.clone())));
            let people = unmet.iter().filter(|unmet| unmet.until.is_none());
            let words = people.map(|unmet| format!("{tag} {}", unmet.words));
            into.unattended.entry(place.clone()).or_default().extend(words);
        }
        Why::Unfit { image, .. } => _ = into.unfit.insert(image.clone()),
        _ => {}
    }
    if *why != Why::UpToDate {
        remark(into, place, format!("{image}: {why}"));
    }
}

/// Adds to what people should know of a place.
fn remark(into: &mut Intentions, place: &Place, words: String) {
    let known = into.remarks.entry(place.clone()).or_default();
    *known = Some(match known.take() {
        Some(before) => format!("{before}; {words}"),
        None => words,
    });
}

pub(super) fn standing(written: &Written) -> Standing<'_> {
    Standing {
        name: written.new_name.as_deref(),
        tag: written.new_tag.as_ref(),
        digest: written.digest.as_ref(),
    }
}
