//! The daemon, as a person or a cluster runs it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::command::{Run, bound, run};
use super::pod::Pod;
use super::site::Site;
use super::workshop::Workshop;
use super::{Answer, http, until};

/// A daemon that is not started yet.
pub(crate) struct Promoted<'a> {
    site: &'a Site,
    repo: String,
    state: Option<PathBuf>,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    log_format: &'static str,
    pod: Option<Pod>,
    listen: Option<String>,
    has_watches: bool,
    rendered: Option<Vec<String>>,
}

impl<'a> Promoted<'a> {
    pub(super) fn new(site: &'a Site) -> Self {
        Self {
            site,
            repo: site.repo(),
            state: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            log_format: "json",
            pod: None,
            listen: None,
            has_watches: true,
            rendered: None,
        }
    }

    /// The address that it listens on, for who must know it before it is started.
    pub(crate) fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = Some(address.into());
        self
    }

    /// One more argument.
    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// More arguments.
    pub(crate) fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(OsString::from));
        self
    }

    /// A variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Another URL than the site's open one.
    pub(crate) fn repo(mut self, url: impl Into<String>) -> Self {
        self.repo = url.into();
        self
    }

    /// A state folder to share between starts; without it each start has a new one.
    pub(crate) fn state_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.state = Some(folder.into());
        self
    }

    /// Lets it run as in that Pod: with the service account's files, and with the API server's address.
    pub(crate) fn in_pod(mut self, pod: Pod) -> Self {
        self.pod = Some(pod);
        self
    }

    /// Lets it build in that folder.
    pub(crate) fn allow_builds(self, workshop: &Workshop) -> Self {
        self.arg("--allow-builds").arg(workshop.path())
    }

    /// Lets the kernel refuse it every watch of a file or folder.
    pub(crate) fn without_watches(mut self) -> Self {
        self.has_watches = false;
        self
    }

    /// Has it log for people.
    pub(crate) fn log_as_text(mut self) -> Self {
        self.log_format = "text";
        self
    }

    /// Gives it the arguments that a chart renders and no other. Only where it listens is another place, since the
    /// network is this machine's; a Pod with a network of its own has the chart's.
    pub(crate) fn rendered(mut self, arguments: &[&str]) -> Self {
        self.rendered = Some(arguments.iter().map(|&argument| argument.to_owned()).collect());
        self
    }

    fn command(&self, number: usize, address: &str) -> Command {
        let folder = self.site.folder();
        let state = self.state.clone().unwrap_or_else(|| folder.join(format!("state-{number}")));
        let mut command = match &self.pod {
            None if self.has_watches => bound(env!("CARGO_BIN_EXE_promoted"), self.site),
            None => {
                // A user namespace has limits of its own.
                let script = "echo 0 > /proc/sys/user/max_inotify_watches && exec \"$@\"";
                let mut unshare = bound("unshare", self.site);
                unshare.args(["--user", "--map-root-user", "--", "sh", "-c", script, "sh"]);
                unshare.args(["setpriv", "--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_promoted")]);
                unshare
            }
            Some(pod) => pod.enter(bound("unshare", self.site), env!("CARGO_BIN_EXE_promoted")),
        };
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let alone = self.pod.as_ref().is_some_and(Pod::is_alone);
        if let Some(rendered) = &self.rendered {
            command.args(rendered.iter().filter(|argument| alone || !argument.starts_with("--listen=")));
        } else {
            command.args(["--repo", &self.repo, "--log-format", self.log_format, "--secrets"]);
            command.arg(folder.join("secrets")).arg("--state-dir").arg(state).args(&self.arguments);
        }
        if !alone {
            command.args(["--listen", address]);
        }
        command
    }

    /// Registers a new log with the site; returns its number and path.
    fn log(&self) -> (usize, PathBuf) {
        let mut logs = self.site.logs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let number = logs.len();
        let log = self.site.folder().join(format!("promoted-{number}.log"));
        logs.push(log.clone());
        (number, log)
    }

    /// Runs it until it ends by itself (with `--once`).
    pub(crate) fn run(self) -> Run {
        let (number, log) = self.log();
        let address = free_address();
        let outcome = run(&mut self.command(number, &address));
        let _ = std::fs::write(log, [outcome.stdout.as_str(), outcome.stderr.as_str()].concat());
        outcome
    }

    /// Starts it. It ends at the latest with the thread that called this.
    pub(crate) fn start(self) -> Daemon {
        let (number, log) = self.log();
        let address = self.listen.clone().unwrap_or_else(free_address);
        let output = File::create(&log).expect("a log file");
        let child = self
            .command(number, &address)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a log file"))
            .stderr(output)
            .spawn()
            .expect("promoted can be started");
        Daemon { child: Some(child), log, address }
    }
}

/// A loopback address that is free now.
pub(crate) fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a port").to_string()
}

/// A running `promoted`. Dropping it kills it.
pub(crate) struct Daemon {
    child: Option<Child>,
    log: PathBuf,
    address: String,
}

impl Daemon {
    /// `HOST:PORT` of its server.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until a line of the log contains `needle`; returns the line.
    pub(crate) fn wait_log(&self, needle: &str) -> String {
        let found = until(|| self.log().lines().find(|line| line.contains(needle)).map(str::to_owned));
        found.unwrap_or_else(|| {
            panic!("the daemon never logged {needle:?}; its last lines:\n{}", tail(&self.log))
        })
    }

    /// `GET path`; waits until the server is there.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let answer = self.request("GET", path, &[], b"");
        (answer.status, answer.text())
    }

    /// Any request to its server; waits until the server is there.
    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let url = format!("http://{}{path}", self.address);
        let answer = until(|| http::request(method, &url, headers, body).ok());
        answer
            .unwrap_or_else(|| panic!("{url} never answered; the daemon's last lines:\n{}", tail(&self.log)))
    }

    /// Sends a signal, such as `HUP` or `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("/bin/sh").args(["-c", &format!("kill -{name} {}", self.pid())]).status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "the daemon is not running any more:\n{}",
            tail(&self.log)
        );
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self, at_most: Duration) -> Option<ExitStatus> {
        let began = Instant::now();
        let child = self.child.as_mut()?;
        while began.elapsed() < at_most {
            if let Some(status) = child.try_wait().expect("the daemon can be waited for") {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// Asks it to end; panics unless it does so within 10 s with exit code 0. Returns its log.
    pub(crate) fn stop(mut self) -> String {
        self.signal("TERM");
        let status = self.wait(Duration::from_secs(10));
        let ended_well = status.is_some_and(|status| status.success());
        assert!(
            ended_well,
            "the daemon ended with {status:?} after SIGTERM; its last lines:\n{}",
            tail(&self.log)
        );
        self.log()
    }

    /// Ends it without a warning, as a crash would.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
