//! The daemon: the rooms wired into tasks.
//!
//! A start is a recovery: what stands in Git without a verdict is followed to its verdict, whoever brought it and
//! whatever became of the process that did. Nothing is read from the state directory that Git does not have, but for when
//! images were first seen: without that, `gates.minAge` counts from the start.

pub mod args;
pub mod builds;
pub mod candidates;
pub mod clusters;
pub mod elections;
pub mod events;
pub mod first_seen;
pub mod follow;
pub mod gathering;
pub mod health;
pub mod leadership;
pub mod metrics;
pub mod nodes;
pub mod promotion;
pub mod rankings;
pub mod reach;
pub mod receivers;
pub mod supervisor;
pub mod trouble;
pub mod way_back;
pub mod ways;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::args::{Args, LogFormat};
use self::clusters::Clusters;
use self::events::Event as _;
use self::follow::Shared;
use self::health::Health;
use self::leadership::Candidate;
use self::metrics::Metrics;
use self::nodes::Nodes;
use self::reach::Reach;
use self::receivers::Receivers;
use self::ways::Ways;
use crate::config::Config;
use crate::discover::build::Root;
use crate::discover::webhook::keys::GoogleKeys;
use crate::discover::{Registries, RegistriesOptions, RegistryEvent};
use crate::model::{EnvironmentName, Exit};
use crate::publish::{GitCredentials, Location, Mirror, MirrorOptions, PublishError, Snapshot};
use crate::serve::Shown;

/// What all tasks of a process share.
#[derive(Debug)]
pub struct Context {
    /// Git.
    pub mirror: Mirror,
    /// The registries.
    pub registries: Registries,
    /// The clusters.
    pub clusters: Clusters,
    /// The ways to registries that the clusters publish.
    pub ways: Ways,
    /// What the clusters' nodes run on.
    pub nodes: Nodes,
    /// Which clusters can be used.
    pub reach: Reach,
    /// What is usable.
    pub health: Arc<Health>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Context {
    /// Asks the clusters for the ways to their registries, and what their nodes run on.
    pub async fn ask_clusters(&self, config: &Config, served: &BTreeSet<EnvironmentName>) {
        tokio::join!(
            self.ways.learn(&self.clusters, &self.registries, config, served),
            self.nodes.learn(&self.clusters, config, served),
        );
    }

    /// Sees whether the clusters can be used, and tells [`Context::health`].
    pub async fn look_at_clusters(&self, config: &Config, served: &BTreeSet<EnvironmentName>) {
        self.reach.look(&self.clusters, config, served, &self.health).await;
    }
}

/// How long a remote that does not answer at the start is left alone between two tries.
const START_AGAIN: Duration = Duration::from_secs(5);

/// Runs the daemon until it is told to stop.
pub fn main(args: &Args) -> Exit {
    log_to_stderr(args.log_format, &args.log_level);
    _ = rustls::crypto::ring::default_provider().install_default();
    // One thread is enough for all that waits, and tasks that wake each other cost least on one.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime");
            return Exit::Internal;
        }
    };
    let args = args.clone();
    let work = runtime.spawn(async move { run(&args).await });
    let exit = match runtime.block_on(work) {
        Ok(Ok(exit)) => exit,
        Ok(Err(Failure(exit, words))) => {
            tracing::error!("{words}");
            exit
        }
        // The panic has been told by itself.
        Err(_) => Exit::Internal,
    };
    // The mirror's thread may be waiting for a remote; nothing of it is needed any more.
    runtime.shutdown_background();
    exit
}

/// Why the daemon could not go on.
struct Failure(Exit, String);

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        Self(supervisor::exit_of(&error), error.to_string())
    }
}

async fn run(args: &Args) -> Result<Exit, Failure> {
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone()).map_err(|error| Failure(Exit::Internal, format!("signals: {error}")))?;
    let state = args.state();
    let _lock = lock(&state)?;
    let health = Arc::new(Health::default());
    let metrics =
        Arc::new(Metrics::new().map_err(|error| Failure(Exit::Internal, format!("metrics: {error}")))?);
    if args.leader_election.is_none() {
        health.expect("config");
        health.expect("git");
    }
    let counted = metrics.clone();
    let registries = Registries::new(RegistriesOptions {
        endpoints: args.endpoints(),
        credentials: args::credentials(&args.registry_credentials),
        secrets: args.secrets.clone(),
        observer: Arc::new(move |event: &RegistryEvent| event.emit(&counted)),
        ..RegistriesOptions::default()
    })
    .map_err(|error| Failure(Exit::Usage, error.to_string()))?;
    let mirror = Mirror::start(MirrorOptions {
        location: Location::find(&args.repo)?,
        branch: args.branch.clone(),
        config: args.config.clone(),
        in_pod: crate::deliver::in_pod(),
        credentials: GitCredentials { folder: args.git_credentials.clone(), helpers: false },
        state,
    })?;
    let clusters = Clusters::new(args.secrets.clone(), false);
    let ways = Ways::new(args.endpoints().into_keys().collect());
    let (nodes, reach) = (Nodes::default(), Reach::default());
    let context = Arc::new(Context { mirror, registries, clusters, ways, nodes, reach, health, metrics });
    let keys = GoogleKeys::new(args.google_keys.clone())
        .map_err(|error| Failure(Exit::Internal, error.to_string()))?;
    let receivers = Arc::new(Receivers::new(args.secrets.clone(), keys, context.health.clone()));
    if !args.once {
        let shown = Shown {
            health: context.health.clone(),
            metrics: context.metrics.clone(),
            receivers: receivers.clone(),
        };
        let address = crate::serve::start(args.listen, args.tls.clone(), shown, stop.clone())
            .await
            .map_err(|error| Failure(Exit::Usage, error))?;
        tracing::info!(%address, tls = args.tls.is_some(), "serving /metrics, /healthz, /readyz and /webhooks");
        let (kept, stop) = (receivers.clone(), stop.clone());
        tokio::spawn(async move { kept.keep_secrets(stop).await });
    }
    let exit = match &args.leader_election {
        None => {
            context.metrics.leader.set(1);
            work(args, &context, &receivers, stop).await?
        }
        Some(name) => work_while_leading(name, args, &context, &receivers, stop).await?,
    };
    tracing::info!(exit = exit as u8, "stopped");
    Ok(exit)
}

/// Works whenever this replica leads.
async fn work_while_leading(
    lease: &str,
    args: &Args,
    context: &Shared,
    receivers: &Arc<Receivers>,
    stop: CancellationToken,
) -> Result<Exit, Failure> {
    let candidate = Candidate::new(lease, context.health.clone(), context.metrics.clone()).await;
    let mut candidate =
        candidate.map_err(|error| Failure(Exit::Usage, format!("--leader-election: {error}")))?;
    while candidate.elected(&stop).await {
        let term = stop.child_token();
        context.health.expect("config");
        context.health.expect("git");
        let (result, ()) = tokio::join!(
            async {
                let result = work(args, context, receivers, term.clone()).await;
                term.cancel();
                result
            },
            candidate.keep(&term)
        );
        // A replica that waits depends on nothing but its Lease.
        context.health.clear();
        if stop.is_cancelled() || result.is_err() {
            candidate.resign().await;
            return result;
        }
    }
    Ok(Exit::Done)
}

/// Works until `stop`, or with `--once` until nothing is left to do.
async fn work(
    args: &Args,
    context: &Shared,
    receivers: &Arc<Receivers>,
    stop: CancellationToken,
) -> Result<Exit, Failure> {
    let Some(snapshot) = first_snapshot(context, args.once, &stop).await? else { return Ok(Exit::Done) };
    let served = args.served();
    if let Some(unknown) = served.iter().find(|name| !snapshot.config.environments.contains_key(*name)) {
        let names: Vec<&str> =
            snapshot.config.environments.keys().map(crate::model::EnvironmentName::as_str).collect();
        let words = format!(
            "--environment {unknown}: promote.yaml has no such environment (it has {})",
            names.join(", ")
        );
        return Err(Failure(Exit::Usage, words));
    }
    tracing::info!(
        repository = %context.mirror.location(), branch = snapshot.branch, head = %snapshot.head,
        apps = snapshot.config.apps.len(), environments = snapshot.config.environments.len(), "started"
    );
    let receivers = receivers.clone();
    let builds = builds_folder(args)?;
    // The first look at a registry needs its way, and the first election the platforms.
    tokio::join!(
        context.ask_clusters(&snapshot.config, &served),
        context.look_at_clusters(&snapshot.config, &served)
    );
    let first_seen = Some(args.state().join("first-seen.json"));
    let mode =
        supervisor::Mode { once: args.once, dry_run: args.dry_run, served, receivers, builds, first_seen };
    Ok(supervisor::run(context.clone(), mode, snapshot, stop).await)
}

/// The folder below which builds run, if a person allows any.
fn builds_folder(args: &Args) -> Result<Option<Root>, Failure> {
    match &args.allow_builds {
        // A build writes to a registry.
        Some(folder) if !args.dry_run => {
            Root::open(folder).map(Some).map_err(|error| Failure(Exit::Usage, error.to_string()))
        }
        _ => Ok(None),
    }
}

/// Reads the remote for the first time; the daemon waits for one that does not answer yet.
async fn first_snapshot(
    context: &Context,
    once: bool,
    stop: &CancellationToken,
) -> Result<Option<Arc<Snapshot>>, Failure> {
    loop {
        match context.mirror.refresh().await {
            Ok(snapshot) => {
                context.health.set("git", None);
                return Ok(Some(snapshot));
            }
            Err(error @ (PublishError::Unreachable { .. } | PublishError::Unauthorized { .. })) if !once => {
                context.health.set("git", Some(error.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            () = tokio::time::sleep(START_AGAIN) => {}
            () = stop.cancelled() => return Ok(None),
        }
    }
}

/// Makes sure that one process alone uses the state directory.
fn lock(state: &Path) -> Result<std::fs::File, Failure> {
    let path = state.join("lock");
    let open = || -> std::io::Result<std::fs::File> {
        fs_err::create_dir_all(state)?;
        Ok(fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(&path)?.into_file())
    };
    let file = open().map_err(|error| {
        Failure(
            Exit::Usage,
            format!("--state-dir {}: {error}; name a folder that can be written", state.display()),
        )
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Failure(
            Exit::Usage,
            format!(
                "another promoted uses {}; stop it, or name another folder with --state-dir",
                state.display()
            ),
        )),
        Err(std::fs::TryLockError::Error(error)) => {
            Err(Failure(Exit::Usage, format!("--state-dir {}: {error}", state.display())))
        }
    }
}

fn stop_on_signals(stop: CancellationToken) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping; a second signal does not wait");
        stop.cancel();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(i32::from(Exit::Interrupted as u8));
    });
    Ok(())
}

/// Writes log lines to standard error.
pub fn log_to_stderr(format: LogFormat, level: &str) {
    use tracing_subscriber::EnvFilter;
    // A bare level is about our own lines; what the libraries say comes with an explicit filter.
    let filter = if level.contains(['=', ',']) { level.to_owned() } else { format!("off,promote={level}") };
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|_| EnvFilter::new("off,promote=info"));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let result = match format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if result.is_err() {
        tracing::debug!("log lines are already written elsewhere");
    }
}
