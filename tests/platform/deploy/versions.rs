//! Where versions stand, and that `promote.yaml` names what is there.

use std::process::Command;

use serde_json::Value;

use super::{CLUSTERS, built, folders, read};
use crate::command::{self, root};
use crate::manifests::{containers, items, name, templates, word};

#[test]
fn images_stand_in_overlays_only() {
    for folder in folders() {
        let entries = &read(&format!("{folder}/kustomization.yaml"))["images"];
        let overlay = CLUSTERS.iter().any(|cluster| folder.ends_with(&format!("/overlays/{cluster}")))
            && !folder.starts_with("deploy/apps/overlays");
        let demonstration = folder.ends_with("/weighted/next");
        assert_eq!(overlay || demonstration, entries.is_array(), "{folder}");
        for entry in items(entries) {
            assert!(entry["newTag"].is_string(), "{folder}: an unquoted tag can become a number");
            assert!(word(&entry["newName"]).contains('/'), "{folder}");
            // graphwiki's image is the reader's own: its digest comes with promoted's first commit.
            let pinned = entry["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:"));
            assert_eq!(pinned, entry["name"] == "test-app", "{folder}");
        }
    }
    for app in ["test-app", "graphwiki"] {
        for (_, template) in templates(&built(&format!("deploy/apps/{app}/base"))) {
            let bare = containers(template).iter().all(|container| container["image"] == app);
            assert!(bare, "the base of {app} names an image");
        }
    }
}

#[test]
fn promote_yaml_is_valid() {
    let mut promote = Command::new(env!("CARGO_BIN_EXE_promote"));
    promote.args(["validate", "promote.yaml"]).current_dir(root());
    let said = command::run(&mut promote, "cargo builds it").passed().stdout;
    assert!(said.contains("2 apps, 2 environments"), "{said}");
}

#[test]
fn promote_yaml_drives_both_apps_from_local_to_aws() {
    let config = read("promote.yaml");
    let environments = config["environments"].as_object().unwrap();
    assert_eq!(environments.keys().map(String::as_str).collect::<Vec<_>>(), ["aws", "local"]);
    assert_eq!(config["environments"]["aws"]["after"][0], "local");
    for (environment, settings) in environments {
        let registry = word(&settings["registry"]);
        let (namespace, target) = word(&settings["deploy"]["flux"]["kustomization"]).split_once('/').unwrap();
        let steps = built(&format!("deploy/flux/clusters/{environment}"));
        let step = steps.iter().find(|step| name(step) == target).unwrap();
        assert_eq!(step["metadata"]["namespace"], namespace);
        let applied = read(&format!("{}/kustomization.yaml", word(&step["spec"]["path"])));
        for (app, settings) in config["apps"].as_object().unwrap() {
            let path = word(&settings["path"]).replace("{environment}", environment);
            let listed = path.replace("deploy/apps/", "../../");
            let applied = items(&applied["resources"]).iter().any(|resource| resource == listed.as_str());
            assert!(applied, "{target} of {environment} does not apply {path}");
            let overlay = read(&format!("{path}/kustomization.yaml"));
            for image in settings["images"].as_object().unwrap().keys() {
                let named = |entry: &&Value| word(&entry["name"]) == image;
                let entry = items(&overlay["images"]).iter().find(named);
                let entry = entry.unwrap_or_else(|| panic!("{path} has no images entry {image}"));
                assert_eq!(word(&entry["newName"]), format!("{registry}/{image}"), "{app}");
            }
        }
    }
}

#[test]
fn the_image_that_runs_is_the_one_of_the_overlay() {
    for cluster in CLUSTERS {
        for app in ["test-app", "graphwiki"] {
            let overlay = read(&format!("deploy/apps/{app}/overlays/{cluster}/kustomization.yaml"));
            let entry = &overlay["images"][0];
            let digest = entry["digest"].as_str().map_or(String::new(), |digest| format!("@{digest}"));
            let expected = format!("{}:{}{digest}", word(&entry["newName"]), word(&entry["newTag"]));
            for (_, template) in templates(&built(&format!("deploy/apps/{app}/overlays/{cluster}"))) {
                assert_eq!(containers(template)[0]["image"], expected.as_str());
            }
        }
    }
}
