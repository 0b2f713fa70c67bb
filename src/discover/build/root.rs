//! The one folder below which builds are read and run.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::BuildError;

/// The folder of `--allow-builds`, by its real path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root(PathBuf);

impl Root {
    /// The folder, which exists.
    pub fn open(folder: &Path) -> Result<Self, BuildError> {
        let wrong = |cause: String| BuildError::Folder { folder: folder.to_owned(), cause };
        let real = fs_err::canonicalize(folder).map_err(|error| wrong(error.to_string()))?;
        if real.is_dir() { Ok(Self(real)) } else { Err(wrong("not a folder".to_owned())) }
    }

    /// Its real path.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The real place of `path`, with all links followed; none if there is nothing, an error if it is not below the folder.
    ///
    /// What is read afterwards is opened by this real path, which has no link in it any more.
    pub fn find(&self, path: &str) -> Result<Option<PathBuf>, BuildError> {
        match std::fs::canonicalize(self.0.join(path)) {
            Ok(real) if real.starts_with(&self.0) => Ok(Some(real)),
            Ok(to) => Err(BuildError::Outside { path: path.to_owned(), to }),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(BuildError::unreadable(path, &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn links_are_followed_within_the_folder_and_refused_out_of_it() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("allowed");
        std::fs::create_dir_all(folder.join("real")).unwrap();
        std::fs::write(temporary.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink("real", folder.join("inside")).unwrap();
        std::os::unix::fs::symlink("..", folder.join("up")).unwrap();
        std::os::unix::fs::symlink("../../secret", folder.join("real/file")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.join("broken")).unwrap();
        let root = Root::open(&folder).unwrap();
        assert_eq!(root.find("inside").unwrap().unwrap(), root.folder().join("real"));
        for outside in ["up", "up/secret", "inside/file", "real/file"] {
            assert!(matches!(root.find(outside), Err(BuildError::Outside { .. })), "{outside}");
        }
        assert_eq!(root.find("broken").unwrap(), None);
        assert_eq!(root.find("real/none").unwrap(), None);
        assert!(Root::open(&folder.join("none")).is_err());
        assert!(Root::open(&temporary.path().join("secret")).is_err());
    }
}
