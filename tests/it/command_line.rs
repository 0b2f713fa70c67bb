//! What a person asks and reads: where things stand, what was, and whether a configuration is right.

use serde_json::Value;

use crate::bed::{self, promote_alone};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn status_shows_what_runs_where_with_its_verdict() {
    let site = bed::site("status").create();
    site.push_image("local", "test-app", "1.1.0");
    site.once().expect_code(0);
    let commit = site.moves()[0].sha.clone();

    let human = site.promote(&["status"]).expect_code(0).stdout;
    let told = json(&site.promote(&["status", "-o", "json"]).expect_code(0).stdout);

    let rows: Vec<_> =
        human.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(rows[0], "APP ENVIRONMENT VERSION DIGEST SINCE COMMIT VERDICT");
    assert!(rows[1].starts_with("test-app aws 1.0.0 ") && rows[1].ends_with(" verified"), "{human}");
    assert!(rows[2].starts_with("test-app local 1.1.0 ") && rows[2].contains(&commit[..7]), "{human}");
    assert_eq!((&told["apiVersion"], &told["kind"]), (&"promote/v1".into(), &"Status".into()));
    let local = told["rows"].as_array().unwrap().iter().find(|row| row["environment"] == "local").unwrap();
    assert_eq!((&local["tag"], &local["verdict"]), (&"1.1.0".into(), &"verified".into()));
    assert_eq!(local["commit"], commit);
}

#[test]
fn status_of_one_environment_leaves_the_others_out_and_an_unknown_one_is_refused() {
    let site = bed::site("status-of").create();
    let told = json(&site.promote(&["status", "--environment", "aws", "-o", "json"]).expect_code(0).stdout);
    let rows = told["rows"].as_array().unwrap();
    assert!(rows.len() == 1 && rows[0]["environment"] == "aws", "{told}");
    let run = site.promote(&["status", "--environment", "asw"]).expect_code(2);
    assert!(run.stderr.contains("it has aws, local"), "{}", run.stderr);
}

#[test]
fn status_tells_why_a_version_failed_and_what_is_quarantined() {
    let site = bed::site("status-why").environments(&["local"]).create();
    site.once().expect_code(0);
    site.push_image("local", "test-app", "1.1.0-bad-pull");
    site.once().expect_code(4);

    let human = site.promote(&["status"]).expect_code(0).stdout;

    assert!(human.contains("test-app in local: 1.1.0-bad-pull is quarantined: "), "{human}");
}

#[test]
fn history_shows_the_moves_newest_first_with_their_source_verdict_and_reason() {
    let site = bed::site("history").environments(&["local"]).create();
    site.once().expect_code(0);
    site.push_image("local", "test-app", "1.1.0-bad-pull");
    site.once().expect_code(4);

    let human = site.promote(&["history"]).expect_code(0).stdout;
    let told = json(&site.promote(&["history", "-o", "json"]).expect_code(0).stdout);

    let rows: Vec<_> = human.lines().collect();
    assert!(rows[0].starts_with("AGO  "), "{human}");
    assert!(rows[1].contains("1.1.0-bad-pull → 1.0.0") && rows[1].contains("rollback of "), "{human}");
    assert!(rows[2].contains("1.0.0 → 1.1.0-bad-pull") && rows[2].contains("failed"), "{human}");
    assert_eq!((&told["apiVersion"], &told["kind"]), (&"promote/v1".into(), &"History".into()));
    let verdicts: Vec<_> =
        told["rows"].as_array().unwrap().iter().map(|row| row["verdict"].clone()).collect();
    assert_eq!(verdicts, ["verified", "failed"]);
    assert!(told["rows"][0]["reason"].as_str().unwrap().starts_with("1.1.0-bad-pull failed: "), "{told}");
    let none = json(&site.promote(&["history", "--environment", "aws", "-o", "json"]).stdout);
    assert_eq!(none["rows"], Value::Array(Vec::new()));
}

#[test]
fn history_can_be_asked_for_one_app_or_the_last_hours() {
    let site = bed::site("history-of").environments(&["local"]).apps(&["test-app", "worker"]).create();
    site.push_image("local", "test-app", "1.1.0");
    site.once().expect_code(0);
    site.push_image("local", "worker", "3.0.0");
    site.once().expect_code(0);
    let apps = |arguments: &[&str]| -> Vec<Value> {
        let run = site.promote(&[&["history", "-o", "json"], arguments].concat()).expect_code(0);
        json(&run.stdout)["rows"].as_array().unwrap().iter().map(|row| row["app"].clone()).collect()
    };

    assert_eq!(apps(&[]), ["worker", "test-app"]);
    assert_eq!(apps(&["--app", "worker"]), ["worker"]);
    assert_eq!(apps(&["--since", "1h"]), ["worker", "test-app"]);
    assert_eq!(apps(&["--since", "1ms"]), [Value::Null; 0]);
    assert_eq!(apps(&["--since", "2026-01-31T00:00:00Z", "--app", "test-app"]), ["test-app"]);
    let run = site.promote(&["history", "--since", "yesterday"]).expect_code(2);
    assert!(run.stderr.contains("expected a duration such as 90s"), "{}", run.stderr);
}

#[test]
fn status_watch_shows_what_changes_until_ctrl_c() {
    let site = bed::site("watch").environments(&["local"]).create();
    site.once().expect_code(0);
    let watching = site.start_promote(&["status", "--watch"]);
    watching.wait_said("test-app  local        1.0.0");

    site.push_image("local", "test-app", "1.1.0");
    site.once().expect_code(0);

    let verified = || {
        let shown = watching.stdout();
        let row = shown.lines().last()?;
        (row.contains(" 1.1.0 ") && row.ends_with(" verified")).then_some(())
    };
    assert!(bed::until(verified).is_some(), "{}", watching.stdout());
    watching.interrupt().expect_code(130);
}

#[test]
fn lines_of_json_tell_each_step_as_it_happens_and_the_result_last() {
    let site = crate::promotion::verified(bed::site("jsonl"), "1.1.0");

    let run = site.promote(&["--to", "aws", "--yes", "-o", "jsonl", "-q"]).expect_code(0);

    let mut lines: Vec<Value> = run.stdout.lines().map(json).collect();
    assert!(lines.iter().all(|line| line["apiVersion"] == "promote/v1"), "{}", run.stdout);
    let result = lines.pop().unwrap();
    assert_eq!((&result["kind"], &result["exitCode"]), (&"Promotion".into(), &0.into()));
    let mut steps: Vec<_> = lines.iter().map(|line| line["step"].as_str().unwrap()).collect();
    steps.dedup();
    assert_eq!(steps, ["read", "copy", "copied", "commit", "committed", "rollout"]);
    assert_eq!(lines.iter().find(|line| line["step"] == "committed").unwrap()["commit"], result["commit"]);
}

#[test]
fn quiet_keeps_the_progress_to_itself_and_verbose_tells_more() {
    let site = crate::promotion::verified(bed::site("quiet"), "1.1.0");
    site.push_image("local", "test-app", "1.2.0");
    site.once().expect_code(0);
    let steps = |run: &bed::Run| run.stderr.lines().filter(|line| line.starts_with("committed ")).count();
    let debug = |run: &bed::Run| run.stderr.lines().filter(|line| line.contains(" DEBUG ")).count();

    let quiet = site.promote(&["--to", "aws", "--yes", "--at", "1.1.0", "-q"]).expect_code(0);
    assert_eq!(quiet.stderr, "");
    assert!(quiet.stdout.contains("1.1.0 in aws: verified after"), "{}", quiet.stdout);

    let verbose = site.promote(&["--to", "aws", "--yes", "-v"]).expect_code(0);
    assert!(steps(&verbose) == 1 && debug(&verbose) > 0, "{}", verbose.stderr);
    let neither = site.promote(&["--to", "aws", "--yes", "--at", "1.1.0"]).expect_code(0);
    assert!(steps(&neither) == 1 && debug(&neither) == 0, "{}", neither.stderr);
    site.promote(&["status", "-q", "-v"]).expect_code(2);
}

#[test]
fn a_command_works_from_any_folder_of_a_clone() {
    let site = bed::site("from-a-clone").create();
    let folder = site.folder().join("clone/deploy/apps");
    let run = promote_alone(&folder, &["status"]).expect_code(0);
    assert!(run.stdout.contains("test-app"), "{}", run.stdout);
}

#[test]
fn a_folder_without_a_repository_is_refused_with_the_word_that_helps() {
    let folder = tempfile::tempdir().unwrap();
    let run = promote_alone(folder.path(), &["status"]).expect_code(2);
    assert!(run.stderr.contains("--repo"), "{}", run.stderr);
}

#[test]
fn a_remote_that_does_not_answer_ends_with_8() {
    let folder = tempfile::tempdir().unwrap();
    let run =
        promote_alone(folder.path(), &["status", "--repo", "http://127.0.0.1:1/nobody.git"]).expect_code(8);
    assert!(run.stderr.contains("127.0.0.1:1"), "{}", run.stderr);
}

#[test]
fn validate_tells_every_mistake_with_its_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let text = "version: 1
interval: soon
environments:
  local:
    registry: localhost:5000
    updates: auto
  aws:
    after: [locla]
    registry: registry.example.org
apps:
  wiki:
    path: deploy/{environment}
    images:
      wiki: {policy: {semver: {range: \"nonsense\"}}}
";
    std::fs::write(folder.path().join("promote.yaml"), text).unwrap();

    let run = promote_alone(folder.path(), &["validate"]).expect_code(2);

    for place in
        ["promote.yaml:2:11: interval", "promote.yaml:6:5: ", "promote.yaml:8:13: ", "promote.yaml:14:"]
    {
        assert!(run.stderr.contains(place), "{place} is missing in\n{}", run.stderr);
    }
    for near in ["update", "local"] {
        assert!(run.stderr.contains(&format!("\"{near}\"")), "{near} is not proposed in\n{}", run.stderr);
    }
    let told = json(&promote_alone(folder.path(), &["validate", "-o", "json"]).expect_code(2).stdout);
    assert_eq!(told["valid"], false);
    assert_eq!(told["problems"].as_array().map(Vec::len), Some(4), "{told}");
}

#[test]
fn validate_says_that_a_right_file_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let text = "version: 1
environments:
  local: {registry: \"localhost:5000\"}
apps:
  wiki: {path: \"deploy/{environment}\", images: {wiki: {policy: {semver: {range: \">=1\"}}}}}
";
    std::fs::write(folder.path().join("other.yaml"), text).unwrap();
    let run = promote_alone(folder.path(), &["validate", "other.yaml"]).expect_code(0);
    assert!(run.stdout.contains("other.yaml is valid: 1 app, 1 environment ("), "{}", run.stdout);
    promote_alone(folder.path(), &["validate", "missing.yaml"]).expect_code(2);
}

#[test]
fn schema_prints_a_json_schema() {
    let folder = tempfile::tempdir().unwrap();
    let schema = json(&promote_alone(folder.path(), &["schema"]).expect_code(0).stdout);
    assert!(schema["$schema"].as_str().unwrap().contains("json-schema.org"), "{schema}");
    for key in ["environments", "apps", "version", "interval"] {
        assert!(schema["properties"][key].is_object(), "{key} is missing");
    }
}

#[test]
fn completions_are_understood_by_the_shell() {
    let folder = tempfile::tempdir().unwrap();
    let script = promote_alone(folder.path(), &["completions", "bash"]).expect_code(0).stdout;
    let file = folder.path().join("promote.bash");
    std::fs::write(&file, script).unwrap();
    let asked = "source \"$0\"; COMP_WORDS=(promote --t); COMP_CWORD=1; _promote promote --t promote; echo \"${COMPREPLY[@]}\"";
    let answer = std::process::Command::new("bash").args(["-c", asked]).arg(&file).output().unwrap();
    let words = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(words.split_whitespace().any(|word| word == "--to"), "{answer:?}");
}

#[test]
fn a_word_that_does_not_exist_is_refused_with_2_and_help_ends_with_0() {
    let folder = tempfile::tempdir().unwrap();
    promote_alone(folder.path(), &["promoet"]).expect_code(2);
    promote_alone(folder.path(), &[]).expect_code(2);
    let help = promote_alone(folder.path(), &["--help"]).expect_code(0).stdout;
    assert!(help.contains("--override-gates") && help.contains("Exit codes"), "{help}");
}
