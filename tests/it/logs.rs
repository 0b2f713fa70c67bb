//! The log has one line for each change of state, in words for people or as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::bed::{self, Between, Site, bed};
use crate::hostile::{challenge, reply};
use crate::webhooks::{SECRET, signature};

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

#[test]
fn no_secret_is_told_at_the_finest_level() {
    const PASSWORD: &str = "canary-password";
    const TOKEN: &str = "canary-token";
    let site = bed::site("finest").environments(&["local"]).create();
    site.write_secret("hook", SECRET);
    let registry = Between::before(&bed().registries["local"]);
    // One that wants a token, for which it wants a password.
    registry.falls_ill(|q| match () {
        () if q.path.starts_with("/token") && q.has("authorization: Basic") => {
            Some(reply("200 OK", &[], &format!("{{\"token\":\"{TOKEN}\"}}")))
        }
        () if q.path.starts_with("/token") => Some(reply("401 Unauthorized", &[], "")),
        () if q.has("authorization: Bearer") => None,
        () => Some(challenge(&format!("http://{}/token", q.own))),
    });
    let old = site.registry("local");
    let host = old.split('/').next().unwrap();
    site.write_config(|text| {
        text.replace(&old, &old.replace(host, registry.host()))
            + "receivers:\n  ci: {type: generic-hmac, secret: hook}\n  hub: {type: dockerhub, secret: hook}\n"
    });
    let login = site.folder().join("config.json");
    let auths = serde_json::json!({"auths": {registry.host(): {"username": "u", "password": PASSWORD}}});
    std::fs::write(&login, auths.to_string()).unwrap();
    let daemon = || {
        let promoted =
            site.promoted().repo(site.repo_with_password()).args(&["--log-level", "trace,promote=trace"]);
        promoted.arg("--registry-credentials").arg(&login)
    };
    let running = daemon().arg("--git-credentials").arg(&bed().git_credentials).start();
    site.push_image("local", "test-app", "1.1.0");
    site.wait_verdict("test-app", "local", "1.1.0");
    let message = b"{}";
    for (path, proof) in [
        ("/webhooks/ci".to_owned(), format!("sha256={}", signature(message))),
        (format!("/webhooks/hub/{SECRET}"), String::new()),
        (format!("/webhooks/hub/{SECRET}0"), SECRET.to_owned()),
    ] {
        running.request("POST", &path, &[("X-Signature", &proof), ("Authorization", &proof)], message);
    }
    let shown = running.get("/metrics").1 + &running.get("/readyz").1;
    let log = running.stop();
    assert!(log.contains("\"TRACE\""), "it is the finest level");
    // The same where they are refused.
    let wrong = site.folder().join("wrong");
    std::fs::create_dir(&wrong).unwrap();
    std::fs::write(wrong.join("username"), &bed().git_user).unwrap();
    std::fs::write(wrong.join("password"), PASSWORD).unwrap();
    let refused = daemon().arg("--once").arg("--git-credentials").arg(&wrong).run().expect_code(8);
    registry.falls_ill(|_| Some(reply("401 Unauthorized", &["WWW-Authenticate: Basic realm=x"], "")));
    let right = daemon().arg("--once").arg("--git-credentials").arg(&bed().git_credentials);
    let denied = right.run().expect_code(8);

    let kubeconfig = std::fs::read_to_string(&bed().kubeconfig).unwrap();
    let key = kubeconfig.lines().find_map(|line| line.trim().strip_prefix("client-key-data: ")).unwrap();
    let basic = |user: &str, password: &str| STANDARD.encode(format!("{user}:{password}"));
    let secrets = [
        PASSWORD.to_owned(),
        basic("u", PASSWORD),
        TOKEN.to_owned(),
        bed().git_password.clone(),
        basic(&bed().git_user, &bed().git_password),
        basic(&bed().git_user, PASSWORD),
        SECRET.to_owned(),
        key.trim_matches('"').to_owned(),
    ];
    for text in [shown, log, refused.stdout + &refused.stderr, denied.stdout + &denied.stderr] {
        for secret in &secrets {
            let line = text.lines().find(|line| line.contains(secret.as_str()));
            assert_eq!(line, None, "{secret} was told");
        }
    }
}
