//! What a container runtime says it runs, against what was asked for.
//!
//! Forms seen: containerd `repo@sha256:…` (the digest that was pulled, often an index), imported images
//! `sha256:CONFIG`, cri-dockerd `docker-pullable://repo@sha256:…` and `docker://sha256:CONFIG`, CRI-O a repository's digest or
//! the bare hash of the configuration. The repository may be a mirror's, so that only digests are compared.

use std::collections::BTreeSet;

use crate::model::Digest;

/// How an image ID relates to the expected digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// One of them.
    Expected,
    /// A repository's digest that is none of them.
    Other(Digest),
    /// A form that cannot be compared: a bare configuration digest of an imported image, or nothing yet.
    Untold,
}

/// Compares a pod's `imageID`.
pub fn identify(image_id: &str, expected: &BTreeSet<Digest>) -> Identity {
    let bare = image_id.rsplit_once("://").map_or(image_id, |(_, rest)| rest);
    let (named, digest) = match bare.rsplit_once('@') {
        Some((_, digest)) => (true, digest),
        None => (false, bare),
    };
    let is_bare_hash = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digest = if is_bare_hash { format!("sha256:{digest}") } else { digest.to_owned() };
    match digest.parse::<Digest>() {
        Ok(digest) if expected.contains(&digest) => Identity::Expected,
        Ok(digest) if named => Identity::Other(digest),
        _ => Identity::Untold,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_form_of_an_image_id_is_told_apart() {
        let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
        let expected = BTreeSet::from([digest("a").parse().unwrap(), digest("c").parse().unwrap()]);
        let other = Identity::Other(digest("b").parse().unwrap());
        for (image_id, identity) in [
            (format!("localhost:5000/app@{}", digest("a")), Identity::Expected),
            (format!("docker-pullable://mirror/app@{}", digest("a")), Identity::Expected),
            (digest("c"), Identity::Expected),
            (format!("docker://{}", digest("c")), Identity::Expected),
            (format!("localhost:5000/app@{}", digest("b")), other),
            (digest("b"), Identity::Untold),
            ("a".repeat(64), Identity::Expected),
            ("b".repeat(64), Identity::Untold),
            (String::new(), Identity::Untold),
            ("localhost:5000/app:1.0.0".to_owned(), Identity::Untold),
        ] {
            assert_eq!(identify(&image_id, &expected), identity, "{image_id}");
        }
    }
}
