//! Running programs as a person does, and reading what they say.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The top of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A text of Terraform's without its frames, on one line.
pub fn flat(text: &str) -> String {
    text.replace(['│', '╷', '╵'], " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How a program ended and what it said.
#[derive(Debug)]
pub struct Ended {
    /// Whether it exited with 0.
    pub well: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Ended {
    /// Both streams, for a look at everything that was said.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Expects success; shows everything otherwise.
    #[track_caller]
    pub fn passed(self) -> Self {
        assert!(self.well, "it failed:\n{}", self.all());
        self
    }

    /// Expects a refusal whose words contain `words`, however its lines are broken.
    #[track_caller]
    pub fn refused(self, words: &str) -> Self {
        assert!(!self.well, "it was not refused:\n{}", self.all());
        assert!(flat(&self.all()).contains(&flat(words)), "\"{words}\" was not said:\n{}", self.all());
        self
    }
}

/// Runs a program to its end; panics with what to install where it cannot be started.
#[track_caller]
pub fn run(command: &mut Command, install: &str) -> Ended {
    match command.output() {
        Ok(output) => Ended {
            well: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        },
        Err(error) => panic!("{}: {error}; {install}", command.get_program().display()),
    }
}

/// The folder of the tools that `tests/platform/build.sh` built.
#[track_caller]
pub fn tools() -> PathBuf {
    let ended =
        run(Command::new(root().join("tests/platform/build.sh")).arg("--find"), "bash is needed").passed();
    PathBuf::from(ended.stdout.trim())
}
