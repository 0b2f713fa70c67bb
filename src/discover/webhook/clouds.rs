//! The registries of the clouds: ECR over `EventBridge`, ACR, Artifact Registry over Pub/Sub.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Mention, Notice, is, text};

/// The event names account and region; the registry's name follows from them, in one of the forms that ECR answers to.
pub(super) fn ecr(message: &Value) -> Notice {
    let pushed = is(message, "/source", "aws.ecr")
        && is(message, "/detail/action-type", "PUSH")
        && is(message, "/detail/result", "SUCCESS");
    let place = text(message, "/account").zip(text(message, "/region"));
    let (Some((account, region)), Some(path), true) =
        (place, text(message, "/detail/repository-name"), pushed)
    else {
        return Notice::default();
    };
    let (tag, digest) = (text(message, "/detail/image-tag"), text(message, "/detail/image-digest"));
    let (suffix, dual) = if region.starts_with("cn-") {
        ("amazonaws.com.cn", "on.amazonwebservices.com.cn")
    } else {
        ("amazonaws.com", "on.aws")
    };
    let hosts = [
        format!("{account}.dkr.ecr.{region}.{suffix}"),
        format!("{account}.dkr.ecr-fips.{region}.{suffix}"),
        format!("{account}.dkr-ecr.{region}.{dual}"),
        format!("{account}.dkr-ecr-fips.{region}.{dual}"),
    ];
    let mentions = hosts.iter().map(|host| Mention::new(Some(host), path, tag, digest));
    Notice { delivery: text(message, "/id").map(str::to_owned), ..Notice::about(mentions) }
}

pub(super) fn acr(message: &Value) -> Notice {
    if !is(message, "/action", "push") {
        return Notice::default();
    }
    let (tag, digest) = (text(message, "/target/tag"), text(message, "/target/digest"));
    let named = text(message, "/request/host").zip(text(message, "/target/repository"));
    let mention = named.map(|(host, path)| Mention::new(Some(host), path, tag, digest));
    Notice { delivery: text(message, "/id").map(str::to_owned), ..Notice::about(mention) }
}

/// A push subscription's envelope, or with payload unwrapping its content alone.
pub(super) fn gcr(message: &Value) -> Notice {
    let delivery =
        ["/message/messageId", "/message/message_id"].into_iter().find_map(|place| text(message, place));
    let inner = text(message, "/message/data")
        .and_then(|data| STANDARD.decode(data).ok())
        .and_then(|data| serde_json::from_slice::<Value>(&data).ok());
    let event = inner.as_ref().unwrap_or(message);
    if !is(event, "/action", "INSERT") {
        return Notice::default();
    }
    let (digest, tag) = (text(event, "/digest"), text(event, "/tag"));
    let mention = digest.or(tag).and_then(|reference| Mention::of_reference(reference, tag, digest));
    Notice { delivery: delivery.map(str::to_owned), ..Notice::about(mention) }
}
