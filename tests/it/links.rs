//! A symbolic link in the repository is named and never followed: not to an overlay, not to what people decided.

use std::os::unix::fs::symlink;

use crate::bed::{self, Run, Site};

/// Commits a link beside these changes.
fn link(site: &Site, path: &str, target: &str, changes: &[(&str, Option<&str>)]) {
    let place = site.folder().join("clone").join(path);
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    symlink(target, place).unwrap();
    site.commit("Link", changes);
}

fn expect(run: &Run, path: &str) {
    let words = format!("{path} is a symbolic link, which is not followed");
    assert!(run.stderr.contains(&words), "{words:?} was not said:\n{}", run.stderr);
}

fn pushed(name: &str) -> Site {
    let site = bed::site(name).environments(&["local"]).create();
    site.push_image("local", "test-app", "1.1.0");
    site
}

#[test]
fn an_overlay_that_is_a_link_is_named() {
    let site = pushed("linked-file");
    let overlay = site.overlay_path("local", "test-app");
    let text = site.read(&overlay);
    let elsewhere = "deploy/elsewhere.yaml";
    let place = overlay.replace(".yaml", ".yml");
    link(&site, &place, "../../../../elsewhere.yaml", &[(&overlay, None), (elsewhere, Some(&text))]);

    expect(&site.once().expect_code(2), &place);

    assert!(site.moves().is_empty());
    assert_eq!(site.read(elsewhere), text);
}

#[test]
fn a_folder_that_is_a_link_is_named() {
    let site = pushed("linked-folder");
    link(&site, "deploy/apps/test-app/linked", "overlays", &[]);
    site.write_config(|text| text.replace("test-app/overlays", "test-app/linked"));

    expect(&site.once().expect_code(2), "deploy/apps/test-app/linked");

    assert!(site.moves().is_empty());
}

#[test]
fn decisions_behind_a_link_hold_the_app() {
    for (name, path, target) in [
        ("linked-record", ".promote/local/test-app.yaml", "../../held.yaml"),
        ("linked-records", ".promote/local", "../held"),
    ] {
        let site = pushed(name);
        let hold = Some("hold: {reason: a test}\n");
        link(&site, path, target, &[("held.yaml", hold), ("held/test-app.yaml", hold)]);

        expect(&site.once().expect_code(3), path);

        assert!(site.moves().is_empty(), "{name}");
    }
}
