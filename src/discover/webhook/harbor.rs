//! Harbor: its own format and `CloudEvents`.

use serde_json::Value;

use super::{Mention, Notice, is, items, text};

pub(super) fn read(message: &Value) -> Notice {
    let (event, pushed) = match message.pointer("/specversion") {
        Some(_) => ("/data", is(message, "/type", "harbor.artifact.pushed")),
        None => ("/event_data", is(message, "/type", "PUSH_ARTIFACT")),
    };
    if !pushed {
        return Notice::default();
    }
    let path = text(message, &format!("{event}/repository/repo_full_name"));
    let mentions = items(message, &format!("{event}/resources")).filter_map(|resource| {
        let (tag, digest) = (text(resource, "/tag"), text(resource, "/digest"));
        let told = text(resource, "/resource_url").and_then(|at| Mention::of_reference(at, tag, digest));
        match path {
            // The address may have a name that only Harbor itself knows, and a proxy's path in front.
            Some(path) => {
                let host = told.and_then(|told| told.host);
                Some(Mention::new(host.as_deref(), path, tag, digest))
            }
            None => told,
        }
    });
    let delivery = text(message, "/id").map(str::to_owned);
    Notice { delivery, ..Notice::about(mentions) }
}
