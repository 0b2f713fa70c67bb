//! Reads manifests and checks that they are what they claim (OCI Image Specification 1.1, docker schema 2).

use bytes::Bytes;
use oci_distribution::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE,
};
use serde::Deserialize;
use sha2::Digest as _;

use crate::model::{Digest, printable};

/// The largest manifest that registries must accept (OCI Distribution Specification 1.1, "Pushing Manifests").
pub const MANIFEST_LIMIT: usize = 4 * 1024 * 1024;

/// All media types that are asked for, always together: distribution answers 404 to a type that was not asked for.
pub const MANIFEST_TYPES: [&str; 4] = [
    OCI_IMAGE_INDEX_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE,
    IMAGE_MANIFEST_LIST_MEDIA_TYPE,
    IMAGE_MANIFEST_MEDIA_TYPE,
];

/// More children or layers than this are no image.
const ENTRY_LIMIT: usize = 1000;

/// A manifest or index whose bytes are what its digest says.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// One of [`MANIFEST_TYPES`].
    pub media_type: String,
    /// As the registry gave it; only these bytes have the digest.
    pub bytes: Bytes,
    /// Computed from the bytes.
    pub digest: Digest,
    /// What it points to.
    pub contents: Contents,
}

/// What a manifest points to. Either `children` or `config` and `layers` are given, never both.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Contents {
    #[serde(rename = "mediaType")]
    media_type: Option<String>,
    /// Manifests of an index, one per platform (or an attestation to one).
    #[serde(default, rename = "manifests", deserialize_with = "null_is_empty")]
    pub children: Vec<Descriptor>,
    /// The configuration of an image.
    #[serde(default)]
    pub config: Option<Descriptor>,
    /// The layers of an image, or the payload of an artifact.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one refers to.
    #[serde(default)]
    pub subject: Option<Descriptor>,
    /// What an artifact is, where the manifest says so.
    #[serde(default, rename = "artifactType")]
    pub artifact_type: Option<String>,
    /// Free text of the builder; foreign.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub annotations: std::collections::BTreeMap<String, String>,
}

/// A pointer to a manifest or blob.
#[derive(Debug, Clone, Deserialize)]
pub struct Descriptor {
    /// The kind of what is pointed to; foreign text.
    #[serde(rename = "mediaType", default)]
    pub media_type: String,
    /// Which content it is.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// For which machines it is.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// What an artifact is, where the descriptor says so.
    #[serde(default, rename = "artifactType")]
    pub artifact_type: Option<String>,
    /// Free text; foreign.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub annotations: std::collections::BTreeMap<String, String>,
}

/// The machines that a manifest is for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Platform {
    /// `linux`, `windows`; `unknown` for an attestation.
    #[serde(default)]
    pub os: String,
    /// `amd64`, `arm64`.
    #[serde(default)]
    pub architecture: String,
    /// `v7`, `v8`.
    #[serde(default)]
    pub variant: Option<String>,
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = format!("{}/{}", self.os, self.architecture);
        let variant = self.variant.as_ref().map_or_else(String::new, |variant| format!("/{variant}"));
        f.write_str(&printable(&format!("{words}{variant}"), 40))
    }
}

impl Descriptor {
    /// Whether registries may refuse to hold the content (a "foreign" layer), so that a copy leaves it out.
    pub fn is_nondistributable(&self) -> bool {
        self.media_type.contains(".foreign.") || self.media_type.contains(".nondistributable.")
    }
}

impl Manifest {
    /// Whether it lists other manifests.
    pub fn is_index(&self) -> bool {
        is_index(&self.media_type)
    }

    /// The blobs that it needs: the configuration and the layers, in this order.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.contents.config.iter().chain(&self.contents.layers)
    }
}

fn is_index(media_type: &str) -> bool {
    media_type == MANIFEST_TYPES[0] || media_type == MANIFEST_TYPES[2]
}

fn null_is_empty<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// A digest in the making, by the algorithm of the one that is expected.
pub(crate) enum Hash {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Hash {
    pub(crate) fn of(digest: &Digest) -> Self {
        if digest.as_str().starts_with("sha512:") {
            Self::Sha512(sha2::Sha512::new())
        } else {
            Self::Sha256(sha2::Sha256::new())
        }
    }

    pub(crate) fn update(&mut self, chunk: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(chunk),
            Self::Sha512(hash) => hash.update(chunk),
        }
    }

    pub(crate) fn finish(&mut self) -> String {
        match self {
            Self::Sha256(hash) => format!("sha256:{}", hex::encode(hash.finalize_reset())),
            Self::Sha512(hash) => format!("sha512:{}", hex::encode(hash.finalize_reset())),
        }
    }
}

/// Whether `content` has the digest; knows sha256 and sha512.
pub(crate) fn has_digest(content: &[u8], digest: &Digest) -> bool {
    match digest.as_str().split_once(':') {
        Some(("sha512", digits)) => hex::encode(sha2::Sha512::digest(content)) == digits,
        _ => Digest::of(content) == *digest,
    }
}

/// Checks one answer and reads it.
///
/// `wanted` is the digest that was asked for, `content_type` and `announced` (Docker-Content-Digest) are the registry's headers.
pub(crate) fn verify(
    bytes: Bytes,
    wanted: Option<&Digest>,
    content_type: Option<&str>,
    announced: Option<&str>,
) -> Result<Manifest, String> {
    if let Some(wanted) = wanted
        && !has_digest(&bytes, wanted)
    {
        return Err(format!("the body is {}, asked for was {wanted}", Digest::of(&bytes)));
    }
    if let Some(announced) = announced {
        let announced: Digest =
            announced.parse().map_err(|error| format!("Docker-Content-Digest: {error}"))?;
        if !has_digest(&bytes, &announced) {
            return Err(format!("Docker-Content-Digest is {announced}, the body is {}", Digest::of(&bytes)));
        }
    }
    let contents: Contents = serde_json::from_slice(&bytes)
        .map_err(|error| format!("not a manifest: {}", printable(&error.to_string(), 120)))?;
    let content_type = content_type
        .map(|value| value.split(';').next().unwrap_or_default().trim())
        .filter(|value| !value.is_empty() && *value != "application/json");
    let media_type = match (content_type, contents.media_type.as_deref()) {
        (Some(header), Some(body)) if header != body => {
            return Err(format!(
                "Content-Type is {}, mediaType is {}",
                printable(header, 80),
                printable(body, 80)
            ));
        }
        (Some(media_type), _) | (None, Some(media_type)) => media_type,
        (None, None) => return Err("neither Content-Type nor mediaType say what it is".to_owned()),
    };
    if !MANIFEST_TYPES.contains(&media_type) {
        return Err(format!("{} is no image manifest or index", printable(media_type, 80)));
    }
    let (list, image) =
        (!contents.children.is_empty(), contents.config.is_some() || !contents.layers.is_empty());
    if list && image {
        return Err("it has both manifests and layers".to_owned());
    }
    if is_index(media_type) == image || (!is_index(media_type) && contents.config.is_none()) {
        return Err(format!("its content does not fit {media_type}"));
    }
    if contents.children.len() > ENTRY_LIMIT || contents.layers.len() > ENTRY_LIMIT {
        return Err(format!("more than {ENTRY_LIMIT} entries"));
    }
    let digest = wanted.cloned().unwrap_or_else(|| Digest::of(&bytes));
    Ok(Manifest { media_type: media_type.to_owned(), digest, bytes, contents })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const IMAGE: &str = MANIFEST_TYPES[1];
    const INDEX: &str = MANIFEST_TYPES[0];

    fn descriptor(text: &str) -> serde_json::Value {
        serde_json::json!({"mediaType": "x", "digest": Digest::of(text.as_bytes()), "size": text.len()})
    }

    fn image() -> serde_json::Value {
        serde_json::json!({"schemaVersion": 2, "mediaType": IMAGE, "config": descriptor("c"), "layers": [descriptor("l")]})
    }

    fn check(body: &serde_json::Value, content_type: Option<&str>) -> Result<Manifest, String> {
        verify(body.to_string().into(), None, content_type, None)
    }

    #[test]
    fn a_good_image_and_index_are_read() {
        let manifest = check(&image(), Some(&format!("{IMAGE}; charset=utf-8"))).unwrap();
        assert!(!manifest.is_index());
        assert_eq!(manifest.blobs().count(), 2);
        let body = serde_json::json!({"manifests": [{"mediaType": IMAGE, "digest": Digest::of(b"m"), "size": 1,
            "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}}]});
        let index = check(&body, Some(INDEX)).unwrap();
        assert!(index.is_index());
        assert_eq!(index.contents.children[0].platform.as_ref().unwrap().architecture, "arm64");
        assert!(check(&serde_json::json!({"mediaType": INDEX, "manifests": []}), None).unwrap().is_index());
    }

    #[test]
    fn content_that_is_not_what_the_digest_says_is_rejected() {
        let (body, other) = (Bytes::from(image().to_string()), Digest::of(b"other"));
        let right = Digest::of(&body);
        assert!(verify(body.clone(), Some(&right), Some(IMAGE), Some(right.as_str())).is_ok());
        assert!(verify(body.clone(), Some(&other), Some(IMAGE), None).is_err());
        assert!(verify(body.clone(), Some(&right), Some(IMAGE), Some(other.as_str())).is_err());
        assert!(verify(body.clone(), None, Some(IMAGE), Some("sha256:xyz")).is_err());
        let sha512: Digest = format!("sha512:{}", hex::encode(sha2::Sha512::digest(&body))).parse().unwrap();
        assert_eq!(verify(body, Some(&sha512), Some(IMAGE), None).unwrap().digest, sha512);
    }

    #[test]
    fn confusing_manifests_are_rejected() {
        let mut both = image();
        both["manifests"] = serde_json::json!([descriptor("m")]);
        let schema1 = serde_json::json!({"schemaVersion": 1, "fsLayers": []});
        for (body, content_type) in [
            (image(), Some(INDEX)),
            (both, Some(IMAGE)),
            (schema1, Some("application/vnd.docker.distribution.manifest.v1+prettyjws")),
            (serde_json::json!({"layers": [descriptor("l")]}), Some(IMAGE)),
            (serde_json::json!({"config": descriptor("c")}), Some(INDEX)),
            (serde_json::json!({"config": descriptor("c")}), None),
            (serde_json::json!({"config": descriptor("c")}), Some("text/html")),
            (serde_json::json!({"config": {"digest": "sha256:../../x", "size": 1}}), Some(IMAGE)),
            (serde_json::json!({"config": {"digest": Digest::of(b""), "size": -1}}), Some(IMAGE)),
            (serde_json::json!([]), Some(IMAGE)),
        ] {
            assert!(check(&body, content_type).is_err(), "{body}");
        }
        assert!(verify(Bytes::from("[".repeat(100_000)), None, Some(IMAGE), None).is_err());
    }
}
