//! Changes that a person asks for, brought to the remote as one commit, or none of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::Failure;
use super::output::Printer;
use crate::daemon::Context;
use crate::model::{CommitId, EnvironmentName, Exit};
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
