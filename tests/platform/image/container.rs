//! Starting an unpacked image as a cluster does: its files as a read-only root, its user, no rights, its environment.
//!
//! Linux's own namespaces do it, so that no container engine is needed. The first user namespace may mount, the second
//! one has only the image's user. The host's network is shared, so that a test can speak with what it starts.

use std::fs;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::layout::Image;
use crate::command::{Ended, run};

const NEEDED: &str =
    "util-linux 2.38 or newer is needed, and a kernel that allows user namespaces to the user of the tests";

/// $1 root, $2 user, $3 group, $4 folder for a volume or nothing; the rest is the program.
const ENTER: &str = r#"
set -eu
root=$1 user=$2 group=$3 volume=$4
shift 4
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
[ -z "$volume" ] || mount -t tmpfs -o mode=0700 volume "$root$volume"
exec unshare --user --map-user="$user" --map-group="$group" --root="$root" --wd=/ "$@"
"#;

/// An unpacked image.
pub struct Container {
    image: Image,
    root: TempDir,
    volume: String,
}

impl Container {
    pub fn of(image: Image) -> Self {
        let root = image.unpack();
        Self { image, root, volume: String::new() }
    }

    /// Puts a writable volume at `folder`.
    pub fn with_volume(mut self, folder: &str) -> Self {
        folder.clone_into(&mut self.volume);
        self
    }

    /// Puts a file in, as a runtime does with /etc/hosts and a cluster with a mounted Secret.
    pub fn with_file(self, path: &str, content: &str) -> Self {
        fs::write(self.root.path().join(path.trim_start_matches('/')), content).unwrap();
        self
    }

    /// The command that starts `program` inside, in the image's environment alone. It execs, so the child is the program.
    pub fn command(&self, program: &[&str]) -> Command {
        let (user, group) = self.image.settings["User"].as_str().unwrap().split_once(':').unwrap();
        let environment = self.image.settings["Env"].as_array().cloned().unwrap_or_default();
        let mut command = Command::new("setpriv");
        command
            .args("--no-new-privs unshare --user --map-root-user --mount sh -c".split(' '))
            .args([ENTER, "sh"])
            .arg(self.root.path())
            .args([user, group, self.volume.as_str()])
            .args(program)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(environment.iter().map(|pair| pair.as_str().unwrap().split_once('=').unwrap()))
            .stdin(Stdio::null());
        command
    }

    /// The image's entry point, or the program of `program[0]`, to its end.
    #[track_caller]
    pub fn run(&self, program: &[&str]) -> Ended {
        run(&mut self.command(program), NEEDED)
    }

    /// What the image starts by itself.
    pub fn entry_point(&self) -> &str {
        self.image.settings["Entrypoint"][0].as_str().unwrap()
    }
}
