//! Which version is wanted is said by a policy, a filter, the platforms and the gates; and nothing else is taken.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bed::{self, Daemon, Registry, Release, Site, until};
use crate::metrics_and_health::sum;

/// The policy of every site at its beginning.
const SEMVER: &str = "policy: {semver: {range: \">=1.0.0-0\"}}";

/// A site of one environment whose image has these keys instead.
fn site(name: &str, initial: &str, keys: &str) -> Site {
    let site = bed::site(name).environments(&["local"]).initial(initial).create();
    site.write_config(|text| text.replace(SEMVER, keys));
    site
}

/// Gives every environment these gates.
fn gate(site: &Site, gates: &str) {
    site.write_config(|text| text.replace("    verify:", &format!("    gates: {gates}\n    verify:")));
}

/// Waits until the daemon says this of one of its parts.
fn told(daemon: &Daemon, site: &Site, words: &str) -> String {
    let said = || Some(daemon.get("/readyz").1).filter(|text| text.contains(words));
    until(said).unwrap_or_else(|| {
        site.give_up(&format!("/readyz never said {words:?}: {}", daemon.get("/readyz").1))
    })
}

#[test]
fn numbers_that_a_filter_extracts_are_compared_and_the_whole_tag_is_written() {
    let keys = "policy: {numerical: {order: asc}}, filterTags: {pattern: '^main-[a-f0-9]+-(?P<ts>[0-9]+)$', extract: $ts}";
    let site = site("numerical", "main-0a-900", keys);
    for tag in ["main-ff-1000", "main-0b-999", "dev-cc-2000", "main-0c", "9000", "latest"] {
        site.push_image("local", "test-app", tag);
    }

    site.once().expect_code(0);

    assert_eq!(site.moves()[0].subject, "test-app: local main-0a-900 → main-ff-1000");
    assert_eq!(site.moves().len(), 1);
}

#[test]
fn the_last_in_byte_order_is_elected_and_nothing_below_what_stands() {
    let site = site("alphabetical", "2026-02-01", "policy: {alphabetical: {}}, filterTags: {pattern: '^20'}");
    for tag in ["2026-01-31", "2026-02-28", "latest", "zeta"] {
        site.push_image("local", "test-app", tag);
    }
    site.once().expect_code(0);
    assert_eq!(site.moves()[0].subject, "test-app: local 2026-02-01 → 2026-02-28");

    let newest = site.image_digest("local", "test-app", "2026-02-28").unwrap();
    site.delete_image("local", "test-app", &newest);
    site.once();

    assert_eq!(site.moves().len(), 1, "a deleted tag moves nothing down");
}

#[test]
fn what_was_built_last_is_elected_whatever_its_name_and_a_time_in_the_future_is_told() {
    let site = site("newest", "nightly-x", "policy: {newest: {}}, filterTags: {pattern: '^nightly-'}");
    site.push_image_built("local", "test-app", "nightly-z", "2026-01-02T00:00:00Z");
    site.push_image_built("local", "test-app", "nightly-a", "2026-01-03T00:00:00Z");
    site.push_image_built("local", "test-app", "nightly-future", "2099-01-01T00:00:00Z");
    site.push_image_built("local", "test-app", "nightly-epoch", "1970-01-01T00:00:00Z");
    site.push_image_built("local", "test-app", "release-b", "2026-01-09T00:00:00Z");
    let daemon = site.promoted().start();
    site.wait_commit(|commit| commit.subject == "test-app: local nightly-x → nightly-a", "elects the newest");
    daemon.wait_log("built in the future");

    // Of an index the latest of its platforms counts.
    site.push_index_built("local", "test-app", "nightly-0", ["2025-01-01T00:00:00Z", "2026-01-04T00:00:00Z"]);

    site.wait_commit(|commit| commit.subject == "test-app: local nightly-a → nightly-0", "elects the index");
    daemon.stop();
}

#[test]
fn a_tag_that_moves_is_followed_by_its_digest() {
    let site = site("followed", "edge", "policy: {digest: {tag: edge}}");
    site.push_image("local", "test-app", "9.9.9");
    let daemon = site.promoted().start();
    site.wait_verdict("test-app", "local", "edge");
    assert!(site.moves().is_empty(), "its content stands there already");

    let second = site.push_image_with("local", "test-app", "edge", "second");

    let follows = |subject: &str| subject.starts_with("test-app: local edge → edge@sha256:");
    site.wait_commit(|commit| follows(&commit.subject), "follows the tag");
    assert!(site.overlay("local", "test-app").contains(&format!("newTag: \"edge\"\n  digest: {second}")));
    daemon.stop();
}

#[test]
fn a_version_without_a_platform_that_is_wanted_is_skipped_with_the_reason() {
    let keys = format!("{SEMVER}, platforms: [linux/amd64, linux/arm64/v8]");
    let site = site("platforms", "1.0.0", &keys);
    site.push_multiarch_image("local", "test-app", "1.1.0");
    site.push_image("local", "test-app", "1.2.0");
    let daemon = site.promoted().start();

    site.wait_commit(|commit| commit.subject == "test-app: local 1.0.0 → 1.1.0", "elects the one with both");

    told(&daemon, &site, "1.2.0 is not there for linux/arm64/v8");
    site.push_multiarch_image("local", "test-app", "1.3.0");
    site.wait_commit(|commit| commit.subject == "test-app: local 1.1.0 → 1.3.0", "elects the next with both");
    daemon.stop();
}

#[test]
fn a_version_that_gets_its_other_platform_later_is_elected_then() {
    let keys = format!("{SEMVER}, platforms: [linux/amd64, linux/arm64]");
    let site = site("half-a-push", "1.0.0", &keys);
    let daemon = site.promoted().start();
    site.push_image("local", "test-app", "1.1.0");
    told(&daemon, &site, "1.1.0 is not there for linux/arm64");

    site.push_multiarch_image("local", "test-app", "1.1.0");

    site.wait_commit(|commit| commit.subject == "test-app: local 1.0.0 → 1.1.0", "elects what is whole now");
    daemon.stop();
}

/// A site whose registry takes an index whatever it names, and that index under `1.1.0`: its first child is there, and what
/// follows is as `others` makes it of that child.
fn indexed(name: &str, platforms: &str, others: impl Fn(Value) -> Vec<Value>) -> (Site, Registry) {
    let site = site(name, "1.0.0", &format!("{SEMVER}, platforms: [{platforms}]"));
    let sparse = "validation: {manifests: {indexes: {platforms: none}}}";
    let registry = Registry::start(&site, Release::Newest, sparse);
    let index = "application/vnd.oci.image.index.v1+json";
    let child = registry.push_image("test-app", "child");
    let child =
        json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": child, "size": 500});
    let index = json!({"schemaVersion": 2, "mediaType": index, "manifests": others(child)});
    registry.push_manifest("test-app", &index, "1.1.0");
    site.write_config(|text| text.replace(&site.registry("local"), &registry.base()));
    (site, registry)
}

fn named(mut child: Value, architecture: &str) -> Value {
    child["platform"] = json!({"os": "linux", "architecture": architecture});
    child
}

#[test]
fn a_platform_that_an_index_names_and_the_registry_does_not_have_is_not_there() {
    let (site, registry) = indexed("sparse", "linux/amd64, linux/arm64", |child| {
        let mut absent = named(child.clone(), "arm64");
        absent["digest"] = format!("sha256:{}", "0".repeat(64)).into();
        vec![named(child, "amd64"), absent]
    });
    let daemon = site.promoted().start();
    told(&daemon, &site, "1.1.0 is not there for linux/arm64");
    assert!(site.moves().is_empty());
    daemon.stop();
    drop(registry);
}

#[test]
fn where_an_index_does_not_say_for_which_machines_an_image_is_its_configuration_does() {
    let silent = |mut child: Value| {
        child["platform"] = json!({"os": "", "architecture": "amd64"});
        vec![child]
    };
    for (number, index) in
        [&(|child: Value| vec![child]) as &dyn Fn(Value) -> Vec<Value>, &silent].into_iter().enumerate()
    {
        let (site, _registry) = indexed(&format!("unsaid-{number}"), "linux/amd64", index);
        let daemon = site.promoted().start();
        site.wait_commit(|commit| commit.subject == "test-app: local 1.0.0 → 1.1.0", "elects it");
        daemon.stop();

        let (site, _registry) = indexed(&format!("unsaid-other-{number}"), "linux/arm64", index);
        let daemon = site.promoted().start();
        told(&daemon, &site, "1.1.0 is not there for linux/arm64");
        daemon.stop();
    }
}

#[test]
fn an_empty_registry_is_told_and_moves_nothing() {
    let site = site("empty", "1.0.0", SEMVER);
    let digest = site.image_digest("local", "test-app", "1.0.0").unwrap();
    let daemon = site.promoted().start();
    site.delete_image("local", "test-app", &digest);

    told(&daemon, &site, "the registry lists no tags; nothing is concluded from that");

    assert!(site.moves().is_empty());
    daemon.stop();
}

#[test]
fn a_version_that_the_clusters_nodes_cannot_run_is_skipped_unless_the_file_says_so() {
    let site = site("nodes", "1.0.0", SEMVER);
    site.push_image("local", "test-app", "1.1.0");
    site.push_image_for("local", "test-app", "1.2.0", "arm64");
    let daemon = site.promoted().start();

    site.wait_commit(
        |commit| commit.subject == "test-app: local 1.0.0 → 1.1.0",
        "elects the one for the nodes",
    );
    told(&daemon, &site, "1.2.0 is not there for linux/amd64");

    site.write_config(|text| text.replace(SEMVER, &format!("{SEMVER}, platforms: [linux/arm64]")));
    site.wait_commit(
        |commit| commit.subject == "test-app: local 1.1.0 → 1.2.0",
        "elects what the file wants",
    );
    daemon.stop();
}

#[test]
fn a_helm_chart_and_an_index_of_attestations_are_no_versions() {
    let site = site("no-image", "1.0.0", SEMVER);
    site.push_image("local", "test-app", "1.1.0");
    site.push_chart("local", "test-app", "1.3.0");
    let image = site.image_digest("local", "test-app", "1.1.0").unwrap();
    let attestation = serde_json::json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": image, "size": 1,
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
    });
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [attestation],
    });
    site.push_manifest("local", "test-app", &index, Some("1.2.0"));
    let daemon = site.promoted().start();

    site.wait_commit(|commit| commit.subject == "test-app: local 1.0.0 → 1.1.0", "elects the only image");

    told(&daemon, &site, "1.3.0 is no image but a Helm chart");
    site.delete_image("local", "test-app", &site.image_digest("local", "test-app", "1.3.0").unwrap());
    told(&daemon, &site, "1.2.0 is no image but an index without an image");
    daemon.stop();
}

#[test]
fn a_version_waits_until_it_is_old_enough_and_then_moves_by_itself() {
    let site = bed::site("min-age").environments(&["local"]).create();
    // Polls are so rare that only the daemon's own clock can bring the move.
    site.write_config(|text| text.replace("interval: 1s", "interval: 10m"));
    gate(&site, "{minAge: 8s}");
    site.push_image("local", "test-app", "1.1.0");
    let began = std::time::Instant::now();
    let daemon = site.promoted().start();
    let words = told(&daemon, &site, "test-app: 1.1.0 waits until ");
    assert!(words.contains("gates.minAge is 8s"), "{words}");
    daemon.wait_log("1.1.0 waits until ");
    assert!(site.moves().is_empty());

    site.wait_commit(
        |commit| commit.subject == "test-app: local 1.0.0 → 1.1.0",
        "takes it when it is old enough",
    );

    assert!(began.elapsed() >= Duration::from_secs(8));
    daemon.stop();
}

#[test]
fn the_wait_outlives_a_restart_and_begins_anew_for_other_content() {
    let site = bed::site("min-age-kept").environments(&["local"]).create();
    gate(&site, "{minAge: 1h}");
    let state = site.folder().join("state");
    site.push_image("local", "test-app", "1.1.0");
    let until_when = || {
        let daemon = site.promoted().state_dir(&state).start();
        let words = told(&daemon, &site, "1.1.0 waits until ");
        daemon.stop();
        let (_, after) = words.split_once("1.1.0 waits until ").unwrap();
        after.split(": gates").next().unwrap().to_owned()
    };
    let first = until_when();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(until_when(), first, "a restart does not begin anew");

    site.push_image_with("local", "test-app", "1.1.0", "other content");

    assert!(until_when() > first, "other content was not seen before");
    std::fs::remove_file(state.join("first-seen.json")).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    assert!(until_when() > first, "a lost file makes it wait again");
    let run = site.promoted().state_dir(&state).arg("--once").run();
    run.expect_code(3);
}

#[test]
fn no_step_is_larger_than_allowed_and_what_lies_beyond_is_told() {
    let site = bed::site("max-jump").environments(&["local"]).create();
    gate(&site, "{maxJump: minor}");
    for tag in ["1.0.1", "1.4.0", "2.0.0"] {
        site.push_image("local", "test-app", tag);
    }
    let daemon = site.promoted().start();

    site.wait_commit(|commit| commit.subject == "test-app: local 1.0.0 → 1.4.0", "takes the highest within");

    told(&daemon, &site, "2.0.0 is a major step, and gates.maxJump allows minor");
    assert_eq!(site.moves().len(), 1);
    assert_eq!(sum(&daemon.get("/metrics").1, "promote_versions_behind"), 1);
    daemon.stop();
}

#[test]
fn a_person_promotes_a_large_step_but_not_a_young_version_unless_they_override() {
    let site = bed::site("gated-promotion").create();
    site.write_config(|text| {
        text.replace("    after: [local]\n", "    after: [local]\n    gates: {minAge: 1h, maxJump: patch}\n")
    });
    site.push_image("local", "test-app", "2.0.0");
    site.once().expect_code(0);
    site.wait_verdict("test-app", "local", "2.0.0");

    let run = site.promote(&["--to", "aws", "--yes"]).expect_code(3);

    assert!(run.stderr.contains("test-app 2.0.0 waits until "), "{}", run.stderr);
    assert!(!run.stderr.contains("major step"), "{}", run.stderr);
    let status = site.promote(&["status", "--environment", "aws"]).expect_code(0);
    assert!(status.stdout.contains("2.0.0 waits until "), "{}", status.stdout);
    site.promote(&["--to", "aws", "--yes", "--override-gates", "tested by hand", "--wait", "committed"])
        .expect_code(0);
    assert!(site.overlay("aws", "test-app").contains("newTag: \"2.0.0\""));
}

#[test]
fn how_many_versions_an_environment_is_behind_is_counted() {
    let site = bed::site("behind").environments(&["local"]).create();
    for tag in ["1.1.0", "1.2.0", "0.9.0", "latest"] {
        site.push_image("local", "test-app", tag);
    }
    gate(&site, "{minAge: 1h}");
    let daemon = site.promoted().start();

    told(&daemon, &site, "1.2.0 waits until ");

    let text = daemon.get("/metrics").1;
    assert!(text.contains("promote_versions_behind{app=\"test-app\",environment=\"local\"} 2"), "{text}");
    daemon.stop();
}
