//! `promote history`: the commits that moved versions, newest first, with what became of them.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::args::{self, Common};
use super::output::{Printer, ago, table};
use super::{Failure, open};
use crate::model::{AppName, CommitId, EnvironmentName, Exit, Source, Verdict};

/// One app's part of a commit.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    commit: CommitId,
    time: Timestamp,
    app: AppName,
    environment: EnvironmentName,
    /// What it moved: from and to as references.
    moves: Vec<Step>,
    source: Source,
    actor: String,
    reason: Option<String>,
    /// What it changed in the app's record, where it moved nothing.
    record: Option<String>,
    verdict: Option<Verdict>,
}

#[derive(Debug, Serialize)]
struct Step {
    from: Option<String>,
    to: String,
}

pub(super) async fn run(common: &Common, printer: &Printer, what: &args::History) -> Result<Exit, Failure> {
    let (context, snapshot) = open::open(common, printer).await?;
    let entries = context.mirror.history(what.since.unwrap_or(Timestamp::UNIX_EPOCH)).await?;
    let verdict = |commit: &CommitId, app: &AppName, environment: &EnvironmentName| {
        snapshot
            .verdicts
            .of_commit(commit)
            .iter()
            .filter(|note| note.app == *app && note.environment == *environment)
            .reduce(|best, note| if note.outranks(best) { note } else { best })
            .map(|note| note.verdict)
    };
    let rows: Vec<Row> = entries
        .into_iter()
        .flat_map(|entry| {
            let (commit, time) = (entry.commit, entry.time);
            entry.groups.into_iter().map(move |group| (commit.clone(), time, group))
        })
        .filter(|(_, _, group)| {
            what.app.as_ref().is_none_or(|only| *only == group.app)
                && what.environment.as_ref().is_none_or(|only| *only == group.environment)
        })
        .map(|(commit, time, group)| Row {
            verdict: verdict(&commit, &group.app, &group.environment),
            moves: group.images.into_iter().map(|(to, from)| Step { from, to }).collect(),
            commit,
            time,
            app: group.app,
            environment: group.environment,
            source: group.source,
            actor: group.actor,
            reason: group.reason,
            record: group.record,
        })
        .collect();
    let now = Timestamp::now();
    let cells = |row: &Row| {
        let moves: Vec<String> = row
            .moves
            .iter()
            .map(|step| format!("{} → {}", step.from.as_deref().map_or("none", tag), tag(&step.to)))
            .collect();
        let source = match &row.source {
            Source::Rollback { commit } => format!("rollback of {}", commit.short()),
            Source::Promotion { from, .. } => format!("promotion from {from}"),
            other => other.to_string(),
        };
        vec![
            ago(row.time, now),
            row.commit.short().to_owned(),
            row.app.to_string(),
            row.environment.to_string(),
            if moves.is_empty() { row.record.clone().unwrap_or_default() } else { moves.join(", ") },
            source,
            row.verdict.map_or("–".to_owned(), |verdict| verdict.to_string()),
            row.reason.clone().unwrap_or_default(),
        ]
    };
    let headings = ["AGO", "COMMIT", "APP", "ENVIRONMENT", "VERSION", "SOURCE", "VERDICT", "REASON"];
    if rows.is_empty() {
        printer.human("no version has been moved by promoted or promote yet");
    } else {
        printer.human(&table(&headings, rows.iter().map(cells).collect()));
    }
    printer.machine("History", &json!({"branch": snapshot.branch, "rows": rows}));
    Ok(Exit::Done)
}

/// The tag of a reference, for people.
fn tag(reference: &str) -> &str {
    let name = reference.split('@').next().unwrap_or(reference);
    match name.rsplit_once(':') {
        Some((_, tag)) if !tag.contains('/') => tag,
        _ => reference,
    }
}
