//! What one commit of ours does, and what it says about itself.

use std::fmt;
use std::str::FromStr;

use super::{EnvironmentName, Invalid};

/// A Git commit's full identifier: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct CommitId(String);

impl CommitId {
    /// The whole identifier.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first nine digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..9).unwrap_or(&self.0)
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for CommitId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if matches!(text.len(), 40 | 64) && text.bytes().all(lower_hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new("commit", text, "40 or 64 lower-case hexadecimal digits"))
        }
    }
}

impl<'de> serde::Deserialize<'de> for CommitId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Where a version came from: the `Promote-Source` trailer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A policy elected it among a registry's tags.
    Registry,
    /// It was built beside this process and pushed from there.
    Build,
    /// It was verified in an environment before this one.
    Promotion {
        /// The environment that verified it.
        from: EnvironmentName,
        /// The commit that brought it there.
        commit: CommitId,
    },
    /// It stood before a commit that failed.
    Rollback {
        /// The commit that is taken back.
        commit: CommitId,
    },
    /// A person asked for exactly this version.
    Manual,
}

impl Source {
    /// The word that metrics and JSON use: `registry`, `build`, `promotion`, `rollback` or `manual`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Build => "build",
            Self::Promotion { .. } => "promotion",
            Self::Rollback { .. } => "rollback",
            Self::Manual => "manual",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry | Self::Build | Self::Manual => f.write_str(self.kind()),
            Self::Promotion { from, commit } => write!(f, "promotion {from}@{commit}"),
            Self::Rollback { commit } => write!(f, "rollback {commit}"),
        }
    }
}

impl FromStr for Source {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.split_once(' ') {
            None if text == "registry" => Ok(Self::Registry),
            None if text == "build" => Ok(Self::Build),
            None if text == "manual" => Ok(Self::Manual),
            Some(("promotion", origin)) => {
                let (from, commit) = origin
                    .split_once('@')
                    .ok_or_else(|| Invalid::new("promotion source", text, "promotion ENV@COMMIT"))?;
                Ok(Self::Promotion { from: from.parse()?, commit: commit.parse()? })
            }
            Some(("rollback", commit)) => Ok(Self::Rollback { commit: commit.parse()? }),
            _ => Err(Invalid::new(
                "source",
                text,
                "registry, build, promotion ENV@COMMIT, rollback COMMIT or manual",
            )),
        }
    }
}

impl serde::Serialize for Source {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
