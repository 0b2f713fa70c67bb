//! Whoever can reach the server can't use it up: sizes, times and rates are bounded, and real messages go on.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::bed::{Daemon, until};
use crate::webhooks::{SECRET, asked, call, counted, hooked, signature};

const CI: &str = "  ci: {type: generic-hmac, secret: hook}\n";

/// The daemon's resident memory in MiB.
fn memory(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

fn connect(daemon: &Daemon) -> TcpStream {
    let stream = TcpStream::connect(daemon.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    stream
}

/// Reads the status of one answer.
fn status(stream: &mut TcpStream) -> Option<u16> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).get(9..12)?.parse().ok()
}

/// Sends `head`, and then `chunk` again and again, until the daemon has answered or ended the connection.
fn flood(daemon: &Daemon, head: &str, chunk: &[u8]) -> (Option<u16>, usize) {
    let mut stream = connect(daemon);
    stream.write_all(head.as_bytes()).unwrap();
    let mut sent = 0;
    let mut reader = stream.try_clone().unwrap();
    let answer = std::thread::spawn(move || status(&mut reader));
    while !answer.is_finished() && stream.write_all(chunk).is_ok() {
        sent += chunk.len();
    }
    (answer.join().unwrap(), sent)
}

#[test]
fn a_body_without_end_is_refused_and_takes_no_memory() {
    let (_site, daemon) = hooked("bodies", &format!("{CI}  hub: {{type: dockerhub, secret: hook}}\n"));
    let before = memory(&daemon);
    let proof = format!("sha256={}", signature(b""));
    let head =
        |path: &str, rest: &str| format!("POST /webhooks/{path} HTTP/1.1\r\nHost: a\r\n{rest}\r\n\r\n");
    let five_gigabytes = format!("X-Signature: {proof}\r\nContent-Length: 5368709120");
    let endless = format!("X-Signature: {proof}\r\nTransfer-Encoding: chunked");
    let data = vec![b'x'; 64 * 1024];
    let chunk = [b"10000\r\n".as_slice(), &data, b"\r\n"].concat();

    let (told, _) = flood(&daemon, &head("ci", &five_gigabytes), &data);
    assert_eq!(told, Some(413));
    let (told, sent) = flood(&daemon, &head("ci", &endless), &chunk);
    assert_eq!(told, Some(413));
    assert!(sent < 64 * 1024 * 1024, "{sent} bytes were taken");
    let (told, _) = flood(&daemon, &head(&format!("hub/{SECRET}"), "Transfer-Encoding: chunked"), &chunk);
    assert_eq!(told, Some(413));
    let unproved = flood(&daemon, &head("hub/wrong", "Content-Length: 5368709120"), &data);
    assert_eq!(unproved.0, Some(401), "without proof nothing is read");

    assert!(counted(&daemon, "ci", "too_large") >= 2);
    let after = memory(&daemon);
    assert!(after < before + 16, "{before} MiB before, {after} MiB after");
    assert_eq!(call(&daemon, "ci", "").0, 202);
    daemon.stop();
}

#[test]
fn headers_of_a_megabyte_are_refused() {
    let (_site, daemon) = hooked("headers", CI);
    let before = memory(&daemon);
    let filler = "x".repeat(1000);
    let (told, sent) = flood(
        &daemon,
        "POST /webhooks/ci HTTP/1.1\r\nHost: a\r\n",
        format!("X-Filler: {filler}\r\n").as_bytes(),
    );
    assert_eq!(told, Some(431));
    let (told, _) = flood(&daemon, "POST /webhooks/ci HTTP/1.1\r\nHost: a\r\nX-Filler: ", filler.as_bytes());
    assert_eq!(told, Some(431));
    let (told, _) = flood(&daemon, "POST /webhooks/", filler.as_bytes());
    assert!(matches!(told, Some(414 | 431)), "{told:?}");
    assert!(sent < 8 * 1024 * 1024, "{sent} bytes were taken");
    let after = memory(&daemon);
    assert!(after < before + 16, "{before} MiB before, {after} MiB after");
    assert_eq!(call(&daemon, "ci", "").0, 202);
    daemon.stop();
}

#[test]
fn thousands_of_slow_connections_keep_nobody_out() {
    let (_site, daemon) = hooked("slow", CI);
    let before = memory(&daemon);
    let proof = format!("sha256={}", signature(b"{}"));
    let slow: Vec<TcpStream> = (0..2000)
        .map(|number| {
            let mut stream = connect(&daemon);
            // Half of them never end their headers, the others their body.
            let head = match number % 2 {
                0 => "POST /webhooks/ci HTTP/1.1\r\nHost: a\r\nX-Filler: ".to_owned(),
                _ => format!("POST /webhooks/ci HTTP/1.1\r\nHost: a\r\nX-Signature: {proof}\r\nContent-Length: 1000000\r\n\r\n{{"),
            };
            let _ = stream.write_all(head.as_bytes());
            stream
        })
        .collect();

    let began = Instant::now();
    assert_eq!(daemon.get("/healthz").0, 200);
    assert_eq!(call(&daemon, "ci", "").0, 202);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let after = memory(&daemon);
    assert!(after < before + 32, "{before} MiB before, {after} MiB after");
    drop(slow);
    daemon.stop();
}

#[test]
fn a_slow_request_is_ended() {
    let (_site, daemon) = hooked("slow-one", CI);
    let began = Instant::now();
    let mut headers = connect(&daemon);
    headers.write_all(b"POST /webhooks/ci HTTP/1.1\r\nHost: a\r\n").unwrap();
    let mut body = connect(&daemon);
    let proof = format!("sha256={}", signature(b"{}"));
    let head = format!(
        "POST /webhooks/ci HTTP/1.1\r\nHost: a\r\nX-Signature: {proof}\r\nContent-Length: 100\r\n\r\n{{"
    );
    body.write_all(head.as_bytes()).unwrap();

    assert_eq!(status(&mut headers), None);
    let headers_took = began.elapsed();
    assert_eq!(status(&mut body), Some(408));
    let body_took = began.elapsed();
    assert!((9..15).contains(&headers_took.as_secs()), "{headers_took:?}");
    assert!(body_took < Duration::from_secs(30), "{body_took:?}");
    assert_eq!(counted(&daemon, "ci", "timeout"), 1);
    daemon.stop();
}

/// Sends a request many times over one connection; the statuses of the answers.
fn many(daemon: &Daemon, request: &str, count: usize) -> Vec<u16> {
    let mut stream = connect(daemon);
    let mut writer = stream.try_clone().unwrap();
    let all = request.repeat(count);
    let writing = std::thread::spawn(move || writer.write_all(all.as_bytes()));
    let mut text = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let statuses = |text: &[u8]| -> Vec<u16> {
        let text = String::from_utf8_lossy(text);
        text.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)?.parse().ok()).collect()
    };
    while statuses(&text).len() < count {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(read) => text.extend_from_slice(&buffer[..read]),
        }
    }
    let _ = writing.join();
    statuses(&text)
}

fn message(receiver: &str, proof: &str, body: &str) -> String {
    format!(
        "POST /webhooks/{receiver} HTTP/1.1\r\nHost: a\r\nX-Signature: {proof}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn a_sender_that_is_a_hundred_times_too_fast_is_told_to_wait_and_nobody_else() {
    let (_site, daemon) = hooked("fast", &format!("{CI}  other: {{type: generic-hmac, secret: hook}}\n"));
    let body = "{\"repository\": \"nobody/looks-at-this\"}";
    let proof = format!("sha256={}", signature(body.as_bytes()));
    let before = asked(&daemon);

    let statuses = many(&daemon, &message("ci", &proof, body), 3000);

    assert_eq!(statuses.len(), 3000);
    let count = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
    assert!(
        count(202) >= 600 && count(429) > 0 && count(202) + count(429) == 3000,
        "{}, {}",
        count(202),
        count(429)
    );
    let answer = daemon.request("POST", "/webhooks/ci", &[("X-Signature", &proof)], body.as_bytes());
    if answer.status == 429 {
        assert!(
            answer
                .header("retry-after")
                .is_some_and(|seconds| seconds.parse::<u32>().is_ok_and(|it| it >= 1))
        );
    }
    assert_eq!(call(&daemon, "other", "").0, 202, "another sender goes on");
    assert_eq!(counted(&daemon, "ci", "throttled") + counted(&daemon, "ci", "unknown_repository"), 3001);
    assert!(asked(&daemon) <= before + 2, "only the empty message of the other one is followed");
    daemon.stop();
}

#[test]
fn a_flood_of_forged_messages_leaves_the_real_sender_alone() {
    let (site, daemon) = hooked("forged", CI);
    let forged = format!("sha256={}", "0".repeat(64));
    let before = asked(&daemon);

    let statuses = many(&daemon, &message("ci", &forged, "{}"), 2000);

    let count = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
    assert!(
        count(401) >= 50 && count(429) > 0 && count(401) + count(429) == 2000,
        "{}, {}",
        count(401),
        count(429)
    );
    assert!(count(401) < 500, "{} were told more than that they have to wait", count(401));
    assert_eq!(asked(&daemon), before, "no forged message is followed");
    let log = daemon.log();
    assert_eq!(log.matches("a webhook was not taken").count(), 1, "the log is not for everybody to fill");
    site.push_image("local", "test-app", "1.1.0");
    assert_eq!(call(&daemon, "ci", "").0, 202);
    site.wait_commit(|commit| commit.subject == "test-app: local 1.0.0 → 1.1.0", "brings 1.1.0");
    until(|| (counted(&daemon, "ci", "unauthorized") == 2000).then_some(())).expect("all are counted");
    daemon.stop();
}

#[test]
fn large_forged_messages_for_one_receiver_leave_the_others_their_room() {
    let (_site, daemon) = hooked("room", &format!("{CI}  other: {{type: generic-hmac, secret: hook}}\n"));
    let before = memory(&daemon);
    let large =
        format!("{{\"repository\": \"nobody/looks-at-this\", \"more\": \"{}\"}}", "x".repeat(900_000));
    let post = |receiver: &str| {
        let proof = format!("sha256={}", signature(large.as_bytes()));
        let path = format!("/webhooks/{receiver}");
        daemon.request("POST", &path, &[("X-Signature", &proof)], large.as_bytes()).status
    };
    // None of them ends.
    let forged: Vec<TcpStream> = (0..40)
        .map(|_| {
            let mut stream = connect(&daemon);
            let head = format!(
                "POST /webhooks/ci HTTP/1.1\r\nHost: a\r\nX-Signature: sha256={}\r\nContent-Length: 1000000\r\n\r\n",
                "0".repeat(64)
            );
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&vec![b'x'; 500_000]);
            stream
        })
        .collect();

    until(|| (post("ci") == 503).then_some(())).expect("the receiver's own room is used up");
    assert_eq!(post("other"), 202, "another receiver has its room");
    assert_eq!(call(&daemon, "ci", "").0, 202, "a small message needs none");
    let after = memory(&daemon);
    assert!(after < before + 32, "{before} MiB before, {after} MiB after");
    drop(forged);
    until(|| (post("ci") == 202).then_some(())).expect("it is given back");
    daemon.stop();
}
