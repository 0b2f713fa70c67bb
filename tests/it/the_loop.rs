//! A pushed image becomes a committed, applied and verified version; a bad one is taken back; a good one is promoted.

use crate::bed;

#[test]
fn a_pushed_version_is_committed_applied_and_verified() {
    let site = bed::site("good").environments(&["local"]).create();
    let daemon = site.promoted().start();
    let digest = site.push_image("local", "test-app", "1.1.0");

    let commit = site.wait_commit(|commit| commit.subject == "test-app: local 1.0.0 → 1.1.0", "elects 1.1.0");
    assert_eq!(commit.trailer("Promote-Source"), "registry");
    assert_eq!(commit.trailer("Promote-Actor"), "promoted");
    assert!(commit.trailer("Promote-Image").ends_with(&format!("test-app:1.1.0@{digest}")));
    site.wait_image("local", "test-app", "1.1.0");

    let verdict = site.wait_verdict("test-app", "local", "1.1.0");
    assert_eq!(verdict["verdict"], "verified");
    assert_eq!(verdict["commit"], commit.sha.as_str());
    assert_eq!(verdict["digest"], digest.as_str());
    daemon.stop();
}

#[test]
fn a_version_that_fails_is_taken_back_and_the_fixed_one_goes_through_to_the_next_environment() {
    let site = bed::site("whole-way").create();
    let automatic = "    after: [local]\n    update: auto\n";
    site.write_config(|text| text.replace("    after: [local]\n", automatic));
    let daemon = site.promoted().start();

    site.push_image("local", "test-app", "1.1.0-bad-pull");
    let back =
        site.wait_commit(|commit| commit.trailer("Promote-Source").starts_with("rollback"), "takes it back");
    assert_eq!(back.subject, "test-app: local 1.1.0-bad-pull → 1.0.0");

    site.push_image("local", "test-app", "1.1.1");
    assert_eq!(site.wait_verdict("test-app", "local", "1.1.1")["verdict"], "verified");
    assert_eq!(site.wait_verdict("test-app", "aws", "1.1.1")["verdict"], "verified");
    site.wait_image("aws", "test-app", "1.1.1");
    daemon.stop();
}
