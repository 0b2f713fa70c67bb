//! The log has one line for each change of state, in words for people or as JSON.

use crate::bed::{self, Site};

/// What differs from run to run gets a name.
fn redacted(site: &Site, log: &str, address: &str) -> String {
    let mut text =
        log.replace(&site.repo(), "REPOSITORY").replace(address, "ADDRESS").replace(site.name(), "SITE");
    for (number, commit) in site.commits().iter().rev().enumerate() {
        text = text.replace(&commit.sha, &format!("COMMIT-{number}"));
    }
    let word = |word: &str| match word.split_once('=') {
        Some((name @ ("milliseconds" | "seconds"), _)) => format!("{name}=N"),
        _ => word.to_owned(),
    };
    let line = |line: &str| {
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.ends_with('Z') && time.parse::<jiff::Timestamp>().is_ok(), "{line}");
        rest.split(' ').map(word).collect::<Vec<_>>().join(" ")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_good_release_is_told_in_one_line_for_each_change_of_state() {
    let site = bed::site("log").environments(&["local"]).create();
    site.once().expect_code(0);
    let daemon = site.promoted().log_as_text().start();
    daemon.wait_log("started");
    site.push_image("local", "test-app", "1.1.0");
    site.wait_verdict("test-app", "local", "1.1.0");
    daemon.wait_log(" verdict ");
    let address = daemon.address().to_owned();

    let log = redacted(&site, &daemon.stop(), &address);

    insta::assert_snapshot!(log, @r#"
    INFO serving /metrics, /healthz, /readyz and /webhooks address=ADDRESS tls=false
    INFO started repository=REPOSITORY branch="main" head=COMMIT-0 apps=1 environments=1
    INFO committed app="test-app" environment="local" image=test-app from="1.0.0" to="1.1.0" source=registry commit="COMMIT-1" races=0 milliseconds=N
    INFO rollout app=test-app environment=local commit="COMMIT-1" phase=delivering
    INFO rollout app=test-app environment=local commit="COMMIT-1" phase=rolling out
    INFO rollout app=test-app environment=local commit="COMMIT-1" phase=stabilizing
    INFO verdict app=test-app environment=local versions="1.1.0" commit="COMMIT-1" verdict=verified reason="Deployment SITE-local/test-app: 2 of 2 pods are new and ready" seconds=N
    INFO stopping; a second signal does not wait
    INFO stopped exit=0
    "#);
}
