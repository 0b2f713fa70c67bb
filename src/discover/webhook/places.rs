//! Which of the repositories that are looked at a message means.

use std::collections::{BTreeMap, BTreeSet};

use super::Mention;
use crate::config::ReceiverKind;
use crate::discover::request::remote_path;
use crate::model::Repository;

/// What Docker Hub is called in references and by its own server.
const HUB: &str = "docker.io";

/// The repositories that are looked at, by their paths.
#[derive(Debug, Default)]
pub struct Places {
    by_path: BTreeMap<String, Vec<(String, Repository)>>,
}

impl Places {
    /// An index of `repositories`.
    pub fn new<'r>(repositories: impl IntoIterator<Item = &'r Repository>) -> Self {
        let mut by_path: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for repository in repositories {
            let host = canonical(repository.host().as_str());
            by_path.entry(remote_path(repository)).or_default().push((host.to_owned(), repository.clone()));
        }
        Self { by_path }
    }

    /// All of them.
    pub fn all(&self) -> BTreeSet<Repository> {
        self.by_path.values().flatten().map(|(_, repository)| repository.clone()).collect()
    }

    /// The repositories that `mention` means: the one of that name or, for a sender that may know its registry by another
    /// name than we do, those of that path in whatever registry.
    pub fn meant(&self, kind: ReceiverKind, mention: &Mention) -> Vec<&Repository> {
        let host = mention.host.as_deref().map(canonical);
        let path = match host {
            Some(HUB) if !mention.path.contains('/') => &format!("library/{}", mention.path),
            _ => &mention.path,
        };
        let Some(found) = self.by_path.get(path) else { return Vec::new() };
        let named: Vec<&Repository> =
            found.iter().filter(|(name, _)| Some(name.as_str()) == host).map(|(_, known)| known).collect();
        if named.is_empty() && (host.is_none() || has_other_names(kind)) {
            return found.iter().map(|(_, known)| known).collect();
        }
        named
    }
}

/// Whether a sender of this kind runs in people's own networks, where a registry has one name inside and another outside.
fn has_other_names(kind: ReceiverKind) -> bool {
    match kind {
        ReceiverKind::Harbor
        | ReceiverKind::Gitea
        | ReceiverKind::Quay
        | ReceiverKind::Distribution
        | ReceiverKind::GenericHmac => true,
        ReceiverKind::Github
        | ReceiverKind::Gitlab
        | ReceiverKind::Dockerhub
        | ReceiverKind::Ecr
        | ReceiverKind::Acr
        | ReceiverKind::Gcr => false,
    }
}

fn canonical(host: &str) -> &str {
    if matches!(host, "index.docker.io" | "registry-1.docker.io") { HUB } else { host }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn meant(kind: ReceiverKind, host: Option<&str>, path: &str) -> Vec<String> {
        let known: Vec<Repository> = [
            "ghcr.io/acme/app",
            "registry.lan:5000/acme/app",
            "localhost:5000/acme/app",
            "docker.io/library/nginx",
            "index.docker.io/acme/web",
            "harbor.lan/acme/api",
        ]
        .iter()
        .map(|name| name.parse().unwrap())
        .collect();
        let places = Places::new(&known);
        let mention = Mention::new(host, path, None, None);
        places.meant(kind, &mention).into_iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_full_name_means_that_repository_alone() {
        for kind in [ReceiverKind::Github, ReceiverKind::Distribution, ReceiverKind::GenericHmac] {
            assert_eq!(meant(kind, Some("ghcr.io"), "acme/app"), ["ghcr.io/acme/app"]);
        }
    }

    #[test]
    fn a_name_that_only_the_sender_knows_means_that_path_in_whatever_registry() {
        let all = ["ghcr.io/acme/app", "registry.lan:5000/acme/app", "localhost:5000/acme/app"];
        assert_eq!(meant(ReceiverKind::Distribution, Some("registry:5000"), "acme/app"), all);
        assert_eq!(meant(ReceiverKind::Distribution, None, "acme/app"), all);
        assert_eq!(meant(ReceiverKind::Harbor, Some("core"), "acme/api"), ["harbor.lan/acme/api"]);
    }

    #[test]
    fn a_public_registry_has_one_name() {
        assert!(meant(ReceiverKind::Github, Some("evil.example"), "acme/app").is_empty());
        assert!(meant(ReceiverKind::Acr, Some("other.azurecr.io"), "acme/app").is_empty());
    }

    #[test]
    fn docker_hub_has_three_names_and_a_folder_for_its_own_images() {
        assert_eq!(
            meant(ReceiverKind::Dockerhub, Some("docker.io"), "acme/web"),
            ["index.docker.io/acme/web"]
        );
        assert_eq!(meant(ReceiverKind::Dockerhub, Some("docker.io"), "nginx"), ["docker.io/library/nginx"]);
    }

    #[test]
    fn what_is_not_looked_at_is_not_found() {
        assert!(meant(ReceiverKind::GenericHmac, None, "acme/unknown").is_empty());
        assert!(meant(ReceiverKind::GenericHmac, None, "").is_empty());
        assert!(meant(ReceiverKind::GenericHmac, None, "app").is_empty(), "a part of a path is no path");
    }
}
