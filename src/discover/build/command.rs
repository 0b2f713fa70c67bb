//! Runs the command of a build: in the allowed folder, with a small environment, and never longer than this process.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::{ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::output::{Last, Lines};
use super::{BuildError, REFERENCE, Root};
use crate::model::printable;

/// A build that takes longer is given up.
pub const LONGEST: Duration = Duration::from_hours(1);
/// More lines than this are not told.
const LINES_LIMIT: usize = 10_000;
/// How long a command that is given up may take to end before it is killed; the script below says the same.
const GRACE: Duration = Duration::from_secs(3);

/// Starts the words after it in a process group of its own, which ends when the pipe at its standard input closes: when this
/// process wants so, or when it ends, however it ends. The group is asked to end, and three seconds later killed.
const GUARD: &str = "exec 3<&0 </dev/null
(trap '' TERM; read -r _ <&3; kill -s TERM 0; sleep 3; kill -s KILL 0) >/dev/null 2>&1 &
guard=$!
\"$@\" 3<&-
code=$?
kill -s KILL \"$guard\"
exit \"$code\"
";

/// The variables that a command gets from this process, if they are set. None of them holds a secret.
const VARIABLES: [&str; 33] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "XDG_RUNTIME_DIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "BUILDX_BUILDER",
    "BUILDKIT_HOST",
    "KO_DOCKER_REPO",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "CARGO_TARGET_DIR",
    "GOPATH",
    "GOROOT",
    "GOCACHE",
    "GOMODCACHE",
    "JAVA_HOME",
    "NVM_DIR",
    "PNPM_HOME",
    "NIX_PATH",
];

/// Runs `command` in `root` until it ends or `longest` is over. `tell` is given every line that it says.
///
/// When the returned future is dropped, or this process ends, the command ends with all that it started in its group.
pub async fn run(
    root: &Root,
    command: &[String],
    reference: &str,
    longest: Duration,
    tell: impl Fn(&str),
) -> Result<(), BuildError> {
    let words: Vec<String> = command.iter().map(|word| word.replace(REFERENCE, reference)).collect();
    let shown = printable(&words.join(" "), 200);
    let failed = |how: String| BuildError::Failed { command: shown.clone(), how };
    let mut child = Command::new("/bin/sh")
        .args(["-c", GUARD, "sh"])
        .args(&words)
        .current_dir(root.folder())
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_passed)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| failed(format!("could not be started by /bin/sh: {error}")))?;
    let guard: Option<ChildStdin> = child.stdin.take();
    let (sender, mut lines) = mpsc::channel(64);
    let readers = [
        child.stdout.take().map(|output| tokio::spawn(read(output, sender.clone()))),
        child.stderr.take().map(|output| tokio::spawn(read(output, sender))),
    ];
    let mut last = Last::default();
    let mut count = 0;
    let mut hear = |line: String| {
        count += 1;
        match count {
            ..LINES_LIMIT => tell(&line),
            LINES_LIMIT => tell("… more lines are not told"),
            _ => {}
        }
        last.add(line);
    };
    let end = Instant::now() + longest;
    // The lines end when nobody is left who could say something; what a command leaves running may go on speaking.
    let status = loop {
        tokio::select! {
            status = child.wait() => break Some(status),
            Some(line) = lines.recv() => hear(line),
            () = tokio::time::sleep_until(end) => break None,
        }
    };
    drop(guard);
    let rest = Instant::now()
        + if status.is_some() { Duration::from_millis(500) } else { GRACE + Duration::from_secs(1) };
    while let Ok(Some(line)) = timeout_at(rest, lines.recv()).await {
        hear(line);
    }
    for reader in readers.into_iter().flatten() {
        reader.abort();
    }
    let how = match status {
        None => {
            _ = timeout(GRACE, child.wait()).await;
            format!("did not end within {} and was killed", crate::config::duration::format(longest))
        }
        Some(Err(error)) => format!("was lost: {error}"),
        Some(Ok(status)) if status.success() => return Ok(()),
        Some(Ok(status)) => match status.code() {
            Some(code) => format!("ended with exit code {code}"),
            None => format!("was ended by a signal ({status})"),
        },
    };
    let last = last.into_lines();
    for line in &last {
        tracing::info!(command = shown, line, "the build said");
    }
    Err(failed(match last.last() {
        Some(line) => format!("{how} after saying \"{}\"", printable(line, 200)),
        None => how,
    }))
}

fn is_passed(name: &str) -> bool {
    let proxy =
        matches!(name.to_ascii_lowercase().as_str(), "http_proxy" | "https_proxy" | "no_proxy" | "all_proxy");
    VARIABLES.contains(&name) || name.starts_with("LC_") || proxy
}

async fn read(mut output: impl tokio::io::AsyncRead + Unpin, sender: mpsc::Sender<String>) {
    let (mut lines, mut chunk) = (Lines::default(), vec![0; 8 * 1024]);
    while let Ok(read @ 1..) = output.read(&mut chunk).await {
        let mut told = Vec::new();
        lines.add(&chunk[..read], |line| told.push(line));
        for line in told {
            if sender.send(line).await.is_err() {
                return;
            }
        }
    }
    let mut rest = None;
    lines.end(|line| rest = Some(line));
    if let Some(line) = rest {
        _ = sender.send(line).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Mutex;

    use super::*;

    struct Shop {
        folder: tempfile::TempDir,
        root: Root,
        said: Mutex<Vec<String>>,
    }

    impl Shop {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let root = Root::open(folder.path()).unwrap();
            Self { folder, root, said: Mutex::default() }
        }

        async fn run(&self, script: &str, longest: Duration) -> Result<(), BuildError> {
            let command = ["sh", "-c", script, "build", "{ref}"].map(str::to_owned);
            let tell = |line: &str| self.said.lock().unwrap().push(line.to_owned());
            run(&self.root, &command, "localhost:5000/x:build-1", longest, tell).await
        }

        /// Whether the process whose id the script wrote to `child` is there.
        fn child_lives(&self) -> bool {
            let pid = std::fs::read_to_string(self.folder.path().join("child")).unwrap();
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        }
    }

    impl Shop {
        /// Whether the child goes within a moment: its pipes close before it leaves /proc.
        async fn child_goes(&self) -> bool {
            for _ in 0..50 {
                if !self.child_lives() {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            false
        }
    }

    const LONG: Duration = Duration::from_mins(1);
    /// Starts a child that ignores the request to end, and waits.
    const STUBBORN: &str = "(trap '' TERM; exec sleep 300) & echo $! > child; wait";

    #[tokio::test]
    async fn it_runs_in_the_folder_with_the_reference_and_a_small_environment() {
        let shop = Shop::new();
        let script =
            "echo $1; pwd; echo \"$CARGO_PKG_NAME|$CARGO_MANIFEST_DIR\"; echo oops >&2; test -n \"$PATH\"";
        shop.run(script, LONG).await.unwrap();
        let mut said = shop.said.lock().unwrap().clone();
        said.sort();
        let mut wanted = vec!["localhost:5000/x:build-1", shop.root.folder().to_str().unwrap(), "|", "oops"];
        wanted.sort_unstable();
        assert_eq!(said, wanted);
    }

    #[tokio::test]
    async fn a_failure_is_told_with_its_code_and_its_last_words() {
        let shop = Shop::new();
        let error = shop.run("echo one; echo the end; exit 7", LONG).await.unwrap_err().to_string();
        assert!(error.contains("ended with exit code 7 after saying \"the end\""), "{error}");
        let missing = run(&shop.root, &["no-such-program".to_owned()], "x", LONG, |_| {}).await.unwrap_err();
        assert!(missing.to_string().contains("exit code 127"), "{missing}");
    }

    #[tokio::test]
    async fn what_takes_too_long_is_killed_with_its_children() {
        let shop = Shop::new();
        let error = shop.run(STUBBORN, Duration::from_millis(500)).await.unwrap_err().to_string();
        assert!(error.contains("did not end within 500ms and was killed"), "{error}");
        assert!(shop.child_goes().await);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_killed_with_its_children() {
        let shop = Shop::new();
        assert!(timeout(Duration::from_millis(500), shop.run(STUBBORN, LONG)).await.is_err());
        assert!(shop.child_lives(), "it is asked to end first");
        tokio::time::sleep(GRACE + Duration::from_secs(2)).await;
        assert!(!shop.child_lives());
    }

    #[tokio::test]
    async fn what_a_good_command_leaves_running_does_not_keep_it_from_ending() {
        let shop = Shop::new();
        let began = Instant::now();
        shop.run("sleep 5 & echo done", LONG).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(4));
    }
}
