//! The product's command line, as a person runs it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::site::Site;
use super::{bed, isolated, until};

/// How a program ended, and what it said.
#[derive(Debug)]
pub(crate) struct Run {
    /// Its exit code; -1 if a signal ended it.
    pub(crate) code: i32,
    /// Its standard output.
    pub(crate) stdout: String,
    /// Its standard error.
    pub(crate) stderr: String,
}

impl Run {
    /// Panics, with all that was said, unless the exit code is `code`.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        let Self { code: got, stdout, stderr } = &self;
        assert!(*got == code, "exit code {got} instead of {code}\nstdout:\n{stdout}\nstderr:\n{stderr}");
        self
    }
}

pub(super) fn run(command: &mut Command) -> Run {
    let output = command.stdin(Stdio::null()).output().expect("the program can be started");
    let mut stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&output.status) {
        stderr += &format!("(ended by signal {signal})\n");
    }
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    Run { code: output.status.code().unwrap_or(-1), stdout, stderr }
}

/// A command that the kernel ends with the thread that starts it, so that a failed or killed test leaves nothing.
pub(super) fn bound(program: &str, site: &Site) -> Command {
    let mut command = Command::new("setpriv");
    isolated(&mut command, &site.folder().join("home"));
    command.args(["--pdeathsig", "KILL", "--", program]).current_dir(site.folder());
    command
}

/// `promote ARGUMENTS` for a site.
pub(super) fn promote(site: &Site, arguments: &[&str]) -> Run {
    run(&mut command(site, arguments))
}

/// The same, by a person whom Git knows by that name, and by an address of that name.
pub(super) fn promote_as(site: &Site, name: &str, arguments: &[&str]) -> Run {
    let home = site.folder().join(format!("home-of-{name}"));
    std::fs::create_dir_all(&home).expect("a folder");
    let config = format!("[user]\n\tname = {name}\n\temail = {name}@example.org\n");
    std::fs::write(home.join(".gitconfig"), config).expect("a file can be written");
    run(command(site, arguments).env("HOME", home))
}

/// The same, by a person who has the bed's kubectl.
pub(super) fn promote_with_kubectl(site: &Site, arguments: &[&str]) -> Run {
    let folder = site.folder().join("bin");
    std::fs::create_dir_all(&folder).expect("a folder");
    let _ = std::os::unix::fs::symlink(&bed().kubectl, folder.join("kubectl"));
    let mut path = folder.into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    run(command(site, arguments).env("PATH", path))
}

fn command(site: &Site, arguments: &[&str]) -> Command {
    let mut command = bound(env!("CARGO_BIN_EXE_promote"), site);
    command
        .args(arguments)
        .arg("--repo")
        .arg(site.repo())
        .arg("--secrets")
        .arg(site.folder().join("secrets"));
    command
}

/// `promote ARGUMENTS` outside of every repository, for what needs none.
pub(crate) fn promote_alone(folder: &Path, arguments: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_promote"));
    isolated(&mut command, folder);
    run(command.current_dir(folder).args(arguments))
}

/// A running `promote`. Dropping it kills it.
pub(crate) struct Promote {
    child: Child,
    said: [PathBuf; 2],
}

impl Promote {
    pub(super) fn start(site: &Site, arguments: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("promote-").tempdir_in(site.folder()).expect("a folder");
        // It goes with the site.
        let folder = folder.keep();
        let said = ["stdout", "stderr"].map(|name| folder.join(name));
        let [stdout, stderr] = said.each_ref().map(|file| File::create(file).expect("a file"));
        let mut command = command(site, arguments);
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        Self { child: command.spawn().expect("promote can be started"), said }
    }

    fn said(&self) -> [String; 2] {
        self.said
            .each_ref()
            .map(|file| String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()).into_owned())
    }

    /// Its results so far.
    pub(crate) fn stdout(&self) -> String {
        self.said()[0].clone()
    }

    /// Waits until it has said that, as a result or as progress.
    pub(crate) fn wait_said(&self, needle: &str) {
        let heard = || self.said().iter().any(|said| said.contains(needle)).then_some(());
        until(heard).unwrap_or_else(|| panic!("it never said {needle:?} but:\n{}", self.said().join("\n")));
    }

    /// Presses Ctrl-C; returns how it ended, which must be within 10 s.
    pub(crate) fn interrupt(mut self) -> Run {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "promote is not running any more");
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                break status;
            }
            assert!(began.elapsed() < Duration::from_secs(10), "it goes on: {}", self.said().join("\n"));
            std::thread::sleep(Duration::from_millis(20));
        };
        let [stdout, stderr] = self.said();
        Run { code: status.code().unwrap_or(-1), stdout, stderr }
    }
}

impl Drop for Promote {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
