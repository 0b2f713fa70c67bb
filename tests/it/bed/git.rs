//! The repository of a site: what stands at the remote's head, and a person who commits to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::isolated;

const NAME: &str = "A Person";
const EMAIL: &str = "person@example.org";

/// A commit of the remote's branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    /// Its identifier.
    pub(crate) sha: String,
    /// The first line of its message.
    pub(crate) subject: String,
    /// The rest of its message, trailers included.
    pub(crate) body: String,
    /// `NAME <EMAIL>`.
    pub(crate) author: String,
    /// The trailers by name, in the order of the message.
    pub(crate) trailers: BTreeMap<String, Vec<String>>,
}

impl Commit {
    /// The first trailer of that name, or nothing.
    pub(crate) fn trailer(&self, name: &str) -> &str {
        self.trailers.get(name).and_then(|values| values.first()).map_or("", String::as_str)
    }
}

/// A bare repository in the bed, and a person's clone of it.
pub(crate) struct Repository {
    bare: PathBuf,
    clone: PathBuf,
    home: PathBuf,
}

impl Repository {
    /// Creates the bare repository and clones it from `url`.
    pub(crate) fn create(bare: &Path, url: &str, folder: &Path) -> Self {
        let repository = Self { bare: bare.into(), clone: folder.join("clone"), home: folder.join("home") };
        repository.git(folder, &["init", "--quiet", "--bare", "--initial-branch=main", text(bare)]);
        repository.git(folder, &["clone", "--quiet", url, text(&repository.clone)]);
        repository.git(&repository.clone, &["symbolic-ref", "HEAD", "refs/heads/main"]);
        repository
    }

    /// Where the bare repository is, for hooks and faults.
    pub(crate) fn bare(&self) -> &Path {
        &self.bare
    }

    fn try_git(&self, folder: &Path, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new("git");
        isolated(&mut command, &self.home);
        let output = command
            .envs([("GIT_AUTHOR_NAME", NAME), ("GIT_AUTHOR_EMAIL", EMAIL)])
            .envs([("GIT_COMMITTER_NAME", NAME), ("GIT_COMMITTER_EMAIL", EMAIL)])
            .arg("-C")
            .arg(folder)
            .args(arguments)
            .output()
            .expect("git can be started");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(format!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)))
        }
    }

    fn git(&self, folder: &Path, arguments: &[&str]) -> String {
        self.try_git(folder, arguments).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs git in the bare repository.
    pub(crate) fn remote(&self, arguments: &[&str]) -> String {
        self.git(&self.bare, arguments)
    }

    /// Commits as a person, on top of what the remote has, and pushes. `None` removes a path. Returns the commit.
    pub(crate) fn commit(&self, message: &str, changes: &[(&str, Option<&str>)]) -> String {
        let clone = &self.clone;
        for attempt in 1.. {
            self.git(clone, &["fetch", "--quiet", "origin"]);
            if self.try_git(clone, &["rev-parse", "--verify", "--quiet", "origin/main"]).is_ok() {
                self.git(clone, &["reset", "--quiet", "--hard", "origin/main"]);
            }
            for (path, content) in changes {
                let path = clone.join(path);
                match content {
                    Some(content) => {
                        std::fs::create_dir_all(path.parent().expect("a file has a folder"))
                            .expect("a folder");
                        std::fs::write(&path, content).expect("a file can be written");
                    }
                    None => std::fs::remove_file(&path)
                        .unwrap_or_else(|error| panic!("{}: {error}", path.display())),
                }
            }
            self.git(clone, &["add", "--all"]);
            self.git(clone, &["commit", "--quiet", "--allow-empty", "--message", message]);
            match self.try_git(clone, &["push", "--quiet", "origin", "HEAD:main"]) {
                Ok(_) => break,
                // The daemon was quicker: once more, on its commit.
                Err(error) => assert!(attempt < 10, "a person's push was refused {attempt} times: {error}"),
            }
        }
        self.git(clone, &["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// The content of a file at the remote's head; `None` if there is none.
    pub(crate) fn read(&self, path: &str) -> Option<String> {
        self.try_git(&self.bare, &["show", &format!("main:{path}")]).ok()
    }

    /// The commits of the remote's branch, newest first.
    pub(crate) fn commits(&self) -> Vec<Commit> {
        let format = "--format=%H%x1f%s%x1f%b%x1f%an <%ae>%x1f%(trailers:only=true,unfold=true)%x1e";
        let Ok(log) = self.try_git(&self.bare, &["log", format, "main"]) else { return Vec::new() };
        log.split('\u{1e}').filter_map(|record| parse(record.trim_start_matches('\n'))).collect()
    }

    /// The verdicts in `refs/notes/promote`, in the order in which they were decided.
    pub(crate) fn verdicts(&self) -> Vec<Value> {
        let notes = self.try_git(&self.bare, &["notes", "--ref=promote", "list"]).unwrap_or_default();
        let mut verdicts: Vec<Value> = notes
            .lines()
            .filter_map(|line| line.split_once(' '))
            .flat_map(|(note, _)| {
                let note = self.remote(&["cat-file", "blob", note]);
                let lines = note.lines().filter(|line| !line.trim().is_empty());
                lines.map(|line| serde_json::from_str(line).expect("a note is JSON")).collect::<Vec<_>>()
            })
            .collect();
        verdicts.sort_by_key(|verdict| verdict["times"]["decided"].as_str().unwrap_or_default().to_owned());
        verdicts
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the bed's paths are UTF-8")
}

fn parse(record: &str) -> Option<Commit> {
    let fields: Vec<&str> = record.split('\u{1f}').collect();
    let [sha, subject, body, author, trailers] = fields[..] else { return None };
    let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in trailers.lines().filter_map(|line| line.split_once(": ")) {
        by_name.entry(name.to_owned()).or_default().push(value.to_owned());
    }
    Some(Commit {
        sha: sha.to_owned(),
        subject: subject.to_owned(),
        body: body.to_owned(),
        author: author.to_owned(),
        trailers: by_name,
    })
}
