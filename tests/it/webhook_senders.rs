//! What senders do beside telling: they say the same twice, and ask to be called back.

use std::net::TcpListener;

use crate::bed::{bed, until};
use crate::webhooks::{SECRET, configure, counted, hooked, signature, site, wait_settled};

#[test]
fn a_delivery_that_is_repeated_is_followed_once() {
    let (_site, daemon) = hooked("delivery", "  forge: {type: github, secret: hook}\n");
    let body = br#"{"ref": "refs/heads/main", "commits": []}"#;
    let proof = format!("sha256={}", signature(body));
    let deliver = |id: &str| {
        let headers = [("X-Hub-Signature-256", proof.as_str()), ("X-GitHub-Delivery", id)];
        assert_eq!(daemon.request("POST", "/webhooks/forge", &headers, body).status, 202);
        (counted(&daemon, "forge", "accepted"), counted(&daemon, "forge", "duplicate"))
    };
    assert_eq!(deliver("72d3162e-cc78-11e3-81ab-4c9367dc0958"), (1, 0));
    assert_eq!(deliver("72d3162e-cc78-11e3-81ab-4c9367dc0958"), (1, 1));
    assert_eq!(deliver("72d3162e-cc78-11e3-81ab-4c9367dc0959"), (2, 1), "the same words of another delivery");
    daemon.stop();
}

#[test]
fn docker_hubs_address_to_call_back_is_never_called() {
    let site = site("callback");
    let digest = site.push_image("local", "test-app", "1.0.0");
    let (registry, way) = (format!("docker.io/{}", site.name()), &bed().registries["local"]);
    configure(&site, &registry, &digest, "  hub: {type: dockerhub, secret: hook}\n");
    let daemon = site.promoted().args(&["--registry-endpoint", &format!("docker.io={way}")]).start();
    wait_settled(&daemon);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let callback = format!("http://{}/u/acme/app/hook/1/", listener.local_addr().unwrap());
    let message = serde_json::json!({
        "callback_url": callback,
        "push_data": {"tag": "1.1.0"},
        "repository": {"repo_name": format!("{}/test-app", site.name()), "repo_url": callback},
    });
    site.push_image("local", "test-app", "1.1.0");

    let answer =
        daemon.request("POST", &format!("/webhooks/hub/{SECRET}"), &[], message.to_string().as_bytes());

    assert_eq!(answer.status, 202, "{}", answer.text());
    site.wait_commit(|commit| commit.subject == "test-app: local 1.0.0 → 1.1.0", "follows the message");
    until(|| (counted(&daemon, "hub", "accepted") == 1).then_some(())).expect("it is counted");
    daemon.stop();
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "it was called");
}
