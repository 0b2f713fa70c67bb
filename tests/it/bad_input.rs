//! What is wrong is told with its object, its cause and the next step, ends with the code that fits, and loses nothing.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::bed::{self, Daemon, Run, Site, Wire, bed, until};

fn local(name: &str) -> Site {
    bed::site(name).environments(&["local"]).create()
}

/// A site where `1.1.0` is verified in `local` and can be promoted to `aws`.
fn promotable(name: &str) -> Site {
    let site = bed::site(name).create();
    site.push_image("local", "test-app", "1.1.0");
    site.promoted().args(&["--once", "--environment", "local"]).run().expect_code(0);
    site
}

/// Panics unless the program said all of `words`.
#[track_caller]
fn expect_words(run: &Run, words: &[&str]) {
    for wanted in words {
        let said = [run.stdout.as_str(), &run.stderr].concat();
        assert!(said.contains(wanted), "{wanted:?} was not said:\n{said}");
    }
}

/// The subjects of the commits that moved a version, newest first.
fn moves(site: &Site) -> Vec<String> {
    let moves = site.commits().into_iter().filter(|commit| commit.trailers.contains_key("Promote-App"));
    moves.map(|commit| commit.subject).collect()
}

/// A loopback address where nobody listens.
fn closed_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Lets the environment take its images from another registry.
fn use_registry(site: &Site, registry: &str) {
    site.write_config(|text| text.replace(&site.registry("local"), registry));
}

// --- promote.yaml ---

fn two_mistakes(text: &str) -> String {
    text.replace("interval: 1s", "interval: soon").replacen("    registry:", "    registri:", 1)
}

#[test]
fn all_mistakes_of_promote_yaml_are_listed_with_line_and_column() {
    let site = local("mistakes");
    site.write_config(|text| two_mistakes(&text));
    let run = site.once().expect_code(2);
    expect_words(&run, &["promote.yaml:2:11: interval: ", "promote.yaml:5:5: environments.local.registri: "]);
}

#[test]
fn a_broken_promote_yaml_leaves_the_one_before_in_force_until_it_is_mended() {
    let site = local("heals");
    let daemon = site.promoted().start();
    site.wait_verdict("test-app", "local", "1.0.0");
    let sound = site.read("promote.yaml");
    let shows = |status: u16, valid: &str| {
        let ready = || daemon.get("/readyz");
        let seen = until(|| Some(ready()).filter(|(code, _)| *code == status));
        let (_, body) = seen.unwrap_or_else(|| panic!("/readyz never was {status}: {:?}", ready()));
        let metric = format!("promote_config_valid {valid}");
        let metrics = daemon.get("/metrics").1;
        assert!(metrics.lines().any(|line| line == metric), "{metric}:\n{metrics}");
        body
    };

    site.write_config(|text| two_mistakes(&text));
    let body = shows(503, "0");
    assert!(body.contains("promote.yaml:2:11: interval: "), "{body}");
    daemon.wait_log("promote.yaml:2:11: interval: ");
    site.push_image("local", "test-app", "1.1.0");
    assert_eq!(site.wait_verdict("test-app", "local", "1.1.0")["verdict"], "verified");

    site.write_config(|_| sound);
    shows(200, "1");
    daemon.stop();
}

#[test]
fn an_overlay_that_does_not_exist_is_named() {
    let site = local("no-overlay");
    site.write_config(|text| text.replace("deploy/apps/test-app/overlays", "deploy/apps/test-ap/overlays"));
    let run = site.once().expect_code(2);
    expect_words(
        &run,
        &[
            "test-app in local",
            "the folder deploy/apps/test-ap/overlays/local does not exist",
            "correct `path`",
        ],
    );
}

#[test]
fn an_image_that_the_kustomization_does_not_have_is_named_with_those_it_has() {
    let site = local("no-entry");
    site.write_config(|text| text.replace("      test-app: {policy", "      test-ap: {policy"));
    let run = site.once().expect_code(2);
    expect_words(
        &run,
        &[
            "overlays/local/kustomization.yaml: no entry `test-ap`",
            "it has test-app",
            "add `- name: test-ap`",
        ],
    );
}

#[test]
fn a_promote_file_that_cannot_be_read_holds_the_app() {
    let site = local("bad-record");
    site.commit("Hold", &[(".promote/local/test-app.yaml", Some("hold: {reason: [\n"))]);
    site.push_image("local", "test-app", "1.1.0");
    let run = site.once().expect_code(3);
    expect_words(&run, &[".promote/local/test-app.yaml", "held until the file can be read"]);
    assert_eq!(moves(&site), [""; 0]);

    site.commit("Release", &[(".promote/local/test-app.yaml", None)]);
    site.once().expect_code(0);
    assert_eq!(moves(&site), ["test-app: local 1.0.0 → 1.1.0"]);
}

// --- Registries ---

#[test]
fn a_registry_that_is_down_is_named() {
    let site = local("registry-down");
    let closed = closed_address();
    use_registry(&site, &format!("{closed}/apps"));
    let run = site.once().expect_code(8);
    expect_words(&run, &[&format!("can't reach {closed}"), "refused", "--registry-endpoint"]);
    assert_eq!(moves(&site), [""; 0]);
}

#[test]
fn a_registry_that_refuses_the_credentials_says_where_they_come_from() {
    let site = local("registry-auth");
    let host = &bed().registries["auth"];
    site.push_image("auth", "test-app", "1.1.0");
    use_registry(&site, &site.registry("auth"));
    let with = |password: &str| {
        let pair = STANDARD.encode(format!("{}:{password}", bed().registry_user));
        let file = site.folder().join("config.json");
        std::fs::write(&file, format!("{{\"auths\": {{\"{host}\": {{\"auth\": \"{pair}\"}}}}}}")).unwrap();
        site.promoted().arg("--once").arg("--registry-credentials").arg(file).run()
    };

    let run = site.once().expect_code(8);
    expect_words(
        &run,
        &[
            &format!("{host} refuses access"),
            "there are no credentials for it",
            "check the entry for",
            "--registry-credentials",
        ],
    );
    let run = with("hunter2").expect_code(8);
    expect_words(&run, &[&format!("{host} refuses access"), "check the entry for"]);
    assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
    assert_eq!(moves(&site), [""; 0]);

    with(&bed().registry_password).expect_code(0);
    assert_eq!(moves(&site), ["test-app: local 1.0.0 → 1.1.0"]);
}

#[test]
fn a_registry_that_answers_with_something_else_moves_nothing() {
    let site = local("registry-garbage");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let page = "<html>Welcome to the portal</html>";
            let length = page.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}"
            );
            _ = stream.read(&mut [0; 4096]);
            _ = stream.write_all(answer.as_bytes());
        }
    });
    use_registry(&site, &format!("{address}/apps"));
    let run = site.once().expect_code(8);
    expect_words(&run, &[&format!("unusable answer of {address}"), "nothing is concluded from it"]);
    assert_eq!(moves(&site), [""; 0]);
}

// --- Git ---

#[test]
fn a_git_remote_that_is_down_is_named() {
    let site = local("git-down");
    let url = format!("http://{}/deploy.git", closed_address());
    let run = site.promoted().repo(&url).arg("--once").run().expect_code(8);
    expect_words(&run, &[&format!("Git remote {url} can't be reached"), "refused"]);
}

#[test]
fn a_push_that_the_remote_refuses_is_told_in_its_own_words() {
    let site = local("git-refuses");
    let hook = site.install_hook("pre-receive", "#!/bin/sh\necho 'no pushes on Friday' >&2\nexit 1\n");
    site.push_image("local", "test-app", "1.1.0");
    let run = site.once().expect_code(7);
    expect_words(&run, &["refused the push to refs/heads/main", "no pushes on Friday"]);
    assert_eq!(moves(&site), [""; 0]);

    std::fs::remove_file(hook).unwrap();
    site.once().expect_code(0);
    assert_eq!(moves(&site), ["test-app: local 1.0.0 → 1.1.0"]);
}

#[test]
fn a_race_that_is_always_lost_is_given_up() {
    let site = local("git-race");
    let script = "#!/bin/sh
test \"$1\" = refs/heads/main || exit 0
export GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x@y GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x@y
git update-ref refs/heads/main $(git commit-tree -p main -m 'Another was quicker' 'main^{tree}')
";
    let hook = site.install_hook("update", script);
    site.push_image("local", "test-app", "1.1.0");
    let run = site.once().expect_code(7);
    expect_words(&run, &["the push to refs/heads/main lost the race 20 times", "run the same again"]);
    assert_eq!(moves(&site), [""; 0]);
    let others = site.commits().iter().filter(|commit| commit.subject == "Another was quicker").count();
    assert!(others >= 20, "{others}");

    std::fs::remove_file(hook).unwrap();
    site.once().expect_code(0);
    assert_eq!(moves(&site), ["test-app: local 1.0.0 → 1.1.0"]);
}

#[test]
fn an_ssh_host_that_is_not_known_or_has_another_key_is_refused_with_the_fingerprints() {
    let site = local("ssh-key");
    let folder = site.folder().join("ssh");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(bed().ssh_credentials.join("identity"), folder.join("identity")).unwrap();
    let known = std::fs::read_to_string(bed().ssh_credentials.join("known_hosts")).unwrap();
    let fingerprint = |file: &PathBuf| {
        let output = Command::new("ssh-keygen").arg("-lf").arg(file).output().unwrap();
        let line = String::from_utf8(output.stdout).unwrap();
        line.split_whitespace().find(|word| word.starts_with("SHA256:")).expect("a fingerprint").to_owned()
    };
    let run = |known: &str| {
        std::fs::write(folder.join("known_hosts"), known).unwrap();
        let promoted = site.promoted().repo(site.repo_over_ssh()).arg("--once");
        promoted.arg("--git-credentials").arg(&folder).run()
    };
    let found = fingerprint(&bed().ssh_credentials.join("known_hosts"));

    let unknown = run("git.example.org ssh-ed25519 AAAA\n").expect_code(8);
    expect_words(&unknown, &["is not in known_hosts", &found, "ssh-keyscan"]);

    let other = site.folder().join("other");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&other).status();
    assert!(made.unwrap().success());
    let other = other.with_extension("pub");
    let key = std::fs::read_to_string(&other).unwrap();
    let host = known.split_whitespace().next().unwrap();
    let changed = run(&format!("{host} {key}")).expect_code(8);
    let expected = fingerprint(&other);
    expect_words(&changed, &["has changed", &format!("expected {expected}, found {found}")]);

    run(&known).expect_code(0);
}

#[test]
fn a_password_in_the_address_is_refused_and_not_shown() {
    let site = local("password");
    let address = site.repo().replace("http://", "http://promote:hunter2@");
    let run = site.promoted().repo(address).arg("--once").run().expect_code(2);
    expect_words(&run, &["must not hold credentials", "--git-credentials"]);
    assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
}

#[test]
fn a_branch_that_does_not_exist_is_named() {
    let site = local("no-branch");
    let run = site.promoted().args(&["--once", "--branch", "nope"]).run().expect_code(2);
    expect_words(&run, &["there is no branch nope", "--branch"]);
}

#[test]
fn an_empty_repository_is_told_as_such() {
    let site = local("empty");
    let name = format!("{}-empty.git", site.name());
    let folder = bed().git_dir.join(&name);
    site.git(&["init", "--quiet", "--bare", "--initial-branch=main", folder.to_str().unwrap()]);
    let url = format!("{}/{name}", bed().git_open);
    let run = site.promoted().repo(url).arg("--once").run().expect_code(2);
    expect_words(&run, &["the repository is empty", "push a first commit"]);
}

#[test]
fn a_state_directory_is_used_by_one_daemon_alone() {
    let site = local("two-daemons");
    let state = site.folder().join("shared-state");
    let daemon = site.promoted().state_dir(&state).start();
    daemon.wait_log("\"started\"");
    let second = site.promoted().state_dir(&state).arg("--once").run().expect_code(2);
    expect_words(&second, &["another promoted uses", "shared-state", "--state-dir"]);
    daemon.stop();
}

// --- Delivery ---

#[test]
fn a_promotion_to_a_suspended_kustomization_is_blocked() {
    let site = promotable("suspended");
    site.suspend("aws");
    let before = moves(&site);
    let run = site.promote(&["--to", "aws", "--yes"]).expect_code(3);
    let namespace = site.namespace("aws");
    let way = format!("`flux resume kustomization apps -n {namespace}`");
    expect_words(&run, &["nothing was promoted to aws", "is suspended", &way]);
    assert_eq!(moves(&site), before);

    site.resume("aws");
    site.promote(&["--to", "aws", "--yes"]).expect_code(0);
}

#[test]
fn a_promotion_to_a_stalled_kustomization_is_blocked() {
    let site = promotable("stalled");
    let namespace = site.namespace("aws");
    let broken = r#"{"spec": {"healthCheckExprs": [{"apiVersion": "apps/v1", "kind": "Deployment", "current": "]["}]}}"#;
    site.kubectl(&["patch", "kustomization", "apps", "-n", &namespace, "--type=merge", "-p", broken]);
    let stalled = || {
        let status = site.kustomization("aws")?["status"].take();
        let conditions = status["conditions"].as_array()?.clone();
        conditions.into_iter().find(|it| it["type"] == "Stalled" && it["status"] == "True")
    };
    assert!(until(stalled).is_some(), "the Kustomization never stalled: {:?}", site.kustomization("aws"));
    let before = moves(&site);
    let run = site.promote(&["--to", "aws", "--yes"]).expect_code(3);
    expect_words(&run, &["nothing was promoted to aws", "is stalled"]);
    assert_eq!(moves(&site), before);
}

#[test]
fn a_promotion_to_a_kustomization_that_does_not_exist_names_those_that_do() {
    let site = promotable("missing");
    let namespace = site.namespace("aws");
    site.write_config(|text| text.replace(&format!("{namespace}/apps"), &format!("{namespace}/apsp")));
    let before = moves(&site);
    let run = site.promote(&["--to", "aws", "--yes"]).expect_code(2);
    expect_words(
        &run,
        &[
            &format!("there is no Kustomization {namespace}/apsp"),
            &format!("{namespace} has apps"),
            "deploy.flux.kustomization",
        ],
    );
    assert_eq!(moves(&site), before);
}

/// Makes the site's kubeconfig name an API server that is not there.
fn close_cluster(site: &Site) {
    let file = site.folder().join("secrets/kubeconfig");
    let text = std::fs::read_to_string(&file).unwrap();
    let server = text.split("server: ").nth(1).unwrap().split_whitespace().next().unwrap();
    std::fs::write(&file, text.replace(server, &format!("https://{}", closed_address()))).unwrap();
}

#[test]
fn a_promotion_to_a_cluster_that_is_not_there_is_not_begun() {
    let site = promotable("no-cluster");
    close_cluster(&site);
    let before = moves(&site);
    let run = site.promote(&["--to", "aws", "--yes"]).expect_code(8);
    expect_words(&run, &["cluster kubeconfig can't be reached", "refused"]);
    assert_eq!(moves(&site), before);
}

#[test]
fn a_version_in_a_cluster_that_is_not_there_is_unknown_and_stays() {
    let site = bed::site("blind").environments(&["local"]).verify("{timeout: 5s, stableFor: 0s}").create();
    close_cluster(&site);
    site.push_image("local", "test-app", "1.1.0");
    let run = site.once().expect_code(6);
    expect_words(&run, &["cluster kubeconfig can't be reached"]);
    assert_eq!(site.wait_verdict("test-app", "local", "1.1.0")["verdict"], "unknown");
    assert_eq!(moves(&site), ["test-app: local 1.0.0 → 1.1.0"]);
}

/// Waits until `/readyz` answers with that status and those words.
#[track_caller]
fn wait_ready(daemon: &Daemon, status: u16, words: &str) {
    let answer = until(|| {
        let (found, report) = daemon.get("/readyz");
        (found == status && report.contains(words)).then_some(())
    });
    assert!(answer.is_some(), "/readyz was never {status} with {words:?}: {:?}", daemon.get("/readyz"));
}

#[test]
fn a_daemon_with_nothing_to_do_is_not_ready_while_its_cluster_is_gone() {
    let site = local("idle");
    let wire = Wire::new();
    wire.put_before(&site);
    let daemon = site.promoted().start();
    site.wait_verdict("test-app", "local", "1.0.0");
    wait_ready(&daemon, 200, "cluster kubeconfig");

    wire.cut();
    wait_ready(&daemon, 503, "cluster kubeconfig can't be reached");

    wire.mend();
    wait_ready(&daemon, 200, "cluster kubeconfig");
    daemon.stop();
}

#[test]
fn a_daemon_whose_kubeconfig_cannot_be_used_is_not_ready_until_it_can() {
    let site = local("bad-kubeconfig");
    let sound = std::fs::read_to_string(site.folder().join("secrets/kubeconfig")).unwrap();
    site.write_secret("kubeconfig", &sound.replace("current-context: ", "current-context: not-"));
    let daemon = site.promoted().start();
    wait_ready(&daemon, 503, "check the context's name, cluster and user");

    site.write_secret("kubeconfig", &sound);
    wait_ready(&daemon, 200, "cluster kubeconfig");
    daemon.stop();
}

#[test]
fn the_daemon_starts_no_program_that_a_kubeconfig_names() {
    let site = local("exec");
    let trace = site.folder().join("trace");
    let kubeconfig = format!(
        "apiVersion: v1
kind: Config
current-context: c
clusters: [{{name: c, cluster: {{server: \"https://{}\"}}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
users: [{{name: u, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, command: touch, args: [\"{}\"], \
         interactiveMode: Never}}}}}}]
",
        closed_address(),
        trace.display()
    );
    site.write_secret("kubeconfig", &kubeconfig);
    let daemon = site.promoted().start();
    let line = daemon.wait_log("starts a program for credentials");
    assert!(line.contains("cluster kubeconfig") && line.contains("use a kubeconfig with a token"), "{line}");
    daemon.stop();
    assert!(!trace.exists(), "the program was started");
}

#[test]
fn a_kustomization_that_a_person_broke_is_not_blamed_on_the_version() {
    let site = bed::site("not-ours").environments(&["local"]).create();
    site.once().expect_code(0);
    site.write_config(|text| text.replace("timeout: 60s", "timeout: 8s"));
    let path = "deploy/apps/test-app/base/kustomization.yaml";
    let sound = site.read(path);
    let broken = format!("{sound}- missing.yaml\n");
    site.commit("Break it", &[(path, Some(&broken))]);
    let digest = site.push_image("local", "test-app", "1.1.0");
    let run = site.once().expect_code(6);
    expect_words(&run, &["BuildFailed", "base/missing.yaml: no such file"]);
    assert_eq!(moves(&site), ["test-app: local 1.0.0 → 1.1.0"]);
    assert_eq!(site.try_read(".promote/local/test-app.yaml"), None);

    site.write_config(|text| text.replace("timeout: 8s", "timeout: 60s"));
    site.commit("Mend it", &[(path, Some(&sound))]);
    site.once().expect_code(0);
    let verdict = site.wait_verdict("test-app", "local", "1.1.0");
    assert_eq!((&verdict["verdict"], &verdict["digest"]), (&"verified".into(), &digest.as_str().into()));
}
