//! Tiny images, written straight to a registry: no container engine, and no time lost.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::http::request;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A repository of a registry of the bed.
pub(crate) struct Repository<'a> {
    /// `HOST:PORT`.
    pub(crate) host: &'a str,
    /// The path of the repository.
    pub(crate) name: &'a str,
    /// `USER:PASSWORD`, where the registry asks for one.
    pub(crate) credentials: Option<String>,
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

impl Repository<'_> {
    /// Sends one request below the repository; panics unless the answer is a success.
    fn send(&self, method: &str, url: &str, content_type: &str, body: &[u8]) -> super::Answer {
        let authorization = self.credentials.as_ref().map(|pair| format!("Basic {}", STANDARD.encode(pair)));
        let mut headers = vec![("Content-Type", content_type)];
        headers.extend(authorization.as_deref().map(|value| ("Authorization", value)));
        let answer =
            request(method, url, &headers, body).unwrap_or_else(|error| panic!("{method} {url}: {error}"));
        assert!(answer.status < 300, "{method} {url}: {} {}", answer.status, answer.text());
        answer
    }

    fn url(&self, rest: &str) -> String {
        format!("http://{}/v2/{}/{rest}", self.host, self.name)
    }

    /// Pushes a blob; returns its digest.
    pub(crate) fn push_blob(&self, content: &[u8]) -> String {
        let begun = self.send("POST", &self.url("blobs/uploads/"), "application/octet-stream", b"");
        let place = begun.header("location").expect("an upload has a place");
        let place =
            if place.starts_with('/') { format!("http://{}{place}", self.host) } else { place.to_owned() };
        let digest = digest(content);
        let separator = if place.contains('?') { '&' } else { '?' };
        self.send("PUT", &format!("{place}{separator}digest={digest}"), "application/octet-stream", content);
        digest
    }

    /// Pushes a manifest under a tag or, with none, under its digest; returns the digest.
    pub(crate) fn push_manifest(&self, manifest: &Value, tag: Option<&str>) -> String {
        let content = manifest.to_string().into_bytes();
        let digest = digest(&content);
        let content_type = manifest["mediaType"].as_str().expect("a manifest says what it is");
        self.send("PUT", &self.url(&format!("manifests/{}", tag.unwrap_or(&digest))), content_type, &content);
        digest
    }

    /// The digest that a tag stands for.
    pub(crate) fn resolve(&self, reference: &str) -> Option<String> {
        let authorization = self.credentials.as_ref().map(|pair| format!("Basic {}", STANDARD.encode(pair)));
        let accept = format!("{MANIFEST}, {INDEX}");
        let mut headers = vec![("Accept", accept.as_str())];
        headers.extend(authorization.as_deref().map(|value| ("Authorization", value)));
        let answer = request("HEAD", &self.url(&format!("manifests/{reference}")), &headers, b"").ok()?;
        answer.header("docker-content-digest").filter(|_| answer.status == 200).map(str::to_owned)
    }

    /// The digests of the manifests that an index names.
    pub(crate) fn platforms(&self, reference: &str) -> Vec<String> {
        let answer = request("GET", &self.url(&format!("manifests/{reference}")), &[("Accept", INDEX)], b"");
        let index: Value =
            serde_json::from_slice(&answer.expect("an answer").body).expect("an index is JSON");
        let manifests = index["manifests"].as_array().expect("an index names manifests");
        manifests.iter().filter_map(|manifest| manifest["digest"].as_str().map(str::to_owned)).collect()
    }

    /// Takes the manifest of that digest away, and with it every tag that stands for it.
    pub(crate) fn delete(&self, digest: &str) {
        self.send("DELETE", &self.url(&format!("manifests/{digest}")), "", b"");
    }

    /// Pushes an image for one platform that differs from every image of another `identity`.
    fn image(&self, identity: &str, architecture: &str, tag: Option<&str>) -> Value {
        self.image_of(identity, architecture, "2026-01-01T00:00:00Z", tag)
    }

    /// The same, built at `created`.
    fn image_of(&self, identity: &str, architecture: &str, created: &str, tag: Option<&str>) -> Value {
        let layer = format!("{identity} {architecture}").into_bytes();
        // The layer is no archive: nothing in the bed unpacks it.
        let layer_digest = self.push_blob(&layer);
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "created": created,
            "config": {"Labels": {"org.opencontainers.image.title": identity}},
            "rootfs": {"type": "layers", "diff_ids": [&layer_digest]},
        })
        .to_string()
        .into_bytes();
        let config_digest = self.push_blob(&config);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": config_digest,
                "size": config.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": layer_digest,
                "size": layer.len(),
            }],
        });
        let size = manifest.to_string().len();
        let digest = self.push_manifest(&manifest, tag);
        json!({
            "mediaType": MANIFEST,
            "digest": digest,
            "size": size,
            "platform": {"os": "linux", "architecture": architecture},
        })
    }

    /// Pushes an image for `linux/amd64`; returns the digest of its manifest.
    pub(crate) fn push_image(&self, identity: &str, tag: &str) -> String {
        self.image(identity, "amd64", Some(tag))["digest"].as_str().expect("a digest").to_owned()
    }

    /// Pushes an image for another architecture.
    pub(crate) fn push_image_for(&self, identity: &str, tag: &str, architecture: &str) {
        self.image(identity, architecture, Some(tag));
    }

    /// Pushes an image for `linux/amd64` that says it was built at `created`; returns the digest of its manifest.
    pub(crate) fn push_image_built(&self, identity: &str, tag: &str, created: &str) -> String {
        self.image_of(identity, "amd64", created, Some(tag))["digest"].as_str().expect("a digest").to_owned()
    }

    /// Pushes an index whose images were built at these times, for `linux/amd64` and `linux/arm64`; returns its digest.
    pub(crate) fn push_index_built(&self, identity: &str, tag: &str, created: [&str; 2]) -> String {
        let [amd64, arm64] = created;
        let images =
            [self.image_of(identity, "amd64", amd64, None), self.image_of(identity, "arm64", arm64, None)];
        self.push_manifest(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": images}), Some(tag))
    }

    /// Pushes what `helm push` makes of a chart; returns the digest.
    pub(crate) fn push_chart(&self, identity: &str, tag: &str) -> String {
        let blob = |media_type: &str, content: String| json!({"mediaType": media_type, "digest": self.push_blob(content.as_bytes()), "size": content.len()});
        let config = blob("application/vnd.cncf.helm.config.v1+json", json!({"name": identity}).to_string());
        let layer =
            blob("application/vnd.cncf.helm.chart.content.v1.tar+gzip", format!("chart of {identity}"));
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        self.push_manifest(&manifest, Some(tag))
    }

    /// Pushes one image under many tags, with one request for each.
    pub(crate) fn push_tags(&self, identity: &str, tags: &[String]) {
        let Some((first, others)) = tags.split_first() else { return };
        self.push_image(identity, first);
        let answer = request("GET", &self.url(&format!("manifests/{first}")), &[("Accept", MANIFEST)], b"");
        let manifest = answer.expect("an answer").body;
        for tag in others {
            self.send("PUT", &self.url(&format!("manifests/{tag}")), MANIFEST, &manifest);
        }
    }

    /// Pushes an index with images for `linux/amd64` and `linux/arm64`; returns the digest of the index.
    pub(crate) fn push_multiarch_image(&self, identity: &str, tag: &str) -> String {
        let images = [self.image(identity, "amd64", None), self.image(identity, "arm64", None)];
        self.push_manifest(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": images}), Some(tag))
    }
}
