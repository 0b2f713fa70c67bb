//! The notifications of `distribution`, the registry that many others are made of.

use serde_json::Value;

use super::{Mention, Notice, is, items, text};
use crate::discover::MANIFEST_TYPES;

/// Manifests of the first schema, which old registries still take.
const OLD_TYPES: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];

/// An envelope of events. Our own looks come back as `pull`, and each layer as a `push` of its own.
pub(super) fn read(message: &Value) -> Notice {
    let pushed = items(message, "/events").filter(|event| {
        let media_type = text(event, "/target/mediaType").unwrap_or_default();
        is(event, "/action", "push")
            && (MANIFEST_TYPES.contains(&media_type) || OLD_TYPES.contains(&media_type))
    });
    Notice::about(pushed.filter_map(|event| {
        let path = text(event, "/target/repository")?;
        let (tag, digest) = (text(event, "/target/tag"), text(event, "/target/digest"));
        Some(Mention::new(text(event, "/request/host"), path, tag, digest))
    }))
}
