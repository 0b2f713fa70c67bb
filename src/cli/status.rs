//! `promote status`: what runs where, since when, and what the verdict on it is.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::args::{self, Common};
use super::output::{Printer, ago, table};
use super::{Failure, open};
use crate::daemon::builds;
use crate::daemon::promotion::{self, Plan, Wish};
use crate::model::{AppName, CommitId, Digest, EnvironmentName, Exit, ImageName, Source, Tag, Verdict};
use crate::publish::{Desired, Snapshot, version};

/// How often `--watch` looks.
const WATCH: Duration = Duration::from_secs(2);

/// One image of an app in an environment.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    app: AppName,
    environment: EnvironmentName,
    image: ImageName,
    version: String,
    tag: Option<Tag>,
    digest: Option<Digest>,
    commit: Option<CommitId>,
    since: Option<Timestamp>,
    source: Option<Source>,
    verdict: Option<Verdict>,
    reasons: Vec<String>,
    /// What people should know beside the verdict: a hold, a quarantine, a person's change, a broken overlay.
    remarks: Vec<String>,
}

pub(super) async fn run(common: &Common, printer: &Printer, what: &args::Status) -> Result<Exit, Failure> {
    let (context, mut snapshot) = open::open(common, printer).await?;
    if let Some(name) = &what.environment {
        open::known_environment(&snapshot, name)?;
    }
    if let Some(name) = &what.app {
        open::known_app(&snapshot, name)?;
    }
    loop {
        show(printer, &snapshot, what);
        if !what.watch {
            return Ok(Exit::Done);
        }
        let shown = Arc::clone(&snapshot);
        while Arc::ptr_eq(&shown, &snapshot) {
            tokio::select! {
                () = tokio::time::sleep(WATCH) => {}
                _ = tokio::signal::ctrl_c() => return Ok(Exit::Interrupted),
            }
            snapshot = context.mirror.refresh().await?;
        }
    }
}

fn show(printer: &Printer, snapshot: &Snapshot, what: &args::Status) {
    let rows: Vec<Row> = snapshot
        .desired
        .iter()
        .filter(|((app, environment), _)| {
            what.app.as_ref().is_none_or(|only| only == app)
                && what.environment.as_ref().is_none_or(|only| only == environment)
        })
        .flat_map(|((app, environment), desired)| rows(snapshot, app, environment, desired))
        .collect();
    let now = Timestamp::now();
    let cells = |row: &Row| {
        let verdict = row.verdict.map_or("–".to_owned(), |verdict| verdict.to_string());
        vec![
            row.app.to_string(),
            row.environment.to_string(),
            row.version.clone(),
            row.digest.as_ref().map_or("–".to_owned(), |digest| digest.short().to_owned()),
            row.since.map_or("–".to_owned(), |since| ago(since, now)),
            row.commit.as_ref().map_or("–".to_owned(), |commit| commit.short().to_owned()),
            verdict,
        ]
    };
    let headings = ["APP", "ENVIRONMENT", "VERSION", "DIGEST", "SINCE", "COMMIT", "VERDICT"];
    let mut text = table(&headings, rows.iter().map(cells).collect());
    for row in &rows {
        let bad = row.verdict.filter(|verdict| *verdict != Verdict::Verified);
        for words in bad.iter().flat_map(|_| &row.reasons).chain(&row.remarks) {
            text = format!("{text}\n{} in {}: {words}", row.app, row.environment);
        }
    }
    printer.human(&text);
    printer.machine("Status", &json!({"branch": snapshot.branch, "head": snapshot.head, "rows": rows}));
}

fn rows(snapshot: &Snapshot, app: &AppName, environment: &EnvironmentName, desired: &Desired) -> Vec<Row> {
    let origin = desired.origin();
    let mut remarks = Vec::new();
    remarks.extend(desired.problem.clone());
    remarks.extend(desired.record_problem.clone());
    remarks.extend(desired.remarks.iter().cloned());
    if let Some(hold) = &desired.record.hold {
        let by = hold.by.as_deref().unwrap_or("somebody");
        remarks.push(format!("held by {by}: {}", hold.reason.as_deref().unwrap_or("no reason given")));
    }
    let settings = snapshot.config.environments.get(environment);
    let is_promoted = settings.is_some_and(|settings| !settings.after.is_empty());
    if is_promoted
        && let Plan::Gated(reasons) =
            promotion::plan(snapshot, app, environment, &Wish::default(), Timestamp::now())
    {
        remarks.extend(reasons);
    }
    for entry in &desired.record.quarantine {
        let tag = entry.tag.as_ref().map_or_else(|| entry.digest.short().to_owned(), ToString::to_string);
        remarks
            .push(format!("{tag} is quarantined: {}", entry.reason.as_deref().unwrap_or("no reason given")));
    }
    for taken in desired.barred() {
        remarks.push(format!(
            "{} is not elected again: {} replaced it with {}",
            version(&taken.version),
            taken.author,
            taken.commit.short()
        ));
    }
    let images = snapshot.config.apps.get(app).map(|app| app.images.keys()).into_iter().flatten();
    let row = |image: &ImageName| {
        let build = if builds::stands(desired, image) {
            vec![format!("{image} is a local build; versions of its policy wait until somebody commits one")]
        } else {
            Vec::new()
        };
        let written = desired.images.get(image).cloned().unwrap_or_default();
        let note = match (&written.digest, origin) {
            (_, Some(origin)) if snapshot.verdicts.on(&origin.commit, app, environment, image).is_some() => {
                snapshot.verdicts.on(&origin.commit, app, environment, image)
            }
            (Some(digest), _) => snapshot.verdicts.latest(app, environment, image, digest),
            (None, _) => None,
        };
        Row {
            app: app.clone(),
            environment: environment.clone(),
            image: image.clone(),
            version: version(&written),
            tag: written.new_tag,
            digest: written.digest,
            commit: origin.map(|origin| origin.commit.clone()),
            since: origin.map(|origin| origin.time),
            source: origin
                .and_then(|origin| origin.trailers.as_ref())
                .map(|trailers| trailers.source.clone()),
            verdict: note.map(|note| note.verdict),
            reasons: note.map(|note| note.reasons.clone()).unwrap_or_default(),
            remarks: [build, remarks.clone()].concat(),
        }
    };
    images.map(row).collect()
}
