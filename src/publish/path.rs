//! Pushing into a bare repository on this machine.
//!
//! libgit2's own transport for paths moves the branch without comparing what it pointed to, so that a race would lose
//! somebody's commit. Here the objects are copied and the reference is moved only from the value it had. No hooks run.

use git2::{Oid, Repository};

/// The outcome of one reference.
pub(super) enum Moved {
    Done,
    /// It pointed elsewhere.
    Lost,
}

/// Copies `objects` into the repository at `path` and moves `reference` from `old` (none: it must not exist) to `new`.
pub(super) fn push(
    mirror: &Repository,
    path: &std::path::Path,
    objects: &[Oid],
    reference: &str,
    old: Option<Oid>,
    new: Oid,
) -> Result<Moved, git2::Error> {
    let remote = Repository::open_bare(path)?;
    let (from, to) = (mirror.odb()?, remote.odb()?);
    for id in objects {
        if !to.exists(*id) {
            let object = from.read(*id)?;
            to.write(object.kind(), object.data())?;
        }
    }
    let moved = match old {
        Some(old) => remote.reference_matching(reference, new, true, old, "promote"),
        None => remote.reference(reference, new, false, "promote"),
    };
    match moved {
        Ok(_) => Ok(Moved::Done),
        Err(error) => match error.code() {
            git2::ErrorCode::Modified
            | git2::ErrorCode::Exists
            | git2::ErrorCode::Locked
            | git2::ErrorCode::NotFound => Ok(Moved::Lost),
            _ => Err(error),
        },
    }
}
