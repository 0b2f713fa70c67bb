//! The candidates of a promotion: what is verified in every environment before this one.

use std::collections::BTreeMap;

use crate::model::{CommitId, Digest, EnvironmentName, ImageName, Tag, Verdict};

/// One app as it stands in an environment before the target.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// The environment.
    pub environment: EnvironmentName,
    /// The commit that brought what stands there.
    pub commit: Option<CommitId>,
    /// Its images with what counts for each of them.
    pub images: BTreeMap<ImageName, Option<Standing>>,
}

/// An image upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The tag.
    pub tag: Tag,
    /// The digest.
    pub digest: Digest,
    /// The newest verdict on it there.
    pub verdict: Option<Verdict>,
}

/// The set that may move on: tag and digest of every image, and where they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// The environment that verified it (the first, where several did).
    pub from: EnvironmentName,
    /// The commit that brought it there.
    pub commit: CommitId,
    /// The images.
    pub images: BTreeMap<ImageName, (Tag, Digest)>,
}

/// The set that all of `upstream` have verified, or every reason why there is none.
///
/// With `override_verdicts` a missing or bad verdict does not count, but the environments must still agree.
pub fn verified(upstream: &[Upstream], override_verdicts: bool) -> Result<Set, Vec<String>> {
    let mut reasons = Vec::new();
    let mut set: Option<Set> = None;
    for stage in upstream {
        let environment = &stage.environment;
        let mut images = BTreeMap::new();
        for (image, standing) in &stage.images {
            let Some(standing) = standing else {
                reasons.push(format!("{environment}: {image} has no tag with a digest yet"));
                continue;
            };
            let tag = &standing.tag;
            match standing.verdict {
                Some(Verdict::Verified) => {}
                _ if override_verdicts => {}
                None => reasons.push(format!("{environment}: {image} {tag} has no verdict yet")),
                Some(verdict) => {
                    reasons.push(format!("{environment}: {image} {tag} is {verdict}, not verified"));
                }
            }
            images.insert(image.clone(), (tag.clone(), standing.digest.clone()));
        }
        let Some(commit) = stage.commit.clone() else {
            reasons.push(format!("{environment}: the commit that brought the version was not found"));
            continue;
        };
        match &set {
            None => set = Some(Set { from: environment.clone(), commit, images }),
            Some(first) => {
                for (image, (tag, digest)) in &images {
                    if let Some((other, other_digest)) = first.images.get(image)
                        && other_digest != digest
                    {
                        reasons
                            .push(format!("{image} is {other} in {} and {tag} in {environment}", first.from));
                    }
                }
            }
        }
    }
    match set {
        Some(set) if reasons.is_empty() => Ok(set),
        None if reasons.is_empty() => Err(vec!["there is no environment before this one".to_owned()]),
        _ => Err(reasons),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn stage(environment: &str, tag: &str, verdict: Option<Verdict>) -> Upstream {
        let digit = tag.chars().last().unwrap().to_string();
        let digest = format!("sha256:{}", digit.repeat(64)).parse().unwrap();
        let standing = Standing { tag: tag.parse().unwrap(), digest, verdict };
        Upstream {
            environment: environment.parse().unwrap(),
            commit: Some("c".repeat(40).parse().unwrap()),
            images: BTreeMap::from([("wiki".parse().unwrap(), Some(standing))]),
        }
    }

    fn reasons(upstream: &[Upstream]) -> Vec<String> {
        verified(upstream, false).unwrap_err()
    }

    #[test]
    fn what_is_verified_everywhere_before_may_move_on() {
        let set = verified(&[stage("local", "1.1.0", Some(Verdict::Verified))], false).unwrap();
        assert_eq!(set.images.values().next().unwrap().0.as_str(), "1.1.0");
        assert_eq!(set.from.as_str(), "local");
    }

    #[test]
    fn every_unmet_condition_is_listed() {
        let failed = stage("local", "1.1.0", Some(Verdict::Failed));
        let silent = stage("test", "1.1.0", None);
        assert_eq!(
            reasons(&[failed, silent]),
            ["local: wiki 1.1.0 is failed, not verified", "test: wiki 1.1.0 has no verdict yet"]
        );
    }

    #[test]
    fn environments_that_disagree_have_no_set_even_when_verdicts_are_overridden() {
        let two =
            [stage("a", "1.1.0", Some(Verdict::Verified)), stage("b", "1.1.1", Some(Verdict::Verified))];
        assert_eq!(reasons(&two), ["wiki is 1.1.0 in a and 1.1.1 in b"]);
        assert!(verified(&two, true).is_err());
    }

    #[test]
    fn a_missing_verdict_can_be_overridden() {
        assert!(verified(&[stage("local", "1.1.0", None)], true).is_ok());
    }
}
