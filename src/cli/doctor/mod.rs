//! `promote doctor`: what can be verified here, and what is missing for more.
//!
//! One line per thing that was looked at: `ok`, `missing` with the command that mends it, or `advice`. Nothing is changed
//! anywhere.

mod apps;
mod cluster;
mod registries;
mod rights;

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::args::{self, Common};
use super::output::Printer;
use super::{Failure, open};
use crate::daemon::Context;
use crate::model::{EnvironmentName, Exit};
use crate::publish::Snapshot;

/// What is said of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Ok,
    Missing,
    Advice,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
struct Check {
    /// What was looked at, for machines: `cluster`, `right`, `delivery`, a layer of the judgement, …
    about: String,
    word: Word,
    words: String,
    /// The command, or the change, that mends it.
    mend: Option<String>,
    /// How a run ends where this is missing.
    #[serde(skip)]
    exit: Exit,
}

impl Check {
    fn ok(about: impl Into<String>, words: impl Into<String>) -> Self {
        let (about, words) = (about.into(), words.into());
        Self { about, word: Word::Ok, words, mend: None, exit: Exit::Done }
    }

    fn advice(about: impl Into<String>, words: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { word: Word::Advice, mend: Some(mend.into()), ..Self::ok(about, words) }
    }

    /// The words of errors name the next step themselves.
    fn missing(exit: Exit, about: impl Into<String>, words: impl Into<String>) -> Self {
        Self { word: Word::Missing, exit, ..Self::ok(about, words) }
    }

    fn mended_by(self, mend: impl Into<String>) -> Self {
        Self { mend: Some(mend.into()), ..self }
    }
}

/// The lines below one heading.
#[derive(Debug, Serialize)]
struct Section {
    /// `git`, `registry HOST` or the name of an environment.
    of: String,
    checks: Vec<Check>,
}

pub(super) async fn run(common: &Common, printer: &Printer, what: &args::Doctor) -> Result<Exit, Failure> {
    let (context, snapshot) = open::open(common, printer).await?;
    if let Some(name) = &what.environment {
        open::known_environment(&snapshot, name)?;
    }
    let wanted: Vec<EnvironmentName> = snapshot
        .config
        .environments
        .keys()
        .filter(|name| what.environment.as_ref().is_none_or(|only| only == *name))
        .cloned()
        .collect();
    printer.step("look", "looking at registries and clusters", &json!({}));
    context.ask_clusters(&snapshot.config, &wanted.iter().cloned().collect()).await;
    let environments = wanted.iter().map(|name| environment(&context, &snapshot, name));
    let environments = futures::future::join_all(environments);
    let (git, registries, environments) =
        tokio::join!(git(&context, &snapshot), registries::look(&context, &snapshot, &wanted), environments,);
    let mut sections = vec![git];
    sections.extend(registries);
    sections.extend(environments);
    for section in &sections {
        printer.human(&section.of);
        for check in &section.checks {
            let word = match check.word {
                Word::Ok => "ok",
                Word::Missing => "missing",
                Word::Advice => "advice",
            };
            printer.human(&format!("  {word:<8} {}", check.words));
            if let Some(mend) = &check.mend {
                printer.human(&format!("           → {mend}"));
            }
        }
    }
    let exit = Exit::first(sections.iter().flat_map(|section| &section.checks).map(|check| check.exit));
    printer.machine("Doctor", &json!({"sections": sections, "exitCode": exit as u8}));
    Ok(exit)
}

async fn git(context: &Context, snapshot: &Snapshot) -> Section {
    let (location, branch) = (context.mirror.location(), &snapshot.branch);
    let mut checks =
        vec![Check::ok("read", format!("{location} answers, and {branch} has a valid configuration"))];
    checks.push(match context.mirror.may_push().await {
        Ok(()) => {
            Check::ok("push", "it takes pushes of this account; what it protects shows at the first one")
        }
        Err(error) => Check::missing(crate::daemon::supervisor::exit_of(&error), "push", error.to_string()),
    });
    Section { of: "git".to_owned(), checks }
}

async fn environment(context: &Arc<Context>, snapshot: &Snapshot, name: &EnvironmentName) -> Section {
    let mut checks = Vec::new();
    for ((app, environment), desired) in &snapshot.desired {
        if environment == name {
            let problems = desired.problem.iter().chain(&desired.record_problem);
            checks.extend(
                problems.map(|words| Check::missing(Exit::Usage, "overlay", format!("{app}: {words}"))),
            );
        }
    }
    let settings = snapshot.config.environments.get(name);
    match settings.and_then(|settings| Some((settings, settings.watched()?))) {
        None => checks.push(Check::advice(
            "cluster",
            "it has no cluster: versions are committed, and none is verified",
            format!(
                "environments.{name}: add `cluster: {{context: NAME}}` and `deploy: {{flux: {{kustomization: \
                 NAMESPACE/NAME}}}}`"
            ),
        )),
        Some((settings, (cluster, target))) => {
            let (found, is_there) = cluster::look(context, cluster, target).await;
            checks.extend(found);
            if is_there {
                checks.extend(apps::look(context, snapshot, name, settings).await);
            }
        }
    }
    Section { of: name.to_string(), checks }
}
