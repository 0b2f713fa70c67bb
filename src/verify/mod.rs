//! Verification: is the version good, here?
//!
//! In: snapshots of workloads and pods. Out: one [`Judgement`] per layer. A layer answers pass, fail, wait or unknown;
//! nothing turns the absence of evidence into either a pass or a failure.

pub mod image_id;
pub mod kube;
pub mod pods;
pub mod workload;

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
        let rank = |judgement: &Self| match judgement {
            Self::Fail(_) => 4,
            Self::Wait { blame: true, .. } => 3,
            Self::Wait { .. } => 2,
            Self::Unknown(_) => 1,
            Self::Pass(_) => 0,
        };
        judgements.into_iter().reduce(|worst, next| if rank(&next) > rank(&worst) { next } else { worst })
    }
}
