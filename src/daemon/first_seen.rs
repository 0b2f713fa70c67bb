//! When images were first seen: what `gates.minAge` counts from, since nobody else's clock or word is taken for it.
//!
//! It is kept in the state directory over a restart. A file that is lost or can't be read makes versions wait again.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{Digest, Repository};

/// The images that are remembered; the ones that were seen longest ago are forgotten first.
const KEPT: usize = 10_000;
/// The largest file that is read.
const LARGEST: u64 = 8 * 1024 * 1024;

/// The images of this process, and those of the processes before it.
#[derive(Debug, Default)]
pub struct FirstSeen {
    seen: HashMap<(Repository, Digest), Timestamp>,
    file: Option<PathBuf>,
    changed: bool,
}

#[derive(Serialize, Deserialize)]
struct Content {
    v: u8,
    seen: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    repository: Repository,
    digest: Digest,
    at: Timestamp,
}

impl FirstSeen {
    /// Reads what an earlier process has kept in `file`, where there is one.
    pub fn open(file: Option<PathBuf>) -> Self {
        let seen = match file.as_deref().map(read) {
            None => HashMap::new(),
            Some(Ok(seen)) => seen,
            Some(Err(error)) => {
                let file = file.as_deref().unwrap_or(Path::new("")).display();
                tracing::warn!(%file, error, "when images were first seen is not known; gates.minAge counts from now");
                HashMap::new()
            }
        };
        Self { seen, file, changed: false }
    }

    /// All of them.
    pub fn all(&self) -> &HashMap<(Repository, Digest), Timestamp> {
        &self.seen
    }

    /// An image is there; `now` counts only where nobody had seen it.
    pub fn note(&mut self, repository: &Repository, digest: &Digest, now: Timestamp) {
        let key = (repository.clone(), digest.clone());
        let known = self.seen.get(&key).is_some_and(|seen| *seen <= now);
        if known {
            return;
        }
        self.seen.insert(key, now);
        self.changed = true;
        if self.seen.len() > KEPT + KEPT / 10 {
            let mut times: Vec<Timestamp> = self.seen.values().copied().collect();
            times.sort_unstable();
            let oldest = times.get(times.len() - KEPT).copied().unwrap_or(now);
            self.seen.retain(|_, seen| *seen >= oldest);
        }
    }

    /// Writes the file anew if there is anything new.
    pub fn save(&mut self) {
        let Some(file) = self.file.as_deref().filter(|_| self.changed) else { return };
        let mut seen: Vec<Entry> = self
            .seen
            .iter()
            .map(|((repository, digest), at)| Entry {
                repository: repository.clone(),
                digest: digest.clone(),
                at: *at,
            })
            .collect();
        seen.sort_unstable_by_key(|entry| entry.at);
        match write(file, &Content { v: 1, seen }) {
            Ok(()) => self.changed = false,
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "when images were first seen could not be kept");
            }
        }
    }
}

fn read(file: &Path) -> Result<HashMap<(Repository, Digest), Timestamp>, String> {
    let length = match std::fs::metadata(file) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(error.to_string()),
    };
    if length > LARGEST {
        return Err(format!("larger than {LARGEST} bytes"));
    }
    let bytes = std::fs::read(file).map_err(|error| error.to_string())?;
    let content: Content = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    if content.v != 1 {
        return Err(format!("unknown version {}", content.v));
    }
    Ok(content.seen.into_iter().map(|entry| ((entry.repository, entry.digest), entry.at)).collect())
}

/// A reader sees the old file or the new one, and never a part.
fn write(file: &Path, content: &Content) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(&serde_json::to_vec(content)?)?;
    new.persist(file).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn image(number: usize) -> (Repository, Digest) {
        ("localhost:5000/wiki".parse().unwrap(), Digest::of(number.to_string().as_bytes()))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_first_sight_counts_and_outlives_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("first-seen.json");
        let (repository, digest) = image(1);
        let mut seen = FirstSeen::open(Some(file.clone()));
        seen.note(&repository, &digest, at(100));
        seen.note(&repository, &digest, at(200));
        seen.save();
        let again = FirstSeen::open(Some(file));
        assert_eq!(again.all().get(&image(1)), Some(&at(100)));
        assert_eq!(again.all().len(), 1);
    }

    #[test]
    fn a_time_in_the_future_is_that_of_a_wrong_clock_and_begins_anew() {
        let (repository, digest) = image(1);
        let mut seen = FirstSeen::default();
        seen.note(&repository, &digest, at(500));
        seen.note(&repository, &digest, at(100));
        assert_eq!(seen.all().get(&image(1)), Some(&at(100)));
    }

    #[test]
    fn a_broken_file_is_as_good_as_none_and_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("first-seen.json");
        for broken in [
            "",
            "{}",
            "[",
            r#"{"v":2,"seen":[]}"#,
            r#"{"v":1,"seen":[{"repository":"../x","digest":"","at":""}]}"#,
        ] {
            std::fs::write(&file, broken).unwrap();
            let mut seen = FirstSeen::open(Some(file.clone()));
            assert!(seen.all().is_empty(), "{broken}");
            seen.note(&image(1).0, &image(1).1, at(1));
            seen.save();
            assert_eq!(FirstSeen::open(Some(file.clone())).all().len(), 1, "{broken}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut seen = FirstSeen::default();
        for number in 0..=(KEPT + KEPT / 10) {
            let (repository, digest) = image(number);
            seen.note(&repository, &digest, at(i64::try_from(number).unwrap()));
        }
        assert_eq!(seen.all().len(), KEPT);
        assert!(!seen.all().contains_key(&image(0)));
        assert!(seen.all().contains_key(&image(KEPT)));
    }
}
