//! `promote status` explains: why a version stands where it stands, and what is waited for.

use serde_json::Value;

use crate::bed::{self, Site};
use crate::promotion::verified;

/// The causes that it tells of an environment, as kind and words.
fn causes(site: &Site, environment: &str) -> Vec<Value> {
    let run = site.promote(&["status", "--environment", environment, "-o", "json"]).expect_code(0);
    let told: Value =
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {}", run.stdout));
    told["rows"][0]["causes"].as_array().cloned().unwrap_or_default()
}

#[track_caller]
fn cause(site: &Site, environment: &str, kind: &str) -> Value {
    let all = causes(site, environment);
    let found = all.iter().find(|cause| cause["kind"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} in {all:#?}")).clone()
}

fn words(cause: &Value) -> &str {
    cause["words"].as_str().unwrap_or_default()
}

#[test]
fn a_hold_is_told_with_who_why_until_when_and_the_word_that_ends_it() {
    let site = bed::site("status-hold").environments(&["local"]).create();
    site.once().expect_code(0);
    assert_eq!(causes(&site, "local"), [Value::Null; 0], "all is as it should be");
    site.push_image("local", "test-app", "1.1.0");
    let hold = ["hold", "--environment", "local", "--reason", "freeze", "--until", "2100-01-01T00:00:00Z"];
    site.promote(&hold).expect_code(0);

    let told = cause(&site, "local", "hold");

    assert!(words(&told).contains("freeze (until 2100-01-01T00:00:00Z)"), "{told}");
    assert_eq!(told["until"], "2100-01-01T00:00:00Z");
    let undo = told["undo"].as_str().unwrap().replace('…', "over");
    assert_eq!(words(&cause(&site, "local", "candidate")), "1.1.0 waits for the hold to end");
    site.promote(&undo.split_whitespace().skip(1).collect::<Vec<_>>()).expect_code(0);
    let after = cause(&site, "local", "candidate");
    assert!(words(&after).starts_with("1.1.0 is elected"), "{after}");
}

#[test]
fn what_a_gate_keeps_back_is_told_with_the_gate() {
    let site = bed::site("status-gates").environments(&["local"]).create();
    site.write_config(|text| text.replace("    verify:", "    gates: {maxJump: patch}\n    verify:"));
    site.push_image("local", "test-app", "1.1.0");
    site.once();
    let told = cause(&site, "local", "candidate");
    assert!(words(&told).contains("1.1.0 is a minor step, and gates.maxJump allows patch"), "{told}");

    site.write_config(|text| text.replace("maxJump: patch", "minAge: 2h"));
    let told = cause(&site, "local", "candidate");
    assert!(
        words(&told).contains("1.1.0 is not old enough for gates.minAge") && told["until"].is_string(),
        "{told}"
    );
}

#[test]
fn a_person_who_won_is_told_with_the_commit_and_the_word_to_undo_it() {
    let site = verified(bed::site("status-person").environments(&["local"]), "1.1.0");
    let overlay = site.overlay("local", "test-app").replace("1.1.0", "1.0.0").replace(
        &site.image_digest("local", "test-app", "1.1.0").unwrap(),
        &site.image_digest("local", "test-app", "1.0.0").unwrap(),
    );
    let theirs = site.commit("Back by hand", &[(&site.overlay_path("local", "test-app"), Some(&overlay))]);
    site.once();

    let told = cause(&site, "local", "person");

    assert_eq!((&told["commit"], &told["by"]), (&theirs.into(), &"A Person <person@example.org>".into()));
    assert_eq!(told["undo"], "promote release --environment local --app test-app --reason …");
    let human = site.promote(&["status"]).expect_code(0).stdout;
    assert!(human.contains("to change that: promote release --environment local"), "{human}");
}

#[test]
fn a_version_on_its_way_is_told_with_its_deadline_and_how_it_looks_in_the_cluster() {
    let site =
        bed::site("status-way").environments(&["local"]).verify("{timeout: 10m, stableFor: 1s}").create();
    site.once().expect_code(0);
    site.suspend("local");
    site.push_image("local", "test-app", "1.1.0");
    let daemon = site.promoted().start();
    site.wait_commit(|commit| commit.subject == "test-app: local 1.0.0 → 1.1.0", "brings it");

    let verdict = cause(&site, "local", "verdict");
    let now = cause(&site, "local", "now");

    assert!(
        words(&verdict).starts_with("no verdict yet; its time is up at ") && verdict["until"].is_string(),
        "{verdict}"
    );
    assert!(words(&now).contains("is suspended"), "{now}");
    daemon.stop();
}

#[test]
fn what_is_verified_upstream_and_waits_for_a_person_is_told_with_the_command() {
    let site = verified(bed::site("status-upstream"), "1.1.0");
    let told = cause(&site, "aws", "upstream");
    assert_eq!(words(&told), "1.1.0 is verified in local and waits for a person");
    assert_eq!(told["undo"], "promote --to aws --app test-app");
}

#[test]
fn where_the_platform_is_suspected_it_is_told_why_nothing_is_taken_back_and_how_to_go_on() {
    let apps = ["one", "two", "three", "four"];
    let site = bed::site("status-platform").environments(&["local"]).apps(&apps).create();
    let daemon = site.promoted().start();
    for app in apps {
        site.wait_verdict(app, "local", "1.0.0");
    }
    for app in apps {
        site.push_image("local", app, "1.1.0-bad-pull");
    }
    let kept_back = || {
        let mut verdicts = site.verdicts();
        verdicts.retain(|verdict| verdict["verdict"] == "unknown");
        (verdicts.len() >= 3).then(|| verdicts[0].clone())
    };
    let kept_back = bed::until(kept_back).unwrap_or_else(|| site.give_up("no verdict was kept back"));
    let app = kept_back["app"].as_str().unwrap();

    let run = site.promote(&["status", "--app", app, "-o", "json"]).expect_code(0);
    let status: Value = serde_json::from_str(&run.stdout).unwrap();
    let told =
        status["rows"][0]["causes"].as_array().unwrap().iter().find(|cause| cause["kind"] == "platform");

    let told = told.unwrap_or_else(|| panic!("{}", run.stdout));
    assert!(words(told).starts_with("not taken back: too many apps of local fail together"), "{told}");
    let undo = format!("promote rollback --environment local --app {app}");
    assert_eq!(told["undo"], undo);
    let (_, ready) = daemon.get("/readyz");
    assert!(
        ready.contains("platform of local") && ready.contains("`promote rollback` takes one back"),
        "{ready}"
    );
    daemon.stop();
    let words: Vec<&str> = undo.split_whitespace().skip(1).chain(["--wait", "committed"]).collect();
    site.promote(&words).expect_code(0);
    assert!(site.overlay("local", app).contains("newTag: \"1.0.0\""), "{}", site.overlay("local", app));
}

#[test]
fn a_silent_registry_or_cluster_does_not_keep_status_waiting() {
    let site = bed::site("status-silent").environments(&["local"]).create();
    site.once().expect_code(0);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    site.write_config(|text| text.replace(&site.registry("local"), &format!("{address}/x")));

    let began = std::time::Instant::now();
    let told = cause(&site, "local", "candidate");

    assert!(words(&told).starts_with("whether there is anything newer is not known"), "{told}");
    assert!(began.elapsed() < std::time::Duration::from_secs(15), "{:?}", began.elapsed());
    drop(silent);
}

#[test]
fn one_app_is_told_with_the_layers_of_its_verdict() {
    let site = bed::site("status-layers").environments(&["local"]).create();
    site.once().expect_code(0);
    let run = site.promote(&["status", "--app", "test-app"]).expect_code(0);
    assert!(run.stdout.contains("test-app in local: workload pass: "), "{}", run.stdout);
    assert!(run.stdout.contains("test-app in local: pods pass: "), "{}", run.stdout);
}
