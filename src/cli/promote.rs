//! `promote --to ENV`: plan, copy, commit, wait.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, IsTerminal as _};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::args::{self, Common, Wait};
use super::output::{Printer, counted, table};
use super::wait::{self, Wanted};
use super::{Failure, commit, open};
use crate::config::{Environment, Update};
use crate::daemon::Context;
use crate::daemon::promotion::{self, Plan, Promotion, Transfer, Wish};
use crate::deliver::DeliverError;
use crate::elect::gates::Unmet;
use crate::model::{AppName, CommitId, EnvironmentName, Exit};
use crate::publish::{Change, Snapshot, version};
use crate::transfer::{self, TransferError};

/// What all apps that were asked for come to.
struct Plans {
    go: Vec<Promotion>,
    there: BTreeMap<AppName, String>,
    /// The images that Git has in the target already.
    standing: Vec<Transfer>,
}

/// What stands in the way of one app.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Obstacle {
    app: AppName,
    /// The gate that is not met, by its key.
    gate: Option<&'static str>,
    words: String,
    /// When it is over, if time alone is missing.
    retry_after: Option<Timestamp>,
}

impl Obstacle {
    fn of(app: &AppName, unmet: Unmet) -> Self {
        Self { app: app.clone(), gate: Some(unmet.gate), words: unmet.words, retry_after: unmet.until }
    }
}

pub(super) async fn run(
    common: &Common,
    printer: &Printer,
    asked: &args::Promotion,
) -> Result<Exit, Failure> {
    let work = work(common, printer, asked);
    tokio::select! {
        result = work => result,
        _ = tokio::signal::ctrl_c() => {
            printer.clear();
            Err(Failure::new(
                Exit::Interrupted,
                format!(
                    "interrupted; nothing is left half done. `promote status --environment {to}` shows where it stands, \
                     and `promote --to {to}` goes on",
                    to = asked.to
                ),
            ))
        }
    }
}

async fn work(common: &Common, printer: &Printer, asked: &args::Promotion) -> Result<Exit, Failure> {
    let (context, snapshot) = open::open(common, printer).await?;
    let environment = open::known_environment(&snapshot, &asked.to)?;
    let Plans { go, there, standing } = plans(printer, &snapshot, asked)?;
    show(printer, asked, &go, &there);
    if asked.dry_run {
        return preview(&context, printer, asked, &go, &remarks(&snapshot, asked)).await;
    }
    if !go.is_empty() {
        confirm(printer, asked, environment)?;
        context.ask_clusters(&snapshot.config, &BTreeSet::new()).await;
        if asked.wait == Wait::Verified {
            let nothing = format!("nothing was promoted to {}", asked.to);
            preflight(&context, environment, &nothing).await?;
        }
    }
    bring_back(&context, printer, &standing).await?;
    let commit = if go.is_empty() { None } else { Some(bring(&context, printer, &go).await?) };
    if asked.wait != Wait::Verified {
        finish(printer, asked, commit.as_ref(), &go, &there, Exit::Done, &json!([]));
        return Ok(Exit::Done);
    }
    if environment.watched().is_none() {
        printer.human(&format!("{} has no cluster, so that nothing could be verified", asked.to));
        finish(printer, asked, commit.as_ref(), &go, &there, Exit::Done, &json!([]));
        return Ok(Exit::Done);
    }
    let apps = go.iter().map(|promotion| promotion.change.app.clone()).chain(there.keys().cloned()).collect();
    let wanted = Wanted { environment: asked.to.clone(), apps, timeout: asked.timeout };
    let (exit, verdicts) = wait::for_verdicts(&context, printer, &wanted).await?;
    finish(printer, asked, commit.as_ref(), &go, &there, exit, &verdicts);
    Ok(exit)
}

/// Plans every app; one that is blocked blocks all, since the set moves together or not at all.
fn plans(printer: &Printer, snapshot: &Snapshot, asked: &args::Promotion) -> Result<Plans, Failure> {
    let mut apps: Vec<AppName> = asked.app.clone();
    for app in &apps {
        open::known_app(snapshot, app)?;
    }
    if let Some(from) = &asked.from {
        open::known_environment(snapshot, from)?;
    }
    if apps.is_empty() {
        apps = snapshot.config.apps.keys().cloned().collect();
    }
    let wish = Wish {
        from: asked.from.clone(),
        at: asked.at.clone(),
        override_verdicts: asked.override_gates.is_some(),
        actor: open::person(),
        reason: asked.override_gates.clone(),
        may_go_down: true,
    };
    let (mut go, mut there, mut blocked) = (Vec::new(), BTreeMap::new(), Vec::<Obstacle>::new());
    let mut standing = Vec::new();
    let mut exit = Exit::Blocked;
    for app in apps {
        match promotion::plan(snapshot, &app, &asked.to, &wish, Timestamp::now()) {
            Plan::Go(promotion) => {
                standing.extend(promotion.standing.iter().cloned());
                go.push(*promotion);
            }
            Plan::AlreadyThere(versions, images) => {
                there.insert(app, versions);
                standing.extend(images);
            }
            Plan::Blocked(reasons, unmet) => {
                let reason = |words| Obstacle { app: app.clone(), gate: None, words, retry_after: None };
                blocked.extend(reasons.into_iter().map(reason));
                blocked.extend(unmet.into_iter().map(|unmet| Obstacle::of(&app, unmet)));
            }
            Plan::Gated(unmet) => blocked.extend(unmet.into_iter().map(|unmet| Obstacle::of(&app, unmet))),
            Plan::Unusable(words) => {
                exit = Exit::Usage;
                blocked.push(Obstacle { app, gate: None, words, retry_after: None });
            }
        }
    }
    if blocked.is_empty() {
        return Ok(Plans { go, there, standing });
    }
    let others = if go.is_empty() { "" } else { "\nThe other apps wait for it; --app APP moves one alone." };
    let list: Vec<String> = blocked.iter().map(|found| format!("{}: {}", found.app, found.words)).collect();
    let words = format!("nothing was promoted to {}:\n  {}{others}", asked.to, list.join("\n  "));
    printer.machine("Promotion", &json!({"to": asked.to, "blocked": blocked, "exitCode": exit as u8}));
    Err(Failure::new(exit, words))
}

fn show(printer: &Printer, asked: &args::Promotion, go: &[Promotion], there: &BTreeMap<AppName, String>) {
    let rows = go
        .iter()
        .flat_map(|promotion| {
            promotion.change.moves.iter().map(|step| {
                vec![
                    promotion.change.app.to_string(),
                    step.image.to_string(),
                    format!("{} → {}", version(&step.from), version(&step.to)),
                    step.to.digest.as_ref().map_or(String::new(), |digest| digest.short().to_owned()),
                    format!("from {}", promotion.from),
                ]
            })
        })
        .collect::<Vec<_>>();
    if !rows.is_empty() {
        let heading = format!("{} →", asked.to);
        printer.human(&table(&[heading.as_str(), "IMAGE", "VERSION", "DIGEST", ""], rows));
    }
    for (app, versions) in there {
        printer.human(&format!("{app} {versions} is already there"));
    }
}

/// What is to be known of the target's setter comments before they are relied on.
fn remarks(snapshot: &Snapshot, asked: &args::Promotion) -> Vec<String> {
    let meant = |app: &AppName, environment: &EnvironmentName| {
        *environment == asked.to && (asked.app.is_empty() || asked.app.contains(app))
    };
    let desired = snapshot.desired.iter().filter(|((app, environment), _)| meant(app, environment));
    desired
        .flat_map(|((app, _), desired)| desired.remarks.iter().map(move |words| format!("{app}: {words}")))
        .collect()
}

async fn preview(
    context: &Context,
    printer: &Printer,
    asked: &args::Promotion,
    go: &[Promotion],
    remarks: &[String],
) -> Result<Exit, Failure> {
    let exit = if go.is_empty() { Exit::Done } else { Exit::Changes };
    let mut patch = String::new();
    if !go.is_empty() {
        let changes = go.iter().map(|promotion| promotion.change.clone()).collect();
        (patch, _) = commit::preview(context, changes).await?;
        printer.human(&format!("\n{}", patch.trim_end()));
    }
    for remark in remarks {
        printer.human(&format!("note: {remark}"));
    }
    printer.machine(
        "Plan",
        &json!({"to": asked.to, "moves": moves(go), "patch": patch, "remarks": remarks, "exitCode": exit as u8}),
    );
    Ok(exit)
}

/// Asks for the environment's name where a person has to decide.
fn confirm(printer: &Printer, asked: &args::Promotion, environment: &Environment) -> Result<(), Failure> {
    if asked.yes || environment.update == Update::Auto {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        let words = format!(
            "{} is updated by people (`update: manual`), and nobody can be asked here; add --yes",
            asked.to
        );
        return Err(Failure::new(Exit::Usage, words));
    }
    printer.clear();
    printer.human(&format!("Type {} to promote:", asked.to));
    let mut answer = String::new();
    _ = std::io::stdin().lock().read_line(&mut answer);
    if answer.trim() == asked.to.as_str() {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, format!("\"{}\" is not {}; nothing was promoted", answer.trim(), asked.to)))
}

/// Finds out before the commit what would keep it from being delivered.
pub(super) async fn preflight(
    context: &Context,
    environment: &Environment,
    nothing: &str,
) -> Result<(), Failure> {
    let explain = |error: DeliverError| match error {
        DeliverError::Target(words) => Failure::new(Exit::Usage, words),
        other => Failure::new(Exit::Unreachable, other.to_string()),
    };
    let Some(flux) = context.clusters.flux(environment).await.map_err(explain)? else { return Ok(()) };
    let patience = std::time::Duration::from_secs(10);
    let ready = tokio::time::timeout(patience, flux.ready()).await;
    ready
        .unwrap_or_else(|_| {
            let cluster = flux.cluster().name().to_owned();
            Err(DeliverError::Unreachable { cluster, cause: format!("no answer within {patience:?}") })
        })
        .map_err(explain)?;
    let delivery = flux.delivery().map_err(explain)?;
    match delivery.suspended.as_ref().or(delivery.stalled.as_ref()) {
        Some(words) => Err(Failure::new(Exit::Blocked, format!("{nothing}: {words}"))),
        None => Ok(()),
    }
}

/// Copies the images that Git has in the target and its registry has not: it was emptied, or a person wrote the overlay.
async fn bring_back(context: &Arc<Context>, printer: &Printer, standing: &[Transfer]) -> Result<(), Failure> {
    for step in standing.iter().filter(|step| step.from != step.to) {
        let there = context.registries.has(&step.to, &step.digest).await;
        if !there.map_err(|error| Failure::new(Exit::Unreachable, error.to_string()))? {
            let text = format!("{} has lost {}, which is copied again", step.to, step.tag);
            printer.keep("missing", &text, &json!({"to": step.to, "digest": step.digest}));
            copy(context, printer, step).await?;
        }
    }
    Ok(())
}

async fn copy(context: &Arc<Context>, printer: &Printer, step: &Transfer) -> Result<(), Failure> {
    let text = format!("copying {}:{} to {}", step.from, step.tag, step.to);
    printer.step("copy", &text, &json!({"from": step.from, "to": step.to, "digest": step.digest}));
    let tell = |progress: transfer::Progress| {
        if progress.blobs > 0 && progress.blobs_done < progress.blobs {
            tracing::debug!(done = progress.blobs_done, of = progress.blobs, "blobs");
        }
    };
    let copied =
        transfer::copy(&context.registries, &step.from, &step.to, &step.digest, &step.tag, &tell).await;
    let copied = copied.map_err(|error| {
        let exit = match &error {
            TransferError::TagTaken { .. } => Exit::Usage,
            _ => Exit::Unreachable,
        };
        Failure::new(exit, format!("nothing was committed: {error}"))
    })?;
    let sent = copied.blobs_copied + copied.blobs_mounted;
    let text = format!(
        "copied {}:{} ({} and {}; {} there already)",
        step.to,
        step.tag,
        counted(copied.manifests, "manifest"),
        counted(sent, "blob"),
        counted(copied.blobs_present, "blob"),
    );
    printer.keep("copied", &text, &json!({"to": step.to, "digest": step.digest, "bytes": copied.bytes}));
    for notice in &copied.notices {
        printer.keep("notice", &format!("notice: {notice}"), &json!({}));
    }
    Ok(())
}

async fn bring(context: &Arc<Context>, printer: &Printer, go: &[Promotion]) -> Result<CommitId, Failure> {
    for step in go.iter().flat_map(|promotion| &promotion.transfers) {
        copy(context, printer, step).await?;
    }
    let changes: Vec<Change> = go.iter().map(|promotion| promotion.change.clone()).collect();
    let landed = commit::land(context, printer, changes).await?;
    // All there already: another process was quicker with the same promotion.
    Ok(landed.commit.unwrap_or_else(|| landed.snapshot.head.clone()))
}

fn moves(go: &[Promotion]) -> Value {
    let step = |promotion: &Promotion| {
        promotion
            .change
            .moves
            .iter()
            .map(|step| {
                json!({
                    "app": promotion.change.app, "image": step.image, "from": version(&step.from),
                    "to": version(&step.to), "digest": step.to.digest, "source": promotion.from,
                })
            })
            .collect::<Vec<_>>()
    };
    go.iter().flat_map(step).collect()
}

fn finish(
    printer: &Printer,
    asked: &args::Promotion,
    commit: Option<&CommitId>,
    go: &[Promotion],
    there: &BTreeMap<AppName, String>,
    exit: Exit,
    verdicts: &Value,
) {
    printer.machine(
        "Promotion",
        &json!({
            "to": asked.to, "commit": commit, "moves": moves(go),
            "alreadyThere": there, "verdicts": verdicts, "exitCode": exit as u8,
        }),
    );
}
