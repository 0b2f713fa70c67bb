//! What the demo runs: the bed, the daemon and the commands. All of it ends with the demo, however that ends.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use crate::{http, isolated, tell, until};

/// `target/PROFILE`, where everything was built.
fn built() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.ancestors().nth(2).context("the demo lies in the target folder")?;
    Ok(folder.to_owned())
}

/// A program of this repository.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    let program = built()?.join(name);
    ensure!(program.exists(), "{} is missing; run `make demo`, which builds it", program.display());
    Ok(program)
}

/// A command that gets no Ctrl-C from the terminal, and that the kernel ends if the demo is killed.
fn bound(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new("setpriv");
    isolated(&mut command, &folder.join("home"));
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).process_group(0).stdin(Stdio::null());
    command
}

/// The bed: where its parts are.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bed {
    pub(crate) kubeconfig: PathBuf,
    pub(crate) kubectl: PathBuf,
    pub(crate) git_open: String,
    pub(crate) git_dir: PathBuf,
    registries: BTreeMap<String, String>,
    #[serde(skip)]
    running: Option<Child>,
}

impl Bed {
    /// Starts it in `folder` and waits until it is ready.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let mut child = Command::new(program("examples/bed")?)
            .arg("--dir")
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("the bed can't be started")?;
        let output = child.stdout.take().context("the bed's standard output is a pipe")?;
        // Held until there is a bed, so that an early return stops what was started.
        let mut starting = Self {
            kubeconfig: PathBuf::new(),
            kubectl: PathBuf::new(),
            git_open: String::new(),
            git_dir: PathBuf::new(),
            registries: BTreeMap::new(),
            running: Some(child),
        };
        let (told, line) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(output).read_line(&mut line);
            let _ = told.send(line);
        });
        let line = until("bed", || match line.try_recv() {
            Ok(line) => Ok(Some(line)),
            Err(std::sync::mpsc::TryRecvError::Empty) => Ok(None),
            Err(error) => Err(error.into()),
        })?;
        ensure!(!line.is_empty(), "the bed did not start; why stands above");
        let mut bed: Self = serde_json::from_str(&line).context("what the bed printed")?;
        bed.running = starting.running.take();
        Ok(bed)
    }

    /// `HOST:PORT` of an environment's registry.
    pub(crate) fn registry(&self, environment: &str) -> Result<&str> {
        let host = self.registries.get(environment);
        host.map(String::as_str).with_context(|| format!("the bed has no registry {environment}"))
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let Some(mut child) = self.running.take() else { return };
        // The end of its standard input is what stops it, in order.
        drop(child.stdin.take());
        if !ends(&mut child, Duration::from_secs(20)) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn ends(child: &mut Child, at_most: Duration) -> bool {
    let began = Instant::now();
    while began.elapsed() < at_most {
        if !matches!(child.try_wait(), Ok(None)) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// A running `promoted`.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) address: String,
}

impl Daemon {
    /// Starts it, shows the command, and waits until it says that it is ready.
    pub(crate) fn start(folder: &Path, repository: &str) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        tell::command(&format!(
            "promoted --repo {repository} --secrets secrets --state-dir state --listen {address}"
        ));
        let log = File::create(folder.join("promoted.log"))?;
        let child = bound(&program("promoted")?, folder)
            .current_dir(folder)
            .args(["--repo", repository, "--secrets", "secrets", "--state-dir", "state"])
            .args(["--listen", &address])
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("promoted can't be started")?;
        let mut daemon = Self { child, address };
        let url = format!("http://{}/readyz", daemon.address);
        until("promoted that is ready", || {
            daemon.check()?;
            let answer = http::request("GET", &url, &[], b"").ok();
            Ok(answer.filter(|answer| answer.status == 200))
        })?;
        Ok(daemon)
    }

    /// Fails if it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("promoted ended by itself ({status})"),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = Command::new("/bin/sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status();
        if !ends(&mut self.child, Duration::from_secs(10)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs a program to its end and shows what it says; fails unless it ends well.
pub(crate) fn run(program: &Path, folder: &Path, within: &Path, arguments: &[&str]) -> Result<()> {
    let (mut reader, writer) = std::io::pipe()?;
    let mut command = bound(program, folder);
    let child =
        command.current_dir(within).args(arguments).stdout(writer.try_clone()?).stderr(writer).spawn();
    // The pipe's end comes when the last writer is gone, and the command holds two.
    drop(command);
    let mut child = Ended(child.with_context(|| format!("{} can't be started", program.display()))?);
    let reading = std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = reader.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    });
    let status: ExitStatus = until("end of the command", || Ok(child.0.try_wait()?))?;
    tell::indented(&reading.join().unwrap_or_default());
    ensure!(status.success(), "the command failed ({status}); what it said stands above");
    Ok(())
}

/// A command that ends when nobody waits for it any more.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
