//! Finds all manifests that make up an image, and all that refer to any of them.

use std::collections::{BTreeSet, VecDeque};

use futures::{StreamExt as _, TryStreamExt as _};

use super::{TransferError, patiently};
use crate::discover::{DiscoverError, Manifest, Reference, Registries};
use crate::model::{Digest, Repository, Tag};

const MANIFEST_LIMIT: usize = 500;
/// An index in an index in an index; deeper ones are not built by anybody.
const DEPTH_LIMIT: usize = 4;
const PARALLEL_QUESTIONS: usize = 4;

/// An image with its relatives.
pub(super) struct Family {
    /// The image itself; also in `manifests`.
    pub(super) root: Manifest,
    /// In the order to write them: what is pointed to comes before what points to it.
    pub(super) manifests: Vec<Manifest>,
    /// Tags that attach something to a digest.
    pub(super) tags: Vec<(Tag, Digest)>,
    pub(super) notices: Vec<String>,
}

/// Reads the whole family at the source.
pub(super) async fn collect(
    registries: &Registries,
    from: &Repository,
    digest: &Digest,
) -> Result<Family, TransferError> {
    let mut known = BTreeSet::from([digest.clone()]);
    let (mut manifests, mut tags, mut notices) = (Vec::new(), Vec::new(), Vec::new());
    let mut root = None;
    let mut open = VecDeque::from([digest.clone()]);
    while let Some(top) = open.pop_front() {
        let tree = match tree(registries, from, &top, &mut known).await {
            Ok(tree) => tree,
            // What refers to an image may be of a kind that nobody knows; the image itself may not.
            Err(TransferError::Registry(
                error @ (DiscoverError::Garbage { .. } | DiscoverError::NotFound { .. }),
            )) if root.is_some() => {
                notices.push(format!("left behind: {error}"));
                continue;
            }
            Err(error) => return Err(error),
        };
        root = root.or_else(|| tree.last().cloned());
        let question =
            |digest| patiently(move || async move { Ok(registries.referrers(from, digest).await?) });
        let questions: Vec<_> = tree.iter().map(|manifest| question(&manifest.digest)).collect();
        let answers: Vec<_> =
            futures::stream::iter(questions).buffered(PARALLEL_QUESTIONS).try_collect().await?;
        manifests.extend(tree);
        for found in answers {
            let listed = found.manifests.into_iter().map(|descriptor| descriptor.digest);
            let tagged = found.tags.iter().map(|(_, digest)| digest.clone());
            open.extend(listed.chain(tagged).filter(|digest| known.insert(digest.clone())));
            tags.extend(found.tags);
        }
        if known.len() > MANIFEST_LIMIT {
            let (repository, digest) = (from.clone(), digest.clone());
            return Err(TransferError::TooMany { repository, digest, limit: MANIFEST_LIMIT });
        }
    }
    let root = root.ok_or_else(|| DiscoverError::NotFound {
        registry: from.host().clone(),
        what: format!("{from}@{digest}"),
        reason: "nothing was read".to_owned(),
    })?;
    Ok(Family { root, manifests, tags, notices })
}

/// A manifest with all its children, which come first.
async fn tree(
    registries: &Registries,
    from: &Repository,
    top: &Digest,
    known: &mut BTreeSet<Digest>,
) -> Result<Vec<Manifest>, TransferError> {
    let mut levels: Vec<Vec<Manifest>> = Vec::new();
    let mut level = vec![top.clone()];
    let mut count = 0;
    while !level.is_empty() {
        count += level.len();
        if levels.len() == DEPTH_LIMIT || count > MANIFEST_LIMIT {
            let (repository, digest) = (from.clone(), top.clone());
            return Err(TransferError::TooMany { repository, digest, limit: MANIFEST_LIMIT });
        }
        let question = |digest| {
            patiently(move || async move { Ok(registries.manifest(from, Reference::Digest(digest)).await?) })
        };
        let questions: Vec<_> = level.iter().map(question).collect();
        let read: Vec<Manifest> =
            futures::stream::iter(questions).buffered(PARALLEL_QUESTIONS).try_collect().await?;
        let children =
            read.iter().flat_map(|manifest| &manifest.contents.children).map(|child| child.digest.clone());
        level = children.filter(|digest| known.insert(digest.clone())).collect();
        levels.push(read);
    }
    Ok(levels.into_iter().rev().flatten().collect())
}
