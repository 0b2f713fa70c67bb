//! `markers`: which setter comments of Flux carry which image of an app.

use std::collections::BTreeMap;

use crate::model::ImageName;

use super::app::ImageDraft;
use super::mask::shown;
use super::nearest::nearest;
use super::problem::Findings;
use super::read::Value;

/// How setter comments name the images of an app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Markers {
    /// By `NAMESPACE:POLICY`, as it was written.
    policies: BTreeMap<String, ImageName>,
    /// By the last part of the image's name, for images that are not among `policies`.
    names: BTreeMap<String, ImageName>,
}

impl Markers {
    /// The image that the policy (`NAMESPACE:POLICY`) of a setter comment stands for.
    pub fn image(&self, policy: &str) -> Option<&ImageName> {
        let (_, name) = policy.split_once(':')?;
        self.policies.get(policy).or_else(|| self.names.get(name))
    }

    /// The policies that promote.yaml names, with their images.
    pub fn named(&self) -> impl Iterator<Item = (&str, &ImageName)> {
        self.policies.iter().map(|(policy, image)| (policy.as_str(), image))
    }
}

/// `true` or a mapping; none for `false`, and where nothing can be made of it.
pub(super) fn markers(
    value: &Value<'_>,
    images: &[ImageDraft<'_>],
    findings: &mut Findings,
) -> Option<Markers> {
    let mut markers = Markers::default();
    if value.is_mapping() {
        let entries = value.entries(findings)?;
        if entries.is_empty() {
            value.problem(findings, "has no policy; write true, or {\"NAMESPACE:POLICY\": IMAGE}");
        }
        for entry in entries {
            let policy = policy(entry.name).map_err(|words| entry.key.problem(findings, words)).ok();
            let image = entry.value.legal(|text| image(text, images), findings);
            if let (Some(policy), Some(image)) = (policy, image) {
                markers.policies.insert(policy, image);
            }
        }
    } else if !value.boolean(findings)? {
        return None;
    }
    for image in images.iter().map(|draft| &draft.name) {
        if markers.policies.values().any(|named| named == image) {
            continue;
        }
        let name = image.as_str().rsplit('/').next().unwrap_or_default();
        if let Some(other) = markers.names.insert(name.to_owned(), image.clone()) {
            value.problem(
                findings,
                format!(
                    "a marker that names \"{name}\" could mean {other} or {image}; name their policies, like \
                     {{\"flux-system:{name}\": {image}}}"
                ),
            );
        }
    }
    Some(markers)
}

/// `NAMESPACE:NAME` of an `ImagePolicy`.
fn policy(text: &str) -> Result<String, String> {
    let legal = |part: &str| {
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
        let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        part.len() <= 253
            && part.bytes().all(allowed)
            && edge(part.bytes().next())
            && edge(part.bytes().last())
    };
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [namespace, name] if legal(namespace) && legal(name) => Ok(text.to_owned()),
        [namespace, name, "tag" | "name" | "digest"] if legal(namespace) && legal(name) => Err(format!(
            "names a part of the image (got \"{}\"); write \"{namespace}:{name}\", which stands for all its parts",
            shown(text)
        )),
        _ => Err(format!(
            "not the namespace and name of an ImagePolicy (got \"{}\"); write it like \"flux-system:web\"",
            shown(text)
        )),
    }
}

fn image(text: &str, images: &[ImageDraft<'_>]) -> Result<ImageName, String> {
    if let Some(draft) = images.iter().find(|draft| draft.name.as_str() == text) {
        return Ok(draft.name.clone());
    }
    let got = shown(text);
    let known = images.iter().map(|draft| draft.name.as_str());
    if let Some(near) = nearest(text, known.clone()) {
        return Err(format!("no such image of this app (got \"{got}\"); did you mean \"{near}\"?"));
    }
    let known: Vec<&str> = known.take(10).collect();
    Err(format!("no such image of this app (got \"{got}\"); known here: {}", known.join(", ")))
}
