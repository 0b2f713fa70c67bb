//! Verdicts as Git notes: one JSON object per line, on the commit that brought the version.
//!
//! Two writers merge as a union of lines. What counts is the line with the latest `times.decided`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use git2::{Oid, Repository};

use super::objects;
use crate::model::{AppName, CommitId, Digest, EnvironmentName, ImageName, Verdict, VerdictNote};

/// The reference that holds the notes.
pub(super) const NOTES: &str = "refs/notes/promote";

/// Everything that was ever judged, as far as the remote's notes tell.
#[derive(Debug, Clone, Default)]
pub struct Verdicts {
    by_commit: BTreeMap<CommitId, Arc<Vec<VerdictNote>>>,
    latest: HashMap<(AppName, EnvironmentName, ImageName, Digest), VerdictNote>,
}

impl Verdicts {
    /// What counts for a digest in an environment.
    pub fn latest(
        &self,
        app: &AppName,
        environment: &EnvironmentName,
        image: &ImageName,
        digest: &Digest,
    ) -> Option<&VerdictNote> {
        self.latest.get(&(app.clone(), environment.clone(), image.clone(), digest.clone()))
    }

    /// The lines on one commit, in no order.
    pub fn of_commit(&self, commit: &CommitId) -> &[VerdictNote] {
        self.by_commit.get(commit).map_or(&[], |lines| lines.as_slice())
    }

    /// What counts on one commit for one image.
    pub fn on(
        &self,
        commit: &CommitId,
        app: &AppName,
        environment: &EnvironmentName,
        image: &ImageName,
    ) -> Option<&VerdictNote> {
        let concerns = |line: &&VerdictNote| {
            line.app == *app && line.environment == *environment && line.image == *image
        };
        let lines = self.of_commit(commit).iter().filter(concerns);
        lines.reduce(|best, line| if line.outranks(best) { line } else { best })
    }

    /// All lines, in no order.
    pub fn all(&self) -> impl Iterator<Item = &VerdictNote> {
        self.by_commit.values().flat_map(|lines| lines.iter())
    }

    fn add(&mut self, commit: CommitId, lines: Vec<VerdictNote>) {
        for line in &lines {
            let key = (line.app.clone(), line.environment.clone(), line.image.clone(), line.digest.clone());
            let counts = line.verdict != Verdict::Superseded
                && self.latest.get(&key).is_none_or(|known| line.outranks(known));
            if counts {
                self.latest.insert(key, line.clone());
            }
        }
        self.by_commit.insert(commit, Arc::new(lines));
    }
}

/// Reads all notes; lines that are not ours or not legal are passed over, since people may write there too.
pub(super) fn read(repository: &Repository) -> Result<Verdicts, git2::Error> {
    let mut verdicts = Verdicts::default();
    let Some(tip) = tip(repository) else { return Ok(verdicts) };
    let tree = repository.find_commit(tip)?.tree()?;
    for (path, blob) in objects::files(&tree)? {
        // Git fans notes out into folders as they grow: ab/cdef… names the commit abcdef….
        let Ok(commit) = path.replace('/', "").parse::<CommitId>() else { continue };
        let blob = repository.find_blob(blob)?;
        if blob.size() > objects::LARGEST_FILE {
            continue;
        }
        let text = String::from_utf8_lossy(blob.content());
        let lines: Vec<VerdictNote> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|note: &VerdictNote| note.v == 1)
            .collect();
        if !lines.is_empty() {
            verdicts.add(commit, lines);
        }
    }
    Ok(verdicts)
}

/// The notes' newest commit in our mirror.
pub(super) fn tip(repository: &Repository) -> Option<Oid> {
    repository.find_reference(NOTES).ok()?.target()
}

/// Adds `lines` to the notes of our mirror; those that stand there already are left out.
///
/// Returns whether anything changed.
pub(super) fn append(
    repository: &Repository,
    signature: &git2::Signature<'_>,
    lines: &[VerdictNote],
) -> Result<bool, git2::Error> {
    let mut by_commit: BTreeMap<&CommitId, Vec<String>> = BTreeMap::new();
    for line in lines {
        let text = serde_json::to_string(line).map_err(|error| git2::Error::from_str(&error.to_string()))?;
        by_commit.entry(&line.commit).or_default().push(text);
    }
    let mut changed = false;
    for (commit, fresh) in by_commit {
        let commit = Oid::from_str(commit.as_str())?;
        let mut text = match repository.find_note(Some(NOTES), commit) {
            Ok(note) => String::from_utf8_lossy(note.message_bytes()).into_owned(),
            Err(error) if error.code() == git2::ErrorCode::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let before = text.len();
        for line in fresh {
            if !text.lines().any(|known| known == line) {
                if !text.is_empty() && !text.ends_with('\n') {
                    text.push('\n');
                }
                text.push_str(&line);
                text.push('\n');
            }
        }
        if text.len() != before {
            repository.note(signature, signature, Some(NOTES), commit, &text, true)?;
            changed = true;
        }
    }
    Ok(changed)
}
