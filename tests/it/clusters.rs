//! Flux on the bed follows this repository's own tree, as a cluster of its users does.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::bed::{self, Site};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A site whose repository has this repository's `deploy/` and `promote.yaml`, and the kinds that it needs.
fn site(name: &str) -> Site {
    let site = bed::site(name).environments(&["local"]).create();
    let listed =
        Command::new("git").args(["-C", ROOT, "ls-files", "deploy", "promote.yaml"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let files: Vec<(&str, String)> = listed
        .lines()
        .filter_map(|path| Some((path, std::fs::read_to_string(Path::new(ROOT).join(path)).ok()?)))
        .collect();
    assert!(files.len() > 50, "the tree of deploy/ is committed: {listed}");
    let changes: Vec<(&str, Option<&str>)> =
        files.iter().map(|(path, text)| (*path, Some(text.as_str()))).collect();
    site.commit("The tree of the product's own repository", &changes);
    let crds = bed::tools().join("crds");
    site.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", crds.to_str().unwrap()]);
    let namespace = site.try_kubectl(&["create", "namespace", "flux-system"]);
    assert!(namespace.is_ok() || namespace.is_err_and(|said| said.contains("AlreadyExists")));
    site
}

fn kustomization(site: &Site, name: &str) -> Value {
    let text = site.kubectl(&[
        "get",
        "kustomization",
        name,
        "-n",
        "flux-system",
        "-o",
        "json",
        "--ignore-not-found",
    ]);
    serde_json::from_str(&text).unwrap_or_default()
}

fn ready(site: &Site, name: &str) -> Option<()> {
    let conditions = kustomization(site, name)["status"]["conditions"].as_array()?.clone();
    conditions
        .iter()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
        .then_some(())
}

#[test]
fn the_local_cluster_comes_up_from_this_repository_with_its_secrets_and_test_app_becomes_available() {
    let site = site("clusters");
    let overlay = "deploy/apps/test-app/overlays/local";
    let with_secret = |text: String| text.replace("resources:\n", "resources:\n- secret.yaml\n");
    site.commit(
        "A Secret that is encrypted",
        &[
            (&format!("{overlay}/secret.yaml"), Some(include_str!("../fixtures/sops/secret.yaml"))),
            (
                &format!("{overlay}/kustomization.yaml"),
                Some(&with_secret(site.read(&format!("{overlay}/kustomization.yaml")))),
            ),
        ],
    );
    // As Terraform makes it of a person's key.
    let key = format!("--from-file={ROOT}/tests/fixtures/sops/age.agekey");
    site.kubectl(&["delete", "secret", "sops-age", "-n", "flux-system", "--ignore-not-found"]);
    site.kubectl(&["create", "secret", "generic", "sops-age", "-n", "flux-system", &key]);
    // As gotk-sync.yaml has it, but for the address.
    let sync =
        std::fs::read_to_string(Path::new(ROOT).join("deploy/flux/flux-system/gotk-sync.yaml")).unwrap();
    let sync = sync.replace("https://github.com/promoted/promote", &site.repo());
    assert!(sync.contains(&site.repo()));
    site.apply(&sync, &[]);

    for name in ["flux-system", "cluster", "infrastructure", "configuration", "apps"] {
        bed::until(|| ready(&site, name)).unwrap_or_else(|| {
            panic!(
                "Kustomization {name} is not ready: {:#}",
                kustomization(&site, name)["status"]["conditions"]
            )
        });
    }

    site.kubectl(&[
        "wait",
        "--for=condition=Available",
        "--timeout=60s",
        "-n",
        "test-app",
        "deployment/test-app",
    ]);
    let route = site.kubectl(&[
        "get",
        "virtualservice",
        "test-app",
        "-n",
        "test-app",
        "-o",
        "jsonpath={.spec.hosts}",
    ]);
    assert!(route.contains("test.localhost"), "{route}");
    let words =
        ["get", "secret", "greeting", "-n", "test-app", "-o", "go-template={{.data.words | base64decode}}"];
    assert_eq!(site.kubectl(&words), "read by whoever has the key");
    site.kubectl(&["delete", "kustomization", "--all", "-n", "flux-system", "--wait=false"]);
}

#[test]
fn every_overlay_and_cluster_is_taken_by_the_api_server() {
    let site = site("overlays");
    for folder in ["infrastructure", "configuration"] {
        for cluster in ["local", "aws"] {
            // Namespaces come first, so that what lies in them can be tried.
            let path = format!("{ROOT}/deploy/flux/{folder}/{cluster}");
            let rendered = substituted(&site.kubectl(&["kustomize", &path]));
            let dry = if folder == "infrastructure" { "--dry-run=none" } else { "--dry-run=server" };
            site.apply(&rendered, &["--server-side", "--force-conflicts", "--validate=strict", dry]);
        }
    }
    for path in [
        "apps/overlays/local",
        "apps/overlays/aws",
        "apps/test-app/weighted",
        "flux/clusters/local",
        "flux/clusters/aws",
        "flux/flux-system",
    ] {
        let rendered = substituted(&site.kubectl(&["kustomize", &format!("{ROOT}/deploy/{path}")]));
        site.apply(
            &rendered,
            &["--server-side", "--force-conflicts", "--validate=strict", "--dry-run=server"],
        );
    }
}

/// What Flux puts in the place of variables, as Terraform sets them.
fn substituted(text: &str) -> String {
    let text = text.replace("${cluster:=local}", "local");
    [("domain", "example.org"), ("region", "eu-west-1"), ("acme_email", "ops@example.org")]
        .iter()
        .fold(text, |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
}
