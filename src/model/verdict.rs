//! What was found out about a version in an environment, as it is kept in a Git note.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AppName, CommitId, Digest, EnvironmentName, ImageName, Repository, Tag};

/// The answer to "is this version good here?".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every layer that applies passed, for as long as was asked.
    Verified,
    /// A layer showed that the version is bad.
    Failed,
    /// No evidence either way: blocks a promotion, rolls nothing back.
    Unknown,
    /// A newer commit changed the image before there was an answer.
    Superseded,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Verified => "verified",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Superseded => "superseded",
        })
    }
}

/// One layer of a verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerNote {
    /// `applied`, `workload`, `pods`, …
    pub layer: String,
    /// `pass`, `fail`, `wait`, `unknown` or `left-out`.
    pub result: String,
    /// What was seen.
    pub detail: String,
    /// How long the layer took, in seconds.
    pub seconds: f64,
}

/// When the steps of a change happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Times {
    /// The commit was made.
    pub committed: Timestamp,
    /// The delivery tool had applied it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Timestamp>,
    /// The workload's rollout was complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_out: Option<Timestamp>,
    /// The verdict was given.
    pub decided: Timestamp,
}

/// One line of a note in `refs/notes/promote`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerdictNote {
    /// The format's version, 1.
    pub v: u8,
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The image's name in the kustomization.
    pub image: ImageName,
    /// The repository that the environment pulls from.
    pub reference: Repository,
    /// The version for people.
    pub tag: Tag,
    /// The version that the verdict is about.
    pub digest: Digest,
    /// The commit that brought the version.
    pub commit: CommitId,
    /// The answer.
    pub verdict: Verdict,
    /// Why, in words for people; most important first.
    pub reasons: Vec<String>,
    /// Each layer with what it saw.
    pub layers: Vec<LayerNote>,
    /// When what happened.
    pub times: Times,
}

impl VerdictNote {
    /// Whether this line counts over `other` for the same digest and environment: the later one does,
    /// and of two decided at the same instant the one that is not `verified`.
    pub fn outranks(&self, other: &Self) -> bool {
        let caution = |note: &Self| note.verdict != Verdict::Verified;
        (self.times.decided, caution(self)) > (other.times.decided, caution(other))
    }
}
