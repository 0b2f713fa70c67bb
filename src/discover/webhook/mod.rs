//! Webhooks: a message from outside → which configured repositories to look at again.
//!
//! In: what a receiver was configured with, headers, a body. Out: whether the message is proved ([`Claim`]), and what it
//! tells ([`Notice`]). A notice names places to look at and nothing else: no tag, digest or address of a message is ever
//! used for anything but to recognise a repetition. Nothing here touches the outside but [`keys`], which fetches Google's.

pub mod bucket;
mod clouds;
mod distribution;
mod forges;
mod generic;
mod github;
pub mod google;
mod harbor;
mod hubs;
pub mod keys;
mod places;
mod proof;
pub mod recent;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::Value;

use crate::config::ReceiverKind;

pub use places::Places;
pub use proof::{Claim, Refusal, Secret};

/// The largest body that is read, in bytes. GitHub's own limit is 25 MiB, but its messages about packages have kilobytes.
pub const BODY_LIMIT: usize = 1024 * 1024;

/// What a message tells.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Repositories with something new.
    pub mentions: Vec<Mention>,
    /// Everything is to be looked at.
    pub everything: bool,
    /// Branches of Git that moved, without `refs/heads/`.
    pub branches: Vec<String>,
    /// What the sender calls this delivery, where it stands in the body.
    pub delivery: Option<String>,
}

/// A repository, as a sender names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// `host[:port]`, by the sender's name for it, if it told one.
    pub host: Option<String>,
    /// The path within the registry.
    pub path: String,
    /// Tag and digest, to recognise a repetition by; none where the sender told no digest.
    pub content: Option<String>,
}

/// A proved message that can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not JSON, or not within a form either.
    #[error("not JSON")]
    Json,
    /// JSON, but no object.
    #[error("not a JSON object")]
    Shape,
}

/// Reads a message that was proved. What it does not understand it leaves out.
pub fn read(kind: ReceiverKind, headers: &HeaderMap, body: &[u8]) -> Result<Notice, Malformed> {
    if kind == ReceiverKind::GenericHmac && body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Notice { everything: true, ..Notice::default() });
    }
    let body = json_of(headers, body);
    let message: Value = serde_json::from_slice(&body).map_err(|_| Malformed::Json)?;
    if !message.is_object() {
        return Err(Malformed::Shape);
    }
    Ok(match kind {
        ReceiverKind::Github => github::read(&message),
        ReceiverKind::Gitlab => forges::gitlab(&message),
        ReceiverKind::Gitea => forges::gitea(&message),
        ReceiverKind::Harbor => harbor::read(&message),
        ReceiverKind::Quay => hubs::quay(&message),
        ReceiverKind::Dockerhub => hubs::dockerhub(&message),
        ReceiverKind::Distribution => distribution::read(&message),
        ReceiverKind::Ecr => clouds::ecr(&message),
        ReceiverKind::Acr => clouds::acr(&message),
        ReceiverKind::Gcr => clouds::gcr(&message),
        ReceiverKind::GenericHmac => generic::read(&message),
    })
}

/// What the sender calls this delivery in its headers.
pub fn delivery(kind: ReceiverKind, headers: &HeaderMap) -> Option<&str> {
    let name = match kind {
        ReceiverKind::Github => "x-github-delivery",
        // Its event's UUID is shared by events that follow from one another.
        ReceiverKind::Gitlab => "idempotency-key",
        ReceiverKind::Gitea => "x-gitea-delivery",
        _ => return None,
    };
    headers.get(name)?.to_str().ok().filter(|id| (1..=200).contains(&id.len()))
}

/// The JSON of a body. GitHub and Gitea can also send it as a form's `payload`, which is GitHub's own default.
fn json_of<'b>(headers: &HeaderMap, body: &'b [u8]) -> Cow<'b, [u8]> {
    let form = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
    if !form {
        return Cow::Borrowed(body);
    }
    let payload = url::form_urlencoded::parse(body).find(|(name, _)| name == "payload");
    payload.map_or(Cow::Borrowed(body), |(_, value)| Cow::Owned(value.into_owned().into_bytes()))
}

/// The text at a place (RFC 6901) of a message; empty text is none.
fn text<'m>(message: &'m Value, pointer: &str) -> Option<&'m str> {
    message.pointer(pointer)?.as_str().filter(|text| !text.is_empty())
}

/// The items of a list at a place of a message.
fn items<'m>(message: &'m Value, pointer: &str) -> std::slice::Iter<'m, Value> {
    message.pointer(pointer).and_then(Value::as_array).map_or(&[][..], Vec::as_slice).iter()
}

/// Whether the text at a place is this word, in any letter case.
fn is(message: &Value, pointer: &str, word: &str) -> bool {
    text(message, pointer).is_some_and(|text| text.eq_ignore_ascii_case(word))
}

impl Notice {
    fn about(mentions: impl IntoIterator<Item = Mention>) -> Self {
        Self { mentions: mentions.into_iter().collect(), ..Self::default() }
    }

    /// A push to Git: the branch that moved, nothing for a tag.
    fn of_push(reference: Option<&str>) -> Self {
        let branch = reference.and_then(|reference| reference.strip_prefix("refs/heads/"));
        Self { branches: branch.map(str::to_owned).into_iter().collect(), ..Self::default() }
    }
}

impl Mention {
    fn new(host: Option<&str>, path: &str, tag: Option<&str>, digest: Option<&str>) -> Self {
        let content = digest.map(|digest| format!("{}@{digest}", tag.unwrap_or_default()));
        Self { host: host.map(str::to_ascii_lowercase), path: path.to_owned(), content }
    }

    /// From `host/path[:tag][@digest]`, perhaps with a scheme in front.
    fn of_reference(reference: &str, tag: Option<&str>, digest: Option<&str>) -> Option<Self> {
        let bare = reference.split_once("://").map_or(reference, |(_, rest)| rest);
        let (host, rest) = bare.split_once('/')?;
        let name = rest.split('@').next().unwrap_or(rest);
        let path = name.rsplit_once(':').map_or(name, |(path, _)| path);
        (!host.is_empty() && !path.is_empty()).then(|| Self::new(Some(host), path, tag, digest))
    }
}
