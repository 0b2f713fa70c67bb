//! A registry that is ill: what it does not say is not made up, and it harms nobody else.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::*;

const LIST: &str = r#"{"tags":["v1"]}"#;

fn next(path: &str) -> String {
    format!("Link: <{path}>; rel=\"next\"")
}

#[tokio::test]
async fn a_registry_that_gives_pages_is_asked_for_large_ones_and_for_smaller_ones_after_405_or_413() {
    for refusal in ["405 Method Not Allowed", "413 Payload Too Large", "400 Bad Request"] {
        let stub = Stub::start(move |head| match () {
            () if head.contains("n=2") => reply(refusal, &[], ""),
            () if head.contains("last=a") => reply("200 OK", &[], r#"{"tags":["b"]}"#),
            () => reply("200 OK", &[&next("/v2/team/app/tags/list?n=1&last=a")], r#"{"tags":["a"]}"#),
        })
        .await;
        let registries = anonymous();
        for _ in 0..3 {
            assert_eq!(registries.tags(&stub.repository(), None).await.unwrap().tags.len(), 2);
        }
        assert_eq!(
            (stub.count("list HTTP"), stub.count("n=2"), stub.count("list?n=1 ")),
            (1, 1, 3),
            "{refusal}"
        );
    }
}

#[tokio::test]
async fn a_registry_that_refuses_every_size_is_asked_without_one_and_its_pages_are_followed() {
    let stub = Stub::start(|head| match () {
        () if head.contains("n=") => reply("400 Bad Request", &[], ""),
        () if head.contains("page=2") => reply("200 OK", &[], r#"{"tags":["b"]}"#),
        () => reply("200 OK", &[&next("/v2/team/app/tags/list?page=2")], r#"{"tags":["a"]}"#),
    })
    .await;
    assert_eq!(anonymous().tags(&stub.repository(), None).await.unwrap().tags.len(), 2);
}

#[tokio::test]
async fn what_one_repository_refuses_changes_nothing_for_the_others() {
    let stub = Stub::start(|head| match () {
        () if head.contains("/broken/") => reply("400 Bad Request", &[], ""),
        () if head.contains("n=2") => reply("200 OK", &[], r#"{"tags":["a"]}"#),
        () => reply("200 OK", &[&next("/v2/team/app/tags/list?n=1&last=a")], r#"{"tags":["a"]}"#),
    })
    .await;
    let registries = anonymous();
    let broken = Repository::new(stub.host(), "team/broken/app").unwrap();
    assert!(registries.tags(&broken, None).await.is_err());

    assert!(registries.tags(&stub.repository(), None).await.is_ok());

    assert_eq!(stub.count("/team/app/tags/list?n=2"), 1, "the others are asked for large pages");
}

#[tokio::test]
async fn large_answers_that_trickle_hold_up_no_other_registry() {
    let large = |tag: &str| format!(r#"{{"tags":["{tag}"],"more":"{}"}}"#, "x".repeat(1_500_000));
    // It announces more than it sends, and holds the connection.
    let slow = Stub::trickling(large("a")).await;
    let good = Stub::start(move |_| reply("200 OK", &[], &large("b"))).await;
    let registries = anonymous();
    let hanging: Vec<_> = (0..4)
        .map(|number| {
            let (registries, repository) =
                (registries.clone(), Repository::new(slow.host(), &format!("app-{number}")).unwrap());
            tokio::spawn(async move { registries.tags(&repository, None).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;

    let repository = good.repository();
    let listed = tokio::time::timeout(Duration::from_secs(10), registries.tags(&repository, None)).await;

    assert_eq!(listed.expect("it is not held up").unwrap().tags.len(), 1);
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_cursor_that_vanished_begins_the_list_again_once() {
    for (vanishes, expected) in [(1, Ok(2)), (9, Err("not_found"))] {
        let left = AtomicUsize::new(vanishes);
        let stub = Stub::start(move |head| {
            if !head.contains("last=") {
                return reply("200 OK", &[&next("/v2/team/app/tags/list?n=2&last=x")], r#"{"tags":["a"]}"#);
            }
            match left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)) {
                Ok(_) => reply("404 Not Found", &[], ""),
                Err(_) => reply("200 OK", &[], r#"{"tags":["b"]}"#),
            }
        })
        .await;
        let list = anonymous().tags(&stub.repository(), None).await;
        assert_eq!(list.map(|list| list.tags.len()).map_err(|error| error.kind()), expected);
        assert_eq!(stub.count("last="), 2);
    }
}

#[tokio::test]
async fn a_429_without_retry_after_waits_longer_each_time_and_one_with_a_date_until_then() {
    let silent = Stub::start(|_| reply("429 Too Many Requests", &[], "")).await;
    let error = anonymous().tags(&silent.repository(), None).await.unwrap_err();
    let pause = error.until().unwrap().duration_since(Timestamp::now()).as_secs_f64();
    assert!((0.0..=2.0).contains(&pause), "{pause}");
    let date = jiff::fmt::rfc2822::to_string(
        &(Timestamp::now() + Duration::from_secs(90)).to_zoned(jiff::tz::TimeZone::UTC),
    );
    let header = format!("Retry-After: {}", date.unwrap().replace("+0000", "GMT"));
    let dated = Stub::start(move |_| reply("503 Service Unavailable", &[&header], "")).await;
    let error = anonymous().tags(&dated.repository(), None).await.unwrap_err();
    let pause = error.until().unwrap().duration_since(Timestamp::now()).as_secs();
    assert!((85..=90).contains(&pause), "{pause}: {error}");
}

#[tokio::test]
async fn refusals_of_questions_that_were_on_their_way_together_are_one_pause_and_are_told_once() {
    let arrived = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&arrived);
    let stub = Stub::start(move |_| {
        count.fetch_add(1, Relaxed);
        reply("429 Too Many Requests", &[], "")
    })
    .await;
    let (registries, events) = registries(Credentials::new(Vec::new()));
    let repository = stub.repository();
    let errors = futures::future::join_all((0..16).map(|_| registries.tags(&repository, None))).await;
    assert!(arrived.load(Relaxed) > 1, "they were not on their way together");
    for error in errors {
        let until = error.unwrap_err().until().unwrap();
        assert!(until.duration_since(Timestamp::now()) <= jiff::SignedDuration::from_secs(2), "{until}");
    }
    let told =
        events.lock().unwrap().iter().filter(|event| matches!(event, RegistryEvent::Backoff { .. })).count();
    assert_eq!(told, 1);
}

#[tokio::test]
async fn after_server_errors_what_was_known_is_confirmed() {
    let number = AtomicUsize::new(0);
    let stub = Stub::start(move |_| match number.fetch_add(1, Relaxed) {
        1 => reply("500 Internal Server Error", &[], ""),
        2 => reply("502 Bad Gateway", &[], "<html>"),
        3 => reply("504 Gateway Timeout", &[], ""),
        _ => reply("200 OK", &[], LIST),
    })
    .await;
    let look = feed::Look::every(Duration::from_millis(1));
    let (_targets, targets) = tokio::sync::watch::channel([(stub.repository(), look)].into());
    let (sightings, mut inbox) = tokio::sync::mpsc::channel(1);
    tokio::spawn(feed::run(stub.host(), anonymous(), targets, Nudges::default(), sightings, false));
    let mut seen = Vec::new();
    for _ in 0..5 {
        let result = inbox.recv().await.unwrap().result;
        seen.push(result.map(|list| list.unchanged).map_err(|error| error.kind()));
    }
    let failed = Err("unreachable");
    assert_eq!(seen, [Ok(false), failed, failed, failed, Ok(true)]);
}

#[tokio::test]
async fn an_empty_or_missing_list_after_a_full_one_is_told_as_what_it_is() {
    for (status, body, expected) in [
        ("200 OK", r#"{"tags":null}"#, Ok(0)),
        ("200 OK", r#"{"tags":[]}"#, Ok(0)),
        ("404 Not Found", r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#, Err("not_found")),
    ] {
        let number = AtomicUsize::new(0);
        let stub = Stub::start(move |_| match number.fetch_add(1, Relaxed) {
            0 => reply("200 OK", &[], r#"{"tags":["1","2","3","4","5"]}"#),
            _ => reply(status, &[], body),
        })
        .await;
        let registries = anonymous();
        let known = registries.tags(&stub.repository(), None).await.unwrap();
        let list = registries.tags(&stub.repository(), Some(&known)).await;
        assert_eq!(list.map(|list| list.tags.len()).map_err(|error| error.kind()), expected, "{body}");
    }
}

#[tokio::test]
async fn a_token_that_ends_in_the_middle_of_a_list_is_renewed_and_the_list_goes_on() {
    let issued = Arc::new(AtomicUsize::new(0));
    let valid = Arc::clone(&issued);
    let ended = AtomicUsize::new(0);
    let stub = Stub::start(move |head| {
        if head.starts_with("GET /token") {
            let number = valid.fetch_add(1, Relaxed) + 1;
            return reply("200 OK", &[], &format!(r#"{{"token":"t{number}"}}"#));
        }
        let second = head.contains("last=");
        // The first token is good for one page.
        let good = has_header(head, &format!("authorization: Bearer t{}", valid.load(Relaxed)))
            && !(second && ended.fetch_add(1, Relaxed) == 0);
        match (good, second) {
            (true, false) => {
                reply("200 OK", &[&next("/v2/team/app/tags/list?n=2&last=a")], r#"{"tags":["a"]}"#)
            }
            (true, true) => reply("200 OK", &[], r#"{"tags":["b"]}"#),
            _ => {
                let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
                let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\"");
                reply("401 Unauthorized", &[&challenge], "")
            }
        }
    })
    .await;
    let list = anonymous().tags(&stub.repository(), None).await.unwrap();
    assert_eq!((list.tags.len(), issued.load(Relaxed)), (2, 2));
}

#[tokio::test]
async fn five_hundred_repositories_cost_one_token_for_each_and_its_lifetime() {
    let stub = Stub::start(move |head| {
        if head.starts_with("GET /token") {
            return reply("200 OK", &[], r#"{"token":"t","expires_in":300}"#);
        }
        if has_header(head, "authorization: Bearer t") {
            return reply("200 OK", &[], LIST);
        }
        let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        reply("401 Unauthorized", &[&format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\"")], "")
    })
    .await;
    let registries = anonymous();
    for _ in 0..2 {
        for number in 0..500 {
            let repository = Repository::new(stub.host(), &format!("team/app-{number}")).unwrap();
            assert!(registries.tags(&repository, None).await.is_ok());
        }
    }
    assert_eq!((stub.count("GET /token"), stub.count("tags/list")), (500, 1001));
}

#[tokio::test]
async fn a_403_without_a_challenge_is_a_refusal_that_is_asked_about_no_more_than_once() {
    // As GHCR refuses a package that is private to others, whoever asks.
    let stub = Stub::start(|head| {
        if head.starts_with("GET /token") {
            return reply("200 OK", &[], r#"{"token":"t"}"#);
        }
        if has_header(head, "authorization: Bearer t") {
            return reply(
                "403 Forbidden",
                &[],
                r#"{"errors":[{"code":"DENIED","message":"requested access is denied"}]}"#,
            );
        }
        let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        reply("401 Unauthorized", &[&format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\"")], "")
    })
    .await;
    let error = anonymous().tags(&stub.repository(), None).await.unwrap_err();
    assert_eq!(error.kind(), "unauthorized");
    assert!(error.to_string().contains("DENIED requested access is denied"), "{error}");
    assert!(stub.count("tags/list") <= 3 && stub.count("GET /token") <= 2);
}

#[tokio::test]
async fn a_400_that_speaks_of_an_expired_token_renews_it_once() {
    // As the public registry of ECR says that a token has ended.
    let (issued, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (given, good_from) = (Arc::clone(&issued), Arc::clone(&ended));
    let stub = Stub::start(move |head| {
        if head.starts_with("GET /token") {
            return reply("200 OK", &[], &format!(r#"{{"token":"t{}"}}"#, given.fetch_add(1, Relaxed)));
        }
        if has_header(head, &format!("authorization: Bearer t{}", good_from.load(Relaxed))) {
            return reply("200 OK", &[], LIST);
        }
        if head.contains("uthorization") {
            let body = r#"{"errors":[{"code":"DENIED","message":"Your Authorization Token has expired."}]}"#;
            return reply("400 Bad Request", &[], body);
        }
        let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        reply("401 Unauthorized", &[&format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\"")], "")
    })
    .await;
    let registries = anonymous();
    assert!(registries.tags(&stub.repository(), None).await.is_ok());
    ended.store(1, Relaxed);
    assert!(registries.tags(&stub.repository(), None).await.is_ok());
    assert_eq!(issued.load(Relaxed), 2);
    ended.store(9, Relaxed);
    assert_eq!(registries.tags(&stub.repository(), None).await.unwrap_err().kind(), "unauthorized");
    assert_eq!(issued.load(Relaxed), 3);
}

#[tokio::test]
async fn repositories_that_hang_do_not_keep_the_others_from_their_interval() {
    let stub =
        Stub::start(|head| if head.contains("/hangs-") { String::new() } else { reply("200 OK", &[], LIST) })
            .await;
    let name = |name: String| Repository::new(stub.host(), &name).unwrap();
    let hanging = (0..50).map(|number| name(format!("hangs-{number}")));
    let healthy: BTreeSet<Repository> = (0..100).map(|number| name(format!("well-{number}"))).collect();
    let look = feed::Look::every(Duration::from_secs(1));
    let wanted =
        hanging.chain(healthy.iter().cloned()).map(|repository| (repository, look.clone())).collect();
    let (_targets, targets) = tokio::sync::watch::channel(wanted);
    let (sightings, mut inbox) = tokio::sync::mpsc::channel(64);
    tokio::spawn(feed::run(stub.host(), anonymous(), targets, Nudges::default(), sightings, false));
    let mut looks = std::collections::BTreeMap::new();
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_secs(20) {
        if let Ok(sighting) = tokio::time::timeout(Duration::from_secs(1), inbox.recv()).await {
            *looks.entry(sighting.unwrap().repository).or_insert(0) += 1;
        }
        if healthy.iter().all(|repository| looks.get(repository).is_some_and(|looks| *looks >= 2)) {
            return;
        }
    }
    panic!("some were starved: {looks:?}");
}

#[tokio::test]
async fn little_quota_slows_the_feed_before_it_is_used_up_and_is_told() {
    let headers = ["ratelimit-limit: 100;w=4", "ratelimit-remaining: 3;w=4"];
    let stub = Stub::start(move |_| reply("200 OK", &headers, LIST)).await;
    let repository = |number: usize| Repository::new(stub.host(), &format!("app-{number}")).unwrap();
    let wanted =
        (0..3).map(|number| (repository(number), feed::Look::every(Duration::from_mins(1)))).collect();
    let (registries, events) = registries(Credentials::new(Vec::new()));
    // What is known from an earlier answer.
    assert!(registries.tags(&repository(9), None).await.is_ok());
    let began = std::time::Instant::now();
    let (_targets, targets) = tokio::sync::watch::channel(wanted);
    let (sightings, mut inbox) = tokio::sync::mpsc::channel(64);
    tokio::spawn(feed::run(stub.host(), registries, targets, Nudges::default(), sightings, false));
    for _ in 0..3 {
        inbox.recv().await.unwrap();
    }
    assert!(began.elapsed() >= Duration::from_millis(1900), "{:?}", began.elapsed());
    let told =
        events.lock().unwrap().iter().any(|event| matches!(event, RegistryEvent::Quota { remaining: 3, .. }));
    assert!(told);
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let way = format!("https://{}", silent.local_addr().unwrap());
    // Accepted, and never answered.
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok(connection) = silent.accept().await {
            held.push(connection);
        }
    });
    let registries = anonymous();
    registries.set_endpoint("registry.example".parse().unwrap(), &way).unwrap();
    let repository = Repository::new("registry.example".parse().unwrap(), "team/app").unwrap();

    let listed = tokio::time::timeout(Duration::from_secs(30), registries.tags(&repository, None)).await;

    let error = listed.expect("it does not wait for ever").unwrap_err();
    assert_eq!(error.kind(), "unreachable");
    assert!(error.to_string().contains("can't reach registry.example"), "{error}");
}

#[tokio::test]
async fn nobody_there_is_an_error_that_names_the_registry() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host: RegistryHost = listener.local_addr().unwrap().to_string().parse().unwrap();
    drop(listener);
    let repository = Repository::new(host.clone(), "app").unwrap();
    let error = anonymous().tags(&repository, None).await.unwrap_err();
    assert!(error.kind() == "unreachable" && error.to_string().contains(host.as_str()), "{error}");
}
