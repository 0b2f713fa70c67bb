//! Git: the only room that writes to it.
//!
//! In: [`Change`]s that somebody elected, and verdicts. Out: the commit that the remote has, and a [`Snapshot`] of what
//! the remote says now. One thread owns our bare mirror of a remote ([`mirror`]); it commits without a work tree and
//! pushes without a fetch, because the push's compare-and-swap tells whether the last known head still holds.
//! A lost race is fetched and the edit is run again on the new tree: never rebased, never forced.

mod apply;
mod approvals;
mod history;
mod http;
mod known_hosts;
pub mod message;
pub mod mirror;
mod notes;
mod objects;
mod overlay;
mod pack;
mod path;
mod places;
mod prepared;
mod remote;
mod snapshot;
mod write;

use crate::edit::{Amendment, Written};
use crate::model::{AppName, CommitId, EnvironmentName, ImageName, Source};

pub use approvals::{Approved, person};
pub use history::{Barred, Event, Images, Origin};
pub use mirror::{Entry, Held, Mirror, MirrorOptions, Published};
pub use notes::Verdicts;
pub use remote::{GitCredentials, Location, identity};
pub use snapshot::{Desired, Snapshot};

/// One image of an app, from what stands in the overlay to what shall stand there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The entry in the kustomization.
    pub image: ImageName,
    /// What the election saw there; anything else found at the head wins over this move.
    pub from: Written,
    /// What shall be there.
    pub to: Written,
}

/// What one app shall run in one environment from now on, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The images that move; together or not at all.
    pub moves: Vec<Move>,
    /// Where the version comes from.
    pub source: Source,
    /// The person who asked, as `NAME <EMAIL>`; none is the daemon itself.
    pub actor: Option<String>,
    /// Why, in words for people.
    pub reason: Option<String>,
    /// What the record of the app in the environment says from this commit on.
    pub amendments: Vec<Amendment>,
}

/// What became of one [`Change`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The remote has it, in this commit.
    Committed(CommitId),
    /// The head said so already.
    AlreadyThere,
    /// Somebody else changed one of its images since the election, and wins.
    Overtaken {
        /// The image.
        image: ImageName,
        /// What stands there now, as a reference.
        now: String,
    },
    /// It could not be written; the words say why and where.
    Impossible(String),
    /// Another change of the same all-or-nothing set could not be made.
    HeldBack,
}

/// Why the remote could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The remote does not answer.
    #[error("Git remote {remote} can't be reached: {cause}; it is asked again at the next poll")]
    Unreachable {
        /// The remote's address, without credentials.
        remote: String,
        /// The transport's own words.
        cause: String,
    },
    /// The remote wants other credentials.
    #[error("Git remote {remote} refuses the credentials: {cause}; {next}")]
    Unauthorized {
        /// The remote's address.
        remote: String,
        /// The remote's words.
        cause: String,
        /// Where credentials come from.
        next: &'static str,
    },
    /// The server is not the one that `known_hosts` names.
    #[error("Git remote {remote}: {cause}")]
    HostKey {
        /// The remote's address.
        remote: String,
        /// Expected and found fingerprint, and what to do.
        cause: String,
    },
    /// The remote took the pack and refused the update.
    #[error("Git remote {remote} refused the push to {reference}: {words}")]
    Refused {
        /// The remote's address.
        remote: String,
        /// The branch.
        reference: String,
        /// The remote's own words.
        words: String,
    },
    /// Others were quicker, every time.
    #[error(
        "Git remote {remote}: the push to {reference} lost the race {attempts} times; run the same again"
    )]
    Conflict {
        /// The remote's address.
        remote: String,
        /// The branch.
        reference: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The branch or the repository is not there.
    #[error("Git remote {remote}: {cause}")]
    Missing {
        /// The remote's address.
        remote: String,
        /// What is missing and what to check.
        cause: String,
    },
    /// There is no configuration to work by.
    #[error("{0}")]
    Config(String),
    /// Our own mirror failed.
    #[error("mirror {folder}: {cause}; deleting the folder costs one clone and nothing else")]
    Mirror {
        /// The folder.
        folder: String,
        /// libgit2's words.
        cause: String,
    },
    /// The thread that owns the mirror has ended.
    #[error("the mirror has stopped")]
    Stopped,
}

/// The lines in which two texts differ, as a unified diff with three lines around; empty where they are the same.
pub fn difference(old: (&str, &[u8]), new: (&str, &[u8])) -> String {
    let path = |name: &str| std::path::PathBuf::from(name);
    let (before, after) = (path(old.0), path(new.0));
    let differing = git2::Patch::from_buffers(old.1, Some(&before), new.1, Some(&after), None);
    let text = differing.and_then(|mut differing| differing.to_buf());
    text.map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
}

/// How an overlay's entry reads as a reference: `NAME[:TAG][@DIGEST]`.
pub fn reference(image: &ImageName, written: &Written) -> String {
    let mut text = written.new_name.clone().unwrap_or_else(|| image.to_string());
    if let Some(tag) = &written.new_tag {
        text.push(':');
        text.push_str(tag.as_str());
    }
    if let Some(digest) = &written.digest {
        text.push('@');
        text.push_str(digest.as_str());
    }
    text
}

/// How an overlay's entry reads in a subject line: its tag, else its short digest, else `none`.
pub fn version(written: &Written) -> String {
    match (&written.new_tag, &written.digest) {
        (Some(tag), _) => tag.to_string(),
        (None, Some(digest)) => digest.short().to_owned(),
        (None, None) => "none".to_owned(),
    }
}
