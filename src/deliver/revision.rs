//! Flux's revisions: `BRANCH@sha1:COMMIT`, as RFC-0005 writes them, or `BRANCH/COMMIT`, as they were before.

use crate::model::CommitId;

/// The commit that a revision names.
pub fn commit(revision: &str) -> Option<CommitId> {
    let pointer = revision.rsplit_once('@').map_or(revision, |(_, pointer)| pointer);
    let hash = pointer.rsplit_once(':').map_or(pointer, |(_, hash)| hash);
    hash.rsplit_once('/').map_or(hash, |(_, hash)| hash).parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_commit_is_found_in_every_form_of_a_revision() {
        let hash = "0123456789abcdef0123456789abcdef01234567";
        for form in ["main@sha1:{}", "feature/x@sha1:{}", "a@b@sha1:{}", "sha1:{}", "main/{}", "{}"] {
            let revision = form.replace("{}", hash);
            assert_eq!(commit(&revision).unwrap().as_str(), hash, "{revision}");
        }
    }

    #[test]
    fn what_names_no_commit_is_none() {
        for odd in ["", "main@sha1:", "6.0.0@sha256:abc", "latest", "main@sha1:XYZ"] {
            assert_eq!(commit(odd), None, "{odd}");
        }
    }
}
