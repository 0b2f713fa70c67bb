//! What most questions need: a repository of a given size whose environment has no cluster, apps in it, and the
//! moments at which things happen. An image is pushed by one request, so that there is one moment of the push.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use promote::model::Digest;
use serde_json::json;

use crate::bed::{self, Site};

/// How often a file of the bed is looked at while its change is waited for.
const LOOK: Duration = Duration::from_millis(1);
/// The configuration of every image: a registry takes a manifest only after what it names.
const CONFIGURATION: &[u8] = br#"{"architecture":"amd64","os":"linux"}"#;

/// A site with one environment, `local`, that nothing is deployed to: only commits are made.
pub(crate) struct Ground {
    pub(crate) site: Site,
    pub(crate) apps: Vec<String>,
}

impl Ground {
    /// A repository of `files` files, `apps` of which are overlays; the others are manifests that nothing changes.
    pub(crate) fn new(name: &str, files: usize, apps: usize) -> Self {
        let site = bed::site(name).environments(&[]).apps(&[]).create();
        let apps: Vec<String> = (0..apps).map(|number| format!("app-{number}")).collect();
        let ground = Self { site, apps };
        let mut content = vec![("promote.yaml".to_owned(), ground.config())];
        content.extend(ground.apps.iter().map(|app| (ground.overlay(app), ground.kustomization(app))));
        for number in content.len()..files {
            let path = format!("clusters/{}/{}/{}.yaml", number % 100, number / 100 % 10, number);
            content.push((path, manifest(number)));
        }
        let changes: Vec<_> =
            content.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
        ground.site.commit("Begin", &changes);
        ground
    }

    fn config(&self) -> String {
        let apps: Vec<String> = self
            .apps
            .iter()
            .map(|app| {
                format!(
                    "  {app}:\n    path: deploy/{app}/{{environment}}\n    images:\n      \
                     {app}: {{policy: {{semver: {{range: \">=1.0.0\"}}}}}}\n"
                )
            })
            .collect();
        let registry = self.site.registry("local");
        format!(
            "version: 1\ninterval: 1s\nenvironments:\n  local:\n    registry: {registry}\napps:\n{}",
            apps.concat()
        )
    }

    /// The path of an app's overlay.
    #[allow(clippy::unused_self, reason = "a word of the ground like the others")]
    pub(crate) fn overlay(&self, app: &str) -> String {
        format!("deploy/{app}/local/kustomization.yaml")
    }

    /// An overlay that both sides can edit: Flux by its markers, we by the entry's name.
    fn kustomization(&self, app: &str) -> String {
        self.site.push_blob("local", app, CONFIGURATION);
        let digest = self.push(app, "1.0.0");
        let (registry, namespace) = (self.site.registry("local"), self.namespace());
        let marker = |part: &str| format!("# {{\"$imagepolicy\": \"{namespace}:{app}:{part}\"}}");
        format!(
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nimages:\n- name: {app}\n  \
             newName: {registry}/{app} {}\n  newTag: \"1.0.0\" {}\n  digest: {digest} {}\n",
            marker("name"),
            marker("tag"),
            marker("digest"),
        )
    }

    /// The namespace of Flux's objects, where there are any.
    pub(crate) fn namespace(&self) -> String {
        self.site.namespace("flux")
    }

    /// Pushes a version by one request; returns its digest.
    pub(crate) fn push(&self, app: &str, version: &str) -> String {
        let image = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": Digest::of(CONFIGURATION).as_str(),
                "size": CONFIGURATION.len(),
            },
            "layers": [],
            "annotations": {"org.opencontainers.image.title": app, "org.opencontainers.image.version": version},
        });
        self.site.push_manifest("local", app, &image, Some(version))
    }

    fn reference(&self, name: &str) -> PathBuf {
        self.site.bare().join("refs").join(name)
    }

    /// The commit at the branch's head.
    pub(crate) fn head(&self) -> String {
        std::fs::read_to_string(self.reference("heads/main")).unwrap_or_default().trim().to_owned()
    }

    /// Waits until the branch's head is no longer `old`; when that was seen.
    pub(crate) fn wait_move(&self, old: &str) -> Instant {
        let moved = || Some(self.head()).filter(|head| !head.is_empty() && head != old);
        let (when, _) = watch(moved).unwrap_or_else(|| self.site.give_up("there was no commit"));
        when
    }

    /// How many of the apps have this version at the head.
    pub(crate) fn count(&self, version: &str) -> usize {
        let found = self.site.git(&[
            "grep",
            "-c",
            "-h",
            "-e",
            &format!("newTag: .*{version}"),
            "main",
            "--",
            "deploy",
        ]);
        found.lines().count()
    }
}

/// Looks every millisecond until there is something; when that was, and what it was.
pub(crate) fn watch<T>(mut look: impl FnMut() -> Option<T>) -> Option<(Instant, T)> {
    let began = Instant::now();
    while began.elapsed() < bed::DEADLINE {
        if let Some(found) = look() {
            return Some((Instant::now(), found));
        }
        std::thread::sleep(LOOK);
    }
    None
}

/// Runs git in a folder, with nothing of the person's own set-up.
pub(crate) fn git(site: &Site, folder: &std::path::Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    bed::isolated(&mut command, &site.folder().join("home"));
    let identity = ["-c", "user.name=Floor", "-c", "user.email=floor@example.org"];
    let done = command.arg("-C").arg(folder).args(identity).args(arguments).status();
    assert!(done.is_ok_and(|status| status.success()), "git {}", arguments.join(" "));
}

fn manifest(number: usize) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings-{number}\n  namespace: team-{}\ndata:\n  \
         number: \"{number}\"\n  purpose: a manifest that nothing changes, as most are\n",
        number % 10
    )
}
