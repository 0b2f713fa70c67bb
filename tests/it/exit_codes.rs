//! `promote --to ENV` ends with the code that tells what came of it, and says what to do next.

use std::time::{Duration, Instant};

use crate::bed::{self, Site};
use crate::promotion::{promote, to_aws, verified};

#[test]
fn a_version_that_fails_and_stays_there_ends_with_5() {
    let hold = "{timeout: 60s, stableFor: 1s, onFailure: hold}";
    let site = verified(bed::site("to-5").forgiving(&["local"]).verify(hold), "1.1.0-bad-pull");

    let run = promote(&site).expect_code(5);

    assert!(run.stdout.contains("1.1.0-bad-pull in aws: failed after"), "{}", run.stdout);
    assert!(run.stdout.contains("the failed version stays: "), "{}", run.stdout);
    assert!(site.overlay("aws", "test-app").contains("1.1.0-bad-pull"));
}

#[test]
fn a_verdict_that_does_not_come_in_time_ends_with_6_and_the_command_to_look_again() {
    let site = verified(bed::site("to-6"), "1.1.0");
    site.change_base("test-app", |text| text.replace("replicas: 2", "replicas: 0"));

    let run = site.promote(&["--to", "aws", "--yes", "--timeout", "3s"]).expect_code(6);

    assert!(run.stdout.contains("1.1.0 in aws: unknown after"), "{}", run.stdout);
    let again = "look again: promote status --environment aws --app test-app";
    assert!(run.stdout.lines().any(|line| line == again), "{}", run.stdout);
    assert_eq!(to_aws(&site).len(), 1, "nothing is taken back without evidence");
}

#[test]
fn a_version_that_has_to_stay_good_for_longer_than_one_waits_ends_with_6_and_is_judged_by_the_next_who_looks()
{
    let site = verified(bed::site("to-6-stable"), "1.1.0");
    site.write_config(|text| text.replace("stableFor: 1s", "stableFor: 50s"));
    site.promote(&["--to", "aws", "--yes", "--wait", "committed"]).expect_code(0);
    site.reconcile("aws");
    site.wait_rolled_out("aws", "test-app", "1.1.0");
    let began = Instant::now();

    let run = site.promote(&["--to", "aws", "--yes", "--timeout", "3s"]).expect_code(6);

    assert!(began.elapsed() < Duration::from_secs(30), "it waited for {:?}", began.elapsed());
    assert!(run.stdout.contains("unknown after") && run.stdout.contains("still going on"), "{}", run.stdout);
    assert!(run.stdout.contains("look again: promote status --environment aws"), "{}", run.stdout);
    assert_eq!(verdicts(&site), 0, "nobody has judged it");
    site.write_config(|text| text.replace("stableFor: 50s", "stableFor: 1s"));
    promote(&site).expect_code(0);
    assert_eq!(verdicts(&site), 1);
}

/// How often 1.1.0 was judged in `aws`.
fn verdicts(site: &Site) -> usize {
    let is_meant = |verdict: &serde_json::Value| verdict["environment"] == "aws" && verdict["tag"] == "1.1.0";
    site.verdicts().into_iter().filter(is_meant).count()
}

#[test]
fn a_remote_that_refuses_the_push_ends_with_7_and_its_words() {
    let site = verified(bed::site("to-7"), "1.1.0");
    let hook =
        site.install_hook("pre-receive", "#!/bin/sh\necho 'the branch is frozen until Monday' >&2\nexit 1\n");

    let run = promote(&site).expect_code(7);

    assert!(run.stderr.contains("the branch is frozen until Monday"), "{}", run.stderr);
    assert!(to_aws(&site).is_empty());
    std::fs::remove_file(hook).unwrap();
    promote(&site).expect_code(0);
    assert_eq!(to_aws(&site).len(), 1);
}

#[test]
fn ctrl_c_ends_with_130_says_how_to_go_on_and_the_same_command_does() {
    let site = verified(bed::site("to-130"), "1.1.0");
    site.write_config(|text| text.replace("stableFor: 1s", "stableFor: 50s"));
    let promoting = site.start_promote(&["--to", "aws", "--yes"]);
    promoting.wait_said("test-app in aws: stabilizing");

    let run = promoting.interrupt().expect_code(130);

    assert!(
        run.stderr.contains("`promote status --environment aws` shows where it stands"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("`promote --to aws` goes on"), "{}", run.stderr);
    assert_eq!(verdicts(&site), 0);
    site.write_config(|text| text.replace("stableFor: 50s", "stableFor: 1s"));
    let run = promote(&site).expect_code(0);
    assert!(run.stdout.contains("test-app 1.1.0 is already there"), "{}", run.stdout);
    assert_eq!((to_aws(&site).len(), verdicts(&site)), (1, 1));
}

#[test]
fn ctrl_c_in_the_middle_of_the_push_leaves_a_whole_commit_or_none() {
    let site = verified(bed::site("to-130-push"), "1.1.0");
    let hook = site.install_hook("pre-receive", "#!/bin/sh\ntouch pushing\nsleep 2\n");
    let promoting = site.start_promote(&["--to", "aws", "--yes"]);
    let pushing = site.bare().join("pushing");
    assert!(bed::until(|| pushing.exists().then_some(())).is_some(), "nothing was pushed");

    promoting.interrupt().expect_code(130);

    std::fs::remove_file(hook).unwrap();
    promote(&site).expect_code(0);
    assert_eq!(to_aws(&site).len(), 1);
    assert_eq!(site.wait_verdict("test-app", "aws", "1.1.0")["verdict"], "verified");
}

#[test]
fn wait_none_ends_with_0_as_soon_as_the_remote_has_the_commit() {
    let site = verified(bed::site("to-none"), "1.1.0");

    let run = site.promote(&["--to", "aws", "--yes", "--wait", "none"]).expect_code(0);

    assert!(run.stderr.contains("committed "), "{}", run.stderr);
    assert_eq!((to_aws(&site).len(), verdicts(&site)), (1, 0));
}
