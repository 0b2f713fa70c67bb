//! All state is in Git and the cluster: a start is a recovery, an end is never half a change, and a single pass tells
//! by its exit code what came of it.

use std::time::Duration;

use crate::bed::{self, until};

#[test]
fn a_start_with_an_empty_state_folder_commits_nothing_and_goes_on_to_verify() {
    let site =
        bed::site("empty-state").environments(&["local"]).verify("{timeout: 60s, stableFor: 3s}").create();
    let daemon = site.promoted().start();
    site.push_image("local", "test-app", "1.1.0");
    let commit = site.wait_commit(|commit| commit.subject.ends_with("→ 1.1.0"), "elects 1.1.0");
    daemon.kill();

    let daemon = site.promoted().start();

    let verdict = site.wait_verdict("test-app", "local", "1.1.0");
    assert_eq!((&verdict["verdict"], &verdict["commit"]), (&"verified".into(), &commit.sha.clone().into()));
    assert_eq!(site.commits()[0], commit);
    daemon.stop();
}

#[test]
fn a_failure_that_was_judged_before_a_crash_is_taken_back_after_it() {
    let site = bed::site("after-crash").environments(&["local"]).create();
    site.once().expect_code(0);
    site.push_image("local", "test-app", "1.1.0-bad-pull");
    let daemon = site.promoted().start();
    site.wait_commit(|commit| commit.subject.ends_with("→ 1.1.0-bad-pull"), "elects it");
    daemon.kill();

    site.once().expect_code(4);

    let subjects: Vec<_> = site.moves().iter().map(|commit| commit.subject.clone()).collect();
    assert_eq!(
        subjects,
        ["test-app: local 1.1.0-bad-pull → 1.0.0", "test-app: local 1.0.0 → 1.1.0-bad-pull"]
    );
}

#[test]
fn a_pass_that_finds_nothing_to_do_ends_with_0_and_writes_nothing() {
    let site = bed::site("nothing").environments(&["local"]).create();
    site.once().expect_code(0);
    let refs = site.git(&["for-each-ref"]);

    site.once().expect_code(0);

    assert_eq!(site.git(&["for-each-ref"]), refs);
}

#[test]
fn a_pass_that_takes_a_version_back_ends_with_4() {
    let site = bed::site("ends-4").environments(&["local"]).create();
    site.push_image("local", "test-app", "1.1.0-bad-pull");
    site.once().expect_code(4);
}

#[test]
fn a_pass_that_finds_the_first_version_bad_ends_with_5_since_there_is_nothing_before_it() {
    let site = bed::site("ends-5").environments(&["local"]).initial("1.0.0-bad-pull").create();

    site.once().expect_code(5);

    assert!(site.moves().is_empty());
    assert_eq!(site.wait_verdict("test-app", "local", "1.0.0-bad-pull")["verdict"], "failed");
}

#[test]
fn a_pass_without_evidence_either_way_ends_with_6() {
    let site = bed::site("ends-6").environments(&["local"]).verify("{timeout: 15s, stableFor: 1s}").create();
    site.change_base("test-app", |text| text.replace("image: test-app", "image: docker.io/library/other:1"));
    site.push_image("local", "test-app", "1.1.0");

    site.once().expect_code(6);

    let verdict = site.wait_verdict("test-app", "local", "1.1.0");
    assert_eq!(verdict["verdict"], "unknown");
    assert!(verdict["reasons"][0].as_str().unwrap().contains("uses the image"), "{verdict}");
}

#[test]
fn a_pass_that_cannot_reach_a_registry_ends_with_8_and_changes_nothing() {
    let site = bed::site("ends-8").environments(&["local"]).create();
    let before = site.write_config(|text| text.replace(&site.registry("local"), "127.0.0.1:1/nobody"));

    let run = site.once().expect_code(8);

    assert!(run.stderr.contains("127.0.0.1:1"), "{}", run.stderr);
    assert_eq!(site.commits()[0].sha, before);
}

#[test]
fn a_pass_over_a_broken_configuration_ends_with_2_and_names_the_place() {
    let site = bed::site("ends-2").environments(&["local"]).create();
    site.write_config(|text| text.replace("interval: 1s", "interval: soon"));

    let run = site.once().expect_code(2);

    assert!(run.stderr.contains("promote.yaml:2:11: interval"), "{}", run.stderr);
}

#[test]
fn a_dry_pass_ends_with_10_and_changes_nothing() {
    let site = bed::site("dry").environments(&["local"]).create();
    site.push_image("local", "test-app", "1.1.0");
    let refs = site.git(&["for-each-ref"]);
    let source = site.git_repository("local").unwrap()["metadata"].clone();

    let run = site.promoted().args(&["--once", "--dry-run"]).run();

    assert!(run.stderr.contains(r#"\n+  newTag: \"1.1.0\"\n"#), "{}", run.stderr);
    run.expect_code(10);
    assert_eq!(site.git(&["for-each-ref"]), refs);
    assert_eq!(site.git_repository("local").unwrap()["metadata"]["annotations"], source["annotations"]);
}

#[test]
fn a_stop_ends_with_0_also_while_a_version_is_verified() {
    let site = bed::site("stop").environments(&["local"]).verify("{timeout: 60s, stableFor: 50s}").create();
    let daemon = site.promoted().start();
    site.push_image("local", "test-app", "1.1.0");
    site.wait_commit(|commit| commit.subject.ends_with("→ 1.1.0"), "elects 1.1.0");
    daemon.wait_log("stabilizing");
    daemon.stop();
    assert!(site.verdicts().iter().all(|verdict| verdict["tag"] != "1.1.0"), "no verdict was made up");
}

#[test]
fn a_stop_while_a_push_is_under_way_waits_for_it() {
    let site = bed::site("stop-in-push").environments(&["local"]).create();
    let daemon = site.promoted().start();
    site.wait_verdict("test-app", "local", "1.0.0");
    site.install_hook("pre-receive", "#!/bin/sh\ntouch pushing\nsleep 2\n");
    site.push_image("local", "test-app", "1.1.0");
    let pushing = site.bare().join("pushing");
    assert!(until(|| pushing.exists().then_some(())).is_some(), "nothing was pushed");

    let log = daemon.stop();

    assert_eq!(site.moves().len(), 1);
    assert!(log.contains("\"message\":\"committed\""), "the end of the push is told:\n{log}");
}

#[test]
fn two_daemons_on_one_repository_make_one_commit() {
    let site = bed::site("two").environments(&["local"]).create();
    let daemons = [site.promoted().start(), site.promoted().start()];
    for tag in ["1.1.0", "1.2.0-bad-pull", "1.3.0"] {
        site.push_image("local", "test-app", tag);
        site.wait_verdict("test-app", "local", tag);
    }
    site.wait_commit(|commit| commit.subject.ends_with("→ 1.3.0"), "elects 1.3.0");
    let mut subjects: Vec<_> = site.moves().iter().map(|commit| commit.subject.clone()).collect();
    let count = subjects.len();
    subjects.dedup();
    assert_eq!(subjects.len(), count, "{subjects:?}");
    assert!(count <= 4, "{subjects:?}");
    for daemon in daemons {
        daemon.stop();
    }
}

#[test]
fn a_state_folder_serves_one_daemon_at_a_time() {
    let site = bed::site("lock").environments(&["local"]).create();
    let state = site.folder().join("shared-state");
    let daemon = site.promoted().state_dir(&state).start();
    daemon.wait_log("started");

    let run = site.promoted().state_dir(&state).arg("--once").run().expect_code(2);

    assert!(run.stderr.contains("--state-dir"), "{}", run.stderr);
    daemon.kill();
    site.promoted().state_dir(&state).arg("--once").run().expect_code(0);
}

#[test]
fn a_second_signal_does_not_wait() {
    let site = bed::site("impatient").environments(&["local"]).create();
    let mut daemon = site.promoted().start();
    site.wait_verdict("test-app", "local", "1.0.0");
    site.install_hook("pre-receive", "#!/bin/sh\ntouch pushing\nsleep 20\n");
    site.push_image("local", "test-app", "1.1.0");
    let pushing = site.bare().join("pushing");
    assert!(until(|| pushing.exists().then_some(())).is_some(), "nothing was pushed");

    daemon.signal("TERM");
    daemon.wait_log("a second signal does not wait");
    daemon.signal("INT");

    let status = daemon.wait(Duration::from_secs(5));
    assert_eq!(status.and_then(|status| status.code()), Some(130));
}
