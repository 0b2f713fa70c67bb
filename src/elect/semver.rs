//! Tags as versions, with the meaning that they have for a `semver` policy in a Flux `ImagePolicy`.

use ::semver::{BuildMetadata, Prerelease, Version};

use crate::config::Jump;

/// The version that a text means to a semver policy; `None` if it does not count.
///
/// As in Flux a tag counts if dots part it in three at least: `1.2.3`, `v1.2.3`, `1.2.3-rc.1`, `2025.02.03` (leading
/// zeros fall away). `1.2` does not count, but `1.25-alpine3.18` does, as `1.25.0-alpine3.18`: its pre-release has the
/// second dot. A number past 64 bits before the pre-release does not count. Build metadata, which no tag has but a text
/// that was extracted from one, must be legal and is left out.
pub fn version_of(text: &str) -> Option<Version> {
    text.match_indices('.').nth(1)?;
    let text = text.strip_prefix('v').unwrap_or(text);
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    if let Some(build) = build {
        BuildMetadata::new(build).ok().filter(|build| !build.is_empty())?;
    }
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

/// The numbers of a version, as far as 42 bits hold them, and whether it is a release, as a number in the versions' order.
pub(super) fn brief(version: &Version) -> u128 {
    const MOST: u64 = (1 << 42) - 1;
    // What follows a number that does not fit is left out.
    let (mut brief, mut fits) = (0, true);
    for number in [version.major, version.minor, version.patch] {
        brief = (brief << 42) | if fits { u128::from(number.min(MOST)) } else { 0 };
        fits &= number < MOST;
    }
    (brief << 1) | u128::from(fits && version.pre.is_empty())
}

/// The size of the step from one version to the other.
pub fn jump(from: &Version, to: &Version) -> Jump {
    if from.major != to.major {
        Jump::Major
    } else if from.minor != to.minor {
        Jump::Minor
    } else {
        Jump::Patch
    }
}

/// A sign needs a check of its own: `+1` is a number to Rust.
fn number(digits: &str) -> Option<u64> {
    digits.parse().ok().filter(|_| !digits.starts_with('+'))
}

#[cfg(test)]
#[path = "semver_tests.rs"]
mod tests;
