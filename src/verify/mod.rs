//! Verification: is the version good, here?
//!
//! In: snapshots of workloads and pods. Out: one [`Judgement`] per layer. A layer answers pass, fail, wait or unknown;
//! nothing turns the absence of evidence into either a pass or a failure.

pub mod image_id;
pub mod kube;
pub mod mesh;
pub mod pods;
pub mod probe;
pub mod prometheus;
pub mod pull;
pub mod rollouts;
pub mod traffic;
pub mod workload;

use std::fmt;

/// What is looked at once a commit is applied, in the order in which a version passes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// The workloads' rollouts.
    Workload,
    /// What the new pods run, and whether they can.
    Pods,
    /// Proxies and routes.
    Mesh,
    /// How requests fare.
    Traffic,
    /// How requests of our own fare.
    Probe,
}

impl Layer {
    /// Every layer.
    pub const ALL: [Self; 5] = [Self::Workload, Self::Pods, Self::Mesh, Self::Traffic, Self::Probe];
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Workload => "workload",
            Self::Pods => "pods",
            Self::Mesh => "mesh",
            Self::Traffic => "traffic",
            Self::Probe => "probe",
        })
    }
}

/// What one layer says at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The layer.
    pub layer: Layer,
    /// Its answer.
    pub answer: Answer,
}

/// A layer's judgement, or why it gives none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It applies here.
    Judged(Judgement),
    /// It does not, and why.
    LeftOut(String),
    /// It applies, and who could tell does not answer.
    Silent(String),
}

impl Finding {
    /// A layer that applies.
    pub fn judged(layer: Layer, judgement: Judgement) -> Self {
        Self { layer, answer: Answer::Judged(judgement) }
    }

    /// A layer that does not.
    pub fn left_out(layer: Layer, why: impl Into<String>) -> Self {
        Self { layer, answer: Answer::LeftOut(why.into()) }
    }

    /// What the layer says of the version, where it applies; silence leaves it unknown.
    pub fn judgement(&self) -> Option<Judgement> {
        match &self.answer {
            Answer::Judged(judgement) => Some(judgement.clone()),
            Answer::Silent(words) => Some(Judgement::Unknown(words.clone())),
            Answer::LeftOut(_) => None,
        }
    }
}

/// What one layer says about a version at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// All is as it should be.
    Pass(String),
    /// The version is bad.
    Fail(String),
    /// Not there yet. When the time is up, the version is to blame only if `blame` says so.
    Wait {
        /// What is waited for.
        reason: String,
        /// Whether the version itself is the likely cause.
        blame: bool,
    },
    /// It cannot be told, and waiting may or may not help.
    Unknown(String),
}

impl Judgement {
    /// A wait for something that the version is not to blame for.
    pub fn wait(reason: impl Into<String>) -> Self {
        Self::Wait { reason: reason.into(), blame: false }
    }

    /// The word that notes and JSON use.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pass(_) => "pass",
            Self::Fail(_) => "fail",
            Self::Wait { .. } => "wait",
            Self::Unknown(_) => "unknown",
        }
    }

    /// What was seen.
    pub fn detail(&self) -> &str {
        match self {
            Self::Pass(detail) | Self::Fail(detail) | Self::Unknown(detail) => detail,
            Self::Wait { reason, .. } => reason,
        }
    }

    /// The answer for several things that must all be good: the worst one, and of equals the first.
    pub fn all(judgements: impl IntoIterator<Item = Self>) -> Option<Self> {
        judgements.into_iter().reduce(|worst, next| if next.rank() > worst.rank() { next } else { worst })
    }

    /// How much it speaks against the version.
    fn rank(&self) -> u8 {
        match self {
            Self::Fail(_) => 4,
            Self::Wait { blame: true, .. } => 3,
            Self::Wait { .. } => 2,
            Self::Unknown(_) => 1,
            Self::Pass(_) => 0,
        }
    }
}
