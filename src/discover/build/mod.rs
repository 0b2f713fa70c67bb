//! Local builds: what was built beside this process, below the one folder that a person allows.
//!
//! In: the folder of `--allow-builds`, and the `build` of an image. Out: an [`Artifact`] whose every byte is there and is what
//! its digests say, and the [`Sources`] of a command with the word that they changed. May fail as [`BuildError`]; half an
//! artifact is an error, never a smaller image. Nothing here writes to a registry.

pub mod archive;
pub mod command;
mod dockerignore;
mod error;
mod layout;
mod mounts;
mod output;
mod quiet;
mod root;
mod sources;
mod watcher;

pub use error::BuildError;
pub use layout::{Artifact, Looker, Stamp};
pub use quiet::Quiet;
pub use root::Root;
pub use sources::{Seen, Sources};
pub use watcher::Watcher;

/// What stands for the reference to push in a build's command.
pub const REFERENCE: &str = "{ref}";

#[cfg(test)]
mod tests;
