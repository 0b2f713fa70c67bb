//! Why there is nothing to push.

use std::path::PathBuf;

use crate::model::printable;

/// A build that brings no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The folder of `--allow-builds` can't be used.
    #[error("--allow-builds {}: {cause}; name a folder that exists", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The system's words.
        cause: String,
    },
    /// A link leads out of the folder of `--allow-builds`.
    #[error(
        "{path} leads out of the folder of --allow-builds, to {}; nothing is read there: copy it into the folder, or allow a folder around both", to.display()
    )]
    Outside {
        /// The path below the folder.
        path: String,
        /// Where it leads.
        to: PathBuf,
    },
    /// Something is still being written.
    #[error("{path} is not whole: {missing}; it is looked at again with each change")]
    Incomplete {
        /// The artifact.
        path: String,
        /// What is missing.
        missing: String,
    },
    /// It can't become an image by waiting.
    #[error("{path} is no image that can be pushed: {reason}")]
    Unusable {
        /// The artifact.
        path: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The system does not let us read.
    #[error("{path} can't be read: {cause}; check its owner and mode")]
    Unreadable {
        /// The path below the folder.
        path: String,
        /// The system's words.
        cause: String,
    },
    /// More lies below `watch` than is looked at.
    #[error("{what} below `watch`: more than {limit}; name fewer folders, or ignore some in .gitignore")]
    TooMany {
        /// `files` or `bytes`.
        what: &'static str,
        /// The cap.
        limit: u64,
    },
    /// The rules leave nothing.
    #[error(
        "`watch: {path}` has no file once .gitignore and .dockerignore are obeyed; name what is built from"
    )]
    NothingLeft {
        /// The entry of `watch`.
        path: String,
    },
    /// The command failed.
    #[error("`{command}` {how}; it runs again when its sources change")]
    Failed {
        /// The command, for people.
        command: String,
        /// How it ended, with its last line.
        how: String,
    },
}

impl BuildError {
    pub(super) fn incomplete(path: &str, missing: impl Into<String>) -> Self {
        Self::Incomplete { path: path.to_owned(), missing: missing.into() }
    }

    pub(super) fn unusable(path: &str, reason: impl AsRef<str>) -> Self {
        Self::Unusable { path: path.to_owned(), reason: printable(reason.as_ref(), 300) }
    }

    pub(super) fn unreadable(path: &str, error: &std::io::Error) -> Self {
        Self::Unreadable { path: path.to_owned(), cause: printable(&error.to_string(), 200) }
    }
}
