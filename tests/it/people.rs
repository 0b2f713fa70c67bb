//! What people say about versions beside promoting them: back, stay, go on, never again.

use serde_json::Value;

use crate::bed::{self, Site, until};
use crate::metrics_and_health::sum;
use crate::promotion::{promote, to_aws, verified};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn record(environment: &str) -> String {
    format!(".promote/{environment}/test-app.yaml")
}

/// `promote WORDS --environment local --app test-app`.
fn say(site: &Site, words: &[&str]) -> bed::Run {
    site.promote(&[words, &["--environment", "local", "--app", "test-app"]].concat())
}

/// What stands in `local`.
fn stands(site: &Site) -> String {
    let overlay = site.overlay("local", "test-app");
    let line = overlay.lines().find(|line| line.contains("newTag")).unwrap_or_default().to_owned();
    line.trim().trim_start_matches("newTag: ").trim_matches('"').to_owned()
}

/// Runs one pass, and tells what stands then.
fn pass(site: &Site) -> String {
    site.once();
    stands(site)
}

#[test]
fn a_rollback_puts_the_version_before_back_by_one_commit_holds_it_and_waits_for_its_verdict() {
    let site = verified(bed::site("back").environments(&["local"]), "1.1.0");
    let forth = site.moves()[0].clone();

    let run = say(&site, &["rollback", "--reason", "the\nbanner is wrong"]).expect_code(0);

    assert!(run.stdout.contains("test-app 1.0.0 in local: verified after"), "{}", run.stdout);
    let [back, ..] = &site.moves()[..] else { panic!() };
    assert_eq!(back.subject, "test-app: local 1.1.0 → 1.0.0");
    assert_eq!(back.trailer("Promote-Source"), format!("rollback {}", forth.sha));
    assert_eq!(back.trailer("Promote-Reason"), "the banner is wrong");
    let files = site.git(&["show", "--name-only", "--format=", &back.sha]);
    assert_eq!(files.lines().collect::<Vec<_>>(), [record("local"), site.overlay_path("local", "test-app")]);
    let text = site.read(&record("local"));
    assert!(
        text.contains("reason: \"the banner is wrong\"") && text.contains("test-app:1.0.0@sha256:"),
        "{text}"
    );
    site.wait_rolled_out("local", "test-app", "1.0.0");
    assert_eq!(pass(&site), "1.0.0", "1.1.0 is newer, and waits for a release");
}

#[test]
fn the_same_rollback_again_finds_it_there_and_does_not_go_further_back() {
    let site = verified(bed::site("back-again").environments(&["local"]), "1.1.0");
    say(&site, &["rollback"]).expect_code(0);
    let refs = site.git(&["for-each-ref"]);

    let run = say(&site, &["rollback"]).expect_code(0);

    assert!(run.stdout.contains("test-app 1.0.0 is already there"), "{}", run.stdout);
    assert_eq!(site.git(&["for-each-ref"]), refs);
}

#[test]
fn a_rollback_to_a_named_version_takes_it_from_git_or_the_registry_and_a_made_up_one_is_refused() {
    let site = bed::site("back-at").environments(&["local"]).create();
    for tag in ["1.1.0", "1.2.0"] {
        site.push_image("local", "test-app", tag);
        site.once().expect_code(0);
    }
    let old = site.image_digest("local", "test-app", "1.1.0").unwrap();

    say(&site, &["rollback", "--at", &old]).expect_code(0);
    assert_eq!(stands(&site), "1.1.0");
    site.push_image("local", "test-app", "0.9.0");
    say(&site, &["rollback", "--at", "0.9.0"]).expect_code(0);
    assert_eq!(stands(&site), "0.9.0");

    let run = say(&site, &["rollback", "--at", "7.7.7"]).expect_code(2);
    assert!(run.stderr.contains("has no such tag"), "{}", run.stderr);
    let commits = site.commits();
    let run = say(&site, &["rollback", "--at", "1.2.0", "--dry-run"]).expect_code(10);
    assert!(run.stdout.contains("+  newTag: \"1.2.0\""), "{}", run.stdout);
    assert_eq!(site.commits(), commits);
}

#[test]
fn a_rollback_that_fails_ends_with_5_and_one_to_a_quarantined_version_with_3() {
    let site = bed::site("back-bad").environments(&["local"]).create();
    site.once().expect_code(0);
    site.push_image("local", "test-app", "1.1.0-bad-pull");
    site.once().expect_code(4);
    site.push_image("local", "test-app", "1.2.0");
    site.once().expect_code(0);

    let run = say(&site, &["rollback", "--at", "1.1.0-bad-pull"]).expect_code(3);
    assert!(run.stderr.contains("promote unquarantine --app test-app --at 1.1.0-bad-pull"), "{}", run.stderr);

    site.promote(&["unquarantine", "--app", "test-app", "--at", "1.1.0-bad-pull", "--reason", "try"])
        .expect_code(0);
    let run = say(&site, &["rollback", "--at", "1.1.0-bad-pull"]).expect_code(5);
    assert!(run.stdout.contains("nothing more is rolled back"), "{}", run.stdout);
}

#[test]
fn a_running_daemon_keeps_what_was_put_back_until_it_is_released() {
    let site = bed::site("release").environments(&["local"]).create();
    let daemon = site.promoted().start();
    site.push_image("local", "test-app", "1.1.0");
    site.wait_verdict("test-app", "local", "1.1.0");
    say(&site, &["rollback"]).expect_code(0);
    let polls = || sum(&daemon.get("/metrics").1, "promote_scans_total");
    let began = polls();
    assert!(until(|| (polls() >= began + 5).then_some(())).is_some(), "the daemon stopped to look");
    assert_eq!(stands(&site), "1.0.0");

    let run = say(&site, &["release", "--reason", "fixed"]).expect_code(0);

    assert!(run.stdout.contains("test-app is released in local: it was held by"), "{}", run.stdout);
    site.wait_commit(|commit| commit.subject == "test-app: local 1.0.0 → 1.1.0", "goes on");
    assert_eq!(site.try_read(&record("local")), None, "the file goes with the last thing it says");
    daemon.stop();
}

#[test]
fn a_promotion_of_what_stands_upstream_ends_what_a_rollback_holds() {
    let site = verified(bed::site("promote-again"), "1.1.0");
    promote(&site).expect_code(0);
    site.promote(&["rollback", "--environment", "aws", "--app", "test-app"]).expect_code(0);
    assert!(site.try_read(&record("aws")).is_some());

    promote(&site).expect_code(0);

    assert_eq!(to_aws(&site)[0].subject, "test-app: aws 1.0.0 → 1.1.0");
    assert_eq!(site.try_read(&record("aws")), None);
}

#[test]
fn a_version_that_was_promoted_by_name_is_held_unless_it_is_the_candidate() {
    let site = verified(bed::site("promote-at"), "1.1.0");
    site.write_config(|text| text.replace("    after: [local]\n", "    after: [local]\n    update: auto\n"));
    site.once().expect_code(0);
    site.push_image("local", "test-app", "1.2.0");
    site.once().expect_code(0);
    site.once().expect_code(0);
    assert_eq!(to_aws(&site)[0].subject, "test-app: aws 1.1.0 → 1.2.0");

    site.promote(&["--to", "aws", "--at", "1.1.0"]).expect_code(0);
    site.once();
    assert_eq!(
        to_aws(&site)[0].subject,
        "test-app: aws 1.2.0 → 1.1.0",
        "held, although updated automatically"
    );

    site.promote(&["--to", "aws", "--at", "1.2.0"]).expect_code(0);
    assert_eq!(site.try_read(&record("aws")), None, "that is the candidate");
}

#[test]
fn a_hold_stops_elections_and_promotions_of_all_apps_by_one_commit_until_it_is_released() {
    let site = bed::site("hold").apps(&["test-app", "worker"]).create();
    site.once().expect_code(0);
    let before = site.commits().len();

    let run = site.promote(&["hold", "--environment", "local", "--reason", "release freeze"]).expect_code(0);

    assert!(
        run.stdout.contains("test-app is held in local") && run.stdout.contains("worker is held"),
        "{}",
        run.stdout
    );
    assert_eq!(site.commits().len(), before + 1);
    assert_eq!(site.commits()[0].subject, "test-app, worker: local held");
    site.push_image("local", "test-app", "1.1.0");
    assert_eq!(pass(&site), "1.0.0");
    let again =
        site.promote(&["hold", "--environment", "local", "--reason", "release freeze"]).expect_code(0);
    assert!(again.stdout.contains("test-app is already held in local"), "{}", again.stdout);
    assert_eq!(site.commits().len(), before + 1);

    site.promote(&["hold", "--environment", "aws", "--reason", "not today"]).expect_code(0);
    let run = site.promote(&["--to", "aws", "--yes", "--override-gates", "please"]).expect_code(3);
    assert!(run.stderr.contains("held by") && run.stderr.contains("not today"), "{}", run.stderr);

    let told =
        site.promote(&["release", "--environment", "local", "--reason", "over", "-o", "json"]).expect_code(0);
    let told = json(&told.stdout);
    assert_eq!((&told["apiVersion"], &told["kind"]), (&"promote/v1".into(), &"Release".into()));
    assert_eq!(told["commit"], site.commits()[0].sha);
    assert_eq!(site.git(&["ls-tree", "-r", "--name-only", "main", ".promote/local"]), "");
    assert_eq!(pass(&site), "1.1.0");
    let nothing = site.promote(&["release", "--environment", "local", "--reason", "over"]).expect_code(0);
    assert!(nothing.stdout.contains("test-app is not held in local"), "{}", nothing.stdout);
}

#[test]
fn a_hold_ends_by_itself_and_one_that_would_be_over_already_is_refused() {
    let site = bed::site("hold-until").environments(&["local"]).create();
    site.once().expect_code(0);
    site.push_image("local", "test-app", "1.1.0");
    let run = say(&site, &["hold", "--reason", "x", "--until", "2020-01-01T00:00:00Z"]).expect_code(2);
    assert!(run.stderr.contains("in the past"), "{}", run.stderr);
    say(&site, &["hold", "--reason", " \n ", "--until", "1h"]).expect_code(2);

    let daemon = site.promoted().start();
    say(&site, &["hold", "--reason", "lunch", "--until", "3s"]).expect_code(0);
    assert!(site.read(&record("local")).contains("until: \""), "{}", site.read(&record("local")));
    site.wait_commit(|commit| commit.subject == "test-app: local 1.0.0 → 1.1.0", "goes on by itself");
    daemon.stop();
}

#[test]
fn a_release_lets_come_again_what_a_person_took_away_also_with_an_empty_state_directory() {
    let site = verified(bed::site("wins").environments(&["local"]), "1.1.0");
    let overlay = site.overlay("local", "test-app");
    let older = overlay.replace("1.1.0", "1.0.0").replace(
        &site.image_digest("local", "test-app", "1.1.0").unwrap(),
        &site.image_digest("local", "test-app", "1.0.0").unwrap(),
    );
    let theirs = site.commit("Back by hand", &[(&site.overlay_path("local", "test-app"), Some(&older))]);
    assert_eq!(pass(&site), "1.0.0", "a person wins");

    let run = say(&site, &["release", "--reason", "it was not the banner"]).expect_code(0);

    assert!(
        run.stdout.contains("1.1.0 may come again") && run.stdout.contains(&theirs[..9]),
        "{}",
        run.stdout
    );
    assert!(site.read(&record("local")).contains(&theirs), "{}", site.read(&record("local")));
    assert_eq!(pass(&site), "1.1.0");
    assert_eq!(site.try_read(&record("local")), None, "the election has made use of it");
    site.once();
    assert_eq!(stands(&site), "1.1.0");
}

#[test]
fn what_is_quarantined_by_hand_is_never_elected_in_any_environment_until_it_is_taken_out() {
    let site = bed::site("quarantine").create();
    site.once().expect_code(0);
    let digest = site.push_image("local", "test-app", "1.1.0");
    let words = ["--app", "test-app", "--at", "1.1.0", "--reason", "CVE-1"];

    let run = site.promote(&[&["quarantine"], &words[..]].concat()).expect_code(0);

    assert!(run.stdout.contains("is never elected again in aws, local"), "{}", run.stdout);
    for environment in ["aws", "local"] {
        assert!(site.read(&record(environment)).contains(&digest), "{environment}");
    }
    assert_eq!(site.commits()[0].subject, "test-app: aws, local 1.1.0 quarantined");
    assert_eq!(pass(&site), "1.0.0");
    let again = site.promote(&[&["quarantine"], &words[..]].concat()).expect_code(0);
    assert!(again.stdout.contains("is already in quarantine everywhere"), "{}", again.stdout);

    site.promote(&[&["unquarantine"], &words[..]].concat()).expect_code(0);
    assert_eq!(site.try_read(&record("local")), None);
    assert_eq!(pass(&site), "1.1.0");
    let none = site.promote(&[&["unquarantine"], &words[..]].concat()).expect_code(0);
    assert!(none.stdout.contains("is not in quarantine"), "{}", none.stdout);
    let unknown = ["quarantine", "--app", "test-app", "--at", "9.9.9", "--reason", "x"];
    site.promote(&unknown).expect_code(2);
}

#[test]
fn words_of_people_survive_in_a_record_and_one_that_cannot_be_read_is_not_touched() {
    let site = bed::site("record").environments(&["local"]).create();
    let text = "# ask ann first\nquarantine:\n  - \"sha256:BBBB\" # from the audit\n"
        .replace("BBBB", &"b".repeat(64));
    site.commit("Audit", &[(&record("local"), Some(&text))]);
    say(&site, &["hold", "--reason", "x"]).expect_code(0);
    say(&site, &["release", "--reason", "x"]).expect_code(0);
    assert_eq!(site.read(&record("local")), text);

    site.commit("Break it", &[(&record("local"), Some("hold: [\n"))]);
    let run = say(&site, &["hold", "--reason", "x"]).expect_code(2);
    assert!(run.stderr.contains(&record("local")), "{}", run.stderr);
}

#[test]
fn a_remote_that_refuses_ends_with_7_and_a_lost_race_is_won_at_the_next_try() {
    let site = bed::site("refused").environments(&["local"]).create();
    let hook = site.install_hook("pre-receive", "#!/bin/sh\necho 'main is protected' >&2\nexit 1\n");
    let run = say(&site, &["hold", "--reason", "x"]).expect_code(7);
    assert!(run.stderr.contains("main is protected"), "{}", run.stderr);
    std::fs::remove_file(&hook).unwrap();

    site.lose_the_next_race("README.md", "a person's words");
    say(&site, &["hold", "--reason", "x"]).expect_code(0);
    assert_eq!(site.read("README.md"), "a person's words");
    let subjects: Vec<_> = site.commits().into_iter().take(2).map(|commit| commit.subject).collect();
    assert_eq!(subjects, ["test-app: local held", "A person was quicker"]);
}

#[test]
fn diff_shows_versions_side_by_side_and_the_manifests_that_come_of_them() {
    let site = verified(bed::site("diff"), "1.1.0");

    let run = site.promote(&["diff", "--from", "local", "--to", "aws"]).expect_code(0);
    assert!(run.stdout.contains("LOCAL") && run.stdout.contains("differs"), "{}", run.stdout);
    let told = json(&site.promote(&["diff", "--from", "local", "--to", "aws", "-o", "json"]).stdout);
    assert_eq!((&told["rows"][0]["from"]["tag"], &told["rows"][0]["same"]), (&"1.1.0".into(), &false.into()));

    let rendered = ["diff", "--from", "local", "--to", "aws", "--rendered"];
    let run = site.promote_with_kubectl(&rendered).expect_code(0);
    assert!(
        run.stdout.contains("--- a/local/test-app") && run.stdout.contains("+++ b/aws/test-app"),
        "{}",
        run.stdout
    );
    assert!(
        run.stdout.contains("\n-      - image: ") && run.stdout.contains("test-app:1.1.0@sha256:"),
        "{}",
        run.stdout
    );
    let same =
        site.promote_with_kubectl(&["diff", "--from", "aws", "--to", "aws", "--rendered"]).expect_code(0);
    assert_eq!(same.stdout.trim(), "the manifests are the same");
}
