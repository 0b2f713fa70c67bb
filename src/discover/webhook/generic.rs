//! `generic-hmac`: our own small format, for scripts and for senders that can sign.
//!
//! `{"repository": "HOST/PATH or PATH"}`, `{"repositories": [...]}`, `{"branch": "main"}`, or several of them at once. An
//! empty body means everything.

use serde_json::Value;

use super::{Mention, Notice, items, text};

pub(super) fn read(message: &Value) -> Notice {
    let names = text(message, "/repository")
        .into_iter()
        .chain(items(message, "/repositories").filter_map(Value::as_str));
    let mentions = names.filter_map(|name| match name.split_once('/') {
        // The rule of Docker's reference grammar for what is a host and what a folder.
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => {
            Mention::of_reference(name, None, None)
        }
        _ => Some(Mention::new(None, name, None, None)),
    });
    let branch = text(message, "/branch").map(|branch| branch.strip_prefix("refs/heads/").unwrap_or(branch));
    let of_push = Notice::of_push(text(message, "/ref"));
    Notice {
        mentions: mentions.collect(),
        branches: branch.map(str::to_owned).into_iter().chain(of_push.branches).collect(),
        delivery: text(message, "/id").map(str::to_owned),
        everything: false,
    }
}
