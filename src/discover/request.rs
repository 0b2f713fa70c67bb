//! What a question to a registry is made of.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use url::Url;

use super::manifest::MANIFEST_TYPES;
use crate::model::{RegistryHost, Repository};

/// The rights that a request needs, as a token scope names them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Access<'a> {
    /// None: only the registry itself is asked.
    Registry(&'a RegistryHost),
    /// Reading one repository.
    Pull(&'a Repository),
    /// Reading and writing one repository.
    Push(&'a Repository),
    /// Writing one repository with blobs of another one in the same registry.
    Mount {
        /// The repository written to.
        to: &'a Repository,
        /// The repository that has the blob.
        from: &'a Repository,
    },
}

impl<'a> Access<'a> {
    pub(crate) fn registry(self) -> &'a RegistryHost {
        match self {
            Self::Registry(host) => host,
            Self::Pull(repository) | Self::Push(repository) | Self::Mount { to: repository, .. } => {
                repository.host()
            }
        }
    }

    pub(crate) fn scopes(self) -> Vec<String> {
        let scope = |repository, actions| format!("repository:{}:{actions}", remote_path(repository));
        match self {
            Self::Registry(_) => Vec::new(),
            Self::Pull(repository) => vec![scope(repository, "pull")],
            Self::Push(repository) => vec![scope(repository, "pull,push")],
            Self::Mount { to, from } => vec![scope(to, "pull,push"), scope(from, "pull")],
        }
    }
}

/// The repository's name as its registry knows it: Docker Hub's own images lie below `library`.
pub(crate) fn remote_path(repository: &Repository) -> String {
    if connect_name(repository.host()) == HUB && !repository.path().contains('/') {
        format!("library/{}", repository.path())
    } else {
        repository.path().to_owned()
    }
}

const HUB: &str = "registry-1.docker.io";

/// The name to connect to; Docker Hub's differs from the one in references.
pub(crate) fn connect_name(host: &RegistryHost) -> &str {
    if matches!(host.as_str(), "docker.io" | "index.docker.io") { HUB } else { host.as_str() }
}

/// Where a request goes.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// Path and query on the registry itself.
    Path(String),
    /// An address that the registry named; judged before anything is sent.
    Named(Url),
}

/// What a request carries.
#[derive(Debug)]
pub(crate) enum Payload {
    /// Bytes that can be sent again after a new token.
    Bytes(Bytes),
    /// A stream of known length, sent once.
    Stream(reqwest::Body, u64),
}

/// One question to a registry.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) access: Access<'a>,
    pub(crate) target: Target,
    /// What is asked for, for messages.
    pub(crate) what: &'a str,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload,
}

impl<'a> Request<'a> {
    pub(crate) fn new(method: Method, access: Access<'a>, path: String, what: &'a str) -> Self {
        let headers = HeaderMap::new();
        Self {
            method,
            access,
            target: Target::Path(path),
            what,
            headers,
            payload: Payload::Bytes(Bytes::new()),
        }
    }

    /// Asks for manifests of every known type.
    pub(crate) fn for_manifests(mut self) -> Self {
        for media_type in MANIFEST_TYPES {
            self.headers.append(ACCEPT, HeaderValue::from_static(media_type));
        }
        self
    }
}
