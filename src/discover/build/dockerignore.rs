//! `.dockerignore` in the words of `.gitignore`: its patterns are all anchored at the folder that holds it.

use std::path::Path;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// More than this is no list of patterns.
const SIZE_LIMIT: usize = 256 * 1024;

/// What `.dockerignore` in `folder` leaves out.
#[derive(Debug, Clone)]
pub(super) struct Dockerignore {
    patterns: Gitignore,
    /// An exception may lie below a folder that is left out, so that folders must be looked into.
    has_exceptions: bool,
}

impl Dockerignore {
    /// Reads it; a pattern that cannot be read leaves nothing out.
    pub(super) fn read(folder: &Path) -> Self {
        let place = folder.join(".dockerignore");
        // No link is followed out of the folder, and no pipe is waited for.
        let is_file = std::fs::symlink_metadata(&place).is_ok_and(|metadata| metadata.is_file());
        let text = if is_file { std::fs::read(&place).unwrap_or_default() } else { Vec::new() };
        let text = String::from_utf8_lossy(text.get(..SIZE_LIMIT).unwrap_or(&text)).into_owned();
        let mut builder = GitignoreBuilder::new(folder);
        let mut has_exceptions = false;
        for line in text.lines() {
            if let Some(line) = translated(line) {
                has_exceptions |= line.starts_with('!');
                if let Err(error) = builder.add_line(None, &line) {
                    tracing::debug!(line, %error, "a line of .dockerignore was left out");
                }
            }
        }
        Self { patterns: builder.build().unwrap_or_else(|_| Gitignore::empty()), has_exceptions }
    }

    /// Whether a folder and all below it can be left out; `path` is relative.
    pub(super) fn prunes(&self, path: &Path) -> bool {
        !self.has_exceptions && self.leaves_out(path, true)
    }

    /// Whether a file is left out; `path` is relative.
    pub(super) fn leaves_out(&self, path: &Path, is_folder: bool) -> bool {
        self.patterns.matched_path_or_any_parents(path, is_folder).is_ignore()
    }
}

/// One line for `.gitignore`; none for one that says nothing.
fn translated(line: &str) -> Option<String> {
    let line = line.trim_start_matches('\u{feff}');
    if line.starts_with('#') {
        return None;
    }
    let (sign, pattern) = match line.trim().strip_prefix('!') {
        Some(rest) => ("!", rest.trim()),
        None => ("", line.trim()),
    };
    let pattern = pattern.trim_start_matches("./").trim_matches('/');
    match pattern {
        "" | "." => None,
        _ => Some(format!("{sign}/{pattern}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn leaves_out(lines: &str, path: &str) -> bool {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".dockerignore"), lines).unwrap();
        Dockerignore::read(folder.path()).leaves_out(Path::new(path), false)
    }

    #[test]
    fn a_pattern_is_about_the_top_folder_alone() {
        assert!(leaves_out("docs", "docs/a.md"));
        assert!(!leaves_out("docs", "src/docs/a.md"));
        assert!(leaves_out("*.md", "a.md"));
        assert!(!leaves_out("*.md", "docs/a.md"));
        assert!(leaves_out("**/*.md", "docs/deep/a.md"));
        assert!(leaves_out("/target/", "target/x"));
        assert!(!leaves_out("# target\n\n.", "target/x"));
    }

    #[test]
    fn an_exception_brings_back_what_lies_below_a_folder() {
        let lines = "*\n!dist/app\n";
        assert!(leaves_out(lines, "src/main.rs"));
        assert!(leaves_out(lines, "dist/other"));
        assert!(!leaves_out(lines, "dist/app"));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".dockerignore"), lines).unwrap();
        assert!(!Dockerignore::read(folder.path()).prunes(Path::new("dist")));
    }

    #[test]
    fn no_file_leaves_nothing_out() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!Dockerignore::read(folder.path()).leaves_out(Path::new("x"), false));
    }
}
