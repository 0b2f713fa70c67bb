//! What a command builds from: the files below `watch`, and one digest over all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{ErrorKind, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
use jiff::Timestamp;
use sha2::Digest as _;

use super::dockerignore::Dockerignore;
use super::layout::Stamp;
use super::{BuildError, Root};
use crate::model::Digest;

const FILES_LIMIT: u64 = 200_000;
const BYTES_LIMIT: u64 = 8 * 1024 * 1024 * 1024;
const DEPTH_LIMIT: usize = 100;
const CHUNK: usize = 256 * 1024;

/// The files below `watch`, with what was read of them before.
#[derive(Debug)]
pub struct Sources {
    root: Root,
    watch: Vec<String>,
    /// What the command writes, which is no source.
    artifact: Option<String>,
    /// What the digest is over beside the files.
    command: Vec<String>,
    hashes: HashMap<PathBuf, (Stamp, [u8; 32])>,
}

/// What one look showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The digest over every file's path, content and right to be executed, and over the command.
    pub digest: Digest,
    /// The folders in which a change matters.
    pub folders: BTreeSet<PathBuf>,
    /// How many files there are.
    pub files: usize,
}

enum Found {
    File,
    Link,
}

impl Sources {
    /// Nothing is read yet.
    pub fn new(root: Root, watch: Vec<String>, artifact: Option<String>, command: Vec<String>) -> Self {
        Self { root, watch, artifact, command, hashes: HashMap::new() }
    }

    /// Looks at everything; only files that changed since the last look are read. Blocks.
    pub fn look(&mut self) -> Result<Seen, BuildError> {
        let (found, mut folders) = self.walk()?;
        // A file that is named itself is replaced in its folder.
        folders.insert(self.root.folder().to_owned());
        let mut hashes = HashMap::new();
        let mut whole = sha2::Sha256::new();
        for word in &self.command {
            part(&mut whole, word.as_bytes());
        }
        let (mut files, mut bytes) = (0, 0_u64);
        for (path, kind) in &found {
            let place = self.root.folder().join(path);
            let record = match kind {
                Found::Link => std::fs::read_link(&place)
                    .map(|to| (b'l', sha2::Sha256::digest(to.as_os_str().as_bytes()).into())),
                Found::File => self.hash(&place, &mut hashes, &mut bytes),
            };
            let (mode, hash) = match record {
                Ok(record) => record,
                // Gone since the walk: the next event tells.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(BuildError::unreadable(&path.to_string_lossy(), &error)),
            };
            if bytes > BYTES_LIMIT {
                return Err(BuildError::TooMany { what: "bytes", limit: BYTES_LIMIT });
            }
            files += 1;
            part(&mut whole, path.as_os_str().as_bytes());
            part(&mut whole, &[mode]);
            part(&mut whole, &hash);
        }
        self.hashes = hashes;
        let digest = Digest::of(&whole.finalize());
        Ok(Seen { digest, folders, files })
    }

    /// The files and links by their relative paths, in order, and the folders that were looked into.
    fn walk(&self) -> Result<(BTreeMap<PathBuf, Found>, BTreeSet<PathBuf>), BuildError> {
        let mut found = BTreeMap::new();
        let mut folders = BTreeSet::new();
        let mut trees: Vec<PathBuf> = Vec::new();
        for path in &self.watch {
            let Some(place) = self.root.find(path)? else {
                return Err(BuildError::unusable(path, "`watch` names it, and it does not exist"));
            };
            let relative = place.strip_prefix(self.root.folder()).unwrap_or(Path::new("")).to_owned();
            if place.is_dir() {
                trees.push(relative);
            } else {
                // What a person names is never left out.
                folders.extend(place.parent().map(Path::to_owned));
                found.insert(relative, Found::File);
            }
        }
        let except = self.artifact.as_ref().map(|artifact| self.root.folder().join(artifact));
        let docker = Dockerignore::read(self.root.folder());
        let root = self.root.folder().to_owned();
        let (pruned_by, wanted) = (docker.clone(), trees.clone());
        let walk = WalkBuilder::new(&root)
            .standard_filters(false)
            .git_ignore(true)
            .require_git(false)
            .parents(false)
            .hidden(false)
            .follow_links(false)
            .max_depth(Some(DEPTH_LIMIT))
            .filter_entry(move |entry| {
                let Ok(path) = entry.path().strip_prefix(&root) else { return false };
                let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
                let on_the_way = wanted.iter().any(|tree| path.starts_with(tree) || tree.starts_with(path));
                on_the_way
                    && entry.file_name() != ".git"
                    && except.as_deref() != Some(entry.path())
                    && !(is_folder && !path.as_os_str().is_empty() && pruned_by.prunes(path))
            })
            .build();
        let mut within: BTreeMap<&Path, usize> = trees.iter().map(|tree| (tree.as_path(), 0)).collect();
        for entry in walk {
            // What can't be entered is told; what vanished is not there.
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => match error.io_error() {
                    Some(io) if io.kind() != ErrorKind::NotFound => {
                        return Err(BuildError::unreadable("a folder below `watch`", io));
                    }
                    _ => continue,
                },
            };
            let Ok(path) = entry.path().strip_prefix(self.root.folder()) else { continue };
            let Some(kind) = entry.file_type() else { continue };
            let mut holders = trees.iter().filter(|tree| path.starts_with(tree)).peekable();
            if holders.peek().is_none() {
                continue;
            }
            if kind.is_dir() {
                folders.insert(entry.path().to_owned());
                continue;
            }
            if docker.leaves_out(path, false) || !(kind.is_file() || kind.is_symlink()) {
                continue;
            }
            for tree in holders {
                *within.entry(tree.as_path()).or_default() += 1;
            }
            found.insert(path.to_owned(), if kind.is_symlink() { Found::Link } else { Found::File });
            if found.len() as u64 > FILES_LIMIT {
                return Err(BuildError::TooMany { what: "files", limit: FILES_LIMIT });
            }
        }
        match within.iter().find(|(_, files)| **files == 0) {
            Some((empty, _)) => Err(BuildError::NothingLeft { path: shown(empty) }),
            None => Ok((found, folders)),
        }
    }

    /// A file's kind and hash, read only if its stamp is another one.
    fn hash(
        &self,
        place: &Path,
        hashes: &mut HashMap<PathBuf, (Stamp, [u8; 32])>,
        bytes: &mut u64,
    ) -> std::io::Result<(u8, [u8; 32])> {
        let metadata = std::fs::metadata(place)?;
        if !metadata.is_file() {
            return Ok((b'o', [0; 32]));
        }
        let executable = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0;
        let mode = if executable { b'x' } else { b'f' };
        *bytes = bytes.saturating_add(metadata.len());
        let stamp = Stamp::of(&metadata);
        let known = self.hashes.get(place).filter(|(known, _)| *known == stamp).map(|(_, hash)| *hash);
        let hash = match known {
            Some(hash) => hash,
            None if *bytes > BYTES_LIMIT => [0; 32],
            None => {
                let mut file = std::fs::File::open(place)?;
                let (mut hash, mut chunk) = (sha2::Sha256::new(), vec![0; CHUNK]);
                loop {
                    match file.read(&mut chunk) {
                        Ok(0) => break hash.finalize().into(),
                        Ok(read) => hash.update(&chunk[..read]),
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        };
        if !stamp.is_fresh(Timestamp::now()) {
            hashes.insert(place.to_owned(), (stamp, hash));
        }
        Ok((mode, hash))
    }
}

/// The length keeps two parts from hashing like one.
fn part(hash: &mut sha2::Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}

fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.is_empty() { ".".to_owned() } else { text.into_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new(files: &[(&str, &str)]) -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            for (path, content) in files {
                folder.write(path, content);
            }
            folder
        }

        fn write(&self, path: &str, content: &str) {
            let place = self.0.path().join(path);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(place, content).unwrap();
        }

        fn sources(&self, watch: &[&str]) -> Sources {
            let watch = watch.iter().map(|path| (*path).to_owned()).collect();
            let artifact = Some("target/image".to_owned());
            Sources::new(Root::open(self.0.path()).unwrap(), watch, artifact, vec!["make".to_owned()])
        }
    }

    #[test]
    fn the_same_files_have_the_same_digest_and_any_change_of_one_another() {
        let folder =
            Folder::new(&[("src/a", "1"), ("src/deep/b", "2"), ("Dockerfile", "FROM"), ("other", "3")]);
        let mut sources = folder.sources(&["src", "Dockerfile"]);
        let first = sources.look().unwrap();
        assert_eq!(first.files, 3);
        folder.write("other", "changed");
        folder.write("src/a", "1");
        assert_eq!(sources.look().unwrap().digest, first.digest, "the content is the same");
        let mut digests = vec![first.digest];
        folder.write("src/a", "2");
        digests.push(sources.look().unwrap().digest);
        folder.write("Dockerfile", "FROM scratch");
        digests.push(sources.look().unwrap().digest);
        std::fs::rename(folder.0.path().join("src/a"), folder.0.path().join("src/c")).unwrap();
        digests.push(sources.look().unwrap().digest);
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.0.path().join("src/c"), executable).unwrap();
        digests.push(sources.look().unwrap().digest);
        std::os::unix::fs::symlink("/etc/passwd", folder.0.path().join("src/link")).unwrap();
        digests.push(sources.look().unwrap().digest);
        std::fs::remove_file(folder.0.path().join("src/deep/b")).unwrap();
        digests.push(sources.look().unwrap().digest);
        let different: BTreeSet<_> = digests.iter().map(Digest::as_str).collect();
        assert_eq!(different.len(), digests.len());
        assert_eq!(
            folder.sources(&["src", "Dockerfile"]).look().unwrap().digest,
            digests.pop().unwrap(),
            "also without what was read before"
        );
    }

    #[test]
    fn what_git_and_docker_ignore_and_the_artifact_are_no_sources() {
        let folder = Folder::new(&[
            (".gitignore", "*.log\nbuild/\n"),
            (".dockerignore", "docs\nDockerfile\n"),
            ("src/main", "1"),
            ("src/.gitignore", "generated\n"),
            ("Dockerfile", "FROM"),
        ]);
        let mut sources = folder.sources(&[".", "Dockerfile"]);
        let first = sources.look().unwrap();
        for path in [
            "a.log",
            "build/x",
            "docs/a.md",
            "src/generated",
            "target/image/index.json",
            ".git/index",
            "src/b.log",
        ] {
            folder.write(path, "noise");
            let seen = sources.look().unwrap();
            assert_eq!(seen.digest, first.digest, "{path}");
            let parent = folder.0.path().canonicalize().unwrap().join(path);
            let is_watched = seen.folders.contains(parent.parent().unwrap());
            assert_eq!(is_watched, matches!(path, "a.log" | "src/b.log" | "src/generated"), "{path}");
        }
        folder.write("Dockerfile", "FROM scratch");
        assert_ne!(sources.look().unwrap().digest, first.digest, "a file that is named counts");
    }

    #[test]
    fn what_is_named_and_not_there_or_wholly_ignored_is_told() {
        let folder = Folder::new(&[(".dockerignore", "*\n!dist\n"), ("src/main", "1"), ("dist/app", "1")]);
        let said = |watch: &[&str]| folder.sources(watch).look().unwrap_err().to_string();
        assert!(said(&["src"]).contains("`watch: src` has no file"), "{}", said(&["src"]));
        assert!(said(&["lib"]).contains("does not exist"));
        assert_eq!(folder.sources(&["dist"]).look().unwrap().files, 1);
        std::os::unix::fs::symlink("/etc", folder.0.path().join("out")).unwrap();
        assert!(said(&["out"]).contains("leads out of the folder"));
    }
}
