//! GitLab and Gitea (with Forgejo): pushes to Git, and Gitea's container packages.

use serde_json::Value;

use super::{Mention, Notice, is, text};

/// Push hooks and system hooks. GitLab tells of no image; its registry does, as `distribution`.
pub(super) fn gitlab(message: &Value) -> Notice {
    if is(message, "/object_kind", "push") || is(message, "/event_name", "push") {
        Notice::of_push(text(message, "/ref"))
    } else {
        Notice::default()
    }
}

pub(super) fn gitea(message: &Value) -> Notice {
    let Some(package) = message.pointer("/package") else {
        return Notice::of_push(text(message, "/ref"));
    };
    if !is(package, "/type", "container") || !is(message, "/action", "created") {
        return Notice::default();
    }
    let owner = ["/owner/login", "/owner/username"].into_iter().find_map(|place| text(package, place));
    let named = owner.zip(text(package, "/name")).map(|(owner, name)| {
        let path = format!("{owner}/{name}").to_ascii_lowercase();
        // The version is a tag, or for what has none its digest; neither tells what a tag holds now.
        Mention::new(None, &path, None, None)
    });
    Notice::about(named)
}
