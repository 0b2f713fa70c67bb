//! One that accepts a connection and then says nothing holds nobody up: its deadline ends the wait, and others go on.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::bed::{self, Run, Site, until};

/// A server that never answers; no real part can be made to do so. Returns its address.
fn silent() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        // A connection that nobody holds would be closed.
        let held: Vec<TcpStream> = listener.incoming().flatten().collect();
        drop(held);
    });
    address
}

/// A pass over a remote that never answers; panics unless it ends in time.
fn pass_within(site: &Site, repository: &str, seconds: u64) -> Run {
    let began = Instant::now();
    let run = site.promoted().repo(repository).arg("--once").run().expect_code(8);
    assert!(began.elapsed() < Duration::from_secs(seconds), "it waited for {:?}", began.elapsed());
    run
}

#[test]
fn a_registry_that_never_answers_is_told_of_and_the_other_one_goes_on() {
    let site = bed::site("silent").environments(&["local"]).apps(&["test-app", "worker"]).create();
    let address = silent();
    let worker = "      worker: {policy: {semver: {range: \">=1.0.0-0\"}}}";
    let elsewhere = worker.replace("{policy", &format!("{{repository: {address}/worker, policy"));
    site.write_config(|text| text.replace(worker, &elsewhere));
    let daemon = site.promoted().start();

    for tag in ["1.1.0", "1.2.0"] {
        site.push_image("local", "test-app", tag);
        assert_eq!(site.wait_verdict("test-app", "local", tag)["verdict"], "verified");
    }
    let told = || {
        let (status, text) = daemon.get("/readyz");
        let words =
            format!("can't reach {address} for the tags of {address}/worker: no complete answer within");
        (status == 503 && text.contains(&words)).then_some(())
    };
    assert!(until(told).is_some(), "/readyz never said so: {:?}", daemon.get("/readyz"));
    assert_eq!(daemon.get("/healthz").0, 200);
    daemon.stop();
}

#[test]
fn a_git_remote_that_never_answers_over_http_ends_a_pass_with_8_and_does_not_keep_the_daemon_from_stopping() {
    let site = bed::site("silent-http").environments(&["local"]).create();
    let url = format!("http://{}/deploy.git", silent());
    let daemon = site.promoted().repo(&url).start();
    assert_eq!(daemon.get("/healthz").0, 200);
    let run = pass_within(&site, &url, 75);
    assert!(run.stderr.contains(&format!("Git remote {url} can't be reached")), "{}", run.stderr);
    assert_eq!(daemon.get("/readyz").0, 503);
    // It is in the middle of its next try.
    daemon.stop();
}

#[test]
fn a_git_remote_that_never_answers_over_ssh_ends_a_pass_with_8() {
    let site = bed::site("silent-ssh").environments(&["local"]).create();
    let url = format!("ssh://git@{}/deploy.git", silent());
    let run = pass_within(&site, &url, 75);
    assert!(run.stderr.contains("can't be reached"), "{}", run.stderr);
}
