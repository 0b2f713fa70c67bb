//! Changes that a person asks for, brought to the remote as one commit, or none of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::output::Printer;
use super::{Failure, open};
use crate::daemon::Context;
use crate::edit::Amendment;
use crate::model::{AppName, CommitId, EnvironmentName, Exit, Source};
use crate::publish::{Change, Outcome, Snapshot};

/// What the remote has made of the changes.
pub(super) struct Landed {
    /// The commit; none if the head said it all already.
    pub(super) commit: Option<CommitId>,
    /// Whether each change is in the commit.
    pub(super) changed: Vec<bool>,
    /// The remote after it.
    pub(super) snapshot: Arc<Snapshot>,
}

/// What a person says about an app without moving it.
pub(super) fn word(
    app: &AppName,
    environment: &EnvironmentName,
    reason: &str,
    amendments: Vec<Amendment>,
) -> Change {
    Change {
        app: app.clone(),
        environment: environment.clone(),
        moves: Vec::new(),
        source: Source::Manual,
        actor: open::person(),
        reason: Some(reason.to_owned()),
        amendments,
    }
}

/// What became of a person's words.
pub(super) struct Said {
    /// The commit; none if it was a dry run, or the head said it all already.
    pub(super) commit: Option<CommitId>,
    /// What a dry run would change.
    pub(super) patch: Option<String>,
    /// Whether each of them changes anything.
    pub(super) changed: Vec<bool>,
    /// How the command ends.
    pub(super) exit: Exit,
}

/// Brings all words to the remote together, or shows the patch that they would be.
pub(super) async fn say(
    context: &Context,
    printer: &Printer,
    words: Vec<Change>,
    dry_run: bool,
) -> Result<Said, Failure> {
    if dry_run {
        let (patch, changed) = preview(context, words).await?;
        printer.human(patch.trim_end());
        let exit = if changed.contains(&true) { Exit::Changes } else { Exit::Done };
        return Ok(Said { commit: None, patch: Some(patch), changed, exit });
    }
    let (mut commit, mut changed) = (None, Vec::new());
    if !words.is_empty() {
        let landed = land(context, printer, words).await?;
        (commit, changed) = (landed.commit, landed.changed);
    }
    Ok(Said { commit, patch: None, changed, exit: Exit::Done })
}

/// Commits and pushes all changes together.
pub(super) async fn land(
    context: &Context,
    printer: &Printer,
    changes: Vec<Change>,
) -> Result<Landed, Failure> {
    printer.step("commit", &format!("committing to {}", context.mirror.location()), &json!({}));
    let environments: BTreeSet<EnvironmentName> =
        changes.iter().map(|change| change.environment.clone()).collect();
    let published = context.mirror.publish(changes, true).await?;
    possible(&published.outcomes)?;
    let mut landed = Landed { commit: None, changed: Vec::new(), snapshot: published.snapshot };
    for outcome in &published.outcomes {
        match outcome {
            Outcome::Committed(id) => landed.commit = Some(id.clone()),
            Outcome::Overtaken { image, now } => {
                let words =
                    format!("somebody changed {image} to {now} meanwhile, and wins; nothing was committed");
                return Err(Failure::new(Exit::Git, words));
            }
            _ => {}
        }
        landed.changed.push(matches!(outcome, Outcome::Committed(_)));
    }
    if let Some(commit) = &landed.commit {
        let took = published.took.as_secs_f64();
        let list: Vec<&str> = environments.iter().map(EnvironmentName::as_str).collect();
        let list = list.join(", ");
        let text = format!("committed {} to {} in {took:.2} s", commit.short(), landed.snapshot.branch);
        printer.keep("committed", &text, &json!({"commit": commit, "environment": list, "seconds": took}));
    }
    Ok(landed)
}

/// The patch that the changes would make at the remote's head, and which of them would change anything.
pub(super) async fn preview(context: &Context, changes: Vec<Change>) -> Result<(String, Vec<bool>), Failure> {
    let (outcomes, patch) = context.mirror.preview(changes).await?;
    possible(&outcomes)?;
    Ok((patch, outcomes.iter().map(|outcome| matches!(outcome, Outcome::Committed(_))).collect()))
}

fn possible(outcomes: &[Outcome]) -> Result<(), Failure> {
    let words: Vec<&str> = outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::Impossible(words) => Some(words.as_str()),
            _ => None,
        })
        .collect();
    if words.is_empty() { Ok(()) } else { Err(Failure::new(Exit::Usage, words.join("\n"))) }
}
