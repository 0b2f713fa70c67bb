//! Where an image is and which one it is: registry, repository, tag, digest.
//!
//! Grammar: OCI Distribution Specification 1.1, "Pulling manifests".

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Invalid;

macro_rules! text_serde {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// A legal tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Clone)]
pub struct Tag(Letters);

/// Lists hold tags by the million: one that is short, as most are, needs no allocation of its own.
#[derive(Clone)]
enum Letters {
    Short { length: u8, bytes: [u8; SHORT] },
    Long(Box<str>),
}

/// What fits beside the length without making [`Letters`] larger than a pointer and two words.
const SHORT: usize = 22;

impl Tag {
    /// The tag of a text that is known to be one.
    pub(super) fn of_legal(text: &str) -> Self {
        let mut short = [0; SHORT];
        match (short.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(text.as_bytes());
                Self(Letters::Short { length, bytes: short })
            }
            _ => Self(Letters::Long(text.into())),
        }
    }

    /// The tag as the registry names it.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // Only ASCII is put in.
            Letters::Short { .. } => std::str::from_utf8(self.as_bytes()).unwrap_or_default(),
            Letters::Long(text) => text,
        }
    }

    fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Letters::Short { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Letters::Long(text) => text.as_bytes(),
        }
    }
}

impl PartialEq for Tag {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Tag {}

impl PartialOrd for Tag {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Tag {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl std::hash::Hash for Tag {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tag").field(&self.as_str()).finish()
    }
}

impl FromStr for Tag {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut bytes = text.bytes();
        let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if first
            && text.len() <= 128
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        {
            Ok(Self::of_legal(text))
        } else {
            Err(Invalid::new("tag", text, "up to 128 letters, digits, and . _ - that do not come first"))
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
text_serde!(Tag);

/// A content digest, `sha256:` and 64 lower-case hexadecimal digits (or `sha512:` and 128).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

impl Digest {
    /// The whole digest, algorithm included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `sha256:` and the first twelve digits, for people.
    pub fn short(&self) -> &str {
        let end = self.0.find(':').map_or(0, |colon| colon + 13);
        self.0.get(..end).unwrap_or(&self.0)
    }

    /// The SHA-256 of `content`.
    pub fn of(content: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(format!("sha256:{}", hex::encode(sha2::Sha256::digest(content))))
    }
}

impl FromStr for Digest {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("digest", text, "sha256: and 64 lower-case hexadecimal digits");
        let (algorithm, digits) = text.split_once(':').ok_or_else(invalid)?;
        let length = match algorithm {
            "sha256" => 64,
            "sha512" => 128,
            _ => return Err(invalid()),
        };
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if digits.len() == length && digits.bytes().all(lower_hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(invalid())
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
text_serde!(Digest);

/// A registry's name: `host` or `host:port`, lower case. Copies share it, as those of a [`Repository`] do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryHost(Arc<str>);

impl RegistryHost {
    /// `host[:port]`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host without its port.
    pub fn host(&self) -> &str {
        if self.0.starts_with('[') {
            return self.0.split_inclusive(']').next().unwrap_or(&self.0);
        }
        self.0.split(':').next().unwrap_or(&self.0)
    }

    /// Whether the name can only mean this machine, so that plain HTTP is no risk.
    pub fn is_loopback(&self) -> bool {
        let host = self.host().trim_matches(['[', ']']);
        host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for RegistryHost {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("registry", text, "host or host:port, without a scheme or a path");
        let (host, port) = match text.rfind(':') {
            Some(colon) if !text.ends_with(']') => (&text[..colon], Some(&text[colon + 1..])),
            _ => (text, None),
        };
        let name = !host.is_empty()
            && host.len() <= 253
            && host.split('.').all(|label| {
                !label.is_empty()
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            });
        let ip6 = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
        let port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        if (name || ip6) && port { Ok(Self(text.to_ascii_lowercase().into())) } else { Err(invalid()) }
    }
}

impl fmt::Display for RegistryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
text_serde!(RegistryHost);

/// A repository in a registry, without tag or digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    host: RegistryHost,
    path: Arc<str>,
}

impl Repository {
    /// The repository `path` of `host`; path components are `[a-z0-9]+([._-]+[a-z0-9]+)*`.
    pub fn new(host: RegistryHost, path: &str) -> Result<Self, Invalid> {
        let component = |part: &str| {
            let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
            edge(part.bytes().next())
                && edge(part.bytes().last())
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        };
        if path.len() <= 255 && path.split('/').all(component) {
            Ok(Self { host, path: path.into() })
        } else {
            Err(Invalid::new(
                "repository",
                path,
                "lower-case letters, digits and inner . _ - in parts joined by /",
            ))
        }
    }

    /// The registry that holds it.
    pub fn host(&self) -> &RegistryHost {
        &self.host
    }

    /// Its name within the registry.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl FromStr for Repository {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (host, path) = text
            .split_once('/')
            .ok_or_else(|| Invalid::new("repository", text, "a registry's host, a slash and a path"))?;
        Self::new(host.parse()?, path)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}
text_serde!(Repository);

/// One exact image: what was resolved, is written to Git, and must run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Image {
    /// The repository by the name that the nodes pull from.
    pub repository: Repository,
    /// The version for people.
    pub tag: Tag,
    /// The version for machines; it alone decides what runs.
    pub digest: Digest,
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}@{}", self.repository, self.tag, self.digest)
    }
}

impl FromStr for Image {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("image", text, "REGISTRY/REPOSITORY:TAG@DIGEST");
        let (name, digest) = text.split_once('@').ok_or_else(invalid)?;
        let (repository, tag) = name.rsplit_once(':').ok_or_else(invalid)?;
        Ok(Self { repository: repository.parse()?, tag: tag.parse()?, digest: digest.parse()? })
    }
}
text_serde!(Image);
