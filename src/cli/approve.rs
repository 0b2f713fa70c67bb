//! `promote approve`: a person's word that a version may come to an environment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, Unit};
use serde_json::{Value, json};

use super::args::{self, Common};
use super::output::Printer;
use super::{Failure, commit, open, versions};
use crate::config::{Environment, Gates};
use crate::daemon::Context;
use crate::daemon::candidates::{self, Candidate};
use crate::daemon::promotion::{self, At, Plan, Wish};
use crate::edit::{Amendment, Approval};
use crate::model::{Digest, EnvironmentName, Exit, Tag};
use crate::publish::{Desired, Move, Snapshot, person};

/// How long registries have to tell what would come next.
const PATIENCE: Duration = Duration::from_secs(20);

/// The versions that are meant, with their tags for people.
type Versions = BTreeMap<Digest, Option<Tag>>;

pub(super) async fn run(common: &Common, printer: &Printer, asked: &args::Approve) -> Result<Exit, Failure> {
    let (context, snapshot) = open::open(common, printer).await?;
    let settings = open::known_environment(&snapshot, &asked.environment)?;
    open::known_app(&snapshot, &asked.app)?;
    let (environment, app) = (&asked.environment, &asked.app);
    let by = open::person().ok_or_else(|| {
        let words = "an approval is given in the name that Git knows you by, and it knows none; set `git config --global \
                     user.name …` and `user.email …`";
        Failure::new(Exit::Usage, words)
    })?;
    let place = (app.clone(), environment.clone());
    let Some(desired) = snapshot.desired.get(&place) else {
        return Err(Failure::new(Exit::Usage, format!("promote.yaml has no {app} in {environment}")));
    };
    let meant = match &asked.at {
        Some(at) => named(&context, &snapshot, settings, asked, at).await?,
        None => next(&context, &snapshot, settings, asked).await?,
    };
    let now = Timestamp::now().round(Unit::Second).unwrap_or_default();
    let wanted = meant.iter().filter(|(digest, _)| !stands(desired, digest) && !given(desired, digest, &by));
    let amendments: Vec<Amendment> = wanted
        .map(|(digest, tag)| {
            let (digest, reason) = (digest.clone(), Some(asked.reason.clone()));
            Amendment::Approve(Approval { digest, by: Some(by.clone()), at: Some(now), reason }, tag.clone())
        })
        .collect();
    let is_new = !amendments.is_empty();
    let words = is_new.then(|| commit::word(app, environment, &asked.reason, amendments));
    let commit::Said { commit, patch, changed, exit } =
        commit::say(&context, printer, words.into_iter().collect(), asked.dry_run).await?;
    let changed = changed.contains(&true);
    let mut told: Vec<Value> = Vec::new();
    for (digest, tag) in &meant {
        let name = tag.as_ref().map_or_else(String::new, |tag| format!("{tag} "));
        let version = format!("{app} {name}({})", digest.short());
        let is_mine = given(desired, digest, &by);
        let before = desired.approved.get(digest).map_or(0, Vec::len);
        let count = before + usize::from(changed && !is_mine && !stands(desired, digest));
        let of = settings.gates.approvals.map(|needed| format!(" of {needed}")).unwrap_or_default();
        printer.human(&match (stands(desired, digest), is_mine) {
            (true, _) => format!("{version} is in {environment} already"),
            (_, true) => format!("{version} is already approved for {environment} by {by}: {count}{of}"),
            _ => format!("{version} is approved for {environment} by {by}: {count}{of}"),
        });
        told.push(json!({"digest": digest, "tag": tag, "approvals": count}));
    }
    match settings.gates.approvals {
        None => printer.human(&format!("note: promote.yaml demands no approvals for {environment}")),
        Some(_) if meant.is_empty() => {
            printer.human(&format!(
                "nothing newer than what {app} has in {environment} is there to be approved"
            ));
        }
        Some(_) => {}
    }
    printer.machine(
        "Approval",
        &json!({
            "environment": environment, "app": app, "by": by, "reason": asked.reason, "versions": told,
            "needed": settings.gates.approvals, "commit": commit, "patch": patch, "exitCode": exit as u8,
        }),
    );
    Ok(exit)
}

fn stands(desired: &Desired, digest: &Digest) -> bool {
    desired.images.values().any(|written| written.digest.as_ref() == Some(digest))
}

/// Whether this person has approved of it already.
fn given(desired: &Desired, digest: &Digest, by: &str) -> bool {
    let known = desired.approved.get(digest).into_iter().flatten();
    known.into_iter().any(|known| person(known) == person(by))
}

/// What would come next if only it were old enough and approved.
async fn next(
    context: &Context,
    snapshot: &Snapshot,
    settings: &Environment,
    asked: &args::Approve,
) -> Result<Versions, Failure> {
    let (environment, app) = (&asked.environment, &asked.app);
    let mut lifted = snapshot.clone();
    if let Some(settings) = Arc::make_mut(&mut lifted.config).environments.get_mut(environment) {
        settings.gates = Gates { max_jump: settings.gates.max_jump, ..Gates::default() };
    }
    let nothing = |exit, words: &str| {
        Failure::new(exit, format!("nothing was approved for {environment}: {words}; --at VERSION names one"))
    };
    let moves: Vec<Move> = if settings.after.is_empty() {
        let place = (app.clone(), environment.clone());
        context.ask_clusters(&snapshot.config, &BTreeSet::from([environment.clone()])).await;
        let found = candidates::look(context, &lifted, &BTreeSet::from([place.clone()]), PATIENCE).await;
        match found.get(&place) {
            None => Vec::new(),
            Some(Candidate::Elected(moves)) => moves.clone(),
            Some(Candidate::Stays(words) | Candidate::Waits(words, _)) => {
                return Err(nothing(Exit::Blocked, words));
            }
            Some(Candidate::Untold(words)) => return Err(nothing(Exit::Unreachable, words)),
        }
    } else {
        let wish = Wish { may_go_down: true, ..Wish::default() };
        match promotion::plan(&lifted, app, environment, &wish, Timestamp::now()) {
            Plan::Go(promotion) => promotion.change.moves,
            Plan::AlreadyThere(..) => Vec::new(),
            Plan::Blocked(reasons, _) => return Err(nothing(Exit::Blocked, &reasons.join("; "))),
            Plan::Gated(unmet) => {
                let words: Vec<String> = unmet.into_iter().map(|unmet| unmet.words).collect();
                return Err(nothing(Exit::Blocked, &words.join("; ")));
            }
            Plan::Unusable(problem) => return Err(nothing(Exit::Usage, &problem)),
        }
    };
    Ok(moves.into_iter().filter_map(|step| Some((step.to.digest?, step.to.new_tag))).collect())
}

/// The version that a person names, as it is where it would come from. A tag that names several there is refused: who says
/// yes to one must not say yes to the other.
async fn named(
    context: &Context,
    snapshot: &Snapshot,
    settings: &Environment,
    asked: &args::Approve,
    at: &At,
) -> Result<Versions, Failure> {
    let (environment, app) = (&asked.environment, &asked.app);
    let is_source =
        |name| if settings.after.is_empty() { name == environment } else { settings.after.contains(name) };
    let mut known = versions::known(snapshot, app);
    let tag = match at {
        At::Digest(digest) => {
            let tag = known.find(|version| version.digest == *digest).map(|version| version.tag);
            return Ok(Versions::from([(digest.clone(), tag)]));
        }
        At::Tag(tag) => tag,
    };
    let meant: Vec<_> = known.filter(|known| is_source(known.environment) && known.tag == *tag).collect();
    let mut found = Versions::new();
    for image in snapshot.config.apps.get(app).map(|app| app.images.keys()).into_iter().flatten() {
        let of_image = meant.iter().filter(|known| known.image == image);
        let mut digests: BTreeSet<Digest> = of_image.map(|known| known.digest.clone()).collect();
        if settings.after.is_empty()
            && let Some(repository) = snapshot.config.repository(environment, app, image)
        {
            let answer = context.registries.digest(&repository, tag).await;
            digests.extend(answer.map_err(|error| Failure::new(Exit::Unreachable, error.to_string()))?);
        }
        if digests.len() > 1 {
            let list: Vec<String> = digests.iter().map(ToString::to_string).collect();
            let words =
                format!("{image} {tag} is more than one image ({}); name one with --at", list.join(", "));
            return Err(Failure::new(
                Exit::Usage,
                format!("nothing was approved for {environment}: {words}"),
            ));
        }
        found.extend(digests.into_iter().map(|digest| (digest, Some(tag.clone()))));
    }
    if found.is_empty() {
        let after: Vec<&str> = settings.after.iter().map(EnvironmentName::as_str).collect();
        let places = if after.is_empty() { "its registry".to_owned() } else { after.join(", ") };
        let words = format!("no version {tag} of {app} is known in {places}; name its digest with --at");
        return Err(Failure::new(Exit::Usage, format!("nothing was approved for {environment}: {words}")));
    }
    Ok(found)
}
