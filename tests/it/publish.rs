//! The remote is written to by one small commit, over every door that Git has; a lost race is run again on the new
//! head, and a person wins.

use std::time::Duration;

use crate::bed::{self, Site, bed, until};

/// Elects 1.1.0 and expects it at the remote.
fn publishes(site: &Site, run: crate::bed::Run) {
    run.expect_code(0);
    assert_eq!(site.moves()[0].subject, "test-app: local 1.0.0 → 1.1.0");
    assert_eq!(site.wait_verdict("test-app", "local", "1.1.0")["verdict"], "verified");
}

#[test]
fn a_commit_goes_over_http_with_a_password() {
    let site = bed::site("http").environments(&["local"]).create();
    site.push_image("local", "test-app", "1.1.0");
    let with_password = site.promoted().arg("--once").repo(site.repo_with_password());
    publishes(&site, with_password.arg("--git-credentials").arg(&bed().git_credentials).run());
}

#[test]
fn a_remote_that_refuses_the_password_ends_a_pass_with_8_and_nothing_is_told_of_it() {
    let site = bed::site("wrong-password").environments(&["local"]).create();
    let folder = site.folder().join("credentials");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("username"), &bed().git_user).unwrap();
    std::fs::write(folder.join("password"), "hunter2-hunter2").unwrap();
    let refused = site.promoted().arg("--once").repo(site.repo_with_password());

    let run = refused.arg("--git-credentials").arg(&folder).run().expect_code(8);

    assert!(!(run.stdout + &run.stderr).contains("hunter2"));
    site.promoted().arg("--once").repo(site.repo_with_password()).run().expect_code(8);
}

#[test]
fn a_commit_goes_over_ssh_with_a_key() {
    let site = bed::site("ssh").environments(&["local"]).create();
    site.push_image("local", "test-app", "1.1.0");
    let over_ssh = site.promoted().arg("--once").repo(site.repo_over_ssh());
    publishes(&site, over_ssh.arg("--git-credentials").arg(&bed().ssh_credentials).run());
}

#[test]
fn an_ssh_host_whose_key_is_another_one_is_not_spoken_to() {
    let site = bed::site("ssh-host").environments(&["local"]).create();
    let folder = site.folder().join("credentials");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(bed().ssh_credentials.join("identity"), folder.join("identity")).unwrap();
    let known = std::fs::read_to_string(bed().ssh_credentials.join("known_hosts")).unwrap();
    let (host, _) = known.split_once(' ').unwrap();
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    std::fs::write(folder.join("known_hosts"), format!("{host} {other}\n")).unwrap();
    let over_ssh = site.promoted().arg("--once").repo(site.repo_over_ssh());

    let run = over_ssh.arg("--git-credentials").arg(&folder).run().expect_code(8);

    assert!(run.stderr.contains("known_hosts"), "{}", run.stderr);
}

#[test]
fn a_bare_repository_on_this_machine_is_the_remote_itself() {
    let site = bed::site("path").environments(&["local"]).create();
    // The daemon starts no program, and so no hook.
    site.install_hook("pre-receive", "#!/bin/sh\nexit 1\n");
    site.push_image("local", "test-app", "1.1.0");
    let path = site.bare().to_str().unwrap().to_owned();
    publishes(&site, site.promoted().arg("--once").repo(path).run());
}

#[test]
fn a_clone_stands_for_its_origin_and_its_work_tree_is_not_touched() {
    let site = bed::site("clone").environments(&["local"]).create();
    site.push_image("local", "test-app", "1.1.0");
    let clone = site.folder().join("clone");
    let overlay = clone.join(site.overlay_path("local", "test-app"));
    let before = std::fs::read(&overlay).unwrap();
    publishes(&site, site.promoted().arg("--once").repo(clone.to_str().unwrap()).run());
    assert_eq!(std::fs::read(&overlay).unwrap(), before);
}

#[test]
fn a_lost_race_is_run_again_on_the_new_head() {
    let site = bed::site("race").environments(&["local"]).create();
    site.lose_the_next_race("notes.txt", "a person's file\n");
    let digest = site.push_image("local", "test-app", "1.1.0");

    site.once().expect_code(0);

    let subjects: Vec<_> = site.commits().iter().map(|commit| commit.subject.clone()).collect();
    assert_eq!(subjects, ["test-app: local 1.0.0 → 1.1.0", "A person was quicker", "Begin"]);
    assert_eq!(site.read("notes.txt"), "a person's file\n");
    assert!(site.overlay("local", "test-app").contains(&digest));
}

#[test]
fn every_commit_of_people_who_push_all_the_time_survives() {
    let site = bed::site("busy").environments(&["local"]).create();
    let daemon = site.promoted().start();
    let mut persons = Vec::new();
    for number in 1..=8 {
        site.push_image("local", "test-app", &format!("1.{number}.0"));
        persons.push(site.commit("Notes", &[("notes.txt", Some(&format!("{number}\n")))]));
    }
    site.wait_verdict("test-app", "local", "1.8.0");
    daemon.stop();
    for sha in &persons {
        site.git(&["merge-base", "--is-ancestor", sha, "main"]);
    }
    assert_eq!(site.read("notes.txt"), "8\n");
    let merges = site.git(&["rev-list", "--count", "--min-parents=2", "main"]);
    assert_eq!(merges.trim(), "0", "the history is one line");
}

#[test]
fn a_person_who_changes_the_same_image_meanwhile_wins_and_only_a_newer_version_is_elected() {
    let site = bed::site("person-wins").environments(&["local"]).create();
    let digest = site.push_image("local", "test-app", "1.0.5");
    let daemon = site.promoted().start();
    site.wait_verdict("test-app", "local", "1.0.5");
    let old = site.overlay("local", "test-app");
    // Somebody goes back to 1.0.0 in the moment in which 1.1.0 is pushed to the branch.
    let first = site.image_digest("local", "test-app", "1.0.0").unwrap();
    let back = old.replace("1.0.5", "1.0.0").replace(&digest, &first);
    site.lose_the_next_race(&site.overlay_path("local", "test-app"), &back);
    site.push_image("local", "test-app", "1.1.0");
    daemon.wait_log("somebody changed the image meanwhile, and wins");
    let polls = scans(&daemon);
    assert!(until(|| (scans(&daemon) >= polls + 3).then_some(())).is_some(), "the daemon stopped to look");
    assert_eq!(site.overlay("local", "test-app"), back);

    site.push_image("local", "test-app", "1.2.0");

    site.wait_commit(|commit| commit.subject == "test-app: local 1.0.0 → 1.2.0", "elects 1.2.0");
    daemon.stop();
}

#[test]
fn a_version_that_a_person_took_away_is_not_elected_again_and_a_newer_one_is() {
    let site = bed::site("taken-away").environments(&["local"]).create();
    let before = site.overlay("local", "test-app");
    site.push_image("local", "test-app", "1.1.0");
    site.once().expect_code(0);
    let person = site.commit("Back to 1.0.0", &[(&site.overlay_path("local", "test-app"), Some(&before))]);

    site.once().expect_code(0);
    assert_eq!(site.commits()[0].sha, person);
    let shown = site.promote(&["status"]).expect_code(0).stdout;
    assert!(shown.contains("1.1.0 is not elected again: A Person <person@example.org>"), "{shown}");

    site.push_image("local", "test-app", "1.2.0");
    site.once().expect_code(0);
    assert_eq!(site.commits()[0].subject, "test-app: local 1.0.0 → 1.2.0");
}

#[test]
fn a_commit_tells_in_trailers_what_it_moved_and_why() {
    let site = bed::site("trailers").environments(&["local"]).create();
    let name = format!("{}/test-app", site.registry("local"));
    let first = site.image_digest("local", "test-app", "1.0.0").unwrap();
    let digest = site.push_image("local", "test-app", "1.1.0");

    site.once().expect_code(0);

    let commit = &site.commits()[0];
    assert_eq!(commit.author, "promoted <promoted@localhost>");
    let told: Vec<_> = commit.body.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    assert_eq!(
        told,
        [
            "Promote-App: test-app".to_owned(),
            "Promote-Environment: local".to_owned(),
            format!("Promote-Image: {name}:1.1.0@{digest}"),
            format!("Promote-Previous: {name}:1.0.0@{first}"),
            "Promote-Source: registry".to_owned(),
            "Promote-Actor: promoted".to_owned(),
        ]
    );
}

#[test]
fn a_remote_that_refuses_the_push_ends_a_pass_with_7_and_its_words_are_shown() {
    let site = bed::site("refused").environments(&["local"]).create();
    site.promoted().arg("--once").run().expect_code(0);
    site.install_hook("pre-receive", "#!/bin/sh\necho 'the branch is frozen until Monday' >&2\nexit 1\n");
    site.push_image("local", "test-app", "1.1.0");

    let run = site.once().expect_code(7);

    assert!(run.stderr.contains("frozen until Monday"), "{}", run.stderr);
}

#[test]
fn a_daemon_lives_through_a_remote_that_is_away_for_a_while() {
    let site = bed::site("away").environments(&["local"]).create();
    let daemon = site.promoted().start();
    site.wait_verdict("test-app", "local", "1.0.0");
    let away = site.bare().with_extension("away");
    std::fs::rename(site.bare(), &away).unwrap();
    let unready = until(|| Some(daemon.get("/readyz").0).filter(|status| *status == 503));
    site.push_image("local", "test-app", "1.1.0");
    std::thread::sleep(Duration::from_millis(500));
    std::fs::rename(&away, site.bare()).unwrap();

    assert!(unready.is_some(), "/readyz never told that Git is away");
    assert_eq!(site.wait_verdict("test-app", "local", "1.1.0")["verdict"], "verified");
    assert!(until(|| (daemon.get("/readyz").0 == 200).then_some(())).is_some());
    daemon.stop();
}

/// How often the daemon has looked at registries.
fn scans(daemon: &crate::bed::Daemon) -> u64 {
    crate::metrics_and_health::sum(&daemon.get("/metrics").1, "promote_scans_total")
}

#[test]
fn one_secret_in_flux_s_own_form_serves_flux_and_the_daemon() {
    let site = bed::site("one-secret").environments(&["local"]).create();
    site.once().expect_code(0);
    let namespace = site.namespace("local");
    for (secret, content, url, tag) in [
        ("password", &bed().git_credentials, site.repo_with_password(), "1.1.0"),
        ("key", &bed().ssh_credentials, site.repo_over_ssh(), "1.2.0"),
    ] {
        let content = format!("--from-file={}", content.display());
        site.kubectl(&["create", "secret", "generic", secret, "-n", &namespace, &content]);
        let changes = format!(r#"{{"spec": {{"url": "{url}", "secretRef": {{"name": "{secret}"}}}}}}"#);
        site.kubectl(&["patch", "gitrepository", "deploy", "-n", &namespace, "--type=merge", "-p", &changes]);
        site.push_image("local", "test-app", tag);

        let credentials = site.mount_secret(&namespace, secret);
        let run = site.promoted().arg("--once").repo(&url).arg("--git-credentials").arg(credentials).run();

        run.expect_code(0);
        assert_eq!(site.wait_verdict("test-app", "local", tag)["verdict"], "verified");
        site.wait_rolled_out("local", "test-app", tag);
    }
}
