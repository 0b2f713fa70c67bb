//! What the registry has is found, and what the policy orders highest runs: never less than what is there.

use std::collections::BTreeSet;

use crate::bed::{self, until};

#[test]
fn the_newest_version_is_found_on_the_second_page_of_the_list() {
    let site = bed::site("pages").environments(&["paging"]).create();
    // A page has a thousand tags, in the order of text: 9.0.0 is behind all others.
    let tags: Vec<_> = (1..=1001).map(|minor| format!("1.{minor}.0")).collect();
    site.push_tags("paging", "test-app", &tags);
    let newest = site.push_image("paging", "test-app", "9.0.0");

    site.once().expect_code(0);

    assert!(site.overlay("paging", "test-app").contains(&newest));
    assert_eq!(site.moves().len(), 1, "nothing older was elected on the way");
}

#[test]
fn several_apps_of_one_environment_are_watched_and_what_was_pushed_together_shares_one_commit() {
    let site = bed::site("together").environments(&["local"]).apps(&["test-app", "worker"]).create();
    site.push_image("local", "test-app", "1.1.0");
    site.push_image("local", "worker", "2.0.0");

    site.once().expect_code(0);

    let commits = site.moves();
    assert_eq!(commits.len(), 1);
    assert_eq!(commits[0].subject, "2 images: local");
    let apps: BTreeSet<_> = commits[0].trailers["Promote-App"].iter().map(String::as_str).collect();
    assert_eq!(apps, BTreeSet::from(["test-app", "worker"]));
    for (app, tag) in [("test-app", "1.1.0"), ("worker", "2.0.0")] {
        let verdict = site.wait_verdict(app, "local", tag);
        assert_eq!(verdict["verdict"], "verified");
        assert_eq!(verdict["commit"], commits[0].sha.as_str());
    }
}

#[test]
fn two_apps_that_use_one_repository_move_together() {
    let site = bed::site("one-repository").environments(&["local"]).apps(&["test-app", "worker"]).create();
    let worker = "      worker: {policy: {semver: {range: \">=1.0.0-0\"}}}";
    let shared = "      worker: {repository: test-app, policy: {semver: {range: \">=1.0.0-0\"}}}";
    site.write_config(|text| text.replace(worker, shared));
    let digest = site.push_image("local", "test-app", "1.1.0");

    site.once().expect_code(0);

    assert_eq!(site.moves().len(), 1);
    for app in ["test-app", "worker"] {
        let overlay = site.overlay("local", app);
        assert!(overlay.contains(&format!("newName: {}/test-app\n", site.registry("local"))), "{overlay}");
        assert!(overlay.contains(&digest), "{overlay}");
    }
}

#[test]
fn a_version_outside_of_the_range_is_not_elected() {
    let site = bed::site("range").environments(&["local"]).create();
    site.write_config(|text| text.replace(">=1.0.0-0", "~1.1"));
    for tag in ["1.1.4", "1.2.0", "2.0.0", "1.1.5-rc.1", "latest", "9"] {
        site.push_image("local", "test-app", tag);
    }

    site.once().expect_code(0);

    assert_eq!(site.moves()[0].subject, "test-app: local 1.0.0 → 1.1.4");
    assert_eq!(site.moves().len(), 1);
}

#[test]
fn a_deleted_tag_never_moves_an_environment_downward() {
    let site = bed::site("downward").environments(&["local"]).create();
    site.push_image("local", "test-app", "1.1.0");
    let newest = site.push_image("local", "test-app", "1.2.0");
    site.once().expect_code(0);
    assert!(site.overlay("local", "test-app").contains(&newest));

    site.delete_image("local", "test-app", &newest);
    site.once();
    site.once();

    assert!(site.overlay("local", "test-app").contains(&newest));
    assert_eq!(site.moves().len(), 1);
}

#[test]
fn a_version_that_is_pushed_while_another_is_verified_is_elected_too() {
    let site = bed::site("newer").environments(&["local"]).create();
    let daemon = site.promoted().start();
    site.push_image("local", "test-app", "1.1.0-bad-never-ready");
    site.wait_commit(|commit| commit.subject.ends_with("→ 1.1.0-bad-never-ready"), "elects 1.1.0");

    site.push_image("local", "test-app", "1.2.0");

    assert_eq!(site.wait_verdict("test-app", "local", "1.2.0")["verdict"], "verified");
    assert_eq!(site.wait_verdict("test-app", "local", "1.1.0-bad-never-ready")["verdict"], "superseded");
    let sources: Vec<_> =
        site.moves().iter().map(|commit| commit.trailer("Promote-Source").to_owned()).collect();
    assert_eq!(sources, ["registry", "registry"]);
    daemon.stop();
}

#[test]
fn a_tag_that_stands_alone_is_pinned_so_that_name_tag_and_digest_are_written() {
    let site = bed::site("pinned").environments(&["local"]).create();
    let path = site.overlay_path("local", "test-app");
    let digest = site.image_digest("local", "test-app", "1.0.0").unwrap();
    let alone = "resources:\n- ../../base\nimages:\n- name: test-app\n  newTag: 1.0.0\n";
    site.commit("A tag without a digest", &[(&path, Some(alone))]);

    site.once();

    let name = format!("{}/test-app", site.registry("local"));
    let pinned = site.overlay("local", "test-app");
    for line in
        [format!("  newName: {name}\n"), "  newTag: 1.0.0\n".to_owned(), format!("  digest: {digest}\n")]
    {
        assert!(pinned.contains(&line), "{line:?} is missing in\n{pinned}");
    }
    assert_eq!(site.moves().len(), 1);
    assert_eq!(site.wait_verdict("test-app", "local", "1.0.0")["verdict"], "verified");
}

#[test]
fn every_other_byte_of_the_overlay_stays() {
    let site = bed::site("bytes").environments(&["local"]).create();
    let path = site.overlay_path("local", "test-app");
    let old = site.overlay("local", "test-app");
    let old_digest = old.split("digest: ").nth(1).unwrap().trim().to_owned();
    let written = |tag: &str, digest: &str| {
        format!(
            "# Ask the wiki team first.\r\nresources: [ ../../base ]   # the base\r\n\r\nimages:\r\n\
             - name: other\r\n  newTag: 'keep'\r\n\
             - name:   test-app # ours\r\n  newName: {}/test-app\r\n  newTag: \"{tag}\"   # moved by promoted\r\n  \
             digest: {digest}\r\n\r\n# The end, without a line's end",
            site.registry("local")
        )
    };
    site.commit("As people write", &[(&path, Some(&written("1.0.0", &old_digest)))]);
    let digest = site.push_image("local", "test-app", "1.1.0");

    site.once().expect_code(0);

    assert_eq!(site.overlay("local", "test-app"), written("1.1.0", &digest));
}

#[test]
fn a_change_of_configuration_is_taken_over_from_the_branch_and_a_broken_one_is_not() {
    let site = bed::site("configuration").environments(&["local"]).create();
    site.write_config(|text| text.replace(">=1.0.0-0", "~1.0"));
    let daemon = site.promoted().start();
    site.wait_verdict("test-app", "local", "1.0.0");
    site.push_image("local", "test-app", "1.1.0");

    site.write_config(|text| text.replace("version: 1\n", "version: 1\nenvironmets: {}\n"));
    let said = until(|| Some(daemon.get("/readyz").1).filter(|text| text.contains("environmets")));
    assert!(said.is_some(), "/readyz never told the mistake");
    assert!(site.moves().is_empty());
    let running = daemon.get("/metrics").1;
    assert!(running.contains("promote_config_valid 0"), "{running}");

    site.write_config(|text| text.replace("environmets: {}\n", "").replace("~1.0", ">=1.0.0"));
    assert_eq!(site.wait_verdict("test-app", "local", "1.1.0")["verdict"], "verified");
    daemon.stop();
}

#[test]
fn a_tag_that_is_listed_before_it_is_served_is_asked_for_again() {
    let site = bed::site("listed-first").environments(&["local"]).create();
    site.push_image("local", "test-app", "1.1.0");
    // What a registry in the middle of a push looks like: the tag's folder is there, and leads nowhere yet.
    let tag = format!("{}/test-app/_manifests/tags/1.1.0/current", site.name());
    let tag = bed::bed().dir.join("registry/local/docker/registry/v2/repositories").join(tag);
    let aside = site.folder().join("aside");
    std::fs::rename(&tag, &aside).unwrap();
    let daemon = site.promoted().start();
    let asked = || {
        let metrics = daemon.get("/metrics").1;
        let line =
            metrics.lines().find(|line| line.contains("\"404\"") && line.contains("HEAD")).map(str::to_owned);
        line.filter(|line| line.starts_with("promote_registry_requests_total"))
    };
    bed::until(asked).unwrap_or_else(|| site.give_up("the tag's digest was not asked for"));

    std::fs::rename(&aside, &tag).unwrap();

    site.wait_commit(|commit| commit.subject == "test-app: local 1.0.0 → 1.1.0", "brings it");
    daemon.stop();
}

#[test]
fn a_tag_that_is_pushed_again_is_told_once_with_both_digests_and_not_followed() {
    let site = bed::site("pushed-again").environments(&["local"]).create();
    let old = site.image_digest("local", "test-app", "1.0.0").unwrap();
    let daemon = site.promoted().start();
    site.wait_verdict("test-app", "local", "1.0.0");

    let new = site.push_image_with("local", "test-app", "1.0.0", "other content");
    // Whoever pushes a version again pushes something else as well; without that it takes a few minutes to be seen.
    site.push_image("local", "test-app", "0.9.0");

    let line = daemon.wait_log("pushed again with other content");
    assert!(line.contains(&old) && line.contains(&new), "{line}");
    let (_, health) = daemon.get("/readyz");
    assert!(
        health.contains(&format!("{old} stands in Git and stays, the registry now has {new}")),
        "{health}"
    );
    let metrics = daemon.get("/metrics").1;
    let host = &bed::bed().registries["local"];
    let counted = format!("promote_tag_mutations_total{{registry=\"{host}\"}} 1");
    assert!(metrics.lines().any(|line| line == counted), "{metrics}");

    let third = site.push_image_with("local", "test-app", "1.0.0", "the first content again, nearly");
    site.push_image("local", "test-app", "0.8.0");
    daemon.wait_log(&third);
    let log = daemon.stop();
    assert_eq!(
        log.lines().filter(|line| line.contains("pushed again with other content")).count(),
        2,
        "{log}"
    );
    assert!(site.overlay("local", "test-app").contains(&old));
    assert!(site.moves().is_empty());
}
