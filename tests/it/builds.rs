//! Local builds: from a saved file to a commit without a person; the same content changes nothing, and half of it is nothing.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use promote::boundary;

use crate::bed::{self, Commit, Recipe, Site, Workshop, until};

/// Somebody else builds it.
const ARTIFACT: &str = "{artifact: image}";
/// The daemon builds it.
const COMMAND: &str = "{artifact: image, watch: [src], command: [sh, build.sh]}";
/// The daemon has it built and pushed.
const PUSHES: &str = "{watch: [src], command: [python3, push.py, '{ref}']}";

fn with_build(recipe: Recipe, build: &str) -> (Site, Workshop) {
    let site = recipe.create();
    site.write_build(build);
    let workshop = Workshop::new(&site);
    workshop.write("src/app", "one");
    (site, workshop)
}

fn local(name: &str, build: &str) -> (Site, Workshop) {
    with_build(bed::site(name).environments(&["local"]), build)
}

/// Waits for the `number`-th build to be committed.
fn wait_build(site: &Site, number: usize) -> Commit {
    let builds = || {
        let builds: Vec<Commit> =
            site.moves().into_iter().filter(|commit| commit.trailer("Promote-Source") == "build").collect();
        (builds.len() >= number).then(|| builds[builds.len() - number].clone())
    };
    until(builds).unwrap_or_else(|| site.give_up(&format!("build {number} was not committed")))
}

/// Long enough for anything that should not happen to have happened.
fn settle() {
    std::thread::sleep(Duration::from_secs(3));
}

/// Waits until `/readyz` tells of a build, and that the daemon is ready all the same.
fn wait_told(site: &Site, daemon: &bed::Daemon, words: &str) {
    let told = || {
        let (status, text) = daemon.get("/readyz");
        (status == 200 && text.contains("build of test-app in test-app") && text.contains(words))
            .then_some(())
    };
    until(told).unwrap_or_else(|| {
        site.give_up(&format!("/readyz never told {words:?}: {}", daemon.get("/readyz").1))
    });
}

fn digest_in(site: &Site, environment: &str) -> String {
    site.overlay(environment, "test-app").split("digest: ").nth(1).unwrap().trim().to_owned()
}

#[test]
fn a_saved_file_becomes_a_verified_commit_without_a_person() {
    let (site, workshop) = local("saved", COMMAND);
    let daemon = site.promoted().allow_builds(&workshop).start();
    let first = wait_build(&site, 1);
    assert!(first.subject.starts_with("test-app: local 1.0.0 → build-2"), "{}", first.subject);

    workshop.write("src/app", "two");

    let second = wait_build(&site, 2);
    let tag = second.subject.rsplit(' ').next().unwrap().to_owned();
    assert_eq!(site.image_digest("local", "test-app", &tag), Some(digest_in(&site, "local")));
    assert_eq!(site.wait_verdict("test-app", "local", &tag)["verdict"], "verified");
    assert_eq!((workshop.runs(), site.moves().len()), (2, 2));
    daemon.stop();
}

#[test]
fn a_file_that_is_saved_without_a_change_builds_nothing() {
    let (site, workshop) = local("unchanged", COMMAND);
    let daemon = site.promoted().allow_builds(&workshop).start();
    wait_build(&site, 1);

    workshop.write("src/app", "one");
    workshop.write(".gitignore", "*.log\n");
    workshop.write("src/noise.log", "noise");
    settle();

    assert_eq!((workshop.runs(), site.moves().len()), (1, 1));
    daemon.stop();
}

#[test]
fn a_command_may_push_by_itself() {
    let (site, workshop) = local("pushes", PUSHES);
    let daemon = site.promoted().allow_builds(&workshop).start();
    wait_build(&site, 1);
    workshop.write("src/app", "two");
    wait_build(&site, 2);
    daemon.stop();
    let pushed = site.build_tags("local", "test-app");
    assert_eq!(pushed.len(), 2);

    // The registry and Git tell what was built already.
    site.promoted().arg("--once").allow_builds(&workshop).run().expect_code(0);

    assert_eq!((workshop.runs(), site.moves().len()), (2, 2));
    assert_eq!(site.build_tags("local", "test-app").len(), 2);
}

/// A way to a registry on which the first question for a build's digest is answered with 503.
fn failing_once(registry: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, registry) = (listener.local_addr().unwrap().to_string(), registry.to_owned());
    let failed = Arc::new(AtomicBool::new(false));
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let (registry, failed) = (registry.clone(), failed.clone());
            std::thread::spawn(move || -> std::io::Result<()> {
                let mut head = String::new();
                let mut reader = BufReader::new(client.try_clone()?);
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
                if head.starts_with("HEAD ")
                    && head.contains("manifests/build-")
                    && !failed.swap(true, Relaxed)
                {
                    return client.write_all(
                        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\r\n",
                    );
                }
                // One question on a connection, so that each is seen here.
                let mut server = TcpStream::connect(registry)?;
                server.write_all(head.replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes())?;
                let mut onward = server.try_clone()?;
                std::thread::spawn(move || std::io::copy(&mut reader, &mut onward));
                std::io::copy(&mut server, &mut client)?;
                client.shutdown(Shutdown::Both)
            });
        }
    });
    address
}

#[test]
fn what_a_command_pushed_is_asked_for_until_the_registry_tells() {
    let (site, workshop) = local("pushes-and-waits", PUSHES);
    let base = site.registry("local");
    let host = base.split('/').next().unwrap();
    let way = format!("{host}={}", failing_once(host));
    let daemon = site.promoted().args(&["--registry-endpoint", &way]).allow_builds(&workshop).start();

    wait_build(&site, 1);

    assert!(daemon.log().contains("the push is tried again"), "{}", daemon.log());
    assert_eq!(workshop.runs(), 1);
    daemon.stop();
}

#[test]
fn the_same_content_is_neither_pushed_nor_committed_again_also_after_a_restart() {
    let (site, workshop) = local("same", ARTIFACT);
    let daemon = site.promoted().allow_builds(&workshop).start();
    let digest = workshop.write_layout("image", &site.name().repeat(2));
    wait_build(&site, 1);
    assert_eq!(digest_in(&site, "local"), digest);

    workshop.write_layout("image", &site.name().repeat(2));
    settle();
    daemon.stop();
    workshop.write_layout("image", &site.name().repeat(2));
    site.promoted().arg("--once").allow_builds(&workshop).run().expect_code(0);

    assert_eq!(site.moves().len(), 1);
    assert_eq!(site.build_tags("local", "test-app").len(), 1);
}

#[test]
fn half_an_artifact_is_nothing_until_it_is_whole() {
    let (site, workshop) = local("half", ARTIFACT);
    let daemon = site.promoted().allow_builds(&workshop).start();
    let (files, digest) = Workshop::layout(site.name());
    let ((layer, content), others) = files.split_first().unwrap();
    workshop.write(&format!("image/{layer}"), &content[..content.len() / 2]);
    for (name, content) in others {
        workshop.write(&format!("image/{name}"), content);
    }
    settle();
    assert_eq!(site.moves().len(), 0);
    assert_eq!(site.image_digest("local", "test-app", &digest), None);

    workshop.write(&format!("image/{layer}"), content);

    wait_build(&site, 1);
    assert_eq!(digest_in(&site, "local"), digest);
    daemon.stop();
}

#[test]
fn an_archive_is_an_artifact_too() {
    let (site, workshop) = local("archive", "{artifact: out/image.tar}");
    let daemon = site.promoted().allow_builds(&workshop).start();
    let digest = workshop.write_layout("layout", site.name());
    let packed = std::process::Command::new("tar")
        .args(["-cf", "packed.tar", "-C", "layout", "."])
        .current_dir(workshop.path())
        .status();
    assert!(packed.unwrap().success());

    std::fs::create_dir(workshop.path().join("out")).unwrap();
    std::fs::rename(workshop.path().join("packed.tar"), workshop.path().join("out/image.tar")).unwrap();

    wait_build(&site, 1);
    assert_eq!(digest_in(&site, "local"), digest);
    daemon.stop();
}

#[test]
fn killed_in_the_middle_of_a_build_it_leaves_no_child_and_the_next_start_commits_once() {
    let (site, workshop) = local("killed-build", COMMAND);
    workshop.write("wait", "");
    let daemon = site.promoted().allow_builds(&workshop).start();
    until(|| workshop.child_lives().then_some(())).unwrap_or_else(|| site.give_up("the build never began"));

    daemon.kill();

    until(|| (!workshop.child_lives()).then_some(()))
        .unwrap_or_else(|| site.give_up("the child outlived it"));
    assert_eq!(site.moves().len(), 0);
    workshop.remove("wait");
    site.promoted().arg("--once").allow_builds(&workshop).run().expect_code(0);
    assert_eq!((workshop.runs(), site.moves().len()), (2, 1));
    assert_eq!(site.build_tags("local", "test-app").len(), 1);
}

#[test]
fn told_to_stop_it_ends_a_build_with_all_its_children() {
    let (site, workshop) = local("stopped-build", COMMAND);
    workshop.write("wait", "");
    let daemon = site.promoted().allow_builds(&workshop).start();
    until(|| workshop.child_lives().then_some(())).unwrap_or_else(|| site.give_up("the build never began"));

    daemon.stop();

    until(|| (!workshop.child_lives()).then_some(()))
        .unwrap_or_else(|| site.give_up("the child outlived it"));
}

#[test]
fn killed_between_push_and_commit_the_next_start_commits_what_was_pushed() {
    for build in [COMMAND, ARTIFACT] {
        let (site, workshop) = local("killed-pushed", build);
        workshop.write_layout("image", site.name());
        let mut first = site.promoted().allow_builds(&workshop).env(boundary::VARIABLE, "elected").start();
        assert!(first.wait(bed::DEADLINE).is_some(), "it never came so far:\n{}", first.log());
        let pushed = site.build_tags("local", "test-app");
        assert_eq!((pushed.len(), site.moves().len()), (1, 0));

        site.promoted().arg("--once").allow_builds(&workshop).run().expect_code(0);

        assert_eq!(site.moves().len(), 1);
        assert_eq!(site.build_tags("local", "test-app"), pushed, "nothing was pushed twice");
        assert!(site.moves()[0].subject.ends_with(&pushed[0]), "{}", site.moves()[0].subject);
    }
}

#[test]
fn where_the_kernel_allows_no_watch_changes_are_looked_for() {
    let (site, workshop) = local("polling", COMMAND);
    let daemon = site.promoted().allow_builds(&workshop).without_watches().start();
    wait_build(&site, 1);
    let said = daemon.wait_log("looked for every few seconds");
    assert!(said.contains("max_user_watches"), "{said}");

    workshop.write("src/app", "two");

    wait_build(&site, 2);
    let log = daemon.stop();
    assert_eq!(log.matches("looked for every few seconds").count(), 1, "it is told once");
}

#[test]
fn after_more_events_than_the_kernel_keeps_everything_is_looked_at_and_watched_again() {
    let (site, workshop) = local("overflow", COMMAND);
    workshop.write(".gitignore", "*.log\n");
    for name in ["src/a.log", "src/b.log", "src/inner/part"] {
        workshop.write(name, "");
    }
    let daemon = site.promoted().allow_builds(&workshop).start();
    wait_build(&site, 1);
    let most: usize =
        std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    let built = |count: usize| {
        let began = std::time::Instant::now();
        until(|| (workshop.runs() >= count).then_some(()))
            .unwrap_or_else(|| site.give_up(&format!("there was no build {count}")));
        // Without a word from the kernel it would be a minute.
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    };

    // Events of one file after the other, which the kernel can't put together; the folder is replaced when there is no room left.
    daemon.signal("STOP");
    for number in 0..most {
        workshop.write(["src/a.log", "src/b.log"][number % 2], number.to_string());
    }
    std::fs::rename(workshop.path().join("src/inner"), site.folder().join("old")).unwrap();
    workshop.write("src/inner/part", "two");
    daemon.signal("CONT");
    built(2);
    settle();

    workshop.write("src/inner/part", "three");

    built(3);
    daemon.stop();
}

#[test]
fn builds_of_one_image_never_run_at_the_same_time() {
    let (site, workshop) = local("one-at-a-time", "{artifact: image, watch: [src], command: [sh, slow.sh]}");
    workshop.write(
        "slow.sh",
        "mkdir busy || echo twice >> overlaps\ncp src/app built\nsh build.sh\nsleep 1\nrmdir busy\n",
    );
    let daemon = site.promoted().allow_builds(&workshop).start();

    for number in 0..40 {
        workshop.write("src/app", format!("{} {number}", site.name()));
        std::thread::sleep(Duration::from_millis(100));
    }

    let last = || (workshop.read("built") == workshop.read("src/app")).then_some(());
    until(last).unwrap_or_else(|| site.give_up("what was saved last was not built"));
    settle();
    assert_eq!(workshop.read("overlaps"), "");
    assert!((2..=8).contains(&workshop.runs()), "{} builds of what was saved 40 times", workshop.runs());
    daemon.stop();
}

#[test]
fn a_link_out_of_the_allowed_folder_is_refused() {
    let (site, workshop) = local("outside", ARTIFACT);
    workshop.write_layout("../elsewhere", site.name());
    std::os::unix::fs::symlink("../elsewhere", workshop.path().join("image")).unwrap();
    let daemon = site.promoted().allow_builds(&workshop).start();
    wait_told(&site, &daemon, "leads out of the folder of --allow-builds");
    settle();
    assert_eq!(site.moves().len(), 0);
    assert!(site.build_tags("local", "test-app").is_empty());
    daemon.stop();
}

#[test]
fn a_command_that_fails_is_told_and_runs_again_when_its_sources_change() {
    let (site, workshop) = local("fails", COMMAND);
    workshop.write("fail", "");
    let daemon = site.promoted().allow_builds(&workshop).start();
    wait_told(&site, &daemon, "exit code 3 after saying");
    assert!(daemon.log().contains("src/app is wrong"), "its last lines are in the log");
    settle();
    assert_eq!((workshop.runs(), site.moves().len()), (1, 0), "it does not try again and again");

    workshop.remove("fail");
    workshop.write("src/app", "two");

    wait_build(&site, 1);
    until(|| (!daemon.get("/readyz").1.contains("build of")).then_some(()))
        .unwrap_or_else(|| site.give_up("/readyz still tells of the failure"));
    daemon.stop();
}

#[test]
fn a_version_of_the_policy_that_comes_after_a_build_waits_for_a_release_and_status_says_so() {
    let (site, workshop) = local("policy-waits", ARTIFACT);
    let daemon = site.promoted().allow_builds(&workshop).start();
    workshop.write_layout("image", site.name());
    wait_build(&site, 1);

    site.push_image("local", "test-app", "1.1.0");
    settle();

    assert_eq!(site.moves().len(), 1);
    let status = site.promote(&["status"]).expect_code(0);
    assert!(status.stdout.contains("versions of its policy wait"), "{}", status.stdout);

    let release = ["release", "--environment", "local", "--app", "test-app", "--reason", "the build is done"];
    site.promote(&release).expect_code(0);

    site.wait_commit(|commit| commit.subject.ends_with("→ 1.1.0"), "goes on with the policy");
    settle();
    assert_eq!(site.moves().len(), 3, "the build, the release, the version");
    daemon.stop();
}

#[test]
fn a_person_who_takes_a_build_away_wins_until_the_next_build() {
    let (site, workshop) = local("person", ARTIFACT);
    let before = site.overlay("local", "test-app");
    let daemon = site.promoted().allow_builds(&workshop).start();
    workshop.write_layout("image", site.name());
    wait_build(&site, 1);
    site.commit("Go back", &[(&site.overlay_path("local", "test-app"), Some(&before))]);
    settle();
    assert_eq!(site.overlay("local", "test-app"), before);
    daemon.stop();
    site.promoted().arg("--once").allow_builds(&workshop).run();
    assert_eq!(site.overlay("local", "test-app"), before, "also after a restart");

    let daemon = site.promoted().allow_builds(&workshop).start();
    let digest = workshop.write_layout("image", &site.name().repeat(2));

    wait_build(&site, 2);
    assert_eq!(digest_in(&site, "local"), digest);
    daemon.stop();
}

#[test]
fn a_build_is_promoted_by_its_digest_and_so_is_the_next_one() {
    let (site, workshop) = with_build(bed::site("build-promoted"), ARTIFACT);
    for number in 1..=2 {
        let digest = workshop.write_layout("image", &site.name().repeat(number));
        site.promoted().arg("--once").allow_builds(&workshop).run().expect_code(0);
        assert_eq!(digest_in(&site, "local"), digest);

        site.promote(&["--to", "aws", "--yes"]).expect_code(0);

        assert_eq!(digest_in(&site, "aws"), digest);
        assert_eq!(site.image_digest("aws", "test-app", &digest), Some(digest.clone()));
    }
}

#[test]
fn without_allow_builds_a_build_is_left_alone_and_that_is_told_once() {
    let (site, workshop) = local("not-allowed", COMMAND);
    workshop.write_layout("image", site.name());

    let run = site.once().expect_code(0);

    assert_eq!(run.stderr.matches("--allow-builds").count(), 1, "{}", run.stderr);
    assert_eq!((workshop.runs(), site.moves().len()), (0, 0));
}

#[test]
fn the_way_to_a_local_clusters_registry_is_the_one_that_the_cluster_publishes() {
    let site = bed::site("hosting").environments(&["local"]).create();
    let base = site.registry("local");
    let (way, _) = base.split_once('/').unwrap();
    let map = format!(
        r#"{{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {{"name": "local-registry-hosting", "namespace": "kube-public"}},
        "data": {{"localRegistryHosting.v1": "host: \"{way}\"\nhostFromContainerRuntime: \"k3d-hosting:5000\"\n"}}}}"#
    );
    let file = site.folder().join("hosting.json");
    std::fs::write(&file, map).unwrap();
    site.kubectl(&["apply", "-f", file.to_str().unwrap()]);
    site.write_config(|text| text.replace(&base, &base.replace(way, "k3d-hosting:5000")));
    let digest = site.push_image("local", "test-app", "1.1.0");

    let run = site.once();

    site.kubectl(&["delete", "-f", file.to_str().unwrap()]);
    run.expect_code(0);
    let overlay = site.overlay("local", "test-app");
    assert!(overlay.contains("newName: k3d-hosting:5000/") && overlay.contains(&digest), "{overlay}");
}
