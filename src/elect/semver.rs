//! Tags as versions, with the meaning that they have for a `semver` policy in a Flux `ImagePolicy`.

use std::cmp::Ordering;

use ::semver::{Prerelease, Version};

use super::range::Range;
use crate::model::Tag;

/// The version that a tag means to a semver policy; `None` if the tag does not count.
///
/// As in Flux a tag counts if dots part it in three at least: `1.2.3`, `v1.2.3`, `1.2.3-rc.1`, `2025.02.03` (leading
/// zeros fall away). `1.2` does not count, but `1.25-alpine3.18` does, as `1.25.0-alpine3.18`: its pre-release has the
/// second dot. A number past 64 bits before the pre-release does not count.
pub fn version_of(tag: &Tag) -> Option<Version> {
    let text = tag.as_str();
    text.match_indices('.').nth(1)?;
    let text = text.strip_prefix('v').unwrap_or(text);
    let (numbers, prerelease) =
        text.split_once('-').map_or((text, None), |(numbers, rest)| (numbers, Some(rest)));

    let mut parts = numbers.split('.');
    let major = number(parts.next()?)?;
    let minor = parts.next().map_or(Some(0), number)?;
    let patch = parts.next().map_or(Some(0), number)?;
    if parts.next().is_some() {
        return None;
    }
    let mut version = Version::new(major, minor, patch);
    if let Some(prerelease) = prerelease {
        version.pre = Prerelease::new(prerelease).ok().filter(|prerelease| !prerelease.is_empty())?;
    }
    Some(version)
}

/// The tags within `range`, best first.
///
/// Of tags that mean one version (`1.0.0`, `v1.0.0`, `01.0.0`) the shortest comes first, then the first in byte order;
/// so the order of the list plays no part.
pub fn ranked<'t>(range: &Range, tags: impl IntoIterator<Item = &'t Tag>) -> Vec<(Version, &'t Tag)> {
    let versions = tags.into_iter().filter_map(|tag| Some((version_of(tag)?, tag)));
    let mut within: Vec<_> = versions.filter(|(version, _)| range.matches(version)).collect();
    within.sort_unstable_by(|(version, tag), (other_version, other_tag)| {
        let (text, other) = (tag.as_str(), other_tag.as_str());
        other_version.cmp_precedence(version).then(text.len().cmp(&other.len())).then(text.cmp(other))
    });
    within
}

/// How the versions of two tags compare; `None` if either is not a version.
pub fn compare(a: &Tag, b: &Tag) -> Option<Ordering> {
    Some(version_of(a)?.cmp_precedence(&version_of(b)?))
}

/// A sign needs no check: a legal tag has no plus, and a minus begins the pre-release.
fn number(digits: &str) -> Option<u64> {
    digits.parse().ok()
}

#[cfg(test)]
#[path = "semver_tests.rs"]
mod tests;
