//! What would move from one environment to the next, and what stands in the way.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::Timestamp;

use super::way_back;
use crate::config::{ImagePolicy, Policy};
use crate::edit::{Amendment, Written};
use crate::elect::gates::Unmet;
use crate::elect::{gates, order, upstream};
use crate::model::{
    AppName, BuildTag, Digest, EnvironmentName, Image, ImageName, Repository, Source, Tag, Verdict,
};
use crate::publish::{Change, Move, Snapshot, version};

/// An image to bring to the target's registry before the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Where it is.
    pub from: Repository,
    /// Where it goes.
    pub to: Repository,
    /// What it is.
    pub digest: Digest,
    /// The tag that it gets there.
    pub tag: Tag,
}

/// One app's way into an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promotion {
    /// The change to commit.
    pub change: Change,
    /// The images to copy first.
    pub transfers: Vec<Transfer>,
    /// The app's other images, which Git has there already.
    pub standing: Vec<Transfer>,
    /// Where the versions come from.
    pub from: EnvironmentName,
}

/// What a promotion of one app comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// It moves.
    Go(Box<Promotion>),
    /// Git has these versions in the target already. Whether its registry still has their images is another question.
    AlreadyThere(String, Vec<Transfer>),
    /// Every reason why it may not move now, and every gate that it does not meet.
    Blocked(Vec<String>, Vec<Unmet>),
    /// Nothing but these gates keeps it from moving now.
    Gated(Vec<Unmet>),
    /// What has to be mended in the repository first.
    Unusable(String),
}

/// What a person asks for beyond the default.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// The environments to take versions from; by default those in `after`.
    pub from: Option<EnvironmentName>,
    /// This version only, by tag or digest.
    pub at: Option<At>,
    /// A missing or bad verdict upstream does not count, and neither does a gate.
    pub override_verdicts: bool,
    /// The person, as `NAME <EMAIL>`.
    pub actor: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// A person may go down; a policy never does.
    pub may_go_down: bool,
}

/// A version as a person names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// By tag.
    Tag(Tag),
    /// By digest.
    Digest(Digest),
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// Plans the promotion of `app` into `target`.
pub fn plan(
    snapshot: &Snapshot,
    app: &AppName,
    target: &EnvironmentName,
    wish: &Wish,
    now: Timestamp,
) -> Plan {
    let mut reasons = Vec::new();
    let mut unmet = Vec::new();
    let key = (app.clone(), target.clone());
    let (Some(desired), Some(environment)) =
        (snapshot.desired.get(&key), snapshot.config.environments.get(target))
    else {
        return Plan::Unusable(format!("promote.yaml has no {app} in {target}"));
    };
    if let Some(problem) = &desired.problem {
        return Plan::Unusable(problem.clone());
    }
    reasons.extend(desired.record_problem.clone());
    // What keeps a version that was put back is a person's to end, by promoting again.
    let put_back = |hold: &&crate::edit::Hold| wish.may_go_down && hold.image.is_some();
    if let Some(hold) = desired.record.held(now).filter(|hold| !put_back(hold)) {
        reasons.push(format!(
            "{app} in {target} is {hold}; `promote release --environment {target} --app {app} --reason …` ends that"
        ));
    }
    let sources = wish.from.clone().map_or_else(|| environment.after.clone(), |from| vec![from]);
    let set = match &wish.at {
        Some(at) => found(snapshot, app, &sources, at, wish.override_verdicts),
        None => upstream::verified(&standing(snapshot, app, &sources), wish.override_verdicts),
    };
    let set = match set {
        Ok(set) => set,
        Err(unmet) => {
            reasons.extend(unmet);
            return Plan::Blocked(reasons, Vec::new());
        }
    };
    let barred = desired.barred();
    let mut moves = Vec::new();
    let (mut transfers, mut standing) = (Vec::new(), Vec::new());
    let mut versions = Vec::new();
    for (image, (tag, digest)) in &set.images {
        let (Some(from), Some(to)) = (
            snapshot.config.repository(&set.from, app, image),
            snapshot.config.repository(target, app, image),
        ) else {
            continue;
        };
        versions.push(tag.to_string());
        let wanted = Image { repository: to.clone(), tag: tag.clone(), digest: digest.clone() };
        let stands = desired.images.get(image).cloned().unwrap_or_default();
        if desired.record.quarantine.iter().any(|entry| entry.digest == *digest) {
            reasons.push(format!("{image} {tag} is quarantined in {target}: it failed there"));
            continue;
        }
        let step = Move { image: image.clone(), from: stands, to: (&wanted).into() };
        let transfer = Transfer { from, to, digest: digest.clone(), tag: tag.clone() };
        if step.from == step.to {
            standing.push(transfer);
            continue;
        }
        let Some(policy) = snapshot.config.apps.get(app).and_then(|app| app.images.get(image)) else {
            continue;
        };
        let current = step.from.new_tag.as_ref();
        if !wish.override_verdicts {
            let seen = first_committed(snapshot, app, &set.from, image, digest);
            let by = desired.approved.get(digest).map(Vec::as_slice).unwrap_or_default();
            let age = gates::age(&environment.gates, seen, now);
            let missing = age.into_iter().chain(gates::approvals(&environment.gates, by));
            unmet.extend(missing.map(|unmet| (image, tag, unmet)));
        }
        if !wish.may_go_down {
            unmet.extend(
                gates::step(&environment.gates, policy, current, tag).map(|unmet| (image, tag, unmet)),
            );
            let order = compare(snapshot, app, (&set.from, image, policy), (tag, digest), &step.from);
            let untold = order.is_none() && !desired.is_released();
            if untold || order == Some(Ordering::Less) {
                reasons.push(format!("{image} {tag} is not newer than {} in {target}", version(&step.from)));
                continue;
            }
            let taken = barred.iter().find(|barred| {
                barred.image == *image && barred.version.new_tag.as_ref().is_none_or(|taken| taken == tag)
            });
            if let Some(taken) = taken {
                reasons.push(format!(
                    "{image} {tag} was taken away in {target} by {} with {}",
                    taken.author,
                    taken.commit.short()
                ));
                continue;
            }
        }
        transfers.push(transfer);
        moves.push(step);
    }
    let named = |(image, tag, unmet): (&ImageName, &Tag, Unmet)| Unmet {
        words: format!("{image} {tag} {}", unmet.words),
        ..unmet
    };
    let unmet: Vec<Unmet> = unmet.into_iter().map(named).collect();
    if !reasons.is_empty() {
        return Plan::Blocked(reasons, unmet);
    }
    if !unmet.is_empty() {
        return Plan::Gated(unmet);
    }
    if moves.is_empty() {
        return Plan::AlreadyThere(versions.join(", "), standing);
    }
    let amendments = hold(snapshot, (app, target), wish, &moves);
    let change = Change {
        app: app.clone(),
        environment: target.clone(),
        moves,
        source: Source::Promotion { from: set.from.clone(), commit: set.commit },
        actor: wish.actor.clone(),
        reason: wish.reason.clone(),
        amendments,
    };
    Plan::Go(Box::new(Promotion { change, transfers, standing, from: set.from }))
}

/// What a person's promotion does to the hold of its target: a version that was chosen by name is held, unless it is the
/// one that would have come anyway, which ends a hold of that kind.
fn hold(
    snapshot: &Snapshot,
    (app, target): (&AppName, &EnvironmentName),
    wish: &Wish,
    moves: &[Move],
) -> Vec<Amendment> {
    if !wish.may_go_down {
        return Vec::new();
    }
    let Some(at) = &wish.at else { return vec![Amendment::Unhold] };
    let sources =
        |name: &EnvironmentName| snapshot.config.environments.get(name).map(|target| target.after.clone());
    let sources = wish.from.clone().map_or_else(|| sources(target).unwrap_or_default(), |from| vec![from]);
    let candidate = upstream::verified(&standing(snapshot, app, &sources), wish.override_verdicts);
    let is_candidate = candidate.is_ok_and(|set| {
        moves.iter().all(|step| {
            set.images.get(&step.image).is_some_and(|(_, digest)| step.to.digest.as_ref() == Some(digest))
        })
    });
    if is_candidate {
        return vec![Amendment::Unhold];
    }
    let reason = wish.reason.clone().unwrap_or_else(|| format!("promote --at {at}"));
    vec![Amendment::Hold(way_back::hold(moves, reason, wish.actor.clone()))]
}

/// When `environment` first had this image, as far as Git tells: no version is younger than its first commit.
fn first_committed(
    snapshot: &Snapshot,
    app: &AppName,
    environment: &EnvironmentName,
    image: &ImageName,
    digest: &Digest,
) -> Option<Timestamp> {
    let judged = snapshot
        .verdicts
        .all()
        .filter(|note| note.app == *app && note.environment == *environment)
        .filter(|note| note.image == *image && note.digest == *digest)
        .map(|note| note.times.committed);
    let desired = snapshot.desired.get(&(app.clone(), environment.clone()));
    let stands = desired
        .filter(|desired| desired.images.get(image).is_some_and(|now| now.digest.as_ref() == Some(digest)))
        .and_then(|desired| desired.origin())
        .map(|origin| origin.time);
    judged.chain(stands).min()
}

/// How a version is ordered against what stands: local builds by their time, others by the policy; what has no tag yet is below everything.
///
/// Where a policy does not order by the tags' text, the order is that in which `from` first had the versions.
fn compare(
    snapshot: &Snapshot,
    app: &AppName,
    (from, image, policy): (&EnvironmentName, &ImageName, &ImagePolicy),
    (tag, digest): (&Tag, &Digest),
    standing: &Written,
) -> Option<Ordering> {
    let Some(current) = standing.new_tag.as_ref() else { return Some(Ordering::Greater) };
    match (&policy.policy, &standing.digest) {
        (Policy::Newest | Policy::Digest { .. }, Some(current)) => {
            let first = |digest: &Digest| first_committed(snapshot, app, from, image, digest);
            Some(first(digest)?.cmp(&first(current)?))
        }
        (Policy::Newest | Policy::Digest { .. }, None) => None,
        _ => match (BuildTag::of(tag), BuildTag::of(current)) {
            (Some(one), Some(other)) => Some(one.cmp(&other)),
            _ => order::compare(policy, tag, current),
        },
    }
}

/// What stands in the environments before the target, with what counts for it there.
fn standing(snapshot: &Snapshot, app: &AppName, sources: &[EnvironmentName]) -> Vec<upstream::Upstream> {
    let stage = |environment: &EnvironmentName| {
        let desired = snapshot.desired.get(&(app.clone(), environment.clone()));
        let images = snapshot.config.apps.get(app).map(|app| app.images.keys()).into_iter().flatten();
        let standing = |image: &ImageName| {
            let written = desired?.images.get(image)?;
            let (tag, digest) = (written.new_tag.clone()?, written.digest.clone()?);
            let verdict = snapshot.verdicts.latest(app, environment, image, &digest).map(|note| note.verdict);
            Some(upstream::Standing { tag, digest, verdict })
        };
        let images: BTreeMap<_, _> = images.map(|image| (image.clone(), standing(image))).collect();
        let commit = desired.and_then(|desired| desired.origin()).map(|origin| origin.commit.clone());
        upstream::Upstream { environment: environment.clone(), commit, images }
    };
    sources.iter().map(stage).collect()
}

/// The version that a person names, among all that were ever judged upstream and what stands there.
fn found(
    snapshot: &Snapshot,
    app: &AppName,
    sources: &[EnvironmentName],
    at: &At,
    override_verdicts: bool,
) -> Result<upstream::Set, Vec<String>> {
    let is = |tag: &Tag, digest: &Digest| match at {
        At::Tag(wanted) => wanted == tag,
        At::Digest(wanted) => wanted == digest,
    };
    let Some(from) = sources.first() else {
        return Err(vec!["there is no environment before this one; name one with --from".to_owned()]);
    };
    let mut reasons = Vec::new();
    let mut images = BTreeMap::new();
    let mut commit = None;
    for image in snapshot.config.apps.get(app).map(|app| app.images.keys()).into_iter().flatten() {
        let judged = snapshot
            .verdicts
            .all()
            .filter(|note| note.app == *app && note.environment == *from && note.image == *image)
            .filter(|note| is(&note.tag, &note.digest) && note.verdict != Verdict::Superseded)
            .reduce(|best, note| if note.outranks(best) { note } else { best });
        let stands = snapshot.desired.get(&(app.clone(), from.clone())).and_then(|desired| {
            let written = desired.images.get(image)?;
            let (tag, digest) = (written.new_tag.as_ref()?, written.digest.as_ref()?);
            is(tag, digest)
                .then(|| (tag.clone(), digest.clone(), desired.origin().map(|origin| origin.commit.clone())))
        });
        match (judged, stands) {
            (Some(note), _) if note.verdict == Verdict::Verified || override_verdicts => {
                images.insert(image.clone(), (note.tag.clone(), note.digest.clone()));
                commit.get_or_insert_with(|| note.commit.clone());
            }
            (_, Some((tag, digest, origin))) if override_verdicts => {
                images.insert(image.clone(), (tag, digest));
                commit = commit.or(origin);
            }
            (Some(note), _) => {
                reasons.push(format!("{from}: {image} {at} is {}, not verified", note.verdict));
            }
            (None, _) => reasons.push(format!("{from}: {image} {at} has no verdict there")),
        }
    }
    match commit {
        Some(commit) if reasons.is_empty() => Ok(upstream::Set { from: from.clone(), commit, images }),
        _ => Err(reasons),
    }
}
