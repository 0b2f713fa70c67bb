//! What the registry client is told at its start, and what it tells while it works.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::Credentials;
use crate::model::{Digest, RegistryHost, Repository, Tag};

/// Receives every [`RegistryEvent`]; called on the task that asks, so it must be quick.
pub type Observer = Arc<dyn Fn(&RegistryEvent) + Send + Sync>;

/// Something worth counting.
#[derive(Debug, Clone)]
pub enum RegistryEvent {
    /// A registry or token server answered.
    Request {
        /// The registry asked, or for which a token was asked.
        registry: RegistryHost,
        /// The HTTP method, or `TOKEN`.
        method: String,
        /// The HTTP status.
        code: u16,
    },
    /// A registry asked for a pause.
    Backoff {
        /// The registry.
        registry: RegistryHost,
        /// The end of the pause.
        until: Timestamp,
    },
    /// A registry that had asked for a pause answers again.
    Answers {
        /// The registry.
        registry: RegistryHost,
    },
    /// An address that a registry named was refused.
    Blocked {
        /// The registry that named it.
        registry: RegistryHost,
        /// The rule, one of a fixed set.
        reason: &'static str,
    },
    /// A new tag list held names that are no versions.
    DroppedTags {
        /// The repository.
        repository: Repository,
        /// How many.
        count: usize,
    },
    /// A registry told how many more pulls it grants (`ratelimit-remaining`).
    Quota {
        /// The registry.
        registry: RegistryHost,
        /// Pulls left in the present window.
        remaining: u64,
    },
}

/// How this process reaches registries.
pub struct RegistriesOptions {
    /// The folder of the files that promote.yaml names as private CAs.
    pub secrets: Option<PathBuf>,
    /// `host[:port]` to connect to instead, by registry; the name stays in the Host header and the certificate check.
    pub endpoints: BTreeMap<RegistryHost, String>,
    /// What is shown to registries that ask.
    pub credentials: Credentials,
    /// The variables that AWS's settings are read from; none for the process's own environment.
    pub aws: Option<HashMap<String, String>>,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Told of every answer.
    pub observer: Observer,
}

impl Default for RegistriesOptions {
    fn default() -> Self {
        Self {
            secrets: None,
            endpoints: BTreeMap::new(),
            credentials: Credentials::new(Vec::new()),
            aws: None,
            user_agent: concat!("promoted/", env!("CARGO_PKG_VERSION")).to_owned(),
            observer: Arc::new(|_| {}),
        }
    }
}

/// A manifest by name or by content.
#[derive(Debug, Clone, Copy)]
pub enum Reference<'a> {
    /// What the tag names now.
    Tag(&'a Tag),
    /// Exactly this content.
    Digest(&'a Digest),
}

impl std::fmt::Display for Reference<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}
