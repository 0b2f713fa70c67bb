//! The daemon's flags, as they are given and as they are used.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use url::Url;

use crate::discover::Credentials;
use crate::discover::webhook::keys::{self, GOOGLE_KEYS};
use crate::model::{EnvironmentName, RegistryHost};

/// Watches registries, commits what a policy elects, has Flux apply it, verifies it, and takes back what fails.
///
/// The configuration is promote.yaml at the head of the branch. All state is in Git and the cluster: the daemon can be
/// stopped at any moment and goes on at its next start.
#[derive(Debug, Clone, Parser)]
#[command(name = "promoted", version, max_term_width = 100)]
pub struct Args {
    /// The GitOps repository: https://, http://, ssh://, a bare repository, or a clone (which stands for its origin)
    #[arg(long, env = "PROMOTED_REPO", value_name = "URL|PATH")]
    pub repo: String,
    /// The branch [default: the repository's default branch]
    #[arg(long, env = "PROMOTED_BRANCH")]
    pub branch: Option<String>,
    /// The configuration's path in the repository
    #[arg(long, env = "PROMOTED_CONFIG", default_value = "promote.yaml", value_name = "PATH")]
    pub config: String,
    /// Serve only this environment; may be given several times [default: all]
    #[arg(long, env = "PROMOTED_ENVIRONMENT", value_delimiter = ',', value_name = "ENV")]
    pub environment: Vec<EnvironmentName>,
    /// A folder with the keys of Flux's Git Secret: username, password, bearerToken, identity, `known_hosts`, ca.crt
    #[arg(long, env = "PROMOTED_GIT_CREDENTIALS", value_name = "DIR")]
    pub git_credentials: Option<PathBuf>,
    /// A docker config.json; may be given several times [default: ~/.docker/config.json]
    #[arg(long, env = "PROMOTED_REGISTRY_CREDENTIALS", value_delimiter = ',', value_name = "FILE")]
    pub registry_credentials: Vec<PathBuf>,
    /// Connect to ADDR for the registry HOST, whose name stays; may be given several times
    #[arg(long, env = "PROMOTED_REGISTRY_ENDPOINT", value_delimiter = ',', value_name = "HOST=ADDR", value_parser = endpoint)]
    pub registry_endpoint: Vec<(RegistryHost, String)>,
    /// The folder of the files that promote.yaml names as secrets (kubeconfigs, the secrets of webhooks)
    #[arg(long, env = "PROMOTED_SECRETS", value_name = "DIR")]
    pub secrets: Option<PathBuf>,
    /// The folder of caches; deleting it costs one clone [default: $`XDG_STATE_HOME/promoted`]
    #[arg(long, env = "PROMOTED_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Where /metrics, /healthz, /readyz and /webhooks are served
    #[arg(long, env = "PROMOTED_LISTEN", default_value = "127.0.0.1:9797", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Serve HTTPS with tls.crt and tls.key of this folder, read again when they change [default: plain HTTP]
    #[arg(long, env = "PROMOTED_TLS", value_name = "DIR")]
    pub tls: Option<PathBuf>,
    /// Where the keys of Google's tokens are fetched for receivers of `type: gcr`
    #[arg(long, env = "PROMOTED_GOOGLE_KEYS", default_value = GOOGLE_KEYS, value_name = "URL", value_parser = keys::address)]
    pub google_keys: Url,
    /// One pass over everything, until each change has its verdict; then exit with what came of it
    #[arg(long, env = "PROMOTED_ONCE")]
    pub once: bool,
    /// Write nothing anywhere; tell what would be committed
    #[arg(long, env = "PROMOTED_DRY_RUN")]
    pub dry_run: bool,
    /// Run the builds of promote.yaml and push what they make; all their paths are below DIR, and commands run there
    #[arg(long, env = "PROMOTED_ALLOW_BUILDS", value_name = "DIR")]
    pub allow_builds: Option<PathBuf>,
    /// Of several replicas in a cluster, work only while this one holds the Lease of that name in its namespace
    #[arg(
        long, env = "PROMOTED_LEADER_ELECTION", value_name = "LEASE", num_args = 0..=1, require_equals = true,
        default_missing_value = "promoted", conflicts_with_all = ["once", "dry_run"]
    )]
    pub leader_election: Option<String>,
    /// How log lines are written
    #[arg(long, env = "PROMOTED_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// error, warn, info, debug, trace, or a filter such as promote=debug
    #[arg(long, env = "PROMOTED_LOG_LEVEL", default_value = "info", value_name = "LEVEL")]
    pub log_level: String,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Args {
    /// The environments to serve.
    pub fn served(&self) -> BTreeSet<EnvironmentName> {
        self.environment.iter().cloned().collect()
    }

    /// The folder of caches.
    pub fn state(&self) -> PathBuf {
        self.state_dir.clone().unwrap_or_else(|| folder("XDG_STATE_HOME", ".local/state").join("promoted"))
    }

    /// The ways to registries that differ from their names.
    pub fn endpoints(&self) -> BTreeMap<RegistryHost, String> {
        self.registry_endpoint.iter().cloned().collect()
    }
}

/// Reads `HOST=ADDR`; `HOST=https://ADDR` speaks TLS to a loopback address too.
pub fn endpoint(text: &str) -> Result<(RegistryHost, String), String> {
    let (host, address) =
        text.split_once('=').ok_or("expected HOST=ADDR, as in k3d-registry:5000=localhost:5000")?;
    let host = host.parse::<RegistryHost>().map_err(|error| error.to_string())?;
    let (scheme, bare) = address.strip_prefix("https://").map_or(("", address), |bare| ("https://", bare));
    let bare = bare.parse::<RegistryHost>().map_err(|error| error.to_string())?;
    Ok((host, format!("{scheme}{bare}")))
}

/// The registry credentials of the files that were named, or else the person's own.
pub fn credentials(named: &[PathBuf]) -> Credentials {
    if !named.is_empty() {
        return Credentials::new(named.to_vec());
    }
    let own = std::env::var_os("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".docker")))
        .map(|folder| folder.join("config.json"))
        .filter(|file| file.exists());
    Credentials::new(own.into_iter().collect())
}

/// A folder of the XDG base directory specification.
pub fn folder(variable: &str, below_home: &str) -> PathBuf {
    std::env::var_os(variable)
        .map(PathBuf::from)
        .filter(|folder| folder.is_absolute())
        .or_else(|| std::env::home_dir().map(|home| home.join(below_home)))
        .unwrap_or_else(std::env::temp_dir)
}
