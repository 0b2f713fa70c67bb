//! GitHub: packages of the Container registry, and pushes to Git.

use serde_json::Value;

use super::{Mention, Notice, is, text};

const GHCR: &str = "ghcr.io";

pub(super) fn read(message: &Value) -> Notice {
    let package = ["/package", "/registry_package"].into_iter().find_map(|place| message.pointer(place));
    match package {
        Some(package) => self::package(message, package),
        // Other events have a `ref` too, but only a push names a branch in full.
        None => Notice::of_push(text(message, "/ref")),
    }
}

fn package(message: &Value, package: &Value) -> Notice {
    let new = is(message, "/action", "published") || is(message, "/action", "updated");
    let container = ["container", "docker"]
        .into_iter()
        .any(|word| is(package, "/package_type", word) || is(package, "/ecosystem", word));
    if !new || !container {
        return Notice::default();
    }
    let version = "/package_version/container_metadata/tag";
    // The tag is empty for what has none, as the platforms of an index.
    let tag = text(package, &format!("{version}/name"));
    let digest =
        text(package, &format!("{version}/digest")).or_else(|| text(package, "/package_version/version"));
    // An Enterprise Server names its own registry here.
    let told = text(package, "/package_version/package_url")
        .and_then(|address| Mention::of_reference(&address.to_ascii_lowercase(), tag, digest));
    let owner = text(package, "/namespace").or_else(|| text(package, "/owner/login"));
    let named = owner.zip(text(package, "/name")).map(|(owner, name)| {
        // A nested name may stand with its owner or without.
        let path = format!("{}/{name}", owner.split('/').next().unwrap_or(owner)).to_ascii_lowercase();
        Mention::new(Some(GHCR), &path, tag, digest)
    });
    let mut mentions: Vec<Mention> = told.into_iter().chain(named).collect();
    mentions.dedup();
    Notice::about(mentions)
}
