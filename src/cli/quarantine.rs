//! `promote quarantine` and `promote unquarantine`: versions that are never elected, in all environments at once.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::json;

use super::args::{self, Common};
use super::output::Printer;
use super::{Failure, commit, open, versions};
use crate::daemon::Context;
use crate::daemon::promotion::At;
use crate::edit::{Amendment, Quarantined};
use crate::model::{AppName, Digest, EnvironmentName, Exit, ImageName, Repository, Tag};
use crate::publish::{Desired, Snapshot};

pub(super) async fn add(
    common: &Common,
    printer: &Printer,
    asked: &args::Quarantine,
) -> Result<Exit, Failure> {
    let (context, snapshot) = open::open(common, printer).await?;
    open::known_app(&snapshot, &asked.app)?;
    let digests = digests(&context, printer, &snapshot, asked).await?;
    let now = Timestamp::now();
    let amendments: Vec<Amendment> = digests
        .iter()
        .map(|(digest, tag)| {
            let (digest, tag) = (digest.clone(), tag.clone());
            Amendment::Quarantine(Quarantined {
                digest,
                tag,
                reason: Some(asked.reason.clone()),
                at: Some(now),
            })
        })
        .collect();
    let places = places(&snapshot, &asked.app).map(|(environment, _)| (environment, amendments.clone()));
    let exit = done(&context, printer, asked, "Quarantine", places.collect(), digests.keys()).await?;
    for (environment, desired) in places_of(&snapshot, &asked.app, &digests) {
        let images: Vec<&str> = desired.images.keys().map(ImageName::as_str).collect();
        printer.human(&format!(
            "note: it stands in {environment} ({}), where it stays until something else is put there: \
             promote rollback --environment {environment} --app {}",
            images.join(", "),
            asked.app
        ));
    }
    Ok(exit)
}

pub(super) async fn lift(
    common: &Common,
    printer: &Printer,
    asked: &args::Quarantine,
) -> Result<Exit, Failure> {
    let (context, snapshot) = open::open(common, printer).await?;
    open::known_app(&snapshot, &asked.app)?;
    let mut lifted: BTreeSet<Digest> = BTreeSet::new();
    let mut places_with = Vec::new();
    for (environment, desired) in places(&snapshot, &asked.app) {
        let meant = desired.record.quarantine.iter().filter(|entry| match &asked.at {
            At::Tag(tag) => entry.tag.as_ref() == Some(tag),
            At::Digest(digest) => entry.digest == *digest,
        });
        let digests: BTreeSet<Digest> = meant.map(|entry| entry.digest.clone()).collect();
        if !digests.is_empty() {
            lifted.extend(digests.iter().cloned());
            places_with.push((environment, digests.into_iter().map(Amendment::Unquarantine).collect()));
        }
    }
    done(&context, printer, asked, "Unquarantine", places_with, lifted.iter()).await
}

fn places<'s>(
    snapshot: &'s Snapshot,
    app: &AppName,
) -> impl Iterator<Item = (&'s EnvironmentName, &'s Desired)> {
    let meant = snapshot.desired.iter().filter(move |((name, _), _)| name == app);
    meant.map(|((_, environment), desired)| (environment, desired.as_ref()))
}

/// Where one of the digests stands.
fn places_of<'s>(
    snapshot: &'s Snapshot,
    app: &AppName,
    digests: &BTreeMap<Digest, Option<Tag>>,
) -> impl Iterator<Item = (&'s EnvironmentName, &'s Desired)> {
    places(snapshot, app).filter(move |(_, desired)| {
        let mut standing = desired.images.values().filter_map(|written| written.digest.as_ref());
        standing.any(|digest| digests.contains_key(digest))
    })
}

/// Every digest that the version has: in Git, in the verdicts, and in the registries of all environments.
async fn digests(
    context: &Context,
    printer: &Printer,
    snapshot: &Snapshot,
    asked: &args::Quarantine,
) -> Result<BTreeMap<Digest, Option<Tag>>, Failure> {
    let known = versions::known(snapshot, &asked.app).map(|version| (version.digest, version.tag));
    let tag = match &asked.at {
        At::Digest(digest) => {
            let mut known = known;
            let tag = known.find(|(found, _)| found == digest).map(|(_, tag)| tag);
            return Ok(BTreeMap::from([(digest.clone(), tag)]));
        }
        At::Tag(tag) => tag,
    };
    let mut found: BTreeMap<Digest, Option<Tag>> =
        known.filter(|(_, known)| known == tag).map(|(digest, tag)| (digest, Some(tag))).collect();
    let images = snapshot.config.apps.get(&asked.app).map(|app| app.images.keys()).into_iter().flatten();
    let repositories: BTreeSet<Repository> = images
        .flat_map(|image| {
            let environments = snapshot.config.environments.keys();
            environments.filter_map(|name| snapshot.config.repository(name, &asked.app, image))
        })
        .collect();
    let mut silent = Vec::new();
    for repository in &repositories {
        match context.registries.digest(repository, tag).await {
            Ok(Some(digest)) => _ = found.insert(digest, Some(tag.clone())),
            Ok(None) => {}
            Err(error) => silent.push(error.to_string()),
        }
    }
    if found.is_empty() && silent.is_empty() {
        let places: Vec<String> = repositories.iter().map(ToString::to_string).collect();
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "no version {tag} of {} is known: not in Git, and not in {}",
                asked.app,
                places.join(", ")
            ),
        ));
    }
    if found.is_empty() {
        return Err(Failure::new(
            Exit::Unreachable,
            format!("nothing tells what {tag} is; name its digest: {}", silent.join("; ")),
        ));
    }
    for words in silent {
        let text = format!("note: another image may have the tag there, which was not looked at: {words}");
        printer.keep("notice", &text, &json!({}));
    }
    Ok(found)
}

async fn done(
    context: &Context,
    printer: &Printer,
    asked: &args::Quarantine,
    kind: &'static str,
    places: Vec<(&EnvironmentName, Vec<Amendment>)>,
    digests: impl Iterator<Item = &Digest>,
) -> Result<Exit, Failure> {
    let digests: Vec<&Digest> = digests.collect();
    let words = places
        .iter()
        .map(|(environment, said)| commit::word(&asked.app, environment, &asked.reason, said.clone()));
    let commit::Said { commit, patch, changed, exit } =
        commit::say(context, printer, words.collect(), asked.dry_run).await?;
    let named = places.iter().zip(&changed).filter(|(_, changed)| **changed);
    let named: Vec<&EnvironmentName> = named.map(|((environment, _), _)| *environment).collect();
    let list = named.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    let short: Vec<&str> = digests.iter().map(|digest| digest.short()).collect();
    let version = match &asked.at {
        At::Tag(tag) => format!("{tag} ({})", short.join(", ")),
        At::Digest(digest) => digest.short().to_owned(),
    };
    printer.human(&match (kind, named.is_empty()) {
        ("Quarantine", true) => format!("{} {version} is already in quarantine everywhere", asked.app),
        ("Quarantine", false) => format!("{} {version} is never elected again in {list}", asked.app),
        (_, true) => format!("{} {} is not in quarantine", asked.app, asked.at),
        (_, false) => format!("{} {version} may be elected again in {list}", asked.app),
    });
    printer.machine(
        kind,
        &json!({
            "app": asked.app, "digests": digests, "environments": named, "reason": asked.reason,
            "commit": commit, "patch": patch, "exitCode": exit as u8,
        }),
    );
    Ok(exit)
}
