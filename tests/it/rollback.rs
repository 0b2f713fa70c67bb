//! A version that fails is taken back by one commit, once, and is never elected again.

use crate::bed::{self, Commit, Site, until};
use crate::metrics_and_health::sum;

fn is_rollback(commit: &Commit) -> bool {
    commit.trailer("Promote-Source").starts_with("rollback ")
}

fn rollbacks(site: &Site) -> usize {
    site.commits().iter().filter(|commit| is_rollback(commit)).count()
}

#[test]
fn one_commit_puts_the_previous_image_back_and_quarantines_the_digest() {
    let site = bed::site("rollback").apps(&["test-app", "worker"]).environments(&["local"]).create();
    let before = site.overlay("local", "test-app");
    site.once().expect_code(0);
    let bad = site.push_image("local", "test-app", "1.1.0-bad-pull");

    site.once().expect_code(4);

    let [back, forth] = &site.moves()[..] else { panic!("{:?}", site.moves()) };
    assert_eq!(back.subject, "test-app: local 1.1.0-bad-pull → 1.0.0");
    assert_eq!(back.trailer("Promote-Source"), format!("rollback {}", forth.sha));
    assert!(back.trailer("Promote-Reason").starts_with("1.1.0-bad-pull failed: "), "{back:?}");
    assert_eq!(site.overlay("local", "test-app"), before);
    let record = site.read(".promote/local/test-app.yaml");
    assert!(
        record.contains("quarantine:") && record.contains(&bad) && record.contains("1.1.0-bad-pull"),
        "{record}"
    );
    let files = site.git(&["show", "--name-only", "--format=", &back.sha]);
    let files: Vec<_> = files.lines().collect();
    assert_eq!(files, [".promote/local/test-app.yaml", &site.overlay_path("local", "test-app")]);
}

#[test]
fn what_stands_in_for_a_failed_version_is_itself_verified() {
    let site = bed::site("verified-again").environments(&["local"]).create();
    site.once().expect_code(0);
    site.push_image("local", "test-app", "1.1.0-bad-pull");

    site.once().expect_code(4);

    let back = site.commits()[0].sha.clone();
    let verdict = site.wait_verdict("test-app", "local", "1.0.0");
    assert_eq!((&verdict["verdict"], &verdict["commit"]), (&"verified".into(), &back.into()));
    site.wait_rolled_out("local", "test-app", "1.0.0");
}

#[test]
fn a_quarantined_version_is_not_elected_again_and_a_newer_one_is() {
    let site = bed::site("quarantined").environments(&["local"]).create();
    let daemon = site.promoted().start();
    site.wait_verdict("test-app", "local", "1.0.0");
    site.push_image("local", "test-app", "1.1.0-bad-pull");
    let back = site.wait_commit(is_rollback, "takes it back");
    let polls = || sum(&daemon.get("/metrics").1, "promote_scans_total");
    let began = polls();

    assert!(until(|| (polls() >= began + 10).then_some(())).is_some(), "the daemon stopped to look");
    assert_eq!(site.commits()[0], back, "ten polls later");

    site.push_image("local", "test-app", "1.1.1");
    assert_eq!(site.wait_verdict("test-app", "local", "1.1.1")["verdict"], "verified");
    daemon.stop();
}

#[test]
fn the_same_content_under_another_tag_stays_quarantined() {
    let site = bed::site("same-content").environments(&["local"]).create();
    site.once().expect_code(0);
    site.push_image_with("local", "test-app", "1.1.0-bad-pull", "the same");
    site.once().expect_code(4);
    let before = site.commits();

    site.push_image_with("local", "test-app", "1.1.1", "the same");
    site.once();

    assert_eq!(site.commits(), before);
}

#[test]
fn a_version_that_was_verified_once_and_is_pushed_back_by_a_failure_stays_the_one_to_return_to() {
    let site = bed::site("twice").environments(&["local"]).create();
    site.push_image("local", "test-app", "1.1.0");
    site.once().expect_code(0);
    site.push_image("local", "test-app", "1.2.0-bad-pull");
    site.once().expect_code(4);
    site.push_image("local", "test-app", "1.3.0-bad-pull");
    site.once().expect_code(4);

    assert_eq!(site.moves()[0].subject, "test-app: local 1.3.0-bad-pull → 1.1.0");
    let record = site.read(".promote/local/test-app.yaml");
    assert!(record.contains("1.2.0-bad-pull") && record.contains("1.3.0-bad-pull"), "{record}");
}

#[test]
fn where_the_previous_version_fails_too_nothing_more_is_rolled_back_and_that_is_said() {
    let site = bed::site("no-ping-pong").environments(&["local"]).create();
    let daemon = site.promoted().start();
    site.wait_verdict("test-app", "local", "1.0.0");
    // Whatever the image: the cluster cannot pull any more.
    let annotation = "      labels: {app: test-app}\n      annotations: {bed/mode: pull}\n    spec:";
    site.change_base("test-app", |text| text.replace("      labels: {app: test-app}\n    spec:", annotation));
    site.push_image("local", "test-app", "1.1.0");

    let back = site.wait_commit(is_rollback, "takes it back");
    let said = daemon.wait_log("the failed version stays");

    assert!(said.contains("nothing more is rolled back"), "{said}");
    assert_eq!(site.commits()[0], back);
    assert_eq!(rollbacks(&site), 1);
    // The note follows the word.
    let last =
        bed::until(|| site.verdicts().into_iter().rfind(|verdict| verdict["commit"] == back.sha.as_str()));
    let last = last.unwrap_or_else(|| site.give_up("the rollback has no verdict"));
    assert_eq!(last["verdict"], "failed");
    daemon.stop();
}

#[test]
fn two_versions_are_taken_back_within_an_hour_and_at_the_third_the_app_is_held_for_a_person_also_after_a_restart()
 {
    let site = bed::site("flapping").environments(&["local"]).create();
    site.once().expect_code(0);
    for tag in ["1.1.0-bad-pull", "1.2.0-bad-pull"] {
        site.push_image("local", "test-app", tag);
        site.once().expect_code(4);
    }
    site.push_image("local", "test-app", "1.3.0-bad-pull");

    for _ in 0..2 {
        let run = site.once().expect_code(5);
        assert!(run.stderr.contains("a person has to look"), "{}", run.stderr);
    }
    assert_eq!(rollbacks(&site), 2);
    let held = &site.commits()[0];
    assert_eq!(held.subject, "test-app: local held");
    assert_eq!(held.trailer("Promote-Actor"), "promoted");
    let record = site.read(".promote/local/test-app.yaml");
    assert!(record.contains("by: \"promoted\"") && record.contains("a person has to look"), "{record}");
    site.push_image("local", "test-app", "1.4.0");
    site.once();
    assert_eq!(&site.commits()[0], held, "nothing comes by itself any more");
    let status = site.promote(&["status"]).expect_code(0).stdout;
    assert!(status.contains("held by promoted: 2 versions of it were taken back"), "{status}");

    let release = ["release", "--environment", "local", "--app", "test-app", "--reason", "1.4.0 is mended"];
    site.promote(&release).expect_code(0);
    site.once();
    assert_eq!(site.wait_verdict("test-app", "local", "1.4.0")["verdict"], "verified");
}

#[test]
fn where_many_apps_fail_at_once_the_platform_is_suspected_and_nothing_more_is_taken_back() {
    let apps = ["one", "two", "three", "four"];
    let site = bed::site("platform").environments(&["local"]).apps(&apps).create();
    let daemon = site.promoted().start();
    for app in apps {
        site.wait_verdict(app, "local", "1.0.0");
    }
    for app in apps {
        site.push_image("local", app, "1.1.0-bad-pull");
    }

    let unknown = bed::until(|| {
        let verdicts = site.verdicts();
        let unknown = verdicts.iter().filter(|verdict| verdict["verdict"] == "unknown").count();
        (unknown >= 3).then_some(verdicts)
    });
    let verdicts = unknown.unwrap_or_else(|| site.give_up("no verdict was kept back"));

    let kept_back = verdicts.iter().find(|verdict| verdict["verdict"] == "unknown").unwrap();
    let words = kept_back["reasons"][0].as_str().unwrap();
    assert!(words.contains("of 4 apps fail together") && words.contains("points at the platform"), "{words}");
    assert!(rollbacks(&site) <= 1, "{:?}", site.moves());
    let (_, metrics) = daemon.get("/metrics");
    assert!(metrics.contains("promote_rollbacks_stopped{environment=\"local\"} 1"), "{metrics}");
    let (_, ready) = daemon.get("/readyz");
    assert!(ready.contains("platform of local"), "{ready}");
    daemon.stop();
}

#[test]
fn on_failure_hold_leaves_the_failed_version_to_a_person() {
    let hold = "{timeout: 60s, stableFor: 1s, onFailure: hold}";
    let site = bed::site("hold").environments(&["local"]).verify(hold).create();
    site.once().expect_code(0);
    let bad = site.push_image("local", "test-app", "1.1.0-bad-pull");

    let run = site.once().expect_code(5);

    assert!(run.stderr.contains("onFailure: hold"), "{}", run.stderr);
    assert!(site.overlay("local", "test-app").contains(&bad));
    assert_eq!(rollbacks(&site), 0);
    site.once().expect_code(5);
    assert_eq!(site.moves().len(), 1);
}

#[test]
fn a_kustomization_that_waits_for_health_does_not_keep_the_rollback_back() {
    // Flux waits for at least 30 s, and takes the next commit only then.
    let site = bed::site("waits").environments(&["local"]).wait(true).create();
    let daemon = site.promoted().start();
    site.wait_verdict("test-app", "local", "1.0.0");
    site.push_image("local", "test-app", "1.1.0-bad-pull");

    site.wait_commit(is_rollback, "takes it back");

    let status = site.kustomization("local").unwrap()["status"].take();
    let first = site.commits().last().unwrap().sha.clone();
    assert!(status["lastAppliedRevision"].as_str().unwrap().ends_with(&first), "Flux still waits: {status}");
    daemon.stop();
}

#[test]
fn what_a_person_brought_by_hand_is_judged_and_not_taken_back() {
    let site = bed::site("by-hand").environments(&["local"]).create();
    site.once().expect_code(0);
    let first = site.image_digest("local", "test-app", "1.0.0").unwrap();
    let bad = site.push_image("local", "test-app", "1.1.0-bad-pull");
    let text = site.overlay("local", "test-app").replace("1.0.0", "1.1.0-bad-pull").replace(&first, &bad);
    let person = site.commit("By hand", &[(&site.overlay_path("local", "test-app"), Some(&text))]);

    let run = site.once().expect_code(5);

    assert!(run.stderr.contains("brought it by hand"), "{}", run.stderr);
    assert_eq!(site.commits()[0].sha, person);
    assert_eq!(site.wait_verdict("test-app", "local", "1.1.0-bad-pull")["verdict"], "failed");
}

#[test]
fn one_app_that_fails_takes_no_other_with_it() {
    let site = bed::site("alone").environments(&["local"]).apps(&["test-app", "worker"]).create();
    site.once().expect_code(0);
    site.push_image("local", "test-app", "1.1.0-bad-pull");
    let good = site.push_image("local", "worker", "1.1.0");

    site.once().expect_code(4);

    assert!(site.overlay("local", "worker").contains(&good));
    assert_eq!(site.wait_verdict("worker", "local", "1.1.0")["verdict"], "verified");
    assert_eq!(site.moves()[0].subject, "test-app: local 1.1.0-bad-pull → 1.0.0");
}
