//! The versions of an app that Git tells of: what stands somewhere, and what was ever judged.

use crate::model::{AppName, Digest, EnvironmentName, ImageName, Tag};
use crate::publish::Snapshot;

/// A version of an image.
pub(super) struct Version<'s> {
    pub(super) environment: &'s EnvironmentName,
    pub(super) image: &'s ImageName,
    pub(super) digest: Digest,
    pub(super) tag: Tag,
}

/// All of an app, those that stand first.
pub(super) fn known<'s>(snapshot: &'s Snapshot, app: &'s AppName) -> impl Iterator<Item = Version<'s>> {
    let places = snapshot.desired.iter().filter(move |((name, _), _)| name == app);
    let standing = places.flat_map(|((_, environment), desired)| {
        desired.images.iter().filter_map(move |(image, written)| {
            let (digest, tag) = (written.digest.clone()?, written.new_tag.clone()?);
            Some(Version { environment, image, digest, tag })
        })
    });
    let judged = snapshot.verdicts.all().filter(move |note| note.app == *app).map(|note| Version {
        environment: &note.environment,
        image: &note.image,
        digest: note.digest.clone(),
        tag: note.tag.clone(),
    });
    standing.chain(judged)
}
