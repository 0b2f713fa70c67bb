//! `promote status`: what runs where, since when, what the verdict on it is, and what is waited for.
//!
//! Git tells nearly all of it. What is newer in the registries, and how an undecided version looks in the cluster now, is asked
//! for where that is quick, and nothing is changed anywhere.

mod explain;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use self::explain::Cause;
use super::args::{self, Common};
use super::output::{Printer, ago, table};
use super::{Failure, open};
use crate::daemon::Context;
use crate::daemon::candidates::{self, Candidate};
use crate::daemon::elections::Place;
use crate::daemon::follow::{self, Subject};
use crate::model::{
    AppName, CommitId, Digest, EnvironmentName, Exit, ImageName, LayerNote, Source, Tag, Times, Verdict,
    VerdictNote,
};
use crate::publish::{Desired, Move, Snapshot, version};
use crate::rollout::{Delivered, Observation};
use crate::verify::Judgement;

/// How often `--watch` looks.
const WATCH: Duration = Duration::from_secs(2);

/// How long registries and clusters have to tell.
const PATIENCE: Duration = Duration::from_secs(3);
/// More repositories, or undecided versions, than these are not looked at: a question about all would no longer be quick.
const MOST: usize = 30;

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
    /// Each layer of the verdict with its evidence.
    layers: Vec<LayerNote>,
    times: Option<Times>,
    /// What keeps it as it is, and what is waited for.
    causes: Vec<Cause>,
    /// The same in words, with the commands that change it.
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
        let causes = beyond_git(&context, &snapshot, what).await;
        show(printer, &snapshot, what, &causes);
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

fn is_meant(what: &args::Status, (app, environment): &Place) -> bool {
    what.app.as_ref().is_none_or(|only| only == app)
        && what.environment.as_ref().is_none_or(|only| only == environment)
}

/// What the registries and the clusters tell beside Git.
async fn beyond_git(
    context: &Arc<Context>,
    snapshot: &Snapshot,
    what: &args::Status,
) -> BTreeMap<Place, Vec<Cause>> {
    context.ask_clusters(&snapshot.config, &BTreeSet::new()).await;
    let (newer, now) = tokio::join!(newer(context, snapshot, what), undecided(context, snapshot, what));
    let mut causes: BTreeMap<Place, Vec<Cause>> = BTreeMap::new();
    for (place, cause) in newer.into_iter().chain(now) {
        causes.entry(place).or_default().push(cause);
    }
    causes
}

/// What a policy would elect, and why it does not.
async fn newer(context: &Context, snapshot: &Snapshot, what: &args::Status) -> Vec<(Place, Cause)> {
    let mut places = candidates::places(snapshot);
    places.retain(|place| is_meant(what, place));
    if candidates::repositories(snapshot, &places) > MOST {
        return Vec::new();
    }
    let found = candidates::look(context, snapshot, &places, PATIENCE).await;
    let now = Timestamp::now();
    let cause = |(place, candidate): (Place, Candidate)| {
        let desired = snapshot.desired.get(&place)?;
        let held = desired.record.held(now).is_some();
        let named =
            |moves: &[Move]| moves.iter().map(|step| version(&step.to)).collect::<Vec<_>>().join(", ");
        let cause = match candidate {
            Candidate::Elected(moves) if held => {
                Cause::new("candidate", format!("{} waits for the hold to end", named(&moves)))
            }
            Candidate::Elected(moves) => {
                let versions = named(&moves);
                let words = format!("{versions} is elected, and committed by the daemon that serves it");
                Cause::new("candidate", words)
            }
            Candidate::Waits(words, until) => Cause {
                until: Some(until),
                ..Cause::new("candidate", format!("{words}, and will be at {until:.0} at the latest"))
            },
            Candidate::Stays(words) => Cause::new("candidate", format!("nothing newer moves: {words}")),
            Candidate::Untold(words) => {
                Cause::new("candidate", format!("whether there is anything newer is not known: {words}"))
            }
        };
        Some((place, cause))
    };
    found.into_iter().filter_map(cause).collect()
}

/// How versions without a verdict look in the cluster now.
async fn undecided(context: &Context, snapshot: &Snapshot, what: &args::Status) -> Vec<(Place, Cause)> {
    let open = snapshot.desired.iter().filter(|(place, desired)| {
        let watched =
            snapshot.config.environments.get(&place.1).is_some_and(|found| found.watched().is_some());
        let undecided = desired.images.keys().any(|image| {
            let verdict = note(snapshot, place, desired, image).map(|note| note.verdict);
            matches!(verdict, None | Some(Verdict::Unknown))
        });
        is_meant(what, place) && watched && undecided && desired.problem.is_none()
    });
    let subjects: Vec<Subject> =
        open.filter_map(|((app, environment), desired)| Subject::of(app, environment, desired)).collect();
    if subjects.len() > MOST {
        return Vec::new();
    }
    let looks = subjects.iter().map(|subject| async move {
        let seen = follow::glance(context, subject, PATIENCE).await;
        let words = format!("now: {}", seen_now(&seen));
        ((subject.app.clone(), subject.environment.clone()), Cause::new("now", words))
    });
    futures::future::join_all(looks).await
}

/// What a look at the cluster shows, the worst first where everything is applied.
fn seen_now(seen: &Observation) -> String {
    match &seen.delivered {
        Delivered::Yes => {}
        Delivered::Changed(words)
        | Delivered::Refused(words)
        | Delivered::NotYet(words)
        | Delivered::Blocked(words)
        | Delivered::Silent(words) => return words.clone(),
    }
    let judged = seen.findings.iter().filter_map(|finding| Some((finding.layer, finding.judgement()?)));
    let rank = |judgement: &Judgement| match judgement {
        Judgement::Fail(_) => 0,
        Judgement::Unknown(_) => 1,
        Judgement::Wait { .. } => 2,
        Judgement::Pass(_) => 3,
    };
    let mut judged: Vec<_> = judged.collect();
    judged.sort_by_key(|(_, judgement)| rank(judgement));
    let told = judged
        .iter()
        .map(|(layer, judgement)| format!("{layer}: {}: {}", judgement.word(), judgement.detail()));
    told.collect::<Vec<_>>().join("; ")
}

fn show(printer: &Printer, snapshot: &Snapshot, what: &args::Status, beyond: &BTreeMap<Place, Vec<Cause>>) {
    let now = Timestamp::now();
    let rows: Vec<Row> = snapshot
        .desired
        .iter()
        .filter(|(place, _)| is_meant(what, place))
        .flat_map(|(place, desired)| {
            let more = beyond.get(place).map(Vec::as_slice).unwrap_or_default();
            rows(snapshot, place, desired, more, now)
        })
        .collect();
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
    let mut lines = vec![table(&headings, rows.iter().map(cells).collect())];
    let mut told: Option<(&AppName, &EnvironmentName)> = None;
    for row in &rows {
        let of = format!("{} in {}", row.app, row.environment);
        let bad = row.verdict.is_some_and(|verdict| verdict != Verdict::Verified);
        if bad {
            lines.extend(row.reasons.iter().map(|words| format!("{of}: {words}")));
        }
        // Somebody who asks for one app wants to know what its verdict rests on.
        if bad || what.app.is_some() {
            lines.extend(row.layers.iter().map(|layer| {
                format!("{of}: {} {}: {} ({:.1} s)", layer.layer, layer.result, layer.detail, layer.seconds)
            }));
        }
        // What concerns the app is told once, however many images it has.
        if told.replace((&row.app, &row.environment)) != Some((&row.app, &row.environment)) {
            lines.extend(row.causes.iter().map(|cause| format!("{of}: {}", cause.told())));
        }
    }
    printer.human(&lines.join("\n"));
    printer.machine("Status", &json!({"branch": snapshot.branch, "head": snapshot.head, "rows": rows}));
}

/// What counts for an image where it stands.
fn note<'s>(
    snapshot: &'s Snapshot,
    (app, environment): &Place,
    desired: &Desired,
    image: &ImageName,
) -> Option<&'s VerdictNote> {
    let on =
        desired.origin().and_then(|origin| snapshot.verdicts.on(&origin.commit, app, environment, image));
    on.or_else(|| {
        let digest = desired.images.get(image)?.digest.as_ref()?;
        snapshot.verdicts.latest(app, environment, image, digest)
    })
}

fn rows(snapshot: &Snapshot, place: &Place, desired: &Desired, more: &[Cause], now: Timestamp) -> Vec<Row> {
    let (app, environment) = place;
    let origin = desired.origin();
    let images = snapshot.config.apps.get(app).map(|app| app.images.keys()).into_iter().flatten();
    let row = |image: &ImageName| {
        let written = desired.images.get(image).cloned().unwrap_or_default();
        let note = note(snapshot, place, desired, image);
        let verdict = note.map(|note| note.verdict);
        let mut causes = explain::causes(snapshot, (app, environment), desired, note, now);
        causes.extend_from_slice(more);
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
            verdict,
            reasons: note.map(|note| note.reasons.clone()).unwrap_or_default(),
            layers: note.map(|note| note.layers.clone()).unwrap_or_default(),
            times: note.map(|note| note.times.clone()),
            remarks: causes.iter().map(Cause::told).collect(),
            causes,
        }
    };
    images.map(row).collect()
}
