//! The demo: a good release, a bad one and a promotion, each with its verdict, on the test bed's real parts.
//!
//! It starts a bed of its own, makes a `GitOps` repository of `deploy/apps/test-app`, and then does what a person would
//! do: push an image and watch. Every command it shows is one that it runs. `KEEP=1` keeps all up until Ctrl-C.

#![allow(missing_docs, clippy::unwrap_used, reason = "a program for people, not an interface")]
#![allow(clippy::format_push_string, reason = "texts are put together for people to read")]

#[allow(dead_code, reason = "shared with the tests, which use more of it")]
#[path = "../it/bed/git.rs"]
mod git;
#[allow(dead_code, reason = "shared with the tests, which use more of it")]
#[path = "../it/bed/http.rs"]
mod http;
#[allow(dead_code, reason = "shared with the tests, which use more of it")]
#[path = "../it/bed/image.rs"]
mod image;

mod files;
mod parts;
mod steps;
mod tell;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};

use http::Answer;

/// How long one step may take. A busy machine is slow, so this is far above what is seen.
const DEADLINE: Duration = Duration::from_secs(90);

/// Set by Ctrl-C and SIGTERM; every wait looks at it.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

fn main() -> ExitCode {
    listen_for_signals();
    // What the shared parts panic with is told below, in one line.
    std::panic::set_hook(Box::new(|_| {}));
    let folder = match tempfile::Builder::new().prefix("promote-demo-").tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            tell::failed(&format!("no temporary folder: {error}"), None);
            return ExitCode::FAILURE;
        }
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| steps::run(folder.path())));
    let why = match outcome {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        _ if interrupted() => {
            tell::line("interrupted; everything is stopped");
            return ExitCode::from(130);
        }
        Ok(Err(error)) => format!("{error:#}"),
        Err(panic) => panicked(panic.as_ref()),
    };
    // The logs are what explains it, so they stay.
    tell::failed(&why, Some(&folder.keep()));
    ExitCode::FAILURE
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}

fn listen_for_signals() {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                INTERRUPTED.store(true, Ordering::Relaxed);
            }
        });
    });
}

/// Asks until `look` has an answer; `what` completes "there was no …".
fn until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let began = std::time::Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if interrupted() {
            bail!("interrupted");
        }
        if began.elapsed() > DEADLINE {
            bail!("there was no {what} within {} s", DEADLINE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The environment of every program that the demo starts: nothing of the person's own set-up reaches it.
fn isolated(command: &mut Command, home: &Path) {
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0");
}
