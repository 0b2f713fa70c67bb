//! `promote hold` and `promote release`: what may not move, and what may move again.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::args::{self, Common};
use super::output::Printer;
use super::{Failure, commit, open};
use crate::daemon::builds;
use crate::edit::{Amendment, Hold, Released};
use crate::model::{AppName, EnvironmentName, Exit};
use crate::publish::{Desired, Snapshot, version};

/// An app with what is said of it.
struct Said {
    app: AppName,
    /// What the change does, for people; and where there is none, how it is already.
    words: String,
    amendments: Vec<Amendment>,
}

pub(super) async fn hold(common: &Common, printer: &Printer, asked: &args::Hold) -> Result<Exit, Failure> {
    let (context, snapshot) = open::open(common, printer).await?;
    let (now, by) = (Timestamp::now(), open::person());
    let environment = &asked.environment;
    let said = places(&snapshot, environment, asked.app.as_ref())?.into_iter().map(|(app, desired)| {
        let hold =
            Hold { reason: Some(asked.reason.clone()), by: by.clone(), until: asked.until, image: None };
        let instead = desired.record.held(now).filter(|known| **known != hold);
        let instead = instead.map(|known| format!("; it was {known}")).unwrap_or_default();
        let until = asked.until.map(|until| format!(" until {until:.0}")).unwrap_or_default();
        let words = format!("held in {environment}{until}{instead}");
        Said { app: app.clone(), words, amendments: vec![Amendment::Hold(hold)] }
    });
    let said: Vec<Said> = said.collect();
    let already = format!("already held in {environment}, in the same words");
    let deed = Deed { kind: "Hold", environment, reason: &asked.reason, already: &already };
    deed.done(&context, printer, said, asked.dry_run).await
}

pub(super) async fn release(
    common: &Common,
    printer: &Printer,
    asked: &args::Release,
) -> Result<Exit, Failure> {
    let (context, snapshot) = open::open(common, printer).await?;
    let (now, by) = (Timestamp::now(), open::person());
    let environment = &asked.environment;
    let said = places(&snapshot, environment, asked.app.as_ref())?.into_iter().map(|(app, desired)| {
        let mut words = Vec::new();
        let mut amendments = Vec::new();
        if let Some(hold) = &desired.record.hold {
            words.push(format!("it was {hold}"));
            amendments.push(Amendment::Unhold);
        }
        if let Some((commit, more)) = kept_back(desired) {
            words.extend(more);
            let (reason, by) = (Some(asked.reason.clone()), by.clone());
            amendments.push(Amendment::Release(Released { commit, reason, by, at: Some(now) }));
        }
        let words = format!("released in {environment}: {}", words.join("; "));
        Said { app: app.clone(), words, amendments }
    });
    let said: Vec<Said> = said.collect();
    let already = format!("not held in {environment}, and nothing that people did keeps versions back");
    let deed = Deed { kind: "Release", environment, reason: &asked.reason, already: &already };
    deed.done(&context, printer, said, asked.dry_run).await
}

/// What a release lets go on beside a hold: the commit that it goes on from, and what for.
fn kept_back(desired: &Desired) -> Option<(crate::model::CommitId, Vec<String>)> {
    if desired.is_released() {
        return None;
    }
    let taken = desired.barred().into_iter().map(|taken| {
        let commit = taken.commit.short().to_owned();
        format!("{} may come again, which {} took away with {commit}", version(&taken.version), taken.author)
    });
    let builds = desired.images.keys().filter(|image| builds::stands(desired, image));
    let builds =
        builds.map(|image| format!("{image} goes on from its local build to the best version of its policy"));
    let words: Vec<String> = taken.chain(builds).collect();
    let commit = desired.origin()?.commit.clone();
    (!words.is_empty()).then_some((commit, words))
}

/// The apps that are meant, as they stand in the environment.
fn places<'s>(
    snapshot: &'s Snapshot,
    environment: &EnvironmentName,
    app: Option<&AppName>,
) -> Result<Vec<(&'s AppName, &'s Desired)>, Failure> {
    open::known_environment(snapshot, environment)?;
    if let Some(app) = app {
        open::known_app(snapshot, app)?;
    }
    let meant = snapshot
        .desired
        .iter()
        .filter(|((name, place), _)| place == environment && app.is_none_or(|only| only == name));
    Ok(meant.map(|((name, _), desired)| (name, desired.as_ref())).collect())
}

/// What is to be done to all apps alike.
struct Deed<'a> {
    kind: &'static str,
    environment: &'a EnvironmentName,
    reason: &'a str,
    /// What is said of an app where nothing changes.
    already: &'a str,
}

impl Deed<'_> {
    async fn done(
        self,
        context: &crate::daemon::Context,
        printer: &Printer,
        said: Vec<Said>,
        dry_run: bool,
    ) -> Result<Exit, Failure> {
        let (said, idle): (Vec<Said>, Vec<Said>) =
            said.into_iter().partition(|said| !said.amendments.is_empty());
        let word =
            |said: &Said| commit::word(&said.app, self.environment, self.reason, said.amendments.clone());
        let words = said.iter().map(word).collect();
        let commit::Said { commit, patch, changed, exit } =
            commit::say(context, printer, words, dry_run).await?;
        let mut apps: Vec<Value> = Vec::new();
        let done = said.iter().zip(changed.iter().copied().chain(std::iter::repeat(false)));
        for (said, changed) in done.chain(idle.iter().map(|said| (said, false))) {
            let words = if changed { said.words.as_str() } else { self.already };
            printer.human(&format!("{} is {words}", said.app));
            apps.push(json!({"app": said.app, "changed": changed, "words": words}));
        }
        printer.machine(
            self.kind,
            &json!({
                "environment": self.environment, "apps": apps, "reason": self.reason, "commit": commit,
                "patch": patch, "exitCode": exit as u8,
            }),
        );
        Ok(exit)
    }
}
