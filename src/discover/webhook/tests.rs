//! What each provider's message means, and that no message whatever is anything else.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use reqwest::header::HeaderValue;

use super::*;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/fixtures/webhooks/", $name, ".json"))
    };
}

const FIXTURES: [(ReceiverKind, &[u8]); 16] = [
    (ReceiverKind::Github, fixture!("github-package")),
    (ReceiverKind::Github, fixture!("github-registry-package")),
    (ReceiverKind::Github, fixture!("github-push")),
    (ReceiverKind::Gitlab, fixture!("gitlab-push")),
    (ReceiverKind::Gitea, fixture!("gitea-push")),
    (ReceiverKind::Gitea, fixture!("gitea-package")),
    (ReceiverKind::Harbor, fixture!("harbor")),
    (ReceiverKind::Harbor, fixture!("harbor-cloudevents")),
    (ReceiverKind::Quay, fixture!("quay")),
    (ReceiverKind::Dockerhub, fixture!("dockerhub")),
    (ReceiverKind::Distribution, fixture!("distribution")),
    (ReceiverKind::Ecr, fixture!("ecr")),
    (ReceiverKind::Acr, fixture!("acr")),
    (ReceiverKind::Gcr, fixture!("gcr")),
    (ReceiverKind::Gcr, fixture!("gcr-unwrapped")),
    (ReceiverKind::GenericHmac, fixture!("generic")),
];

fn heard(kind: ReceiverKind, body: &[u8]) -> Notice {
    read(kind, &HeaderMap::new(), body).unwrap()
}

/// The repositories as `HOST/PATH`, with `*` for a host that was not told.
fn named(kind: ReceiverKind, body: &[u8]) -> Vec<String> {
    let mentions = heard(kind, body).mentions;
    mentions.iter().map(|at| format!("{}/{}", at.host.as_deref().unwrap_or("*"), at.path)).collect()
}

/// The fixture with a part of its text replaced.
fn with(body: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = std::str::from_utf8(body).unwrap();
    assert!(text.contains(from), "{from}");
    text.replace(from, to).into_bytes()
}

#[test]
fn a_package_of_github_is_the_repository_of_its_owner() {
    let package = fixture!("github-package");
    assert_eq!(named(ReceiverKind::Github, package), ["ghcr.io/acme/team/app"]);
    let bare = fixture!("github-registry-package");
    assert_eq!(named(ReceiverKind::Github, bare), ["ghcr.io/acme/app"], "without a tag and an address");
    let enterprise = with(package, "ghcr.io/Acme/team/app:1.2.0", "containers.git.lan/acme/team/app:1.2.0");
    assert_eq!(named(ReceiverKind::Github, &enterprise)[0], "containers.git.lan/acme/team/app");
    for other in [
        with(package, "published", "deleted"),
        with(package, "\"CONTAINER\"", "\"npm\""),
        b"{\"zen\": \"Keep it logically awesome.\", \"hook_id\": 1}".to_vec(),
    ] {
        assert_eq!(heard(ReceiverKind::Github, &other), Notice::default());
    }
}

#[test]
fn a_form_is_read_like_the_json_within() {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    let json = std::str::from_utf8(fixture!("github-push")).unwrap();
    let form: String =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("payload", json).finish();
    assert_eq!(read(ReceiverKind::Github, &headers, form.as_bytes()).unwrap().branches, ["main"]);
    assert_eq!(read(ReceiverKind::Github, &headers, b"payload=x"), Err(Malformed::Json));
    assert_eq!(read(ReceiverKind::Github, &headers, b"other=1"), Err(Malformed::Json));
}

#[test]
fn a_push_to_git_is_the_branch_that_moved() {
    for (kind, body) in [
        (ReceiverKind::Github, fixture!("github-push").as_slice()),
        (ReceiverKind::Gitlab, fixture!("gitlab-push")),
        (ReceiverKind::Gitea, fixture!("gitea-push")),
    ] {
        assert_eq!(heard(kind, body), Notice { branches: vec!["main".to_owned()], ..Notice::default() });
        let nested = with(body, "refs/heads/main", "refs/heads/release/1.x");
        assert_eq!(heard(kind, &nested).branches, ["release/1.x"]);
        let tag = with(body, "refs/heads/main", "refs/tags/v1");
        assert_eq!(heard(kind, &tag), Notice::default());
    }
    let created = br#"{"ref": "main", "ref_type": "branch"}"#;
    assert_eq!(heard(ReceiverKind::Github, created), Notice::default());
}

#[test]
fn a_container_package_of_gitea_is_a_repository_of_its_owner() {
    let body = fixture!("gitea-package");
    assert_eq!(named(ReceiverKind::Gitea, body), ["*/acme/team/app"]);
    for other in [with(body, "container", "npm"), with(body, "created", "deleted")] {
        assert_eq!(heard(ReceiverKind::Gitea, &other), Notice::default());
    }
}

#[test]
fn harbor_tells_of_several_tags_in_two_formats() {
    for body in [fixture!("harbor").as_slice(), fixture!("harbor-cloudevents")] {
        assert_eq!(named(ReceiverKind::Harbor, body), ["harbor.lan/library/app"; 2]);
        let contents: Vec<_> =
            heard(ReceiverKind::Harbor, body).mentions.into_iter().map(|at| at.content).collect();
        assert_ne!(contents[0], contents[1], "two tags of one digest are two pieces of news");
        let nested = with(body, "\"library/app\"", "\"library/team/app\"");
        assert_eq!(named(ReceiverKind::Harbor, &nested)[0], "harbor.lan/library/team/app");
    }
    for (body, pushed, other) in [
        (fixture!("harbor").as_slice(), "PUSH_ARTIFACT", "PULL_ARTIFACT"),
        (fixture!("harbor-cloudevents"), "harbor.artifact.pushed", "harbor.scan.completed"),
    ] {
        assert_eq!(heard(ReceiverKind::Harbor, &with(body, pushed, other)).mentions, []);
    }
    let id = heard(ReceiverKind::Harbor, fixture!("harbor-cloudevents")).delivery;
    assert_eq!(id.as_deref(), Some("66e18103-b447-4d2c-8f9e-9fb2ae60e2b3"));
}

#[test]
fn quay_tells_of_a_push_by_its_updated_tags() {
    let body = fixture!("quay");
    assert_eq!(named(ReceiverKind::Quay, body), ["quay.io/acme/app"]);
    let old = with(body, "[\"1.2.0\",\"1.2\"]", "{\"1.2.0\": \"sha256:1\"}");
    assert_eq!(named(ReceiverKind::Quay, &old), ["quay.io/acme/app"]);
    for other in [with(body, "updated_tags", "docker_tags"), with(body, "[\"1.2.0\",\"1.2\"]", "[]")] {
        assert_eq!(heard(ReceiverKind::Quay, &other), Notice::default());
    }
}

#[test]
fn docker_hub_names_the_repository_and_its_callback_is_not_looked_at() {
    assert_eq!(named(ReceiverKind::Dockerhub, fixture!("dockerhub")), ["docker.io/acme/app"]);
    assert_eq!(heard(ReceiverKind::Dockerhub, br#"{"repository": {"repo_name": "a/b"}}"#), Notice::default());
}

#[test]
fn of_distributions_events_only_pushed_manifests_count() {
    let body = fixture!("distribution");
    assert_eq!(named(ReceiverKind::Distribution, body), ["registry:5000/acme/app"]);
    let index = with(body, "oci.image.manifest.v1", "oci.image.index.v1");
    assert_eq!(named(ReceiverKind::Distribution, &index), ["registry:5000/acme/app"]);
    let odd = with(body, "\"acme/layers\"", "7");
    assert_eq!(
        named(ReceiverKind::Distribution, &odd),
        ["registry:5000/acme/app"],
        "one odd event spoils no other"
    );
    assert_eq!(heard(ReceiverKind::Distribution, b"{\"events\": []}"), Notice::default());
}

#[test]
fn ecr_is_found_by_account_and_region() {
    let body = fixture!("ecr");
    let names = named(ReceiverKind::Ecr, body);
    assert!(names.contains(&"111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme/app".to_owned()), "{names:?}");
    assert!(names.contains(&"111122223333.dkr-ecr.eu-west-1.on.aws/acme/app".to_owned()), "{names:?}");
    let china = named(ReceiverKind::Ecr, &with(body, "eu-west-1", "cn-north-1"));
    assert_eq!(china[0], "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn/acme/app");
    for (from, to) in
        [("SUCCESS", "FAILURE"), ("PUSH", "DELETE"), ("aws.ecr", "aws.s3"), ("\"account\"", "\"x\"")]
    {
        assert_eq!(heard(ReceiverKind::Ecr, &with(body, from, to)), Notice::default(), "{from}");
    }
}

#[test]
fn acr_is_found_by_the_host_that_was_pushed_to() {
    let body = fixture!("acr");
    assert_eq!(named(ReceiverKind::Acr, body), ["acme.azurecr.io/acme/app"]);
    for other in ["ping", "delete", "chart_push"] {
        assert_eq!(
            heard(ReceiverKind::Acr, &with(body, "\"push\"", &format!("\"{other}\""))),
            Notice::default()
        );
    }
}

#[test]
fn artifact_registry_is_found_within_pub_subs_envelope_or_without() {
    for body in [fixture!("gcr").as_slice(), fixture!("gcr-unwrapped")] {
        assert_eq!(named(ReceiverKind::Gcr, body), ["europe-docker.pkg.dev/acme-project/images/app"]);
    }
    assert_eq!(heard(ReceiverKind::Gcr, fixture!("gcr")).delivery.as_deref(), Some("11061744915493274"));
    let deleted = with(fixture!("gcr-unwrapped"), "INSERT", "DELETE");
    assert_eq!(heard(ReceiverKind::Gcr, &deleted), Notice::default());
    let broken = br#"{"message": {"data": "%%%"}}"#;
    assert_eq!(heard(ReceiverKind::Gcr, broken), Notice::default());
}

#[test]
fn our_own_format_names_repositories_and_branches_and_an_empty_body_means_everything() {
    let notice = heard(ReceiverKind::GenericHmac, fixture!("generic"));
    assert_eq!(
        named(ReceiverKind::GenericHmac, fixture!("generic")),
        ["registry.lan:5000/acme/app", "*/acme/web", "localhost/api"]
    );
    assert_eq!((notice.branches, notice.everything), (vec!["main".to_owned()], false));
    let pushed = heard(ReceiverKind::GenericHmac, br#"{"ref": "refs/heads/main"}"#);
    assert_eq!(pushed.branches, ["main"]);
    assert!(heard(ReceiverKind::GenericHmac, b" \n").everything);
    assert_eq!(heard(ReceiverKind::GenericHmac, b"{}"), Notice::default());
    assert_eq!(read(ReceiverKind::Github, &HeaderMap::new(), b""), Err(Malformed::Json));
}

#[test]
fn what_is_no_json_object_is_malformed() {
    for (kind, _) in FIXTURES {
        for body in ["[]", "null", "7", "\"text\""] {
            assert_eq!(
                read(kind, &HeaderMap::new(), body.as_bytes()),
                Err(Malformed::Shape),
                "{kind:?} {body}"
            );
        }
        for body in [b"{".as_slice(), b"\xff", b"{\"a\": 1} {}", "[".repeat(100_000).as_bytes()] {
            assert_eq!(read(kind, &HeaderMap::new(), body), Err(Malformed::Json), "{kind:?}");
        }
    }
}

/// A fixture whose bytes were changed, taken out, or doubled.
fn mutated() -> impl Strategy<Value = (usize, Vec<u8>)> {
    let change = (any::<prop::sample::Index>(), 0..4_u8, any::<u8>());
    (0..FIXTURES.len(), prop::collection::vec(change, 1..20)).prop_map(|(number, changes)| {
        let mut body = FIXTURES[number].1.to_vec();
        for (at, how, byte) in changes {
            if body.is_empty() {
                break;
            }
            let at = at.index(body.len());
            match how {
                0 => body[at] = byte,
                1 => _ = body.remove(at),
                2 => body.insert(at, byte),
                _ => body.truncate(at),
            }
        }
        (number, body)
    })
}

/// Any JSON, with the words that the providers use as its keys and texts.
fn json() -> impl Strategy<Value = Value> {
    let words = "[a-z]{0,3}|events|action|push|target|repository|package|data|event_data|resources|detail|message|ref";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        words.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(words, inner, 0..6)
                .prop_map(|map| map.into_iter().collect::<Value>()),
        ]
    })
}

proptest! {
    #[test]
    fn a_message_that_was_changed_on_its_way_is_read_or_refused((number, body) in mutated()) {
        let (kind, _) = FIXTURES[number];
        if let Ok(notice) = read(kind, &HeaderMap::new(), &body) {
            prop_assert!(notice.mentions.iter().all(|at| !at.path.is_empty()));
        }
    }

    #[test]
    fn any_json_is_read_or_refused(message in json(), number in 0..FIXTURES.len()) {
        let body = message.to_string();
        let result = read(FIXTURES[number].0, &HeaderMap::new(), body.as_bytes());
        prop_assert_eq!(result.is_ok(), message.is_object());
    }
}
