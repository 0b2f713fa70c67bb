//! A webhook says where to look, and nothing else: who proves it is heard at once, nobody else is heard at all.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use crate::bed::{self, Daemon, Registry, Release, Site, until};
use crate::metrics_and_health::sum;

/// The secret of every receiver here.
pub(crate) const SECRET: &str = "a-secret-of-forty-letters-for-the-tests";

/// A site whose environment has no cluster, and whose registry is polled so rarely that only a webhook is the cause of a
/// look. `receivers` are those of its promote.yaml.
pub(crate) fn site(name: &str) -> Site {
    let site = bed::site(name).environments(&[]).apps(&[]).create();
    site.write_secret("hook", &format!("{SECRET}\n"));
    site
}

/// Commits a configuration with one app, whose version 1.0.0 was pushed already.
pub(crate) fn configure(site: &Site, registry: &str, digest: &str, receivers: &str) {
    let config = format!(
        "version: 1
interval: 10m
receivers:
{receivers}environments:
  local: {{registry: \"{registry}\"}}
apps:
  test-app:
    path: deploy/test-app/{{environment}}
    images:
      test-app: {{policy: {{semver: {{range: \"1.x\"}}}}}}
"
    );
    let overlay = format!(
        "images:\n- name: test-app\n  newName: {registry}/test-app\n  newTag: \"1.0.0\"\n  digest: {digest}\n"
    );
    site.commit(
        "Begin",
        &[("promote.yaml", Some(&config)), ("deploy/test-app/local/kustomization.yaml", Some(&overlay))],
    );
}

/// A site on the bed's registry with these receivers, and its daemon, which has looked at everything once.
pub(crate) fn hooked(name: &str, receivers: &str) -> (Site, Daemon) {
    let site = site(name);
    let digest = site.push_image("local", "test-app", "1.0.0");
    configure(&site, &site.registry("local"), &digest, receivers);
    let daemon = site.promoted().start();
    wait_settled(&daemon);
    (site, daemon)
}

/// Waits until the first look is over.
pub(crate) fn wait_settled(daemon: &Daemon) {
    let looked = || (sum(&daemon.get("/metrics").1, "promote_scans_total") > 0).then_some(());
    until(looked).expect("the daemon looks at the registry");
    std::thread::sleep(Duration::from_secs(1));
}

/// How many requests to registries there were.
pub(crate) fn asked(daemon: &Daemon) -> u64 {
    sum(&daemon.get("/metrics").1, "promote_registry_requests_total")
}

/// How many messages a receiver counted with this result.
pub(crate) fn counted(daemon: &Daemon, receiver: &str, result: &str) -> u64 {
    let line = format!("promote_webhook_requests_total{{receiver=\"{receiver}\",result=\"{result}\"}} ");
    let metrics = daemon.get("/metrics").1;
    metrics.lines().find_map(|text| text.strip_prefix(&line)?.parse().ok()).unwrap_or_default()
}

/// HMAC-SHA256 in hexadecimal digits.
pub(crate) fn signature(body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    hex::encode(hmac::sign(&key, body))
}

/// Sends a message that is signed as `generic-hmac` asks.
pub(crate) fn call(daemon: &Daemon, receiver: &str, body: &str) -> (u16, String) {
    let proof = format!("sha256={}", signature(body.as_bytes()));
    let answer =
        daemon.request("POST", &format!("/webhooks/{receiver}"), &[("X-Signature", &proof)], body.as_bytes());
    (answer.status, answer.text())
}

fn a_push_is_committed_by_its_notification(release: Release) {
    let site = site("notified");
    let address = bed::free_address();
    let notifications = format!(
        "notifications:
  endpoints:
  - name: promoted
    url: http://{address}/webhooks/registry
    headers: {{Authorization: [Bearer {SECRET}]}}
    timeout: 5s
    threshold: 3
    backoff: 1s
"
    );
    let registry = Registry::start(&site, release, &notifications);
    let digest = registry.push_image("test-app", "1.0.0");
    configure(&site, &registry.base(), &digest, "  registry: {type: distribution, secret: hook}\n");
    let daemon = site.promoted().listen(address).start();
    wait_settled(&daemon);

    // Nobody looks at this one; its events come before those that matter.
    registry.push_image("other-app", "1.0.0");
    registry.push_image("test-app", "1.1.0");

    site.wait_commit(|commit| commit.subject == "test-app: local 1.0.0 → 1.1.0", "brings 1.1.0");
    // Our own looks come back as events, and are not followed by looks of their own.
    until(|| (counted(&daemon, "registry", "ignored") > 0).then_some(()))
        .expect("blobs and pulls are told too");
    assert!(counted(&daemon, "registry", "unknown_repository") > 0);
    std::thread::sleep(Duration::from_secs(2));
    let before = asked(&daemon);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(asked(&daemon), before, "the registry is left alone");
    daemon.stop();
}

#[test]
fn a_push_to_debians_registry_is_committed_by_its_notification_alone() {
    a_push_is_committed_by_its_notification(Release::Debian);
}

#[test]
fn a_push_to_the_newest_distribution_is_committed_by_its_notification_alone() {
    a_push_is_committed_by_its_notification(Release::Newest);
}

#[test]
fn an_empty_message_that_is_signed_means_everything() {
    let (site, daemon) = hooked("everything", "  ci: {type: generic-hmac, secret: hook}\n");
    site.push_image("local", "test-app", "1.1.0");

    assert_eq!(
        call(&daemon, "ci", ""),
        (202, "accepted: looking at 1 repository and the Git remote now\n".to_owned())
    );

    site.wait_commit(|commit| commit.subject == "test-app: local 1.0.0 → 1.1.0", "brings 1.1.0");
    daemon.stop();
}

#[test]
fn a_message_that_comes_before_the_push_is_over_is_not_lost() {
    let (site, daemon) = hooked("early", "  ci: {type: generic-hmac, secret: hook}\n");
    site.push_image("local", "test-app", "1.1.0");
    // Distribution tells of a push when the tag is listed already, and leads nowhere yet.
    let tag = format!("{}/test-app/_manifests/tags/1.1.0/current", site.name());
    let tag = bed::bed().dir.join("registry/local/docker/registry/v2/repositories").join(tag);
    let aside = site.folder().join("aside");
    std::fs::rename(&tag, &aside).unwrap();
    assert_eq!(call(&daemon, "ci", "").0, 202);
    let missed = || {
        let metrics = daemon.get("/metrics").1;
        let mut requests = metrics.lines().filter(|line| line.starts_with("promote_registry_requests_total"));
        requests.any(|line| line.contains("\"404\"") && line.contains("HEAD")).then_some(())
    };
    until(missed).unwrap_or_else(|| site.give_up("the tag's digest was not asked for"));

    std::fs::rename(&aside, &tag).unwrap();

    site.wait_commit(|commit| commit.subject == "test-app: local 1.0.0 → 1.1.0", "brings it");
    daemon.stop();
}

#[test]
fn a_push_to_git_is_read_at_once() {
    let site = site("git-push");
    let digest = site.push_image("local", "test-app", "1.0.0");
    site.push_image("local", "test-app", "2.0.0");
    configure(&site, &site.registry("local"), &digest, "  gitea: {type: gitea, secret: hook}\n");
    let daemon = site.promoted().start();
    wait_settled(&daemon);
    // Nothing but the message tells the daemon of this before ten minutes are over.
    site.write_config(|text| text.replace("1.x", ">=1.0.0"));
    let body = br#"{"ref": "refs/heads/main", "commits": []}"#;
    let signed = signature(body);

    let answer = daemon.request("POST", "/webhooks/gitea", &[("X-Gitea-Signature", &signed)], body);

    assert_eq!(answer.status, 202, "{}", answer.text());
    site.wait_commit(|commit| commit.subject == "test-app: local 1.0.0 → 2.0.0", "obeys the new range");
    let other = br#"{"ref": "refs/heads/other", "commits": []}"#;
    let signed = signature(other);
    let answer = daemon.request("POST", "/webhooks/gitea", &[("X-Gitea-Signature", &signed)], other);
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (202, "ignored: it tells nothing that matters here\n")
    );
    daemon.stop();
}

/// A message of each type, how it is proved, and where the proof stands.
fn messages() -> Vec<(&'static str, &'static [u8], Proof)> {
    macro_rules! fixture {
        ($name:literal) => {
            include_bytes!(concat!("../fixtures/webhooks/", $name, ".json")).as_slice()
        };
    }
    vec![
        ("github", fixture!("github-package"), Proof::Signed("X-Hub-Signature-256", "sha256=")),
        ("gitlab", fixture!("gitlab-push"), Proof::Header("X-Gitlab-Token", "")),
        ("gitea", fixture!("gitea-package"), Proof::Signed("X-Gitea-Signature", "")),
        ("generic-hmac", fixture!("generic"), Proof::Signed("X-Signature", "sha256=")),
        ("harbor", fixture!("harbor"), Proof::Header("Authorization", "Bearer ")),
        ("distribution", fixture!("distribution"), Proof::Header("Authorization", "Bearer ")),
        ("ecr", fixture!("ecr"), Proof::Header("Authorization", "Bearer ")),
        ("acr", fixture!("acr"), Proof::Header("Authorization", "Bearer ")),
        ("quay", fixture!("quay"), Proof::Address),
        ("dockerhub", fixture!("dockerhub"), Proof::Address),
    ]
}

#[derive(Clone, Copy)]
enum Proof {
    Signed(&'static str, &'static str),
    Header(&'static str, &'static str),
    Address,
}

#[test]
fn each_providers_message_is_taken_with_its_proof_and_refused_without() {
    let receivers: Vec<String> =
        messages().iter().map(|(kind, ..)| format!("  {kind}: {{type: {kind}, secret: hook}}\n")).collect();
    let (_site, daemon) = hooked("proofs", &receivers.concat());
    let before = asked(&daemon);
    for (kind, body, proof) in messages() {
        let place = format!("/webhooks/{kind}");
        let status = |path: &str, headers: &[(&str, &str)]| {
            // As fast as this a forger is told to wait, which is a refusal too.
            let answer = daemon.request("POST", path, headers, body);
            if answer.status == 401 {
                assert_eq!(answer.text(), "", "{kind}: no detail");
            }
            answer.status
        };
        let (name, good) = match proof {
            Proof::Signed(name, prefix) => (name, format!("{prefix}{}", signature(body))),
            Proof::Header(name, prefix) => (name, format!("{prefix}{SECRET}")),
            Proof::Address => {
                assert_eq!(status(&format!("{place}/{SECRET}"), &[]), 202, "{kind}");
                assert_eq!(status(&place, &[]), 401, "{kind}: without");
                assert_eq!(status(&place, &[("Authorization", &format!("Bearer {SECRET}"))]), 401, "{kind}");
                for wrong in [&SECRET[1..], &SECRET.to_uppercase(), &format!("{SECRET}0"), "x"] {
                    assert_eq!(status(&format!("{place}/{wrong}"), &[]), 401, "{kind}: {wrong}");
                }
                continue;
            }
        };
        assert_eq!(status(&place, &[(name, &good)]), 202, "{kind}");
        assert_eq!(status(&place, &[]), 401, "{kind}: without");
        assert_eq!(status(&place, &[(name, &good), (name, &good)]), 401, "{kind}: twice");
        for wrong in [
            good.to_uppercase(),
            good[..good.len() - 1].to_owned(),
            format!("{good}0"),
            format!("{good}, {good}"),
            "x".into(),
            String::new(),
        ] {
            assert_eq!(status(&place, &[(name, &wrong)]), 401, "{kind}: {wrong}");
        }
        if let Proof::Signed(..) = proof {
            let other = good.replace(&signature(body), &signature(b"another body"));
            assert_eq!(status(&place, &[(name, &other)]), 401, "{kind}: of another body");
            let sha1 =
                [("X-Hub-Signature", "sha1=0000000000000000000000000000000000000000"), (name, "sha1=00")];
            assert_eq!(status(&place, &sha1), 401, "{kind}: SHA-1");
        }
    }
    assert_eq!(daemon.request("POST", "/webhooks/nobody", &[], b"").status, 404);
    assert_eq!(daemon.request("GET", "/webhooks/github", &[], b"").status, 405);
    assert_eq!(asked(&daemon), before, "no message was about what is looked at here");
    daemon.stop();
}

#[test]
fn a_message_moves_its_own_repository_alone_and_names_no_version() {
    let (site, daemon) = hooked("hint", "  ci: {type: generic-hmac, secret: hook}\n");
    let before = asked(&daemon);
    // A foreign repository, another tag, an address to call: all of it well signed.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = listener.local_addr().unwrap();
    let foreign = format!(
        "{{\"repository\": \"{elsewhere}/evil/app\", \"tag\": \"9.9.9\", \"callback_url\": \"http://{elsewhere}/\"}}"
    );
    assert_eq!(call(&daemon, "ci", &foreign).0, 202);
    assert_eq!(counted(&daemon, "ci", "unknown_repository"), 1);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(asked(&daemon), before);
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "nothing was called");

    let known = format!("{{\"repository\": \"{}/test-app\", \"tag\": \"9.9.9\"}}", site.registry("local"));
    assert_eq!(call(&daemon, "ci", &known).0, 202);
    until(|| (asked(&daemon) > before).then_some(())).expect("it is looked at");
    std::thread::sleep(Duration::from_secs(1));
    assert!(site.moves().is_empty(), "the registry has nothing new");
    assert_eq!(call(&daemon, "ci", "{").0, 400);
    assert_eq!(call(&daemon, "ci", "[]").0, 400);
    daemon.stop();
}

#[test]
fn what_is_told_five_times_is_followed_once() {
    let (site, daemon) = hooked("twice", "  registry: {type: distribution, secret: hook}\n");
    // Beside the list, a look asks by HEAD what the tag in Git names now.
    let listed = |daemon: &Daemon| {
        let metrics = daemon.get("/metrics").1;
        let of_lists: Vec<&str> = metrics.lines().filter(|line| line.contains("method=\"GET\"")).collect();
        sum(&of_lists.join("\n"), "promote_registry_requests_total")
    };
    let before = listed(&daemon);
    let proof = format!("Bearer {SECRET}");
    let told = |tag: &str| {
        let event = serde_json::json!({"events": [{"action": "push", "target": {
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": format!("sha256:{}", "0".repeat(64)),
            "repository": format!("{}/test-app", site.name()), "tag": tag}}]});
        let body = event.to_string();
        daemon.request("POST", "/webhooks/registry", &[("Authorization", &proof)], body.as_bytes()).status
    };
    for _ in 0..5 {
        assert_eq!(told("1.1.0"), 202);
    }
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(listed(&daemon) - before, 2, "now, and a moment later since there was nothing new");
    assert_eq!((counted(&daemon, "registry", "accepted"), counted(&daemon, "registry", "duplicate")), (1, 4));
    assert_eq!(told("1.2.0"), 202);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(listed(&daemon) - before, 4, "a second tag of one digest is news");
    daemon.stop();
}

#[test]
fn a_receiver_without_its_secret_says_so_and_takes_a_new_one_without_a_restart() {
    let (site, daemon) = hooked("secrets", "  ci: {type: generic-hmac, secret: other}\n");
    assert_eq!(call(&daemon, "ci", "").0, 503);
    let line = daemon.wait_log("receiver ci");
    assert!(line.contains("secrets/other is missing") && line.contains("put what the sender"), "{line}");
    let (status, report) = daemon.get("/readyz");
    assert!(status == 200 && report.contains("receiver ci") && report.contains("is missing"), "{report}");

    site.write_secret("other", "\n");
    until(|| daemon.get("/readyz").1.contains("is empty").then_some(())).expect("an empty file is told");
    assert_eq!(call(&daemon, "ci", "").0, 503);

    site.write_secret("other", SECRET);
    until(|| (call(&daemon, "ci", "").0 == 202).then_some(())).expect("the secret is read");
    assert!(!daemon.get("/readyz").1.contains("receiver ci"));

    site.write_secret("other", "another secret");
    until(|| (call(&daemon, "ci", "").0 == 401).then_some(())).expect("the old secret is of no use any more");
    daemon.stop();
}

#[test]
fn a_secret_in_an_address_is_never_told() {
    let site = site("canary");
    let digest = site.push_image("local", "test-app", "1.0.0");
    configure(&site, &site.registry("local"), &digest, "  hub: {type: dockerhub, secret: hook}\n");
    let daemon = site.promoted().args(&["--log-level", "trace,promote=trace"]).start();
    wait_settled(&daemon);
    let hub = include_bytes!("../fixtures/webhooks/dockerhub.json").as_slice();
    let wrong = format!("{SECRET}-canary");
    for (path, body) in [
        (format!("/webhooks/hub/{SECRET}"), hub),
        (format!("/webhooks/hub/{SECRET}"), b"{".as_slice()),
        (format!("/webhooks/hub/{wrong}"), hub),
        (format!("/webhooks/nobody/{wrong}"), hub),
        (format!("/webhooks/hub/{wrong}/more"), hub),
    ] {
        daemon.request("POST", &path, &[], body);
        daemon.request("GET", &path, &[], b"");
    }
    let metrics = daemon.get("/metrics").1 + &daemon.get("/readyz").1;
    let log = daemon.stop();
    assert!(log.contains("webhook"), "there is a log to look at");
    assert!(!log.contains(SECRET), "{}", log.lines().find(|line| line.contains(SECRET)).unwrap_or_default());
    assert!(!metrics.contains(SECRET));
}

/// A server that answers every request with Google's key set of the fixtures.
fn google() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let keys = include_str!("../fixtures/google-keys.json");
            let head = format!(
                "HTTP/1.1 200 OK\r\nCache-Control: public, max-age=600\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                keys.len()
            );
            let _ = stream.write_all((head + keys).as_bytes());
        }
    });
    format!("http://{address}/certs")
}

#[test]
fn pub_sub_is_taken_with_a_token_of_googles_for_us_alone() {
    let site = site("google");
    let digest = site.push_image("local", "test-app", "1.0.0");
    let receiver = "  gar: {type: gcr, audience: \"https://promoted.example.org/webhooks/gar\", identity: \
                    push@acme.iam.gserviceaccount.com}\n";
    configure(&site, &site.registry("local"), &digest, receiver);
    let daemon = site.promoted().args(&["--google-keys", &google()]).start();
    wait_settled(&daemon);
    let body = include_bytes!("../fixtures/webhooks/gcr.json");
    let header = r#"{"alg":"RS256","kid":"test-key","typ":"JWT"}"#;
    let shown = |header: &str, name: &str| {
        let tokens = include_str!("../fixtures/google-tokens.tsv");
        let line = tokens.lines().find(|line| line.split('\t').next() == Some(name)).unwrap();
        let parts: Vec<&str> = line.split('\t').collect();
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let token = format!("Bearer {}.{}.{}", encode(header), encode(parts[1]), parts[2]);
        daemon.request("POST", "/webhooks/gar", &[("Authorization", &token)], body).status
    };
    assert_eq!(shown(header, "good"), 202);
    for name in ["audience", "identity", "unverified", "expired", "issuer"] {
        assert_eq!(shown(header, name), 401, "{name}");
    }
    for header in
        [header.replace("RS256", "none"), header.replace("RS256", "HS256"), header.replace("test", "other")]
    {
        assert_eq!(shown(&header, "good"), 401, "{header}");
    }
    assert_eq!(daemon.request("POST", "/webhooks/gar", &[], body).status, 401);
    daemon.stop();
}

/// The status of an empty signed message; none where the server shows another certificate than the one trusted.
fn status_over_tls(trusted: &str, url: &str) -> Option<u16> {
    _ = rustls::crypto::ring::default_provider().install_default();
    let certificate = reqwest::Certificate::from_pem(trusted.as_bytes()).unwrap();
    let client =
        reqwest::Client::builder().no_proxy().tls_certs_only([certificate]).timeout(Duration::from_secs(5));
    let request =
        client.build().unwrap().post(url).header("X-Signature", format!("sha256={}", signature(b"")));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { request.send().await }).ok().map(|answer| answer.status().as_u16())
}

#[test]
fn the_server_speaks_https_with_a_certificate_that_may_be_renewed() {
    let site = site("https");
    let digest = site.push_image("local", "test-app", "1.0.0");
    configure(&site, &site.registry("local"), &digest, "  ci: {type: generic-hmac, secret: hook}\n");
    let folder = site.folder().join("tls");
    std::fs::create_dir(&folder).unwrap();
    let renew = || {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(folder.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
        std::fs::write(folder.join("tls.crt"), made.cert.pem()).unwrap();
        made.cert.pem()
    };
    let first = renew();
    let daemon = site.promoted().arg("--tls").arg(&folder).start();
    let port = daemon.address().rsplit(':').next().unwrap().to_owned();
    let status = |trusted: &str| status_over_tls(trusted, &format!("https://localhost:{port}/webhooks/ci"));
    until(|| (status(&first) == Some(202)).then_some(())).expect("HTTPS is spoken");

    let second = renew();
    until(|| (status(&second) == Some(202)).then_some(())).expect("the new certificate is shown");
    assert_eq!(status(&first), None, "the certificate before is shown no more");

    std::fs::write(folder.join("tls.crt"), "broken").unwrap();
    daemon.wait_log("the pair before is still used");
    assert_eq!(status(&second), Some(202));
    daemon.stop();

    std::fs::remove_file(folder.join("tls.key")).unwrap();
    let run = site.promoted().arg("--tls").arg(&folder).start().wait(Duration::from_secs(20));
    assert_eq!(run.and_then(|status| status.code()), Some(2));
}
