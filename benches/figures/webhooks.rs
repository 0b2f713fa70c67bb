//! From a webhook to the commit on the remote, beside what must be done anyway; and a thousand webhooks a second.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::bed::{self, Daemon};
use crate::floor::Floor;
use crate::ground::{Ground, watch};
use crate::report::{Report, Sample};

const ROUNDS: u32 = 16;
const SECRET: &str = "a-secret-of-forty-letters-for-the-bench";

pub(crate) fn answer(report: &mut Report) {
    for files in [10, 10_000] {
        let (ours, floor) = latency(files);
        let figure = format!("webhook → commit on the remote; {files} files");
        report.compare(
            &figure,
            &ours,
            ("`git push` of a ready commit and two requests to the registry", &floor),
            Some(1.3),
        );
    }
    flood(report);
}

/// Makes the ground's daemon poll so rarely that only webhooks make it look, with these receivers.
fn listen(ground: &Ground, receivers: &[&str]) {
    ground.site.write_secret("hook", SECRET);
    let receivers: Vec<String> =
        receivers.iter().map(|name| format!("  {name}: {{type: distribution, secret: hook}}\n")).collect();
    let keys = format!("interval: 10m\nreceivers:\n{}", receivers.concat());
    ground.site.write_config(|text| text.replace("interval: 1s\n", &keys));
}

/// The message of a registry about a push.
fn message(ground: &Ground, app: &str, tag: &str, digest: &str) -> String {
    let target = json!({
        "mediaType": "application/vnd.oci.image.index.v1+json", "repository": format!("{}/{app}", ground.site.name()),
        "tag": tag, "digest": digest,
    });
    json!({"events": [{"id": tag, "action": "push", "target": target}]}).to_string()
}

fn request(receiver: &str, secret: &str, body: &str) -> String {
    format!(
        "POST /webhooks/{receiver} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {secret}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A connection that stays.
struct Sender(TcpStream);

impl Sender {
    fn new(daemon: &Daemon) -> Self {
        let stream = TcpStream::connect(daemon.address()).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(bed::DEADLINE)).unwrap();
        Self(stream)
    }

    /// Sends a request and reads the answer; its status.
    fn send(&mut self, request: &str) -> u16 {
        self.0.write_all(request.as_bytes()).unwrap();
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let read = self.0.read(&mut buffer).unwrap();
            assert!(read > 0, "the daemon has ended the connection");
            text.extend_from_slice(&buffer[..read]);
            let all = String::from_utf8_lossy(&text);
            let Some((head, body)) = all.split_once("\r\n\r\n") else { continue };
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return head.get(9..12).unwrap().parse().unwrap();
            }
        }
    }
}

fn asked(daemon: &Daemon) -> u64 {
    let metrics = daemon.get("/metrics").1;
    let lines = metrics.lines().filter(|line| line.starts_with("promote_registry_requests_total{"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

fn wait_settled(daemon: &Daemon, requests: u64) {
    watch(|| (asked(daemon) >= requests).then_some(())).expect("the first looks");
    std::thread::sleep(Duration::from_secs(2));
}

fn latency(files: usize) -> (Sample, Sample) {
    let ground = Ground::new("webhook", files, 2);
    listen(&ground, &["registry"]);
    // Before the daemon is started: it would have to fetch what is pushed beside it.
    let floor = floor(&ground);
    let daemon = ground.site.promoted().start();
    wait_settled(&daemon, 2);
    let app = &ground.apps[1];
    let mut ours = Sample::default();
    for round in 0..=ROUNDS {
        let tag = format!("1.1.{round}");
        let head = ground.head();
        let digest = ground.push(app, &tag);
        let mut sender = Sender::new(&daemon);
        let request = request("registry", SECRET, &message(&ground, app, &tag, &digest));
        let began = Instant::now();
        assert_eq!(sender.send(&request), 202);
        let took = ground.wait_move(&head) - began;
        // The first one finds cold caches.
        if round > 0 {
            ours.add(took);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    daemon.stop();
    (ours, floor)
}

/// A push of a commit that stands ready, and the two requests by which the registry is asked.
fn floor(ground: &Ground) -> Sample {
    let by_hand = Floor::new(ground);
    let base = ground.site.registry("local");
    let (host, path) = base.split_once('/').unwrap();
    let mut floor = Sample::default();
    for round in 0..=ROUNDS {
        let began = Instant::now();
        for (method, rest) in [("GET", "tags/list"), ("HEAD", "manifests/1.0.0")] {
            let url = format!("http://{host}/v2/{path}/{}/{rest}", ground.apps[1]);
            let accept = [("Accept", "application/vnd.oci.image.manifest.v1+json")];
            assert_eq!(bed::request(method, &url, &accept, b"").unwrap().status, 200);
        }
        let took = began.elapsed() + by_hand.push(round);
        if round > 0 {
            floor.add(took);
        }
    }
    floor
}

const REPOSITORIES: usize = 200;
const RATE: usize = 1000;
const SECONDS: usize = 60;
const SENDERS: usize = 20;

/// A thousand messages a second, every tenth forged: four registries tell of 200 repositories, again and again.
fn flood(report: &mut Report) {
    let ground = Ground::new("flood", 1000, REPOSITORIES);
    let receivers = ["one", "two", "three", "four"];
    listen(&ground, &receivers);
    let daemon = ground.site.promoted().start();
    wait_settled(&daemon, REPOSITORIES as u64);
    let before = asked(&daemon);
    let requests: Vec<(String, String)> = ground
        .apps
        .iter()
        .enumerate()
        .map(|(number, app)| {
            let digest = ground.push(app, "1.1.0");
            let body = message(&ground, app, "1.1.0", &digest);
            let receiver = receivers[number % receivers.len()];
            (request(receiver, SECRET, &body), request(receiver, "forged", &body))
        })
        .collect();
    let began = Instant::now();
    let took = std::thread::scope(|scope| {
        let (requests, daemon) = (&requests, &daemon);
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| scope.spawn(move || keep_sending(sender, began, requests, daemon)))
            .collect();
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect::<Vec<_>>()
    });
    let sent = began.elapsed();
    let mut times = took.clone();
    times.sort();
    let p99 = times[times.len() * 99 / 100];
    #[expect(clippy::cast_precision_loss)]
    let rate = took.len() as f64 / sent.as_secs_f64();
    let figure = format!(
        "{rate:.0} webhooks/s for {SECONDS} s, {REPOSITORIES} repositories, 10 % forged: p99 of the answer"
    );
    report.number(&figure, p99.as_secs_f64() * 1000.0, "ms", "", Some(50.0));
    let all = watch(|| (ground.count("1.1.0") == REPOSITORIES).then_some(()));
    assert!(all.is_some(), "{} of {REPOSITORIES} repositories were committed", ground.count("1.1.0"));
    let looks = asked(&daemon) - before;
    let windows = SECONDS.div_ceil(30) + 1;
    #[expect(clippy::cast_precision_loss)]
    report.number(
        "the same: requests to the registry per repository",
        looks as f64 / REPOSITORIES as f64,
        "",
        "a look, and one more a second later, per 30 s; and once what the new image is",
        Some((2 * windows + 1) as f64),
    );
    let before = asked(&daemon);
    let mut sender = Sender::new(&daemon);
    for (_, forged) in requests.iter().cycle().take(1000) {
        assert!(matches!(sender.send(forged), 401 | 429));
    }
    std::thread::sleep(Duration::from_secs(1));
    #[expect(clippy::cast_precision_loss)]
    report.number(
        "1000 forged webhooks: requests to the registry",
        (asked(&daemon) - before) as f64,
        "",
        "",
        Some(0.0),
    );
    daemon.stop();
}

/// Sends at its part of the rate, whatever the answers take; the times from when each was due to its answer.
fn keep_sending(
    sender: usize,
    began: Instant,
    requests: &[(String, String)],
    daemon: &Daemon,
) -> Vec<Duration> {
    let mut connection = Sender::new(daemon);
    let mut times = Vec::new();
    for number in (sender..RATE * SECONDS).step_by(SENDERS) {
        let due =
            began + Duration::from_secs(1) * u32::try_from(number).unwrap() / u32::try_from(RATE).unwrap();
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        // Every tenth round is forged, so that every repository has its share.
        let (real, forged) = &requests[number % requests.len()];
        let is_forged = number / requests.len() % 10 == 9;
        let status = connection.send(if is_forged { forged } else { real });
        let expected: &[u16] = if is_forged { &[401, 429] } else { &[202] };
        assert!(expected.contains(&status), "{status}");
        times.push(due.elapsed());
    }
    times
}
