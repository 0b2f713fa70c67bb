//! What people and rollbacks decided about one app in one environment: `.promote/ENV/APP.yaml`.

use std::fmt;

use jiff::Timestamp;
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer};

use super::tree::Tree;
use super::{EditError, check, text_of};
use crate::model::{CommitId, Digest, Tag, printable};

/// The whole file. Without a file, nothing is held, quarantined or approved: the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Set while no version may move.
    #[serde(default, deserialize_with = "present")]
    pub hold: Option<Hold>,
    /// The versions that are never elected again.
    #[serde(default, deserialize_with = "list")]
    pub quarantine: Vec<Quarantined>,
    /// The approvals that were given.
    #[serde(default, deserialize_with = "list")]
    pub approvals: Vec<Approval>,
    /// What no longer stands in the way of an election, though the history says it does.
    #[serde(default)]
    pub released: Option<Released>,
}

/// Keeps an app where it is. An empty one (`hold: {}`, or `hold:` alone) holds, too.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Why, in a person's words.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who holds it.
    #[serde(default)]
    pub by: Option<String>,
    /// When the hold ends by itself (RFC 3339); without it, never.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// The image that was put back when the hold began.
    #[serde(default)]
    pub image: Option<String>,
}

/// A person's word that elections go on from what a commit brought: what people took away with it or before it may come
/// again, and what the policy cannot order against it no longer stands in the way.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Released {
    /// The commit that brought what stood there when it was released.
    pub commit: CommitId,
    /// Why, in a person's words.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who released it.
    #[serde(default)]
    pub by: Option<String>,
    /// When.
    #[serde(default)]
    pub at: Option<Timestamp>,
}

/// A version that is never elected again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The version.
    pub digest: Digest,
    /// The version for people.
    pub tag: Option<Tag>,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub at: Option<Timestamp>,
}

/// A person's approval of a version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The version.
    pub digest: Digest,
    /// Who approved.
    #[serde(default)]
    pub by: Option<String>,
    /// When.
    #[serde(default)]
    pub at: Option<Timestamp>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

impl Record {
    /// Whether it says nothing, so that the file may go.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The hold that is in force: one whose time is over holds nothing.
    pub fn held(&self, now: Timestamp) -> Option<&Hold> {
        self.hold.as_ref().filter(|hold| hold.until.is_none_or(|until| now < until))
    }

    /// Reads the file; one without any value is the empty record. Unknown keys, values of the wrong form and a second
    /// document are errors with their line.
    pub fn parse(text: &[u8]) -> Result<Self, EditError> {
        let text = text_of(text)?;
        Self::of(&Tree::parse(text)?)
    }

    /// The record in a file that passed the limits of [`Tree::parse`].
    pub(super) fn of(tree: &Tree<'_>) -> Result<Self, EditError> {
        let record: Option<Self> =
            serde_yaml::from_str(check::unmarked(tree.text)).map_err(|error| check::unparsable(&error))?;
        Ok(record.unwrap_or_default())
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (by, reason) = (self.by.as_deref(), self.reason.as_deref());
        write!(
            f,
            "held by {}: {}",
            printable(by.unwrap_or("somebody"), 200),
            printable(reason.unwrap_or("no reason given"), 300)
        )?;
        match self.until {
            Some(until) => write!(f, " (until {until:.0})"),
            None => Ok(()),
        }
    }
}

/// Somebody who wrote only `hold:` meant to hold: as an option it would read as none.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Hold>, D::Error> {
    Hold::deserialize(from).map(Some)
}

/// A list; nothing at all is an empty one.
fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Option::<Vec<T>>::deserialize(from).map(Option::unwrap_or_default)
}

impl<'de> Deserialize<'de> for Quarantined {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            digest: Digest,
            #[serde(default)]
            tag: Option<Tag>,
            #[serde(default)]
            reason: Option<String>,
            #[serde(default)]
            at: Option<Timestamp>,
        }

        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Quarantined;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a digest, or a mapping with `digest` and maybe `tag`, `reason` and `at`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Quarantined, E> {
                let digest = text.parse().map_err(E::custom)?;
                Ok(Quarantined { digest, tag: None, reason: None, at: None })
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Quarantined, A::Error> {
                let Fields { digest, tag, reason, at } =
                    Fields::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Quarantined { digest, tag, reason, at })
            }
        }

        from.deserialize_any(Visitor)
    }
}
