//! The test bed: a cluster, Flux, registries and Git servers of the real kind, on loopback, without a container engine.
//!
//! `bed [--dir D] [--bare] [--verbose]` starts every part on free ports, prints one line of JSON when all are ready, and stops
//! all of them when its standard input ends or on SIGTERM or SIGINT. By hand: `sleep infinity | bed --dir /tmp/bed`.
//! The mesh starts after that, since most tests need none: `mesh.json` in the bed's folder tells where it is, or why not.

mod actor;
mod apiserver;
mod cluster;
mod controllers;
mod etcd;
mod flux;
mod gateway;
mod git;
mod http;
mod istiod;
mod kwok;
mod layout;
mod mesh;
mod network;
mod pki;
mod ports;
mod process;
mod prometheus;
mod registries;
mod ssh;

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

use layout::Bed;

const USAGE: &str = "usage: bed [--dir DIR] [--bare] [--verbose]

Starts the test bed, prints one line of JSON when it is ready, and runs until its standard input ends.
  --dir DIR   a new or empty folder that is kept; without it a temporary folder, removed at the end
  --bare      a cluster for charts that are installed by Helm: without the bed's own mesh, and with an API server that
              calls no webhooks, since those of a chart are in its pods, which do not answer here
  --verbose   progress on standard error
";

struct Arguments {
    folder: Option<PathBuf>,
    bare: bool,
    verbose: bool,
}

fn arguments() -> Result<Option<Arguments>> {
    let mut parsed = Arguments { folder: None, bare: false, verbose: false };
    let mut words = std::env::args_os().skip(1);
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--dir") => parsed.folder = Some(words.next().context("--dir needs a folder")?.into()),
            Some("--bare") => parsed.bare = true,
            Some("--verbose") => parsed.verbose = true,
            Some("--help" | "-h") => return Ok(None),
            _ => bail!("unknown argument {}\n{USAGE}", word.to_string_lossy()),
        }
    }
    Ok(Some(parsed))
}

/// Ends when whoever started the bed is gone: the only sign that also comes when that process is killed.
async fn standard_input_ended() {
    let (told, ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 256];
        while matches!(std::io::stdin().read(&mut buffer), Ok(count) if count > 0) {}
        let _ = told.send(());
    });
    let _ = ended.await;
}

fn main() -> ExitCode {
    // The actor is a part like others, and this program's other half.
    let outcome = if std::env::args_os().nth(1).is_some_and(|word| word == "actor") {
        actor::main()
    } else {
        bed_main()
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "bed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// One thread: the kernel ends the parts when the *thread* that started them ends, so there must be only this one.
#[tokio::main(flavor = "current_thread")]
async fn bed_main() -> Result<()> {
    let Some(arguments) = arguments()? else {
        std::io::stdout().write_all(USAGE.as_bytes())?;
        return Ok(());
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async {
        tokio::select! {
            () = standard_input_ended() => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let bed = Bed::new(arguments.folder, arguments.verbose)?;
    let outcome = tokio::select! {
        () = stop => Ok(()),
        outcome = run(&bed, arguments.bare) => outcome,
    };
    bed.stop().await;
    outcome
}

/// Starts everything, tells where it is, and then watches the parts for ever.
async fn run(bed: &Bed, bare: bool) -> Result<()> {
    let (registries, git, ssh, (cluster, api)) = tokio::try_join!(
        registries::start(bed),
        git::start(bed),
        ssh::start(bed),
        cluster::start(bed, bare)
    )?;
    let mut places = serde_json::Map::new();
    for part in [bed.places(), registries, git, ssh, cluster] {
        places.extend(part);
    }
    let line = serde_json::Value::Object(places).to_string();
    std::fs::write(bed.path("bed.json"), &line)?;
    writeln!(std::io::stdout(), "{line}").context("nobody reads the standard output")?;
    bed.progress("ready");
    if bare {
        return bed.watch().await;
    }
    tokio::try_join!(bed.watch(), mesh::begin(bed, api)).map(|((), ())| ())
}
