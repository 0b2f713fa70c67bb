//! Flux is asked once a commit is there, by one annotation on the source and by nothing else.

use serde_json::Value;

use crate::bed;

const REQUEST: &str = "reconcile.fluxcd.io/requestedAt";

/// Those who have written to an object, Flux's own controllers left out.
fn writers(object: &Value) -> Vec<(String, String)> {
    let fields = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let word = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let mut writers: Vec<_> =
        fields.iter().map(|entry| (word(entry, "manager"), entry["fieldsV1"].to_string())).collect();
    writers.retain(|(manager, _)| !manager.ends_with("-controller"));
    writers
}

#[test]
fn only_the_source_is_asked_and_only_by_its_annotation() {
    let site = bed::site("asked").environments(&["local"]).create();
    let (source, kustomization) =
        (site.git_repository("local").unwrap(), site.kustomization("local").unwrap());
    site.push_image("local", "test-app", "1.1.0");

    site.once().expect_code(0);

    let (asked, untouched) = (site.git_repository("local").unwrap(), site.kustomization("local").unwrap());
    assert!(asked["metadata"]["annotations"][REQUEST].is_string(), "{asked}");
    assert_eq!(asked["spec"], source["spec"]);
    for key in ["annotations", "labels", "generation", "finalizers"] {
        assert_eq!(untouched["metadata"][key], kustomization["metadata"][key], "{key}");
    }
    assert_eq!(untouched["spec"], kustomization["spec"]);
    assert_eq!(writers(&untouched), writers(&kustomization));
    let before = writers(&source);
    let ours: Vec<_> = writers(&asked).into_iter().filter(|writer| !before.contains(writer)).collect();
    for (_, fields) in &ours {
        let expected =
            "{\"f:metadata\":{\"f:annotations\":{\".\":{},\"f:reconcile.fluxcd.io/requestedAt\":{}}}}";
        assert_eq!(fields, expected);
    }
}

#[test]
fn the_cluster_is_asked_without_a_wait_for_any_interval() {
    // Flux of the bed looks at Git once per hour by itself.
    let site = bed::site("interval").environments(&["local"]).create();
    let daemon = site.promoted().start();
    for tag in ["1.1.0", "1.2.0", "1.3.0"] {
        site.push_image("local", "test-app", tag);
        assert_eq!(site.wait_verdict("test-app", "local", tag)["verdict"], "verified");
        site.wait_rolled_out("local", "test-app", tag);
    }
    daemon.stop();
}

#[test]
fn a_suspended_delivery_ends_as_unknown_blocks_with_3_and_rolls_nothing_back() {
    let site = bed::site("suspended").environments(&["local"]).create();
    site.once().expect_code(0);
    site.write_config(|text| text.replace("timeout: 60s", "timeout: 4s"));
    site.suspend("local");
    site.write_config(|text| text.replace("timeout: 60s", "timeout: 4s"));
    site.push_image("local", "test-app", "1.1.0");

    let run = site.once().expect_code(3);

    let verdict = site.wait_verdict("test-app", "local", "1.1.0");
    assert_eq!(verdict["verdict"], "unknown");
    assert!(verdict["reasons"][0].as_str().unwrap().contains("is suspended"), "{verdict}");
    assert!(run.stderr.contains("flux resume kustomization apps"), "{}", run.stderr);
    assert_eq!(site.moves().len(), 1, "nothing was taken back");

    site.write_config(|text| text.replace("timeout: 4s", "timeout: 60s"));
    site.resume("local");
    site.once().expect_code(0);
    assert_eq!(site.wait_verdict("test-app", "local", "1.1.0")["verdict"], "verified");
}

#[test]
fn a_commit_that_flux_cannot_apply_fails_and_is_taken_back() {
    let site = bed::site("refused-by-flux").environments(&["local"]).create();
    let daemon = site.promoted().start();
    let first = site.wait_verdict("test-app", "local", "1.0.0");
    site.wait_applied("local", first["commit"].as_str().unwrap());
    site.refuse_tag("local", "1.1.0");
    site.push_image("local", "test-app", "1.1.0");

    let verdict = site.wait_verdict("test-app", "local", "1.1.0");
    assert_eq!(verdict["verdict"], "failed");
    let reason = verdict["reasons"][0].as_str().unwrap();
    assert!(
        reason.contains("could not be applied") && reason.contains("1.1.0 is not allowed here"),
        "{verdict}"
    );
    site.wait_commit(|commit| commit.subject == "test-app: local 1.1.0 → 1.0.0", "takes it back");
    daemon.stop();
}

#[test]
fn a_version_is_not_blamed_for_what_a_person_broke_below_it() {
    let site =
        bed::site("broken-below").environments(&["local"]).verify("{timeout: 15s, stableFor: 1s}").create();
    site.once().expect_code(0);
    site.change_base("test-app", |text| text.replace("containerPort: 8080", "containerPort: none"));
    site.push_image("local", "test-app", "1.1.0");

    let run = site.once().expect_code(6);

    let verdict = site.wait_verdict("test-app", "local", "1.1.0");
    assert_eq!(verdict["verdict"], "unknown", "{verdict}");
    assert!(run.stderr.contains("what else came since the last applied commit"), "{}", run.stderr);
    assert!(
        !site.commits().iter().any(|commit| commit.subject.ends_with("→ 1.0.0")),
        "nothing is taken back"
    );
}

#[test]
fn a_kustomization_that_does_not_exist_is_named_with_those_that_do() {
    let site = bed::site("no-such").environments(&["local"]).verify("{timeout: 4s, stableFor: 1s}").create();
    site.write_config(|text| text.replace("/apps}}", "/web}}"));

    let run = site.once();

    assert!(run.stderr.contains("there is no Kustomization"), "{}", run.stderr);
    assert!(run.stderr.contains("has apps"), "{}", run.stderr);
    run.expect_code(6);
}

#[test]
fn a_commit_that_a_person_puts_on_top_before_flux_looks_delivers_ours_with_it() {
    let site = bed::site("on-top").environments(&["local"]).create();
    site.once().expect_code(0);
    site.follow_the_next_push("notes.txt", "a person's file\n");
    site.push_image("local", "test-app", "1.1.0");

    site.once().expect_code(0);

    let commits = site.commits();
    let [person, ours, ..] = &commits[..] else { panic!("{commits:?}") };
    assert_eq!(person.subject, "A person came next");
    assert_eq!(ours.subject, "test-app: local 1.0.0 → 1.1.0");
    let status = &site.kustomization("local").unwrap()["status"];
    assert!(status["lastAppliedRevision"].as_str().unwrap().ends_with(&person.sha), "{status}");
    let verdict = site.wait_verdict("test-app", "local", "1.1.0");
    assert_eq!((&verdict["verdict"], &verdict["commit"]), (&"verified".into(), &ours.sha.as_str().into()));
    assert_eq!(site.moves().len(), 1);
}
