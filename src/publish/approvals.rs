//! Who approved which version: the authors of the commits that brought the approvals.
//!
//! What an approval says `by` is a word in a file, which anybody may write for anybody. A commit's author is what everybody
//! sees who looks at the history, and what a remote may demand to be the one who pushes.

use std::collections::BTreeMap;
use std::path::Path;

use git2::{Commit, Oid, Repository};

use super::history;
use super::objects::Files;
use crate::edit::{Approval, Record};
use crate::model::Digest;

/// How many commits are looked at for one. An approval that is older must be given again.
const WALK_LIMIT: usize = 10_000;

/// Who approved each version, each person once: one with the same mail address.
pub type Approved = BTreeMap<Digest, Vec<String>>;

/// Who gave the approvals of `record`, which is the file at `path` of `head`, but for versions that are `there` already.
pub(super) fn of(
    repository: &Repository,
    head: Oid,
    path: &str,
    record: &Record,
    there: impl Fn(&Digest) -> bool,
) -> Result<Approved, git2::Error> {
    let mut people: BTreeMap<Digest, BTreeMap<String, String>> = BTreeMap::new();
    for approval in record.approvals.iter().filter(|approval| !there(&approval.digest)) {
        let Some(commit) = bringer(repository, head, path, approval)? else { continue };
        let of_digest = people.entry(approval.digest.clone()).or_default();
        let author = history::author(&commit);
        of_digest.entry(person(&author)).or_insert(author);
    }
    Ok(people.into_iter().map(|(digest, people)| (digest, people.into_values().collect())).collect())
}

/// The commit that brought an approval: none of its parents has it.
fn bringer<'r>(
    repository: &'r Repository,
    head: Oid,
    path: &str,
    approval: &Approval,
) -> Result<Option<Commit<'r>>, git2::Error> {
    let mut commit = repository.find_commit(head)?;
    let mut file = listed(&commit, path)?;
    for _ in 0..WALK_LIMIT {
        let mut before = None;
        for parent in commit.parents() {
            let found = listed(&parent, path)?;
            if found.is_some() && (found == file || says(repository, &parent, path, approval)?) {
                before = Some((parent, found));
                break;
            }
        }
        match before {
            Some((parent, found)) => (commit, file) = (parent, found),
            None => return Ok(Some(commit)),
        }
    }
    Ok(None)
}

fn listed(commit: &Commit<'_>, path: &str) -> Result<Option<Oid>, git2::Error> {
    match commit.tree()?.get_path(Path::new(path)) {
        Ok(entry) => Ok(Some(entry.id())),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the record says so there; one that can't be read says nothing.
fn says(
    repository: &Repository,
    commit: &Commit<'_>,
    path: &str,
    approval: &Approval,
) -> Result<bool, git2::Error> {
    let files = Files::of(repository, commit.tree()?);
    let record = files.file(path).ok().flatten().and_then(|file| Record::parse(&file.content).ok());
    Ok(record.is_some_and(|record| record.approvals.contains(approval)))
}

/// What makes two authors, each as `NAME <EMAIL>`, one person.
pub fn person(author: &str) -> String {
    let address = author.rsplit_once('<').map(|(_, address)| address.trim_end_matches('>').trim());
    address.filter(|address| !address.is_empty()).unwrap_or(author).to_lowercase()
}

#[cfg(test)]
#[path = "approvals_tests.rs"]
mod tests;
