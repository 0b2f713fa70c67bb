//! A registry that is ill or lies: one row for each way. Whatever it does, the daemon goes on, its memory is bounded,
//! nothing is committed that should not be, one line of the log says what is wrong with whom and when it is tried again,
//! and a healthy app beside it moves as ever.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::bed::{self, Between, Daemon, Fault, Question, Reply, Site, Then, bed, until};
use crate::webhooks::wait_settled;

/// The password for the ill registry, which is nobody else's.
const CANARY: &str = "canary-of-the-ill-registry";
/// A silence is told after the minute that a list may take.
const PATIENCE: Duration = Duration::from_secs(100);
/// How much more memory an ill registry may cost.
const MEBIBYTES: u64 = 64;

/// What a row expects while the registry is ill.
enum Expected {
    /// Nothing is taken from it, and one line says so with these words.
    Told(&'static [&'static str]),
    /// What is good in its answers is taken, and there is nothing to tell.
    Taken,
}

use Expected::{Taken, Told};

/// One test for each row.
macro_rules! registries {
    ($($name:ident: $expected:expr, $fault:expr;)*) => {
        $(#[test]
        fn $name() {
            check(&stringify!($name).replace('_', "-"), &$expected, $fault);
        })*
    };
}

const AGAIN: &str = "it is asked again at the next pass";
const LATER: &str = "it is asked for again at one of the next passes";
const NOTHING_SENT: &str = "nothing was sent there";

// --- Ill ---

registries! {
    a_429_with_its_time: Told(&["answered 429", "is asked again when that is over"]),
        |q| q.is_list().then(|| reply("429 Too Many Requests", &["Retry-After: 7"], ""));
    a_429_without_a_time: Told(&["answered 429", "is asked again when that is over"]),
        |_| Some(reply("429 Too Many Requests", &[], ""));
    a_503_with_a_date: Told(&["answered 503", "is asked again when that is over"]),
        |_| Some(reply("503 Service Unavailable", &["Retry-After: Fri, 20 Nov 2020 10:00:00 GMT"], ""));
    a_500: Told(&["can't reach", "it answered 500", AGAIN]),
        |_| Some(reply("500 Internal Server Error", &[], ""));
    a_502_of_a_proxy: Told(&["can't reach", "it answered 502", AGAIN]),
        |_| Some(reply("502 Bad Gateway", &["Content-Type: text/html"], "<html>nginx</html>"));
    a_504_for_manifests_alone: Told(&["can't reach", "it answered 504", AGAIN]),
        |q| q.is_manifest().then(|| reply("504 Gateway Timeout", &[], ""));
    a_504_for_blobs_alone: Told(&["can't reach", "it answered 504", AGAIN]),
        |q| q.is_blob().then(|| reply("504 Gateway Timeout", &[], ""));
    a_tag_that_stays_without_a_manifest: Told(&["1.1.0 is not usable", "has no manifest for it", LATER]),
        |q| q.is_about("1.1.0").then(|| reply("404 Not Found", &[], ""));
    a_connection_that_ends_without_a_word: Told(&["can't reach", AGAIN]),
        |_| Some(raw("", Then::End));
    a_body_that_breaks_off: Told(&["can't reach", AGAIN]),
        |q| q.is_list().then(|| raw(&format!("{OK}Content-Length: 500\r\n\r\n{{\"tags\":[\"1.9.9\""), Then::End));
    something_that_is_not_http: Told(&["can't reach", AGAIN]),
        |_| Some(raw("220 mail.example ESMTP\r\n", Then::End));
    a_silence: Told(&["no complete answer within", AGAIN]),
        |_| Some(raw("", Then::Silence));
    a_byte_a_second: Told(&["no complete answer within", AGAIN]),
        |q| q.is_list().then(|| raw(&format!("{OK}Content-Length: 5000\r\n\r\n"), slowly()));
    a_portal_that_answers_for_it: Told(&["unusable answer", "not a tag list", AGAIN]),
        |_| Some(reply("200 OK", &["Content-Type: text/html"], "<html>Welcome</html>"));
    an_empty_list: Told(&["the registry lists no tags", AGAIN]),
        |q| q.is_list().then(|| reply("200 OK", &[], r#"{"tags":[]}"#));
    a_list_that_is_null: Told(&["the registry lists no tags", AGAIN]),
        |q| q.is_list().then(|| reply("200 OK", &[], r#"{"tags":null}"#));
    a_repository_that_is_gone: Told(&["does not know the tags of", "NAME_UNKNOWN", AGAIN]),
        |q| q.is_list().then(|| reply("404 Not Found", &[], r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#));
    credentials_that_are_refused: Told(&["refuses access", "--registry-credentials", AGAIN]),
        |_| Some(reply("401 Unauthorized", &["WWW-Authenticate: Basic realm=x"], ""));
    a_token_that_is_never_good: Told(&["refuses access", AGAIN]),
        |q| Some(with_token(q, reply("200 OK", &[], r#"{"token":"t"}"#)));
    a_token_server_that_is_down: Told(&["its token server answered 500", AGAIN]),
        |q| Some(with_token(q, reply("500 Internal Server Error", &[], "")));
    a_token_server_that_says_nothing: Told(&["a token for", "no complete answer within 15 seconds", AGAIN]),
        |q| Some(with_token(q, raw("", Then::Silence)));
    a_token_server_that_wants_a_pause: Told(&["answered 429", "is asked again when that is over"]),
        |q| Some(with_token(q, reply("429 Too Many Requests", &[], "")));
    pages_that_are_too_large_for_it: Taken,
        |q| match q.path.split_once("/tags/list")?.1 {
            "?n=100" => None,
            "" => Some(reply("200 OK", &[&next(&format!("{}?last=1", q.path))], r#"{"tags":["1.0.0"]}"#)),
            _ => Some(reply("405 Method Not Allowed", &[], "")),
        };
}

// --- Hostile ---

registries! {
    a_token_server_among_the_metadata: Told(&["points to http://169.254.169.254", NOTHING_SENT, AGAIN]),
        |_| Some(challenge("http://169.254.169.254/latest/meta-data"));
    a_token_server_in_a_file: Told(&["points to file://", "neither https nor http", NOTHING_SENT, AGAIN]),
        |_| Some(challenge("file:///etc/passwd"));
    a_token_server_of_another_protocol: Told(&["points to gopher://", "neither https nor http", AGAIN]),
        |q| Some(challenge(&format!("gopher://{}/", q.elsewhere)));
    a_token_server_on_another_host_inside: Told(&["points to http://localhost", NOTHING_SENT, AGAIN]),
        |q| Some(challenge(&format!("http://{}/token", q.elsewhere)));
    a_token_server_that_leads_on: Told(&["a token server that redirects", NOTHING_SENT, AGAIN]),
        |q| Some(with_token(q, reply("302 Found", &["Location: http://169.254.169.254/"], "")));
    a_list_that_is_elsewhere: Told(&["points to http://localhost", NOTHING_SENT, AGAIN]),
        |q| q.is_list().then(|| redirect(&format!("http://{}/x?signature=canary", q.elsewhere)));
    a_blob_that_is_elsewhere: Told(&["points to http://localhost", NOTHING_SENT, AGAIN]),
        |q| q.is_blob().then(|| redirect(&format!("http://{}/b?signature=canary", q.elsewhere)));
    redirects_without_end: Told(&["more than 5 redirects", AGAIN]),
        |q| q.is_list().then(|| redirect(&q.path));
    a_next_page_on_another_host: Told(&["another host", AGAIN]),
        |q| q.is_list().then(|| page(&format!("http://{}/v2/", q.elsewhere)));
    a_next_page_that_is_this_one: Told(&["its Link leads to a page that was read", AGAIN]),
        |q| q.is_list().then(|| page(&q.path));
    pages_without_end: Told(&["more than 1000 pages", AGAIN]),
        |q| q.is_list().then(|| page(&format!("/v2/x/tags/list?last={}", q.number)));
    a_list_that_announces_two_gigabytes: Told(&["more than 16777216 bytes", AGAIN]),
        |q| q.is_list().then(|| raw(&format!("{OK}Content-Length: 2000000000\r\n\r\n"), quickly(b" ")));
    a_list_without_end: Told(&["more than 16777216 bytes", AGAIN]),
        |q| q.is_list().then(|| endless("200 OK"));
    an_error_without_end: Told(&["unusable answer", "418", AGAIN]),
        |q| q.is_list().then(|| endless("418 I'm a teapot"));
    a_manifest_without_end: Told(&["1.1.0 is not usable", "more than 4194304 bytes", LATER]),
        |q| (q.is_manifest() && q.method == "GET").then(|| endless("200 OK"));
    a_list_that_would_unpack_to_gigabytes: Told(&["not a tag list", AGAIN]),
        |q| q.is_list().then(|| reply("200 OK", &["Content-Encoding: gzip"], "\u{1f}\u{7f}\u{8}"));
    json_without_depth: Told(&["not a tag list", AGAIN]),
        |q| q.is_list().then(|| reply("200 OK", &[], &format!("{{\"tags\":{}", "[".repeat(100_000))));
    more_tags_than_anybody_has: Told(&["more than 100000 tags", AGAIN]),
        |q| q.is_list().then(|| tags(&(0..=100_000).map(|number| format!("1.{number}.0")).collect::<Vec<_>>()));
    names_that_are_no_tags: Taken,
        |q| q.is_list().then(|| tags(&[
            "1.0.0", "1.1.0", "1.9.0\n", "\u{1b}[31m1.9.1", "../../1.9.2", "1.9.3;rm -rf /", "\u{202e}1.9.4", "1.9.5\0", "",
        ].iter().map(|&tag| tag.to_owned()).chain(["1".repeat(129)]).collect::<Vec<_>>()));
    words_that_move_the_cursor: Told(&["does not know the tags of", "evil", AGAIN]),
        |q| q.is_list().then(|| reply("404 Not Found", &[],
            r#"{"errors":[{"code":"X","message":"\u001b[2J\u202eevil\nsecond line"}]}"#));
    a_digest_that_is_none: Told(&["Docker-Content-Digest", LATER]),
        |q| q.is_about("1.1.0").then(|| named("sha256:../../etc/passwd"));
    a_digest_of_nothing: Told(&["does not know", LATER]),
        |q| q.is_about("1.1.0").then(|| named(&digest("nothing")));
    a_digest_of_something_else: Told(&["asked for was sha256:", LATER]),
        |q| q.is_other_manifest().then(|| manifest(q, INDEX, INDEX, Some("another"), json!({"manifests": []})));
    a_manifest_of_two_types: Told(&["Content-Type is", "mediaType is", LATER]),
        |q| q.is_other_manifest().then(|| manifest(q, IMAGE, INDEX, None, json!({"manifests": []})));
    a_manifest_that_is_image_and_index: Told(&["both manifests and layers", LATER]),
        |q| q.is_other_manifest().then(|| {
            let some = json!([{"mediaType": IMAGE, "digest": digest("x"), "size": 1}]);
            manifest(q, INDEX, INDEX, None, json!({"manifests": some, "layers": some}))
        });
    a_manifest_of_the_first_schema: Told(&["is no image manifest or index", LATER]),
        |q| q.is_other_manifest().then(|| manifest(q, SCHEMA1, SCHEMA1, None, json!({"fsLayers": []})));
    a_tag_that_was_pushed_again: Told(&["pushed again with other content", "what stands in Git stays"]),
        |q| if q.is_list() {
            Some(tags(&["1.0.0".to_owned(), "0.9.0".to_owned()]))
        } else {
            q.is_about("1.0.0").then(|| named(&digest("another")))
        };
}

// --- What the rows are made of ---

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
const OK: &str = "HTTP/1.1 200 OK\r\n";

fn digest(content: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

fn raw(text: &str, then: Then) -> Reply {
    Reply { bytes: text.as_bytes().to_vec(), then }
}

pub(crate) fn reply(status: &str, headers: &[&str], body: &str) -> Reply {
    let (headers, length) = (headers.join("\r\n"), body.len());
    let end = if headers.is_empty() { "" } else { "\r\n" };
    let head = format!("{headers}{end}Content-Length: {length}\r\nConnection: close");
    raw(&format!("HTTP/1.1 {status}\r\n{head}\r\n\r\n{body}"), Then::End)
}

pub(crate) fn challenge(realm: &str) -> Reply {
    reply("401 Unauthorized", &[&format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"s\"")], "")
}

/// Sends to a token server of its own, which answers so.
fn with_token(question: &Question, answer: Reply) -> Reply {
    if question.path.starts_with("/token") {
        answer
    } else {
        challenge(&format!("http://{}/token", question.own))
    }
}

fn redirect(to: &str) -> Reply {
    reply("307 Temporary Redirect", &[&format!("Location: {to}")], "")
}

fn next(path: &str) -> String {
    format!("Link: <{path}>; rel=\"next\"")
}

/// A page of a list that another one follows.
fn page(following: &str) -> Reply {
    reply("200 OK", &[&next(following)], r#"{"tags":["1.9.9"]}"#)
}

/// The answer to a question what a tag names.
fn named(digest: &str) -> Reply {
    reply("200 OK", &[&format!("Docker-Content-Digest: {digest}")], "")
}

fn slowly() -> Then {
    Then::Repeat(b" ".to_vec(), Duration::from_secs(1))
}

fn quickly(bytes: &[u8]) -> Then {
    Then::Repeat(bytes.repeat((0x10000 / bytes.len()).max(1)), Duration::ZERO)
}

fn tags(names: &[String]) -> Reply {
    reply("200 OK", &[], &json!({ "tags": names }).to_string())
}

/// A body of letters that never ends.
fn endless(status: &str) -> Reply {
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let head = format!("HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n");
    raw(&head, quickly(chunk.as_bytes()))
}

/// A manifest that is served for every name, with its own digest or, as a lie, that of other content.
fn manifest(
    question: &Question,
    header: &str,
    media_type: &str,
    content: Option<&str>,
    mut manifest: Value,
) -> Reply {
    manifest["mediaType"] = media_type.into();
    let body = manifest.to_string();
    let named = digest(content.unwrap_or(&body));
    let headers = [format!("Content-Type: {header}"), format!("Docker-Content-Digest: {named}")];
    let headers = headers.each_ref().map(String::as_str);
    if question.method == "HEAD" {
        return reply("200 OK", &headers, "");
    }
    // Only the question by tag is told whose content it is; by digest the body alone speaks.
    reply("200 OK", &headers[..1], &body)
}

// --- What every row promises ---

/// An app at a real registry and one at the registry that falls ill, in an environment without a cluster.
fn configure(site: &Site, between: &Between) {
    let real = site.registry("local");
    let ill = format!("{}/{}", between.host(), site.name());
    let mut files = vec![(
        "promote.yaml".to_owned(),
        format!(
            "version: 1
interval: 1s
environments:
  local: {{registry: \"{real}\"}}
apps:
  healthy:
    path: deploy/healthy/{{environment}}
    images:
      healthy: {{policy: {{semver: {{range: 1.x}}}}}}
  victim:
    path: deploy/victim/{{environment}}
    images:
      victim: {{repository: \"{ill}/victim\", platforms: [linux/amd64], policy: {{semver: {{range: 1.x}}}}}}
"
        ),
    )];
    for (app, registry) in [("healthy", &real), ("victim", &ill)] {
        let digest = site.push_image("local", app, "1.0.0");
        let image = format!(
            "images:\n- name: {app}\n  newName: {registry}/{app}\n  newTag: \"1.0.0\"\n  digest: {digest}\n"
        );
        files.push((format!("deploy/{app}/local/kustomization.yaml"), image));
    }
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
    site.commit("Begin", &files);
}

/// The daemon's largest resident memory so far, in MiB.
fn most_memory(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// The warnings and errors of a log.
fn warnings(log: &str) -> Vec<&str> {
    let is_warning = |line: &&str| line.contains("\"WARN\"") || line.contains("\"ERROR\"");
    log.lines().filter(is_warning).collect()
}

fn moved(site: &Site, app: &str) -> bool {
    site.moves().iter().any(|commit| commit.subject.starts_with(&format!("{app}: ")))
}

fn check(name: &str, expected: &Expected, fault: Fault) {
    let site = bed::site(name).environments(&[]).apps(&[]).create();
    let between = Between::before(&bed().registries["local"]);
    configure(&site, &between);
    let login = site.folder().join("config.json");
    let auths = json!({"auths": {between.host(): {"username": "u", "password": CANARY}}});
    std::fs::write(&login, auths.to_string()).unwrap();
    let daemon = site.promoted().arg("--registry-credentials").arg(&login).start();
    wait_settled(&daemon);
    let before = most_memory(&daemon);

    between.falls_ill(fault);
    site.push_image("local", "victim", "1.1.0");
    match expected {
        Told(words) => wait_told(&daemon, between.host(), words),
        Taken => _ = site.wait_commit(|commit| commit.subject == "victim: local 1.0.0 → 1.1.0", "is good"),
    }
    site.push_image("local", "healthy", "1.1.0");
    site.wait_commit(|commit| commit.subject == "healthy: local 1.0.0 → 1.1.0", "moves the healthy app");
    let asked = between.asked().len();
    std::thread::sleep(Duration::from_secs(3));

    let most = most_memory(&daemon);
    assert!(most <= before + MEBIBYTES, "{before} MiB became {most} MiB");
    let questions = between.asked().len() - asked;
    let wants_pause = matches!(expected, Told(words) if words.contains(&"is asked again when that is over"));
    assert!(questions < if wants_pause { 6 } else { 5000 }, "{questions} questions in 3 s");
    let log = daemon.log();
    match expected {
        Told(_) => {
            assert!(!moved(&site, "victim"), "{:?}", site.moves());
            assert_eq!(warnings(&log).len(), 1, "{}", warnings(&log).join("\n"));
        }
        Taken => assert_eq!(warnings(&log), [""; 0]),
    }

    between.recovers();
    site.wait_commit(|commit| commit.subject == "victim: local 1.0.0 → 1.1.0", "follows the recovery");
    assert_eq!(site.moves().len(), 2, "{:?}", site.moves());
    let report = daemon.get("/readyz");
    let usable = || Some(daemon.get("/readyz").0).filter(|status| *status == 200);
    assert!(until(usable).is_some(), "{report:?}");
    let shown = [daemon.get("/metrics").1, daemon.stop()].concat();
    assert!(!shown.contains("panicked"), "{shown}");
    for secret in ["canary", "dTpjYW5hcnk", "\\u001b", "\u{202e}"] {
        assert!(!shown.contains(secret), "{secret:?} was shown:\n{shown}");
    }
    assert_eq!(between.trapped(), [""; 0], "somebody came where nobody may");
}

/// Waits for a warning that has all these words and names the app or its registry.
fn wait_told(daemon: &Daemon, host: &str, words: &[&str]) {
    let began = Instant::now();
    loop {
        let log = daemon.log();
        let found = warnings(&log);
        let is_it = |line: &&str| line.contains(host) || line.contains("app victim");
        if found.iter().any(|line| is_it(line) && words.iter().all(|word| line.contains(word))) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{words:?} was not said:\n{}", found.join("\n"));
        std::thread::sleep(Duration::from_millis(100));
    }
}
