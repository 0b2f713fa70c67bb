//! A pushed image becomes a committed, applied and verified version; a bad one is taken back; a good one is promoted.

use crate::bed;

#[test]
fn a_pushed_version_is_committed_applied_and_verified() {
    let site = bed::site("good").create();
    let daemon = site.promoted().start();
    let digest = site.push_image("local", "test-app", "1.1.0");

    let commit = site.wait_commit(|commit| commit.subject == "test-app: local 1.0.0 → 1.1.0", "the commit");
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
fn a_version_that_crashes_is_taken_back_quarantined_and_never_elected_again() {
    let site = bed::site("bad").create();
    let daemon = site.promoted().start();
    site.wait_verdict("test-app", "local", "1.0.0");
    let digest = site.push_image("local", "test-app", "1.1.0-bad-crash");
    site.push_image("local", "test-app", "1.1.1-bad-crash");
    drop(digest);
    daemon.stop();
}
