//! `promote doctor`: what can be verified here, and the command for each thing that is missing.

use serde_json::Value;

use crate::bed::{self, Run, Site, bed};

/// The lines with that word, without it.
fn lines(run: &Run, word: &str) -> Vec<String> {
    let said = run.stdout.lines().filter_map(|line| line.trim_start().strip_prefix(word));
    said.map(|line| line.trim().to_owned()).collect()
}

/// Lets the site's cluster be reached as a service account that may do nothing yet; returns its name.
fn without_rights(site: &Site) -> String {
    let namespace = site.namespace("local");
    site.kubectl(&["create", "serviceaccount", "looker", "-n", &namespace]);
    let token = site.kubectl(&["create", "token", "looker", "-n", &namespace, "--duration=1h"]);
    let text = std::fs::read_to_string(&bed().kubeconfig).unwrap();
    let cluster: Vec<&str> =
        text.lines().filter(|line| line.contains("certificate-authority-data: ")).collect();
    let config = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: it\n\
         clusters:\n- name: it\n  cluster:\n    server: {}\n{}\n\
         contexts:\n- name: it\n  context: {{cluster: it, user: it}}\n\
         users:\n- name: it\n  user: {{token: {}}}\n",
        bed().server(),
        cluster.join("\n"),
        token.trim()
    );
    site.write_secret("kubeconfig", &config);
    format!("system:serviceaccount:{namespace}:looker")
}

#[test]
fn where_nothing_is_missing_every_line_says_so_and_nothing_is_changed() {
    let site = bed::site("doctor").environments(&["local"]).create();
    site.once().expect_code(0);
    let refs = site.git(&["for-each-ref"]);
    let requested = || site.git_repository("local").unwrap()["metadata"]["annotations"].clone();
    let before = requested();

    let run = site.promote(&["doctor"]).expect_code(0);

    for words in [
        "it takes pushes of this account",
        "it answers, and refuses no credentials",
        "the tags of 1 of 1 repositories can be listed",
        "it may patch gitrepositories in",
        "takes its manifests from GitRepository",
        "test-app: applied: what stands in Git is in the cluster",
        "test-app: workload: ",
    ] {
        assert!(lines(&run, "ok").iter().any(|line| line.contains(words)), "{words}:\n{}", run.stdout);
    }
    assert_eq!((lines(&run, "missing"), lines(&run, "advice")), (vec![], vec![]), "{}", run.stdout);
    assert_eq!((site.git(&["for-each-ref"]), requested()), (refs, before));
    let told: Value =
        serde_json::from_str(&site.promote(&["doctor", "-o", "json"]).expect_code(0).stdout).unwrap();
    assert_eq!((&told["apiVersion"], &told["kind"]), (&"promote/v1".into(), &"Doctor".into()));
    assert_eq!(told["sections"][0]["checks"][0]["word"], "ok");
}

#[test]
fn each_right_that_is_missing_is_named_and_its_command_gives_it() {
    let site = bed::site("doctor-rights").environments(&["local"]).create();
    site.once().expect_code(0);
    let account = without_rights(&site);

    // What was applied is only known to somebody who may see Flux: two turns of mending are enough.
    for _ in 0..2 {
        let run = site.promote(&["doctor"]);
        assert!(
            run.code == 0 || lines(&run, "missing").iter().any(|line| line.contains("it may not")),
            "{}",
            run.stdout
        );
        for command in lines(&run, "→").iter().filter(|line| line.starts_with("kubectl ")) {
            assert!(command.contains(&account), "{command}");
            for part in command.split(" && ") {
                site.kubectl(&part.split_whitespace().skip(1).collect::<Vec<_>>());
            }
        }
    }

    let run = site.promote(&["doctor"]).expect_code(0);
    assert!(lines(&run, "ok").iter().any(|line| line.contains(&account)), "{}", run.stdout);
}

#[test]
fn a_delivery_that_cannot_come_is_missing_and_a_slow_one_is_advised_against() {
    let slow = bed::site("doctor-slow").environments(&["local"]).wait(true).flux_timeout("10m").create();
    slow.once().expect_code(0);
    let run = slow.promote(&["doctor"]).expect_code(0);
    assert!(
        lines(&run, "advice").iter().any(|line| line.contains("`wait: true` with a timeout of 10m")),
        "{}",
        run.stdout
    );

    slow.suspend("local");
    let run = slow.promote(&["doctor"]).expect_code(3);
    assert!(lines(&run, "missing").iter().any(|line| line.contains("is suspended")), "{}", run.stdout);
    let mend = format!("flux resume kustomization apps -n {}", slow.namespace("local"));
    assert!(lines(&run, "→").contains(&mend), "{}", run.stdout);
    slow.resume("local");

    slow.write_config(|text| text.replace("/apps}", "/nothing}"));
    let run = slow.promote(&["doctor"]).expect_code(2);
    assert!(
        lines(&run, "missing").iter().any(|line| line.contains("there is no Kustomization")),
        "{}",
        run.stdout
    );
}

#[test]
fn what_does_not_answer_ends_with_8_and_the_rest_is_told() {
    let site = bed::site("doctor-silent").create();
    site.once().expect_code(0);
    let down = bed::free_address();
    site.write_config(|text| text.replace(&site.registry("aws"), &format!("{down}/none")));
    let run = site.promote(&["doctor"]).expect_code(8);
    assert!(lines(&run, "missing").iter().any(|line| line.contains(&down)), "{}", run.stdout);
    assert!(lines(&run, "ok").iter().any(|line| line.contains("test-app: applied")), "{}", run.stdout);

    let digest = site.image_digest("local", "test-app", "1.0.0").unwrap();
    site.delete_image("local", "test-app", &digest);
    let run = site.promote(&["doctor", "--environment", "local"]).expect_code(3);
    assert!(lines(&run, "missing").iter().any(|line| line.contains("has lost")), "{}", run.stdout);
}

#[test]
fn a_remote_that_takes_no_push_is_told_before_the_first_one() {
    let site = bed::site("doctor-push").environments(&["local"]).create();
    site.git(&["config", "http.receivepack", "false"]);

    let run = site.promote(&["doctor"]).expect_code(8);

    assert!(
        lines(&run, "missing").iter().any(|line| line.contains("refuses the credentials")),
        "{}",
        run.stdout
    );
}
