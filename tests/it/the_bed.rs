//! The bed of real parts ends with whoever started it, however that ends, and is built once.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::bed::{self, Ports, processes, until};

const BUILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testbed/build.sh");

/// Holds a bed of its own for the tests below, which start this test in a process of its own; else it does nothing.
#[test]
#[ignore = "it is a part of other tests"]
fn a_holder_of_a_bed() {
    let Some(how) = std::env::var_os("HOLDER_OF_A_BED") else { return };
    bed::bed();
    assert!(how != "panics", "as a test does that fails");
    std::thread::sleep(Duration::from_mins(5));
}

/// A test process that starts a bed in `folder`.
struct Holder {
    process: Child,
    folder: TempDir,
}

impl Holder {
    fn start(how: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("setpriv");
        command
            // What runs in the background of a script is not meant to hear Ctrl-C; this is.
            .args(["--pdeathsig", "KILL", "--", "env", "--default-signal=INT"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "the_bed::a_holder_of_a_bed", "--ignored"])
            .env("HOLDER_OF_A_BED", how)
            .env("TMPDIR", folder.path())
            .env_remove("PROMOTE_BED_JSON")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // As a shell gives each of its jobs a group, to which Ctrl-C is sent.
            .process_group(0);
        Self { process: command.spawn().unwrap(), folder }
    }

    /// Waits until the bed is in the middle of its start; returns what is listened on by then.
    fn wait_half_started(&self) -> Ports {
        let found = until(|| self.process_of("kube-controller-manager"));
        assert!(found.is_some(), "the API server was not ready: {:#?}", processes(self.folder.path()));
        let ports = Ports::of(self.folder.path());
        assert!(ports.count() >= 6, "etcd, the API server, registries, Git and SSH listen: {ports:?}");
        ports
    }

    fn process_of(&self, program: &str) -> Option<u32> {
        let found = processes(self.folder.path());
        found.into_iter().find_map(|(pid, arguments)| {
            let started = arguments.split(' ').next()?;
            (Path::new(started).file_name()? == program).then_some(pid)
        })
    }

    /// Panics unless everything ends, with its files where they are said to go.
    fn nothing_is_left(mut self, ports: &Ports, files: usize) {
        let gone = || processes(self.folder.path()).is_empty().then_some(());
        assert!(until(gone).is_some(), "still running: {:#?}", processes(self.folder.path()));
        assert_eq!(ports.open(), [0; 0], "still listening");
        assert_eq!(std::fs::read_dir(self.folder.path()).unwrap().count(), files);
        self.process.wait().unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn send(signal: &str, to: &str) {
    assert!(Command::new("kill").args([signal, "--", to]).status().unwrap().success());
}

#[test]
fn a_bed_ends_with_the_test_that_panics() {
    let mut holder = Holder::start("panics");
    let ports = holder.wait_half_started();
    assert!(!holder.process.wait().unwrap().success());
    holder.nothing_is_left(&ports, 0);
}

#[test]
fn a_bed_ends_with_the_test_process_that_is_killed() {
    let holder = Holder::start("waits");
    let ports = holder.wait_half_started();
    send("-KILL", &holder.process.id().to_string());
    holder.nothing_is_left(&ports, 0);
}

#[test]
fn a_bed_ends_with_the_test_process_that_ctrl_c_ends() {
    let holder = Holder::start("waits");
    let ports = holder.wait_half_started();
    send("-INT", &format!("-{}", holder.process.id()));
    holder.nothing_is_left(&ports, 0);
}

#[test]
fn the_parts_end_with_a_bed_that_is_killed() {
    let holder = Holder::start("waits");
    let ports = holder.wait_half_started();
    send("-KILL", &holder.process_of("bed").unwrap().to_string());
    // Nobody is there any more to remove its folder.
    holder.nothing_is_left(&ports, 1);
}

#[test]
fn parts_that_are_built_are_found_at_once() {
    let built = Command::new(BUILD).arg("--find").output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let began = Instant::now();
    let output = Command::new(BUILD).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(PathBuf::from(said.trim()).join("bin/kube-apiserver").is_file(), "{said}");
}

/// Runs a script where only these programs are on the PATH.
fn with_only(programs: &[(&str, &str)], script: &str) -> (bool, String) {
    let path = tempfile::tempdir().unwrap();
    for (name, program) in programs {
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap();
        let program = String::from_utf8(found.stdout).unwrap();
        std::os::unix::fs::symlink(program.trim(), path.path().join(name)).unwrap();
    }
    let output = Command::new("/bin/bash").arg(script).env("PATH", path.path()).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_missing_toolchain_is_named_with_what_mends_it() {
    let (well, said) = with_only(&[("dirname", "dirname")], BUILD);
    assert!(!well && said.starts_with("bed: go was not found. Go 1.26 or newer is needed"), "{said}");
    assert!(said.contains("install it from go.dev/dl, put its bin folder on the PATH"), "{said}");

    // Any program will do: they are looked for and not started.
    let compilers = ["cc", "perl", "make"].map(|name| (name, "sed"));
    let (well, said) = with_only(
        &[&compilers[..], &[("dirname", "dirname"), ("sed", "sed")]].concat(),
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testbed/tools.sh"),
    );
    assert!(!well && said.contains("Rust was not found: install it from https://rustup.rs"), "{said}");
}
