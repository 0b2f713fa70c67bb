//! What an image is: whether it can run at all, for which machines, and when it was built.

use futures::future::try_join_all;
use jiff::Timestamp;
use serde::Deserialize;

use super::registry::{CALL_DEADLINE, within};
use super::{Contents, Descriptor, DiscoverError, Manifest, Platform, Reference, Registries};
use crate::model::{Digest, Repository, printable};

/// A configuration is small; the largest that is read.
const CONFIG_LIMIT: usize = 4 * 1024 * 1024;
/// Platforms of one index that are looked at; no image is for more.
const PLATFORM_LIMIT: usize = 32;
/// How many of them at the same time.
const AT_ONCE: usize = 4;

/// The configurations of what a node can run.
const RUNNABLE: [&str; 3] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.wasm.config.v0+json",
];
/// What the layers of signatures and attestations are called.
const ATTACHED: [&str; 3] = ["in-toto", "cosign", "dsse"];

/// How much is asked; each further one costs more requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Whether it is an image: the manifest.
    Kind,
    /// For which machines: the manifest, and where that does not tell, the configuration. Of an index what is there: it may
    /// name platforms that were not pushed yet, or never.
    Platforms,
    /// When it was built: the configuration of every platform.
    Created,
}

/// What is known of one manifest or index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// How much was asked.
    pub depth: Depth,
    /// What it is instead, if it is no image.
    pub other: Option<String>,
    /// The machines that it is for.
    pub platforms: Vec<Platform>,
    /// When it was built, of an index the latest; foreign, and at most as true as who built it.
    pub created: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(flatten)]
    platform: Platform,
    #[serde(default)]
    created: Option<String>,
}

impl Registries {
    /// What the image of this digest is; costs one pull for the manifest, and where `depth` needs
    /// them one for each platform.
    pub async fn facts(
        &self,
        repository: &Repository,
        digest: &Digest,
        depth: Depth,
    ) -> Result<Facts, DiscoverError> {
        let what = format!("{repository}@{digest}");
        within(CALL_DEADLINE, repository.host(), &what, async {
            let manifest = self.manifest(repository, Reference::Digest(digest)).await?;
            let mut facts =
                Facts { depth, other: not_an_image(&manifest), platforms: Vec::new(), created: None };
            if facts.other.is_some() {
                return Ok(facts);
            }
            let children: Vec<&Descriptor> =
                manifest.contents.children.iter().filter(|child| !is_attestation(child)).collect();
            if depth >= Depth::Platforms && !manifest.is_index() {
                let configuration = self.configuration(repository, &manifest.contents).await?;
                facts.created = configuration.as_ref().and_then(created);
                facts.platforms.extend(configuration.map(|configuration| configuration.platform));
            }
            if depth >= Depth::Platforms {
                let children: Vec<&Descriptor> = children.into_iter().take(PLATFORM_LIMIT).collect();
                for some in children.chunks(AT_ONCE) {
                    let looks = some.iter().map(|child| self.child(repository, child, depth));
                    for (platform, created) in try_join_all(looks).await?.into_iter().flatten() {
                        facts.platforms.push(platform);
                        facts.created = facts.created.max(created);
                    }
                }
            }
            Ok(facts)
        })
        .await
    }

    /// The machines that a child of an index is for and when it was built, if that is asked; none where it is not there.
    ///
    /// What the index says about a platform is believed, as nodes believe it: they pull by it.
    async fn child(
        &self,
        repository: &Repository,
        child: &Descriptor,
        depth: Depth,
    ) -> Result<Option<(Platform, Option<Timestamp>)>, DiscoverError> {
        if let Some(named) = platform(child).filter(|_| depth < Depth::Created) {
            // Costs no pull.
            return Ok(self.has(repository, &child.digest).await?.then(|| (named.clone(), None)));
        }
        let manifest = match self.manifest(repository, Reference::Digest(&child.digest)).await {
            Err(DiscoverError::NotFound { .. }) => return Ok(None),
            answer => answer?,
        };
        let configuration = self.configuration(repository, &manifest.contents).await?;
        let created = configuration.as_ref().and_then(created);
        let named = platform(child).cloned().or(configuration.map(|configuration| configuration.platform));
        Ok(named.map(|platform| (platform, created)))
    }

    /// The configuration of one platform; none where it is no JSON of the right form.
    async fn configuration(
        &self,
        repository: &Repository,
        contents: &Contents,
    ) -> Result<Option<Configuration>, DiscoverError> {
        let Some(config) = contents.config.as_ref().filter(|config| is_runnable(config)) else {
            return Ok(None);
        };
        let bytes = self.blob(repository, config, CONFIG_LIMIT).await?;
        Ok(serde_json::from_slice(&bytes).ok())
    }
}

fn created(configuration: &Configuration) -> Option<Timestamp> {
    configuration.created.as_deref()?.parse().ok()
}

/// The machines that an index says a child is for.
fn platform(child: &Descriptor) -> Option<&Platform> {
    child.platform.as_ref().filter(|platform| !platform.os.is_empty() && !platform.architecture.is_empty())
}

/// Whether a child of an index only attests something to another one (as `BuildKit` writes it).
fn is_attestation(child: &Descriptor) -> bool {
    child.annotations.contains_key("vnd.docker.reference.type")
        || child
            .platform
            .as_ref()
            .is_some_and(|platform| platform.os == "unknown" && platform.architecture == "unknown")
}

fn is_runnable(config: &Descriptor) -> bool {
    RUNNABLE.contains(&config.media_type.as_str())
}

/// What a manifest is, if no node can run it.
fn not_an_image(manifest: &Manifest) -> Option<String> {
    let contents = &manifest.contents;
    if manifest.is_index() {
        let empty = contents.children.iter().all(is_attestation);
        return empty.then(|| "an index without an image".to_owned());
    }
    let config = contents.config.as_ref()?;
    if config.media_type.contains("helm") {
        return Some("a Helm chart".to_owned());
    }
    if !is_runnable(config) {
        let kind = contents.artifact_type.as_deref().unwrap_or(&config.media_type);
        return Some(format!("an artifact of the type {}", printable(kind, 80)));
    }
    let attached = |layer: &Descriptor| ATTACHED.iter().any(|name| layer.media_type.contains(name));
    let only = !contents.layers.is_empty() && contents.layers.iter().all(attached);
    only.then(|| "a signature or an attestation".to_owned())
}
