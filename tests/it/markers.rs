//! Flux's setter comments are obeyed, so that a team moves over from Flux's image automation without touching its
//! manifests; one that is not obeyed is named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::bed::{self, Site};

fn marker(policy: &str) -> String {
    format!("# {{\"$imagepolicy\": \"{policy}\"}}")
}

/// A site that obeys markers, as promote.yaml says it.
fn site_with(name: &str, markers: &str) -> Site {
    let site = bed::site(name).environments(&["local"]).create();
    site.write_config(|text| text.replace("    images:", &format!("    markers: {markers}\n    images:")));
    site
}

/// A path below the overlay of `test-app`.
fn beside(site: &Site, name: &str) -> String {
    site.overlay_path("local", "test-app").replace("kustomization.yaml", name)
}

/// Replaces the overlay by a Deployment of its own whose image only a marker holds, as Flux's guide has it; returns its path.
fn only_marked(site: &Site) -> String {
    let base = site.read("deploy/apps/test-app/base/deployment.yaml");
    let image =
        format!("image: {}/test-app:1.0.0 {}", site.registry("local"), marker("flux-system:test-app"));
    let path = beside(site, "deployment.yaml");
    let kustomization =
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [deployment.yaml]\n";
    site.commit(
        "As Flux's image automation has it",
        &[
            (path.as_str(), Some(base.replace("image: test-app", &image).as_str())),
            (site.overlay_path("local", "test-app").as_str(), Some(kustomization)),
        ],
    );
    path
}

#[test]
fn a_marked_value_changes_in_the_same_commit_as_the_entry_and_nothing_else_does() {
    let site = site_with("marked", "{\"team:web\": test-app}");
    let path = beside(&site, "values/settings.yml");
    let before = format!(
        "# größe\r\nserver:\r\n  tag: '1.0.0'   {}\r\n  image: {}/test-app:1.0.0 {}\r\n  other: \"1.0.0\"",
        marker("team:web:tag"),
        site.registry("local"),
        marker("team:web"),
    );
    site.commit("Settings", &[(&path, Some(&before))]);
    let digest = site.push_image("local", "test-app", "1.1.0");

    site.once().expect_code(0);

    let after = before
        .replace("tag: '1.0.0'", "tag: '1.1.0'")
        .replace("test-app:1.0.0", &format!("test-app:1.1.0@{digest}"));
    assert_eq!(site.read(&path), after);
    let files = site.git(&["show", "--name-only", "--format=", &site.moves()[0].sha]);
    assert_eq!(files.lines().collect::<Vec<_>>(), [&site.overlay_path("local", "test-app"), &path]);
}

#[test]
fn an_image_that_only_a_marker_holds_is_moved_verified_and_put_back() {
    let site = site_with("only-marked", "true");
    let path = only_marked(&site);
    site.once().expect_code(0);
    let digest = site.push_image("local", "test-app", "1.1.0");
    site.once().expect_code(0);
    let good = site.read(&path);
    assert!(good.contains(&format!("/test-app:1.1.0@{digest} # {{")), "{good}");
    assert_eq!(site.wait_verdict("test-app", "local", "1.1.0")["verdict"], "verified");

    site.push_image("local", "test-app", "1.2.0-bad-pull");
    site.once().expect_code(4);

    assert_eq!(site.read(&path), good, "the rollback puts the marked value back");
    assert_eq!(site.moves()[0].subject, "test-app: local 1.2.0-bad-pull → 1.1.0");
    let shown = site.promote(&["status"]).expect_code(0).stdout;
    assert!(shown.contains("1.1.0"), "{shown}");
}

#[test]
fn a_person_who_sets_a_marked_value_back_wins() {
    let site = site_with("marked-person", "true");
    let path = only_marked(&site);
    site.push_image("local", "test-app", "1.0.0");
    site.once().expect_code(0);
    let before = site.read(&path);
    site.push_image("local", "test-app", "1.1.0");
    site.once().expect_code(0);
    let person = site.commit("Back to 1.0.0", &[(&path, Some(&before))]);

    site.once().expect_code(0);

    assert_eq!(site.commits()[0].sha, person);
    let shown = site.promote(&["status"]).expect_code(0).stdout;
    assert!(shown.contains("1.1.0 is not elected again: A Person <person@example.org>"), "{shown}");
}

#[test]
fn a_marker_that_is_not_obeyed_is_named_with_its_file_and_line() {
    let site = site_with("unobeyed", "{\"team:web\": test-app, \"team:gone\": test-app}");
    let path = beside(&site, "values.yaml");
    let text = format!(
        "a: '1' {}\nb: '1' {} why\nc: {{d: e}} {}\nf: |\n  x: 1 {}\n",
        marker("team:typo:tag"),
        marker("team:web:tag"),
        marker("team:web:tag"),
        marker("team:web:tag"),
    );
    site.commit("Values", &[(&path, Some(&text))]);
    let digest = site.push_image("local", "test-app", "1.1.0");

    site.once().expect_code(0);

    assert_eq!(site.read(&path), text);
    assert!(site.overlay("local", "test-app").contains(&digest), "the entry moves all the same");
    let shown = site.promote(&["status"]).expect_code(0).stdout;
    let planned = site.promote(&["plan", "--to", "local", "--from", "local", "--override-gates", "x"]).stdout;
    for words in [
        format!("{path}:1: no image of this app is known by the policy team:typo (it has test-app)"),
        format!("{path}:2: `{{\"$imagepolicy\": \"team:web:tag\"}} why` is no marker"),
        format!("{path}:3: the marker of team:web stands behind a list or a mapping"),
        format!("{path}:5: a marker stands in a block of text"),
        "`markers` names the policy team:gone for test-app, and no file below".to_owned(),
    ] {
        assert!(shown.contains(&words), "{words:?} is missing in\n{shown}");
        assert!(planned.contains(&words), "{words:?} is missing in\n{planned}");
    }
}

#[test]
fn markers_without_room_for_a_digest_are_refused_with_what_to_add() {
    let site = site_with("no-digest", "true");
    let path = beside(&site, "values.yaml");
    let values = format!("tag: '1.0.0' {}\n", marker("flux-system:test-app:tag"));
    let kustomization =
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../../base]\n";
    let overlay = site.overlay_path("local", "test-app");
    site.commit("Values", &[(&path, Some(&values)), (&overlay, Some(kustomization))]);
    site.push_image("local", "test-app", "1.1.0");

    let run = site.once().expect_code(2);

    assert!(run.stderr.contains("leave no room for the digest"), "{}", run.stderr);
    assert_eq!(site.read(&path), values);
}

#[test]
fn init_describes_a_clone_and_a_second_run_changes_nothing() {
    let site = bed::site("init").create();
    let clone = site.folder().join("clone");
    std::fs::remove_file(clone.join("promote.yaml")).unwrap();
    let overlay = clone.join(site.overlay_path("aws", "test-app"));
    let kept = std::fs::read_to_string(&overlay).unwrap();
    std::fs::write(&overlay, &kept[..kept.find("images:").unwrap()]).unwrap();
    let before = files(&clone);

    let shown = bed::promote_alone(&clone, &["init"]).expect_code(10);
    assert_eq!(files(&clone), before, "without --yes nothing is written");
    for words in ["+version: 1", "+- name: test-app", "`promote init --yes` writes this"] {
        assert!(shown.stdout.contains(words), "{words:?} is missing in\n{}", shown.stdout);
    }
    let index = std::fs::read(clone.join(".git/index")).unwrap();
    bed::promote_alone(&clone, &["init", "--yes"]).expect_code(0);
    bed::promote_alone(&clone, &["validate"]).expect_code(0);
    assert_eq!(std::fs::read(clone.join(".git/index")).unwrap(), index, "the index is not touched");
    let written = files(&clone);

    let again = bed::promote_alone(&clone, &["init", "--yes"]).expect_code(0);

    assert_eq!(files(&clone), written);
    assert!(again.stdout.contains("nothing to do"), "{}", again.stdout);
}

/// The files of a clone that a person sees, with their content.
fn files(clone: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut open, mut found) = (vec![clone.to_owned()], BTreeMap::new());
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                found.insert(path.clone(), std::fs::read(&path).unwrap());
            } else if path.file_name().is_some_and(|name| name != ".git") {
                open.push(path);
            }
        }
    }
    found
}
