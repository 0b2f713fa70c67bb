//! One part: a child process with a log, that never outlives the bed.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::process::{Child, Command};

use crate::http;
use crate::layout::Bed;

/// Longest time for one part to become ready; generous, because the machine may be busy.
const READY: Duration = Duration::from_secs(90);

/// A part that was started.
pub(crate) struct Part {
    name: String,
    child: Child,
    pid: u32,
    log: PathBuf,
}

impl Part {
    /// Its name: of its log, in messages and in the JSON.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Why it is not running any more, with the end of its log; `None` while it runs.
    pub(crate) fn ended(&mut self) -> Option<String> {
        let how = match self.child.try_wait() {
            Ok(None) => return None,
            Ok(Some(status)) => status.to_string(),
            Err(error) => error.to_string(),
        };
        Some(format!("{} ended ({how}); its last lines:\n{}", self.name, self.log_tail()))
    }

    /// The last lines of its log.
    pub(crate) fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

/// Starts `program` as the part `name`. Its environment is `environment`, a PATH, and folders of the bed, nothing else.
pub(crate) fn spawn<A: AsRef<OsStr>>(
    bed: &Bed,
    name: &str,
    program: &Path,
    arguments: impl IntoIterator<Item = A>,
    environment: &[(&str, &OsStr)],
) -> Result<()> {
    let log = bed.path(format!("logs/{name}.log"));
    let output = File::create(&log)?;
    // setpriv lets the kernel end the part with us, even if we are killed, and becomes the part: the pid is the part's.
    let child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program)
        .args(arguments)
        .env_clear()
        .env("PATH", path())
        .env("HOME", bed.path("home"))
        .env("TMPDIR", bed.path("tmp"))
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        // A Ctrl-C at the terminal is for the bed, which stops the parts in order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("can't start {name} with setpriv (util-linux)"))?;
    let pid = child.id().context("the part ended at once")?;
    bed.keep(Part { name: name.to_owned(), child, pid, log });
    Ok(())
}

/// The search path of the parts, with the folders of system programs that a person's own may lack.
pub(crate) fn path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".into()))
}

/// Waits until the part answers `GET path` on its port with 200; with no path, until it accepts a connection.
pub(crate) async fn ready(bed: &Bed, name: &str, port: u16, path: Option<&str>) -> Result<()> {
    let began = Instant::now();
    loop {
        let answered = match path {
            Some(path) => http::get(port, path).await.is_ok_and(|answer| answer.status == 200),
            None => tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok(),
        };
        if let Some(why) = bed.ended(name) {
            bail!(why);
        }
        if answered {
            bed.progress(&format!("{name} is ready"));
            return Ok(());
        }
        if began.elapsed() > READY {
            bail!(
                "{name} was not ready within {} s; its last lines:\n{}",
                READY.as_secs(),
                bed.log_tail(name)
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Asks the parts to end, and ends those that still run after `grace`.
pub(crate) async fn stop(mut parts: Vec<Part>, grace: Duration) {
    // A part that was stopped by a signal would not hear the request.
    let pids = parts.iter().map(|part| part.pid.to_string()).collect::<Vec<_>>().join(" ");
    let ask = format!("kill -TERM {pids}; kill -CONT {pids}");
    let _ = Command::new("/bin/sh").args(["-c", &ask]).stderr(Stdio::null()).status().await;
    let deadline = tokio::time::Instant::now() + grace;
    for part in &mut parts {
        if tokio::time::timeout_at(deadline, part.child.wait()).await.is_err() {
            let _ = part.child.start_kill();
            let _ = part.child.wait().await;
        }
    }
}

/// Opens a log for what runs inside the bed's own process.
pub(crate) fn log(bed: &Bed, name: &str) -> Result<File> {
    Ok(OpenOptions::new().create(true).append(true).open(bed.path(format!("logs/{name}.log")))?)
}
