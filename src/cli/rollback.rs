//! `promote rollback`: the version before comes back by one commit, is held there, and is judged.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::args::{self, Common, Wait};
use super::output::{Printer, table};
use super::wait::{self, Wanted};
use super::{Failure, commit, open, promote};
use crate::daemon::Context;
use crate::daemon::promotion::At;
use crate::daemon::way_back::{self, Target};
use crate::edit::{Amendment, Written};
use crate::model::{Exit, Image, ImageName, Source};
use crate::publish::{Change, Desired, Images, Move, Snapshot, version};

pub(super) async fn run(common: &Common, printer: &Printer, asked: &args::Rollback) -> Result<Exit, Failure> {
    let (environment, app) = (&asked.environment, &asked.app);
    tokio::select! {
        result = work(common, printer, asked) => result,
        _ = tokio::signal::ctrl_c() => {
            printer.clear();
            Err(Failure::new(
                Exit::Interrupted,
                format!(
                    "interrupted; nothing is left half done. `promote status --environment {environment} --app {app}` \
                     shows where it stands, and the same command goes on"
                ),
            ))
        }
    }
}

async fn work(common: &Common, printer: &Printer, asked: &args::Rollback) -> Result<Exit, Failure> {
    let (context, snapshot) = open::open(common, printer).await?;
    let settings = open::known_environment(&snapshot, &asked.environment)?;
    open::known_app(&snapshot, &asked.app)?;
    let (environment, app) = (&asked.environment, &asked.app);
    let Some(desired) = snapshot.desired.get(&(app.clone(), environment.clone())) else {
        return Err(Failure::new(Exit::Usage, format!("promote.yaml has no {app} in {environment}")));
    };
    if let Some(problem) = desired.problem.as_ref().or(desired.record_problem.as_ref()) {
        return Err(Failure::new(Exit::Usage, problem.clone()));
    }
    let moves = moves(&context, printer, &snapshot, desired, asked).await?;
    show(printer, asked, &moves);
    let change = (!moves.is_empty()).then(|| change(desired, asked, moves)).flatten();
    if asked.dry_run {
        return preview(&context, printer, asked, change).await;
    }
    let mut commit = None;
    let mut steps = json!([]);
    if let Some(change) = change {
        steps = told(&change.moves);
        context.ask_clusters(&snapshot.config, &std::collections::BTreeSet::new()).await;
        there(&context, &change.moves).await?;
        if asked.wait == Wait::Verified {
            let nothing = format!("nothing was rolled back in {environment}");
            promote::preflight(&context, settings, &nothing).await?;
        }
        commit = commit::land(&context, printer, vec![change]).await?.commit;
    }
    let (mut exit, mut verdicts) = (Exit::Done, json!([]));
    if asked.wait == Wait::Verified && settings.watched().is_none() {
        printer.human(&format!("{environment} has no cluster, so that nothing could be verified"));
    } else if asked.wait == Wait::Verified {
        let wanted =
            Wanted { environment: environment.clone(), apps: vec![app.clone()], timeout: asked.timeout };
        (exit, verdicts) = wait::for_verdicts(&context, printer, &wanted).await?;
    }
    printer.machine(
        "Rollback",
        &json!({
            "environment": environment, "app": app, "commit": commit, "moves": steps,
            "reason": asked.reason, "verdicts": verdicts, "exitCode": exit as u8,
        }),
    );
    Ok(exit)
}

/// What moves; nothing if the version stands there already.
async fn moves(
    context: &Context,
    printer: &Printer,
    snapshot: &Snapshot,
    desired: &Desired,
    asked: &args::Rollback,
) -> Result<Vec<Move>, Failure> {
    let (environment, app) = (&asked.environment, &asked.app);
    let target = way_back::target(app, environment, desired, &snapshot.verdicts, asked.at.as_ref());
    let blocked = |words: String| Failure::new(Exit::Blocked, format!("nothing was rolled back: {words}"));
    match target {
        Target::Moves(moves) => Ok(moves),
        Target::Stands(versions) => {
            printer.human(&format!("{app} {versions} is already there"));
            if asked.at.is_none() {
                printer.human("a rollback has put it back; --at VERSION goes further");
            }
            Ok(Vec::new())
        }
        Target::Refused(words) => Err(blocked(words)),
        Target::Nothing(words) => Err(Failure::new(Exit::Usage, format!("nothing was rolled back: {words}"))),
        Target::NotInGit => {
            let set = in_registry(context, snapshot, asked).await?;
            let moves = way_back::moves_to(desired, &set);
            match way_back::forbidden(app, desired, &moves) {
                Some(words) => Err(blocked(words)),
                None => Ok(moves),
            }
        }
    }
}

/// The images that have the tag in the environment's registry, where Git tells of none.
async fn in_registry(
    context: &Context,
    snapshot: &Snapshot,
    asked: &args::Rollback,
) -> Result<Images, Failure> {
    let (environment, app) = (&asked.environment, &asked.app);
    let images = snapshot.config.apps.get(app).map(|app| app.images.keys()).into_iter().flatten();
    let Some(At::Tag(tag)) = &asked.at else {
        return Err(Failure::new(
            Exit::Usage,
            format!("nothing in Git tells of that digest of {app} in {environment}; name its tag with --at"),
        ));
    };
    let mut set: BTreeMap<ImageName, Written> = BTreeMap::new();
    for image in images {
        let Some(repository) = snapshot.config.repository(environment, app, image) else { continue };
        let found = context.registries.digest(&repository, tag).await;
        let found = found.map_err(|error| Failure::new(Exit::Unreachable, error.to_string()))?;
        let Some(digest) = found else {
            return Err(Failure::new(
                Exit::Usage,
                format!("{app} has never had {tag} in {environment}, and {repository} has no such tag"),
            ));
        };
        set.insert(image.clone(), (&Image { repository, tag: tag.clone(), digest }).into());
    }
    Ok(set)
}

/// Checks that the registry still has what shall come back.
async fn there(context: &Context, moves: &[Move]) -> Result<(), Failure> {
    for step in moves {
        let (Some(name), Some(digest)) = (&step.to.new_name, &step.to.digest) else { continue };
        let Ok(repository) = name.parse() else { continue };
        // A registry that does not answer is no reason not to go back: the cluster's nodes may still have the image.
        if let Ok(false) = context.registries.has(&repository, digest).await {
            return Err(Failure::new(
                Exit::Blocked,
                format!(
                    "nothing was rolled back: {repository} has lost {} ({}); push it again, or name another version \
                     with --at",
                    version(&step.to),
                    digest.short()
                ),
            ));
        }
    }
    Ok(())
}

fn change(desired: &Desired, asked: &args::Rollback, moves: Vec<Move>) -> Option<Change> {
    let taken_back = desired.origin()?.commit.clone();
    let by = open::person();
    // A hold that somebody set for another reason outlives the rollback, and holds it as well.
    let is_kept = desired.record.held(Timestamp::now()).is_some_and(|known| known.image.is_none());
    let reason = asked.reason.clone().unwrap_or_else(|| "promote rollback".to_owned());
    let hold = Amendment::Hold(way_back::hold(&moves, reason, by.clone()));
    Some(Change {
        app: asked.app.clone(),
        environment: asked.environment.clone(),
        amendments: if is_kept { Vec::new() } else { vec![hold] },
        moves,
        source: Source::Rollback { commit: taken_back },
        actor: by,
        reason: asked.reason.clone(),
    })
}

fn show(printer: &Printer, asked: &args::Rollback, moves: &[Move]) {
    if moves.is_empty() {
        return;
    }
    let row = |step: &Move| {
        vec![
            asked.app.to_string(),
            step.image.to_string(),
            format!("{} → {}", version(&step.from), version(&step.to)),
            step.to.digest.as_ref().map_or(String::new(), |digest| digest.short().to_owned()),
        ]
    };
    let heading = format!("{} →", asked.environment);
    printer.human(&table(&[heading.as_str(), "IMAGE", "VERSION", "DIGEST"], moves.iter().map(row).collect()));
}

async fn preview(
    context: &Context,
    printer: &Printer,
    asked: &args::Rollback,
    change: Option<Change>,
) -> Result<Exit, Failure> {
    let exit = if change.is_none() { Exit::Done } else { Exit::Changes };
    let steps = change.as_ref().map(|change| told(&change.moves));
    let (patch, _) = commit::preview(context, change.into_iter().collect()).await?;
    printer.human(patch.trim_end());
    printer.machine(
        "Rollback",
        &json!({
            "environment": asked.environment, "app": asked.app, "moves": steps, "patch": patch,
            "exitCode": exit as u8,
        }),
    );
    Ok(exit)
}

fn told(moves: &[Move]) -> serde_json::Value {
    let step = |step: &Move| {
        json!({
            "image": step.image, "from": version(&step.from), "to": version(&step.to), "digest": step.to.digest,
        })
    };
    moves.iter().map(step).collect()
}
