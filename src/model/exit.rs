//! How a run of either binary ended, as its exit code tells.

/// The exit codes of both binaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done and verified, or already there.
    Done = 0,
    /// Internal error.
    Internal = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// A gate, a hold or a suspended delivery blocks it.
    Blocked = 3,
    /// The rollout failed, was rolled back, and the previous version is verified again.
    RolledBack = 4,
    /// The rollout failed, and the environment is not back on a verified version.
    Failed = 5,
    /// Timed out: still going on, or no evidence either way.
    Unknown = 6,
    /// A Git conflict that retries did not solve, or a refused push.
    Git = 7,
    /// A registry, the Git remote or the cluster can't be reached, or refuses the credentials.
    Unreachable = 8,
    /// `--dry-run`: there are changes.
    Changes = 10,
    /// Interrupted.
    Interrupted = 130,
}

impl Exit {
    /// Which of several to end with: the first that applies of 130, 1, 2, 8, 7, 5, 4, 6, 3, 10, 0.
    pub fn first(ends: impl IntoIterator<Item = Self>) -> Self {
        let order = [
            Self::Interrupted,
            Self::Internal,
            Self::Usage,
            Self::Unreachable,
            Self::Git,
            Self::Failed,
            Self::RolledBack,
            Self::Unknown,
            Self::Blocked,
            Self::Changes,
        ];
        let ends: Vec<Self> = ends.into_iter().collect();
        order.into_iter().find(|end| ends.contains(end)).unwrap_or(Self::Done)
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_ends_the_one_that_a_pipeline_must_not_miss_comes_first() {
        assert_eq!(Exit::first([Exit::Done, Exit::Unknown, Exit::RolledBack]), Exit::RolledBack);
        assert_eq!(Exit::first([Exit::Failed, Exit::Unreachable]), Exit::Unreachable);
        assert_eq!(Exit::first([]), Exit::Done);
    }
}
