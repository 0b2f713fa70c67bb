//! Quay and Docker Hub, whose messages only an unguessable address proves.

use serde_json::Value;

use super::{Mention, Notice, text};

/// Of Quay's events only a push has `updated_tags`: a list, in old releases a mapping to their digests.
pub(super) fn quay(message: &Value) -> Notice {
    let pushed = match message.pointer("/updated_tags") {
        Some(Value::Array(tags)) => !tags.is_empty(),
        Some(Value::Object(tags)) => !tags.is_empty(),
        _ => false,
    };
    if !pushed {
        return Notice::default();
    }
    let told = text(message, "/docker_url").and_then(|address| Mention::of_reference(address, None, None));
    let named = text(message, "/repository").map(|path| Mention::new(None, path, None, None));
    Notice::about(told.or(named))
}

/// Whatever stands in `callback_url` is not looked at.
pub(super) fn dockerhub(message: &Value) -> Notice {
    if message.pointer("/push_data").is_none() {
        return Notice::default();
    }
    let path = text(message, "/repository/repo_name");
    Notice::about(path.map(|path| Mention::new(Some("docker.io"), path, None, None)))
}
