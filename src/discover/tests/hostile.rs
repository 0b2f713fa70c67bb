//! A registry that lies.

use super::*;

fn index() -> String {
    serde_json::json!({"mediaType": MANIFEST_TYPES[0], "manifests": []}).to_string()
}

/// A server that gives this manifest, with these headers, whatever is asked.
async fn giving(headers: &[&str], body: String) -> Stub {
    let headers: Vec<String> = headers.iter().map(|&header| header.to_owned()).collect();
    Stub::start(move |_| reply("200 OK", &headers.iter().map(String::as_str).collect::<Vec<_>>(), &body))
        .await
}

async fn refused(stub: &Stub, reference: Reference<'_>) -> String {
    let error = anonymous().manifest(&stub.repository(), reference).await.unwrap_err();
    assert_eq!(error.kind(), "garbage", "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_manifest_that_is_not_what_was_asked_for_or_announced_is_rejected() {
    let tag: Tag = "v1".parse().unwrap();
    let other = Digest::of(b"other");
    let kind = format!("Content-Type: {}", MANIFEST_TYPES[0]);
    let swapped = giving(&[&kind], index()).await;
    assert!(refused(&swapped, Reference::Digest(&other)).await.contains("asked for was"));
    let announced = giving(&[&kind, &format!("Docker-Content-Digest: {other}")], index()).await;
    assert!(refused(&announced, Reference::Tag(&tag)).await.contains("Docker-Content-Digest is"));
    let image = giving(&[&format!("Content-Type: {}", MANIFEST_TYPES[1])], index()).await;
    assert!(refused(&image, Reference::Tag(&tag)).await.contains("mediaType is"));
    let schema1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let old =
        giving(&[&format!("Content-Type: {schema1}")], r#"{"schemaVersion":1,"fsLayers":[]}"#.to_owned())
            .await;
    assert!(refused(&old, Reference::Tag(&tag)).await.contains("is no image manifest or index"));
}

#[tokio::test]
async fn a_digest_that_is_none_is_rejected() {
    for digest in ["sha256:../../etc/passwd", "sha256:ABC", "", "md5:d41d8cd98f00b204e9800998ecf8427e"] {
        let header = format!("Docker-Content-Digest: {digest}");
        let stub = giving(&[&header], String::new()).await;
        let error = anonymous().digest(&stub.repository(), &"v1".parse().unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), "garbage", "{digest}");
    }
}

#[tokio::test]
async fn a_manifest_of_fifty_megabytes_is_given_up_at_four() {
    let chunk = format!("100000\r\n{}\r\n", "x".repeat(0x10_0000)).repeat(50);
    let stub = Stub::start(move |_| {
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n")
    })
    .await;
    let tag: Tag = "v1".parse().unwrap();
    assert!(refused(&stub, Reference::Tag(&tag)).await.contains("more than 4194304 bytes"));
}

#[tokio::test]
async fn a_compressed_answer_is_not_unpacked() {
    // Whatever it would become: nobody asked for it.
    let stub = giving(&["Content-Encoding: gzip"], "\u{1f}\u{8b}\u{8}".to_owned()).await;
    let error = anonymous().tags(&stub.repository(), None).await.unwrap_err();
    assert!(error.kind() == "garbage" && stub.count("ccept-encoding") == 0, "{error}");
}

#[tokio::test]
async fn json_that_is_nested_without_end_is_an_error() {
    let deep = |start: &str| format!("{start}{}", "[".repeat(100_000));
    let list = giving(&[], deep(r#"{"other":"#)).await;
    assert_eq!(anonymous().tags(&list.repository(), None).await.unwrap_err().kind(), "garbage");
    let tag: Tag = "v1".parse().unwrap();
    refused(&giving(&[], deep("")).await, Reference::Tag(&tag)).await;
    let token = Stub::start(move |head| {
        if head.starts_with("GET /token") {
            return reply("200 OK", &[], &deep(r#"{"token":"#));
        }
        let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        reply("401 Unauthorized", &[&format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\"")], "")
    })
    .await;
    assert_eq!(anonymous().tags(&token.repository(), None).await.unwrap_err().kind(), "garbage");
}

#[tokio::test]
async fn what_a_registry_says_can_not_move_the_cursor_of_who_reads_it() {
    let body = r#"{"errors":[{"code":"DENIED","message":"\u001b[2J\u202eevil\nsecond line"}]}"#;
    let stub = Stub::start(move |_| reply("404 Not Found", &[], body)).await;
    let said = anonymous().tags(&stub.repository(), None).await.unwrap_err().to_string();
    assert!(!said.contains(['\u{1b}', '\n', '\u{202e}']), "{said:?}");
}

#[tokio::test]
async fn many_large_lists_take_turns() {
    let body = format!(r#"{{"tags":["{}"]}}"#, vec!["x".repeat(120); 20_000].join("\",\""));
    let stub = Stub::start(move |_| reply("200 OK", &[], &body)).await;
    let registries = anonymous();
    let repositories: Vec<Repository> =
        (0..8).map(|number| Repository::new(stub.host(), &format!("app-{number}")).unwrap()).collect();
    let lists = futures::future::join_all(repositories.iter().map(|it| registries.tags(it, None))).await;
    assert!(lists.iter().all(|list| list.as_ref().is_ok_and(|list| list.tags.len() == 1)), "{lists:?}");
}

#[tokio::test]
async fn a_configuration_can_not_lead_to_a_metadata_service() {
    for host in ["169.254.169.254", "169.254.169.254:80", "[fe80::1]:80"] {
        let (registries, events) = registries(Credentials::new(Vec::new()));
        let name: RegistryHost = host.parse().unwrap();
        registries.configure(&[(name.clone(), RegistryOptions { insecure: true, ca: None })].into());
        let error = registries.tags(&Repository::new(name, "app").unwrap(), None).await.unwrap_err();
        assert_eq!((error.kind(), blocked(&events)), ("blocked", 1), "{host}: {error}");
    }
}

mod whatever_it_writes {
    use proptest::prelude::*;
    use url::Url;

    use crate::discover::{backoff, challenge, ecr, link, quota, tags};
    use crate::model::{RegistryHost, Tag};

    fn header() -> impl Strategy<Value = String> {
        // Pieces of real headers, in any order, and any other text between them.
        let piece = prop_oneof![
            Just("Bearer realm=\"".to_owned()),
            Just("\",service=".to_owned()),
            Just("Basic ".to_owned()),
            Just("</v2/a/tags/list?last=".to_owned()),
            Just("<https://evil.example/".to_owned()),
            Just(">; rel=\"next\"".to_owned()),
            Just(";w=".to_owned()),
            "[0-9]{1,25}",
            ".{0,8}",
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn no_header_makes_the_reader_panic_or_leads_a_list_to_another_host(text in header()) {
            let now = jiff::Timestamp::UNIX_EPOCH;
            if let Some(pause) = backoff::retry_after(&text, now) {
                prop_assert!(pause <= backoff::LONGEST);
            }
            let quota = quota::Quota::read(Some(&text), Some(&text), std::time::Instant::now());
            if let Some(wait) = quota.and_then(|quota| quota.spacing(std::time::Instant::now())) {
                prop_assert!(wait <= std::time::Duration::from_mins(1));
            }
            let _ = challenge::choose([text.as_str()].into_iter());
            let registry: RegistryHost = "r.example:5000".parse().unwrap();
            let current = Url::parse("https://r.example:5000/v2/a/tags/list").unwrap();
            if let Ok(Some(path)) = link::next_page([text.as_str()].into_iter(), &registry, &current) {
                let next = current.join(&path).unwrap();
                prop_assert!(path.starts_with('/') && !path.starts_with("//"), "{path}");
                prop_assert_eq!(next.host_str(), current.host_str());
            }
            if let Ok(host) = text.parse::<RegistryHost>() {
                let _ = ecr::Ecr::of(&host);
            }
        }

        #[test]
        fn a_list_holds_every_legal_tag_of_what_was_sent_and_nothing_else(names in proptest::collection::vec(".{0,40}|[a-z0-9._-]{1,130}", 0..50)) {
            let body = serde_json::json!({"tags": names}).to_string();
            let (found, dropped) = tags::collect([body.as_bytes()].into_iter()).unwrap();
            let mut legal: Vec<Tag> = names.iter().filter_map(|name| name.parse().ok()).collect();
            prop_assert_eq!(legal.len() + dropped, names.len());
            legal.sort_by(|one, other| one.as_str().cmp(other.as_str()));
            legal.dedup();
            prop_assert_eq!(found.iter().collect::<Vec<_>>(), legal);
        }
    }
}
