//! What is followed: one version in one environment, and the lines that tell how it ended.

use jiff::Timestamp;

use crate::edit::Written;
use crate::model::{AppName, CommitId, EnvironmentName, ImageName, VerdictNote};
use crate::publish::message::Trailers;
use crate::publish::{Desired, Snapshot, reference};
use crate::rollout::Decision;

/// One version in one environment, to be followed from its commit to its verdict.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The commit that brought the version.
    pub commit: CommitId,
    /// The commit before it.
    pub parent: Option<CommitId>,
    /// When it was made.
    pub committed: Timestamp,
    /// Whether it put back a version because another one failed.
    pub back: bool,
    /// What the overlay says since then.
    pub images: Vec<(ImageName, Written)>,
}

impl Subject {
    /// What stands in `environment` now, since the commit that brought it.
    pub fn of(app: &AppName, environment: &EnvironmentName, desired: &Desired) -> Option<Self> {
        let origin = desired.origin()?;
        Some(Self {
            app: app.clone(),
            environment: environment.clone(),
            commit: origin.commit.clone(),
            parent: origin.parent.clone(),
            committed: origin.time,
            back: origin.trailers.as_ref().is_some_and(Trailers::is_automatic_rollback),
            images: desired.images.iter().map(|(image, written)| (image.clone(), written.clone())).collect(),
        })
    }

    /// The tags, for people.
    pub fn versions(&self) -> String {
        let versions: Vec<String> =
            self.images.iter().map(|(_, written)| crate::publish::version(written)).collect();
        versions.join(", ")
    }

    pub(super) fn still_stands(&self, snapshot: &Snapshot) -> Result<(), String> {
        let key = (self.app.clone(), self.environment.clone());
        let Some(desired) = snapshot.desired.get(&key) else {
            return Err(format!("promote.yaml no longer has {} in {}", self.app, self.environment));
        };
        for (image, written) in &self.images {
            match desired.images.get(image) {
                Some(now) if now == written => {}
                Some(now) => return Err(format!("the overlay says {} now", reference(image, now))),
                None => return Err(format!("the overlay no longer has {image}")),
            }
        }
        Ok(())
    }
}

/// The lines to write for a decision: one per image that can be named exactly.
pub fn notes(subject: &Subject, decision: &Decision) -> Vec<VerdictNote> {
    let line = |(image, written): &(ImageName, Written)| {
        Some(VerdictNote {
            v: 1,
            app: subject.app.clone(),
            environment: subject.environment.clone(),
            image: image.clone(),
            reference: written.new_name.as_deref()?.parse().ok()?,
            tag: written.new_tag.clone()?,
            digest: written.digest.clone()?,
            commit: subject.commit.clone(),
            verdict: decision.verdict,
            reasons: decision.reasons.clone(),
            layers: decision.layers.clone(),
            times: decision.times.clone(),
        })
    };
    subject.images.iter().filter_map(line).collect()
}
