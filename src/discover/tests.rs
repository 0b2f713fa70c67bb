//! Faults that a real registry will not show on demand; a stub speaks just enough HTTP.
#![allow(clippy::unwrap_used)]

mod ecr;
mod faults;
mod hostile;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::config::RegistryOptions;
use crate::model::{Digest, RegistryHost, Repository, Tag};

/// A server on a free port that answers each request (its head, and what little may follow) as `answer` says (with nothing at all if that is empty), and
/// remembers the heads.
struct Stub {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    async fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&heads), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        match stream.read_u8().await {
                            Ok(byte) => head.push(byte),
                            Err(_) => return,
                        }
                    }
                    let head = String::from_utf8(head).unwrap();
                    let length = head.to_ascii_lowercase().lines().find_map(|line| {
                        line.strip_prefix("content-length: ").and_then(|length| length.parse().ok())
                    });
                    let mut body = vec![0; length.unwrap_or(0)];
                    let _ = stream.read_exact(&mut body).await;
                    let head = head + &String::from_utf8_lossy(&body);
                    let reply = answer(&head);
                    seen.lock().unwrap().push(head);
                    if reply.is_empty() {
                        // A server that never says anything.
                        tokio::time::sleep(Duration::from_hours(1)).await;
                    }
                    let _ = stream.write_all(reply.as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { port, heads }
    }

    /// Answers everything with nearly all of `body`, and then with silence.
    async fn trickling(body: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len() + 1);
                let body = body.clone();
                tokio::spawn(async move {
                    let _ = stream.write_all((head + &body).as_bytes()).await;
                    tokio::time::sleep(Duration::from_hours(1)).await;
                });
            }
        });
        Self { port, heads: Arc::default() }
    }

    fn host(&self) -> RegistryHost {
        format!("127.0.0.1:{}", self.port).parse().unwrap()
    }

    fn repository(&self) -> Repository {
        Repository::new(self.host(), "team/app").unwrap()
    }

    fn count(&self, part: &str) -> usize {
        self.heads.lock().unwrap().iter().filter(|head| head.contains(part)).count()
    }
}

fn reply(status: &str, headers: &[&str], body: &str) -> String {
    let mut lines = headers.join("\r\n");
    if !lines.is_empty() {
        lines.push_str("\r\n");
    }
    format!("HTTP/1.1 {status}\r\n{lines}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn has_header(head: &str, header: &str) -> bool {
    head.lines().any(|line| line.eq_ignore_ascii_case(header))
}

/// Registries with a record of what was blocked.
fn registries(credentials: Credentials) -> (Registries, Arc<Mutex<Vec<RegistryEvent>>>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let observer: Observer = Arc::new(move |event: &RegistryEvent| seen.lock().unwrap().push(event.clone()));
    let options = RegistriesOptions { credentials, observer, ..RegistriesOptions::default() };
    (Registries::new(options).unwrap(), events)
}

fn anonymous() -> Registries {
    registries(Credentials::new(Vec::new())).0
}

fn with_login(host: &RegistryHost) -> (tempfile::TempDir, Registries, Arc<Mutex<Vec<RegistryEvent>>>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    let config = serde_json::json!({"auths": {host.as_str(): {"username": "u", "password": "canary"}}});
    fs_err::write(&file, config.to_string()).unwrap();
    let (registries, events) = registries(Credentials::new(vec![file]));
    (folder, registries, events)
}

fn blocked(events: &Mutex<Vec<RegistryEvent>>) -> usize {
    events.lock().unwrap().iter().filter(|event| matches!(event, RegistryEvent::Blocked { .. })).count()
}

#[tokio::test]
async fn a_429_silences_its_own_host_for_as_long_as_it_says() {
    let busy = Stub::start(|_| reply("429 Too Many Requests", &["Retry-After: 7"], "")).await;
    let healthy = Stub::start(|_| reply("200 OK", &[], r#"{"tags":["v1"]}"#)).await;
    let registries = anonymous();
    let error = registries.tags(&busy.repository(), None).await.unwrap_err();
    let pause = error.until().unwrap().duration_since(Timestamp::now());
    assert!((5..=7).contains(&pause.as_secs()), "{pause:?}");
    for _ in 0..3 {
        let error = registries.tags(&busy.repository(), None).await.unwrap_err();
        assert!(matches!(error, DiscoverError::BackingOff { .. }), "{error}");
    }
    assert_eq!(busy.count("GET"), 1);
    assert_eq!(registries.tags(&healthy.repository(), None).await.unwrap().tags.len(), 1);
}

#[tokio::test]
async fn pages_are_followed_to_an_empty_last_one() {
    let stub = Stub::start(|head| {
        let link = |last| format!("Link: </v2/team/app/tags/list?n=2&last={last}>; rel=\"next\"");
        match () {
            () if head.contains("last=d") => reply("200 OK", &[], r#"{"tags":[]}"#),
            () if head.contains("last=b") => reply("200 OK", &[&link("d")], r#"{"tags":["c","d"]}"#),
            () => reply("200 OK", &[&link("b")], r#"{"tags":["a","b"]}"#),
        }
    })
    .await;
    let registries = anonymous();
    let list = registries.tags(&stub.repository(), None).await.unwrap();
    assert_eq!(list.tags.len(), 4);
    let again = registries.tags(&stub.repository(), Some(&list)).await.unwrap();
    assert!(again.unchanged && Arc::ptr_eq(&list.tags, &again.tags));
}

#[tokio::test]
async fn a_link_to_itself_or_without_end_or_to_another_host_is_an_error() {
    let itself =
        |_: &str| reply("200 OK", &["Link: </v2/team/app/tags/list?n=2>; rel=next"], r#"{"tags":["a"]}"#);
    let elsewhere =
        |_: &str| reply("200 OK", &["Link: <http://localhost:1/v2/>; rel=next"], r#"{"tags":["a"]}"#);
    let number = std::sync::atomic::AtomicUsize::new(0);
    let endless = move |_: &str| {
        let next = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        reply(
            "200 OK",
            &[&format!("Link: </v2/team/app/tags/list?last={next}>; rel=next")],
            r#"{"tags":["a"]}"#,
        )
    };
    for (stub, words) in [
        (Stub::start(itself).await, "a page that was read"),
        (Stub::start(elsewhere).await, "another host"),
        (Stub::start(endless).await, "more than 1000 pages"),
    ] {
        let error = anonymous().tags(&stub.repository(), None).await.unwrap_err();
        assert!(error.kind() == "garbage" && error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn an_etag_saves_the_list_the_second_time() {
    let stub = Stub::start(|head| {
        if has_header(head, "if-none-match: \"one\"") {
            reply("304 Not Modified", &[], "")
        } else {
            reply("200 OK", &["ETag: \"one\""], r#"{"tags":["a"]}"#)
        }
    })
    .await;
    let registries = anonymous();
    let list = registries.tags(&stub.repository(), None).await.unwrap();
    assert!(registries.tags(&stub.repository(), Some(&list)).await.unwrap().unchanged);
}

#[tokio::test]
async fn too_big_broken_and_failing_answers_are_errors_and_never_lists() {
    let chunked = || {
        let chunk = format!("100000\r\n{}\r\n", "x".repeat(0x10_0000));
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{}0\r\n\r\n",
            chunk.repeat(33)
        )
    };
    for (answer, kind) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2000000000\r\n\r\n{".to_owned(), "garbage"),
        (chunked(), "garbage"),
        (reply("200 OK", &[], "<html>"), "garbage"),
        (reply("200 OK", &[], r#"{"errors":[{"code":"X"}]}"#), "garbage"),
        (reply("404 Not Found", &[], r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#), "not_found"),
        (reply("500 Oops", &[], ""), "unreachable"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"tags\":[\"a\"]}".to_owned(), "unreachable"),
        ("nonsense".to_owned(), "unreachable"),
    ] {
        let start = answer[..answer.len().min(60)].to_owned();
        let stub = Stub::start(move |_| answer.clone()).await;
        let error = anonymous().tags(&stub.repository(), None).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{start}: {error}");
    }
}

#[tokio::test]
async fn a_token_is_fetched_once_for_many_and_again_when_it_is_refused() {
    let issued = Arc::new(Mutex::new(0));
    let valid = Arc::clone(&issued);
    let stub = Stub::start(move |head| {
        let current = *valid.lock().unwrap();
        if head.starts_with("GET /token") {
            // base64 of u:canary
            assert!(has_header(head, "authorization: Basic dTpjYW5hcnk="), "{head}");
            assert!(
                head.contains("scope=repository%3Ateam%2Fapp%3Apull") && head.contains("service=s"),
                "{head}"
            );
            *valid.lock().unwrap() += 1;
            return reply(
                "200 OK",
                &[],
                &format!(r#"{{"access_token":"t{}","expires_in":300}}"#, current + 1),
            );
        }
        if has_header(head, &format!("authorization: Bearer t{current}")) {
            return reply("200 OK", &[], r#"{"tags":["a"]}"#);
        }
        let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"s\"");
        reply("401 Unauthorized", &[&challenge], "")
    })
    .await;
    let (_folder, registries, _) = with_login(&stub.host());
    let repository = stub.repository();
    let many = futures::future::join_all((0..20).map(|_| registries.tags(&repository, None))).await;
    assert!(many.iter().all(Result::is_ok), "{many:?}");
    assert_eq!(stub.count("GET /token"), 1);
    *issued.lock().unwrap() += 1; // The server forgets the token that it gave.
    assert!(registries.tags(&repository, None).await.is_ok());
    assert_eq!(stub.count("GET /token"), 2);
}

#[tokio::test]
async fn a_hostile_token_server_is_refused_before_anything_is_sent_to_it() {
    for realm in [
        "http://169.254.169.254/latest/meta-data",
        "https://169.254.169.254/token",
        "http://localhost:1/token",
        "https://localhost:1/token",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "http://u:p@127.0.0.1:1/token",
    ] {
        let challenge = format!("WWW-Authenticate: Bearer realm=\"{realm}\"");
        let stub = Stub::start(move |_| reply("401 Unauthorized", &[&challenge], "")).await;
        let (_folder, registries, events) = with_login(&stub.host());
        let error = registries.tags(&stub.repository(), None).await.unwrap_err();
        assert!(matches!(error, DiscoverError::Blocked { .. }), "{realm}: {error}");
        assert_eq!(
            (blocked(&events), stub.count("canary"), stub.count("uthorization")),
            (1, 0, 0),
            "{realm}"
        );
    }
}

#[tokio::test]
async fn a_realm_is_believed_no_longer_than_it_is_told() {
    let ill = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let is_ill = Arc::clone(&ill);
    let stub = Stub::start(move |_| {
        if is_ill.load(std::sync::atomic::Ordering::Relaxed) {
            reply("401 Unauthorized", &["WWW-Authenticate: Bearer realm=\"http://localhost:1/token\""], "")
        } else {
            reply("200 OK", &[], r#"{"tags":["a"]}"#)
        }
    })
    .await;
    let registries = anonymous();
    assert_eq!(registries.tags(&stub.repository(), None).await.unwrap_err().kind(), "blocked");

    ill.store(false, std::sync::atomic::Ordering::Relaxed);

    assert!(registries.tags(&stub.repository(), None).await.is_ok());
}

#[tokio::test]
async fn a_token_server_that_redirects_is_refused() {
    let stub = Stub::start(|head| {
        if head.starts_with("GET /token") {
            reply("302 Found", &["Location: http://169.254.169.254/"], "")
        } else {
            let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
            reply(
                "401 Unauthorized",
                &[&format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\"")],
                "",
            )
        }
    })
    .await;
    let (registries, events) = registries(Credentials::new(Vec::new()));
    assert_eq!(registries.tags(&stub.repository(), None).await.unwrap_err().kind(), "blocked");
    assert_eq!(blocked(&events), 1);
}

#[tokio::test]
async fn basic_credentials_follow_no_redirect_to_another_server() {
    let store = Stub::start(|_| reply("200 OK", &[], "hello")).await;
    let port = store.port;
    let stub = Stub::start(move |head| {
        if has_header(head, "authorization: Basic dTpjYW5hcnk=") {
            let location = format!("Location: http://127.0.0.1:{port}/blob?signature=secret");
            reply("307 Temporary Redirect", &[&location], "")
        } else {
            reply("401 Unauthorized", &["WWW-Authenticate: Basic realm=x"], "")
        }
    })
    .await;
    let (_folder, registries, _) = with_login(&stub.host());
    let blob: Descriptor =
        serde_json::from_value(serde_json::json!({"digest": Digest::of(b"hello"), "size": 5})).unwrap();
    assert_eq!(registries.blob(&stub.repository(), &blob, 100).await.unwrap(), "hello");
    assert_eq!((store.count("GET /blob"), store.count("uthorization")), (1, 0));
    let wrong: Descriptor =
        serde_json::from_value(serde_json::json!({"digest": Digest::of(b"other"), "size": 5})).unwrap();
    assert_eq!(registries.blob(&stub.repository(), &wrong, 100).await.unwrap_err().kind(), "garbage");
}

#[tokio::test]
async fn a_redirect_to_another_host_inside_is_blocked_and_its_signature_not_shown() {
    for location in [
        "http://localhost:1/b?signature=canary",
        "https://10.0.0.1/b?signature=canary",
        "https://localhost/b?signature=canary",
    ] {
        let header = format!("Location: {location}");
        let stub = Stub::start(move |_| reply("307 Temporary Redirect", &[&header], "")).await;
        let error = anonymous().tags(&stub.repository(), None).await.unwrap_err();
        assert!(error.kind() == "blocked" && !format!("{error} {error:?}").contains("canary"), "{error}");
    }
}

#[tokio::test]
async fn refused_credentials_are_asked_for_once_and_named() {
    let stub = Stub::start(|_| reply("401 Unauthorized", &["WWW-Authenticate: Basic realm=x"], "")).await;
    let error = anonymous().tags(&stub.repository(), None).await.unwrap_err();
    assert!(error.kind() == "unauthorized" && error.to_string().contains("no credentials"), "{error}");
    assert_eq!(stub.count("GET"), 1);
    let (_folder, registries, _) = with_login(&stub.host());
    let error = registries.tags(&stub.repository(), None).await.unwrap_err();
    assert!(error.kind() == "unauthorized" && !error.to_string().contains("canary"), "{error}");
    assert!(registries.reachable(&stub.host()).await.is_err());
    assert!(anonymous().reachable(&stub.host()).await.is_ok());
}

#[tokio::test]
async fn a_digest_is_computed_where_head_tells_none() {
    let body = serde_json::json!({"manifests": []}).to_string();
    let digest = Digest::of(body.as_bytes());
    let stub = Stub::start(move |head| {
        if head.starts_with("HEAD") {
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_owned()
        } else {
            reply("200 OK", &[&format!("Content-Type: {}", MANIFEST_TYPES[0])], &body)
        }
    })
    .await;
    let tag: Tag = "v1".parse().unwrap();
    assert_eq!(anonymous().digest(&stub.repository(), &tag).await.unwrap(), Some(digest));
    for media_type in MANIFEST_TYPES {
        assert_eq!(stub.count(media_type), 2);
    }
}

#[tokio::test]
async fn an_endpoint_is_connected_to_under_the_registrys_own_name() {
    let stub = Stub::start(|head| {
        if has_header(head, "host: k3d-registry:5000") {
            reply("200 OK", &[], r#"{"tags":["a"]}"#)
        } else {
            reply("400 Bad Request", &[], "")
        }
    })
    .await;
    let registries = anonymous();
    let name: RegistryHost = "k3d-registry:5000".parse().unwrap();
    registries.set_endpoint(name.clone(), stub.host().as_str()).unwrap();
    let repository = Repository::new(name, "app").unwrap();
    assert_eq!(registries.tags(&repository, None).await.unwrap().tags.len(), 1);
}

#[tokio::test]
async fn a_host_that_is_not_loopback_is_spoken_to_over_tls_unless_told_otherwise() {
    let stub = Stub::start(|_| reply("200 OK", &[], r#"{"tags":["a"]}"#)).await;
    let name: RegistryHost = format!("0.0.0.0:{}", stub.port).parse().unwrap();
    let repository = Repository::new(name.clone(), "app").unwrap();
    let registries = anonymous();
    assert_eq!(registries.tags(&repository, None).await.unwrap_err().kind(), "unreachable");
    assert_eq!(stub.count("GET"), 0);
    registries.configure(&[(name, RegistryOptions { insecure: true, ca: None })].into());
    assert!(registries.tags(&repository, None).await.is_ok());
}

#[tokio::test]
async fn a_registry_slower_than_the_interval_is_still_asked_for_every_repository() {
    let slow = Stub::start(|_| {
        std::thread::sleep(Duration::from_millis(2));
        reply("200 OK", &[], r#"{"tags":["v1"]}"#)
    })
    .await;
    let repository = |number: usize| Repository::new(slow.host(), &format!("team/app-{number}")).unwrap();
    let wanted: feed::Targets =
        (0..60).map(|number| (repository(number), feed::Look::every(Duration::from_millis(1)))).collect();
    let (_targets, targets) = tokio::sync::watch::channel(wanted.clone());
    let (sightings, mut inbox) = tokio::sync::mpsc::channel(64);
    tokio::spawn(feed::run(slow.host(), anonymous(), targets, Nudges::default(), sightings, false));
    let mut looks = std::collections::BTreeMap::new();
    for _ in 0..3 * wanted.len() {
        *looks.entry(inbox.recv().await.unwrap().repository).or_insert(0) += 1;
    }
    let starved: Vec<_> = wanted.keys().filter(|repository| !looks.contains_key(*repository)).collect();
    assert!(starved.is_empty(), "never asked while others were asked again: {starved:?}");
}

#[tokio::test]
async fn a_tag_that_stands_in_git_is_asked_for_at_first_and_when_the_list_changes_and_a_followed_one_always()
{
    let version = Arc::new(Mutex::new("v2"));
    let listed = Arc::clone(&version);
    let stub = Stub::start(move |head| {
        if head.starts_with("HEAD") {
            let digest = Digest::of(b"one");
            if has_header(head, "if-none-match: \"one\"") {
                return reply("304 Not Modified", &[], "");
            }
            return reply("200 OK", &["ETag: \"one\"", &format!("Docker-Content-Digest: {digest}")], "");
        }
        reply("200 OK", &[], &format!(r#"{{"tags":["latest","v1","{}"]}}"#, listed.lock().unwrap()))
    })
    .await;
    let tags = |name: &str| std::collections::BTreeSet::from([name.parse::<Tag>().unwrap()]);
    let look = feed::Look {
        interval: Duration::from_millis(1),
        watched: tags("v1").into_iter().chain(tags("gone")).collect(),
        followed: tags("latest"),
    };
    let (_targets, targets) = tokio::sync::watch::channel([(stub.repository(), look)].into());
    let (sightings, mut inbox) = tokio::sync::mpsc::channel(1);
    tokio::spawn(feed::run(stub.host(), anonymous(), targets, Nudges::default(), sightings, false));
    let mut next = async || {
        let sighting = inbox.recv().await.unwrap();
        assert!(sighting.result.is_ok(), "{sighting:?}");
        sighting.digests.keys().map(Tag::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(next().await, "latest v1");
    for _ in 0..20 {
        assert_eq!(next().await, "latest");
    }
    *version.lock().unwrap() = "v3";
    let mut seen = Vec::new();
    while seen.len() < 5 {
        seen.push(next().await);
    }
    assert_eq!(seen.iter().filter(|tags| *tags == "latest v1").count(), 1, "{seen:?}");
    // What a short answer leaves out is what was known.
    assert!(stub.count("if-none-match") > 20 && stub.count("manifests/gone") == 0);
}

/// A feed of `repository` that polls so rarely that only nudges make it look again.
fn rarely(
    repository: &Repository,
) -> (Nudges, tokio::sync::mpsc::Receiver<feed::Sighting>, tokio::sync::watch::Sender<feed::Targets>) {
    let wanted = feed::Targets::from([(repository.clone(), feed::Look::every(Duration::from_hours(1)))]);
    let (sender, targets) = tokio::sync::watch::channel(wanted);
    let (sightings, inbox) = tokio::sync::mpsc::channel(64);
    let nudges = Nudges::default();
    let feed = feed::run(repository.host().clone(), anonymous(), targets, nudges.clone(), sightings, false);
    tokio::spawn(feed);
    (nudges, inbox, sender)
}

#[tokio::test]
async fn a_nudged_repository_is_looked_at_now_and_once_for_all_nudges() {
    let registry = Stub::start(|_| {
        std::thread::sleep(Duration::from_millis(50));
        reply("200 OK", &[], r#"{"tags":["v1"]}"#)
    })
    .await;
    let repository = registry.repository();
    let (nudges, mut inbox, _targets) = rarely(&repository);
    inbox.recv().await.unwrap();
    let unknown = Repository::new(registry.host(), "team/unknown").unwrap();
    nudges.add([repository.clone(), unknown]);
    inbox.recv().await.unwrap();
    assert_eq!(registry.count("GET"), 2, "what nobody looks at is not looked at");
    nudges.add([repository.clone()]);
    tokio::time::sleep(Duration::from_millis(20)).await;
    // What comes during a look may have come too late for it, so one more look follows, and not one for each.
    for _ in 0..50 {
        nudges.add([repository.clone()]);
    }
    for _ in 0..2 {
        inbox.recv().await.unwrap();
    }
    // It showed nothing new, as a registry does that tells of a push before it lists the tag: one more, and that is all.
    tokio::time::timeout(Duration::from_secs(10), inbox.recv()).await.unwrap().unwrap();
    let more = tokio::time::timeout(Duration::from_millis(1500), inbox.recv()).await;
    assert!(more.is_err(), "{more:?}");
    assert_eq!(registry.count("GET"), 5);
}

#[tokio::test]
async fn a_nudge_has_the_tags_that_stand_in_git_asked_for_as_well() {
    let digest = format!("Docker-Content-Digest: {}", Digest::of(b"one"));
    let stub = Stub::start(move |head| {
        if head.starts_with("HEAD") {
            reply("200 OK", &[&digest], "")
        } else {
            reply("200 OK", &[], r#"{"tags":["v1"]}"#)
        }
    })
    .await;
    let repository = stub.repository();
    let (nudges, mut inbox, targets) = rarely(&repository);
    assert!(inbox.recv().await.unwrap().digests.is_empty());
    let look = feed::Look {
        watched: ["v1".parse::<Tag>().unwrap()].into(),
        ..feed::Look::every(Duration::from_hours(1))
    };
    targets.send_replace([(repository.clone(), look)].into());
    tokio::time::sleep(Duration::from_millis(100)).await;
    nudges.add([repository]);
    assert_eq!(inbox.recv().await.unwrap().digests.len(), 1);
}

#[tokio::test]
async fn a_nudge_waits_for_the_registrys_pause_and_is_not_forgotten() {
    let answers = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let registry = Stub::start(move |_| match answers.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        1 => reply("429 Too Many Requests", &["Retry-After: 2"], ""),
        _ => reply("200 OK", &[], r#"{"tags":["v1"]}"#),
    })
    .await;
    let (nudges, mut inbox, _targets) = rarely(&registry.repository());
    inbox.recv().await.unwrap();
    nudges.add([registry.repository()]);
    assert!(matches!(inbox.recv().await.unwrap().result, Err(DiscoverError::RateLimited { .. })));
    let began = std::time::Instant::now();
    // A flood during the pause costs the registry nothing.
    for _ in 0..50 {
        nudges.add([registry.repository()]);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(registry.count("GET"), 2);
    while let Err(error) = inbox.recv().await.unwrap().result {
        assert!(matches!(error, DiscoverError::BackingOff { .. }), "{error}");
    }
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(registry.count("GET"), 3);
}

#[tokio::test]
async fn nudges_without_end_cause_one_look_a_second() {
    let registry = Stub::start(|_| reply("200 OK", &[], r#"{"tags":["v1"]}"#)).await;
    let (nudges, mut inbox, _targets) = rarely(&registry.repository());
    inbox.recv().await.unwrap();
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_millis(2500) {
        nudges.add([registry.repository()]);
        tokio::time::sleep(Duration::from_millis(5)).await;
        while inbox.try_recv().is_ok() {}
    }
    let looks = registry.count("GET") - 1;
    assert!((5..=12).contains(&looks), "{looks} looks");
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_deadline() {
    let host: RegistryHost = "localhost:1".parse().unwrap();
    let never = std::future::pending::<Result<(), DiscoverError>>();
    let error = registry::within(Duration::from_secs(30), &host, "x", never).await.unwrap_err();
    assert!(error.to_string().contains("within 30 seconds"), "{error}");
}
