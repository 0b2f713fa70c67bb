//! `promote.yaml` → [`Config`].
//!
//! In come the file's bytes, out goes a configuration in which every name is legal and every reference leads
//! somewhere, or [`Problems`]: all of them at once, each with line and column. Nothing else can fail.

mod app;
mod build;
mod check;
mod document;
pub mod duration;
mod environment;
mod keys;
mod markers;
mod mask;
mod names;
mod nearest;
mod policy;
mod problem;
mod read;
mod receiver;
mod traffic;
mod tree;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::discover::Platform;
use crate::elect::filter::Filter;
use crate::elect::range::Range;
use crate::model::{AppName, EnvironmentName, ImageName, ReceiverName, RegistryHost, Repository, Tag};

pub use markers::Markers;
pub use names::SecretName;
pub use problem::{Problem, Problems};
pub use traffic::{Latency, Percent, Probe, Traffic};

/// The JSON Schema (draft 2020-12) of `promote.yaml`.
pub const SCHEMA: &str = include_str!("schema.json");

/// What stands for an environment's name in [`App::path`].
pub const PLACEHOLDER: &str = "{environment}";

/// A configuration without problems.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// How often registries are polled; 1 minute unless given, at least 1 second.
    pub interval: Duration,
    /// How commits are made.
    pub git: Git,
    /// What the defaults do not cover, by registry.
    pub registries: BTreeMap<RegistryHost, RegistryOptions>,
    /// Who may say by a webhook that there is something new, by the last part of their address.
    pub receivers: BTreeMap<ReceiverName, Receiver>,
    /// Where versions run, at least one.
    pub environments: BTreeMap<EnvironmentName, Environment>,
    /// What runs there, at least one.
    pub apps: BTreeMap<AppName, App>,
}

/// How commits are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Git {
    /// The branch that is read and written; none for the repository's default branch.
    pub branch: Option<String>,
    /// The author of our commits.
    pub author: Author,
}

/// A commit's author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// `promoted` unless given.
    pub name: String,
    /// `promoted@localhost` unless given.
    pub email: String,
}

/// How a registry is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryOptions {
    /// Plain HTTP.
    pub insecure: bool,
    /// The only CA that its certificate may come from, among the secrets; then HTTPS on loopback, too.
    pub ca: Option<SecretName>,
}

/// Who may call `/webhooks/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// What its messages look like, and how they are proved.
    pub kind: ReceiverKind,
    /// What a message must be proved by.
    pub proof: Proof,
}

/// Whose messages a receiver takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the providers'")]
pub enum ReceiverKind {
    Github,
    Gitlab,
    Gitea,
    Harbor,
    Quay,
    Dockerhub,
    Distribution,
    Ecr,
    Acr,
    Gcr,
    GenericHmac,
}

/// What a message is proved by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// Something that both sides know.
    Secret(SecretName),
    /// A token of Google's; of `gcr` alone.
    Google {
        /// For whom it must have been made.
        audience: String,
        /// The e-mail address of the service account that must show it.
        identity: String,
    },
}

/// A place where versions run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Where its images are, by the name that the nodes pull by.
    pub registry: RegistryBase,
    /// The cluster; none where nothing was written, which a process within a Pod may take for its own cluster.
    pub cluster: Option<Cluster>,
    /// What applies our commits; none for commits only.
    pub deploy: Option<FluxTarget>,
    /// Who commits what was elected.
    pub update: Update,
    /// What else a version must meet before it comes here.
    pub gates: Gates,
    /// How a version is judged.
    pub verify: Verify,
    /// The environments that a version must have passed; they exist, and there is no cycle.
    pub after: Vec<EnvironmentName>,
}

impl Environment {
    /// The cluster and what delivers to it, where versions can be followed there.
    pub fn watched(&self) -> Option<(&Cluster, &FluxTarget)> {
        let cluster = self.cluster.as_ref().filter(|cluster| **cluster != Cluster::None)?;
        Some((cluster, self.deploy.as_ref()?))
    }
}

/// A registry with the path that its repositories are below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryBase {
    /// `host[:port]`.
    pub host: RegistryHost,
    /// Parts joined by slashes, without one at either end.
    pub prefix: Option<String>,
}

/// How the cluster of an environment is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cluster {
    /// Written `none`: there is none.
    None,
    /// A context of the process's kubeconfig.
    Context(String),
    /// A kubeconfig among the secrets.
    Kubeconfig(SecretName),
    /// The cluster that the process runs in, by its Pod's service account.
    InCluster,
}

/// A Flux Kustomization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FluxTarget {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Who commits what was elected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// The daemon, at once; the default where nothing comes before the environment.
    Auto,
    /// A person, with `promote`; the default with `after`.
    Manual,
}

/// What a version must meet before it comes to an environment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gates {
    /// For how long it must have been known; at least 1 second.
    pub min_age: Option<Duration>,
    /// The largest step that is taken without a person; only where every policy is [`Policy::Semver`].
    pub max_jump: Option<Jump>,
    /// How many people must have approved of it; at least 1.
    pub approvals: Option<u32>,
}

/// The size of a step from one version to the next, the smallest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Jump {
    /// Major and minor number stay.
    Patch,
    /// The major number stays.
    Minor,
    /// Any.
    Major,
}

impl std::fmt::Display for Jump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Patch => "patch",
            Self::Minor => "minor",
            Self::Major => "major",
        })
    }
}

/// How a version is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verify {
    /// How long to wait for evidence; 10 minutes unless given, at least 1 second.
    pub timeout: Duration,
    /// How long it must stay healthy after the rollout; 30 seconds unless given, may be zero.
    pub stable_for: Duration,
    /// What follows a failure.
    pub on_failure: OnFailure,
    /// What the users' requests must meet; none where they are not measured.
    pub traffic: Option<Traffic>,
    /// Requests of our own; none where there are none.
    pub probe: Option<Probe>,
    /// Whether proxies and routes are judged.
    pub mesh: Mesh,
}

/// The service mesh that an environment is in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mesh {
    /// Istio, where the pods are in it or its routes lead to them; the default.
    #[default]
    Auto,
    /// Istio: without its proxies a version can't be verified.
    Istio,
    /// None is judged.
    None,
}

/// What follows a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The previous version is put back; the default.
    Rollback,
    /// It stays, for a person to look at.
    Hold,
}

/// What runs.
#[derive(Debug, Clone, PartialEq)]
pub struct App {
    /// The folder of its `kustomization.yaml`, with [`PLACEHOLDER`] for the environment.
    pub path: String,
    /// The setter comments of Flux below `path` that are updated too; none where they are left alone.
    pub markers: Option<Markers>,
    /// Its images by their `images[].name`, at least one.
    pub images: BTreeMap<ImageName, ImagePolicy>,
}

/// Where an image's versions are, and which one is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct ImagePolicy {
    /// Its repository.
    pub repository: RepositoryName,
    /// Which version is wanted.
    pub policy: Policy,
    /// Which tags count, and which part of them is compared; none for all tags as they are.
    pub filter: Option<Filter>,
    /// The platforms that a version must have; empty where none was named.
    pub platforms: Vec<Platform>,
    /// How often its registry is polled, at least 1 second; none for [`Config::interval`].
    pub interval: Option<Duration>,
    /// How it is built beside the daemon; none for an image that only comes from a registry.
    pub build: Option<Build>,
}

/// How an image is built beside the daemon. All paths are below the folder of `--allow-builds`, without `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The OCI layout that is pushed when it is whole and has changed; none where the command pushes.
    pub artifact: Option<String>,
    /// What the command builds from; empty where there is no command.
    pub watch: Vec<String>,
    /// A program and its words, in which [`crate::discover::build::REFERENCE`] stands for the reference to push to;
    /// empty where somebody else builds the artifact.
    pub command: Vec<String>,
}

/// How a repository is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepositoryName {
    /// Below the environment's registry.
    Relative(String),
    /// The same one for every environment.
    Full(Repository),
}

/// Which version is wanted.
#[derive(Debug, Clone, PartialEq)]
pub enum Policy {
    /// The highest semantic version.
    Semver {
        /// The versions that are allowed.
        range: Range,
    },
    /// The highest number.
    Numerical {
        /// Which end is the highest.
        order: Order,
    },
    /// The last in byte order.
    Alphabetical {
        /// Which end is the last.
        order: Order,
    },
    /// What was built last, by the time in the image.
    Newest,
    /// Whatever one tag points to.
    Digest {
        /// The tag.
        tag: Tag,
    },
}

impl Policy {
    /// Its key in the file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Semver { .. } => "semver",
            Self::Numerical { .. } => "numerical",
            Self::Alphabetical { .. } => "alphabetical",
            Self::Newest => "newest",
            Self::Digest { .. } => "digest",
        }
    }
}

/// Which end of an order is elected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The last; the default.
    #[default]
    Ascending,
    /// The first.
    Descending,
}

impl Config {
    /// Reads `text`; `file` is its name for messages.
    pub fn parse(file: &str, text: &[u8]) -> Result<Self, Problems> {
        let mut findings = problem::Findings::default();
        let config = tree::read(text, &mut findings)
            .and_then(|root| document::config(&read::Value::root(&root), &mut findings));
        match config {
            Some(config) if findings.is_empty() => Ok(config),
            _ => Err(findings.into_problems(file)),
        }
    }

    /// As it reads in a Pod: an environment with `deploy` and without `cluster` is in the Pod's own.
    #[must_use]
    pub fn within_pod(mut self) -> Self {
        for environment in self.environments.values_mut() {
            if environment.deploy.is_some() && environment.cluster.is_none() {
                environment.cluster = Some(Cluster::InCluster);
            }
        }
        self
    }

    /// Where `environment` pulls `image` from; none where one of the names is not configured.
    pub fn repository(
        &self,
        environment: &EnvironmentName,
        app: &AppName,
        image: &ImageName,
    ) -> Option<Repository> {
        let base = &self.environments.get(environment)?.registry;
        match &self.apps.get(app)?.images.get(image)?.repository {
            RepositoryName::Full(repository) => Some(repository.clone()),
            RepositoryName::Relative(path) => {
                let path = match &base.prefix {
                    Some(prefix) => format!("{prefix}/{path}"),
                    None => path.clone(),
                };
                Repository::new(base.host.clone(), &path).ok()
            }
        }
    }

    /// The folder of the `kustomization.yaml` of `app` in `environment`, relative to the repository's root;
    /// none where one of the names is not configured.
    pub fn overlay(&self, app: &AppName, environment: &EnvironmentName) -> Option<String> {
        let (name, _) = self.environments.get_key_value(environment)?;
        Some(self.apps.get(app)?.path.replace(PLACEHOLDER, name.as_str()))
    }

    /// How often the registry of an image is polled.
    pub fn interval_of(&self, image: &ImagePolicy) -> Duration {
        image.interval.unwrap_or(self.interval)
    }
}
