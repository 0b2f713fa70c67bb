//! Passes in which nothing is new, over a hundred images of one registry: what they ask of others, and what they cost.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;

use crate::bed::{Daemon, bed};
use crate::ground::Ground;
use crate::process::Cpu;
use crate::report::Report;

const IMAGES: u32 = 100;
const PASSES: f64 = 25.0;

pub(crate) fn answer(report: &mut Report) {
    let ground = Ground::new("quiet", 1000, IMAGES as usize);
    let daemon = ground.site.promoted().start();
    // Until the first passes are over, and with them what only a start asks for.
    while passes(&daemon) < 5.0 {
        std::thread::sleep(Duration::from_millis(100));
    }
    let (began, cpu, heads) = (counters(&daemon), Cpu::of(&daemon), looks(&ground));
    let end = total(&began, "promote_scans_total") / f64::from(IMAGES) + PASSES;
    // A pass takes a second. Each scrape costs the daemon something, too.
    std::thread::sleep(Duration::from_secs_f64(PASSES));
    while passes(&daemon) < end {
        std::thread::sleep(Duration::from_millis(500));
    }
    let (ended, cpu, heads) = (counters(&daemon), Cpu::of(&daemon).since(&cpu), looks(&ground) - heads);
    let grown = |name: &str| total(&ended, name) - total(&began, name);
    let scans = grown("promote_scans_total");
    let passes = scans / f64::from(IMAGES);
    let figure = |what: &str| format!("a pass with nothing new over {IMAGES} images: {what}");
    let requests = grown("promote_registry_requests_total") / scans;
    report.number(&figure("requests per repository"), requests, "", "one list of tags: 1", Some(1.0));
    report.number(&figure("looks at the remote's head"), heads / passes, "", "one: 1", Some(1.0));
    daemon.stop();
    let floor = format!("a bare HTTP client, the same requests: {:.1} ms", floor(&ground) * 1000.0);
    let cpu = cpu.as_secs_f64() * 1000.0 / passes;
    report.number(&figure("CPU of the daemon"), cpu, "ms", &floor, Some(20.0));
}

/// The CPU seconds of a pass that does nothing but ask for the lists.
fn floor(ground: &Ground) -> f64 {
    _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().unwrap();
    let base = ground.site.registry("local");
    let (host, path) = base.split_once('/').unwrap();
    let urls: Vec<_> =
        ground.apps.iter().map(|app| format!("http://{host}/v2/{path}/{app}/tags/list")).collect();
    let pass = || {
        runtime.block_on(async {
            let ask = async |url: &String| client.get(url).send().await.unwrap().bytes().await.unwrap();
            futures::stream::iter(urls.iter().map(ask)).buffer_unordered(16).count().await
        })
    };
    pass();
    let before = Cpu::of_process(std::process::id());
    for _ in 0..10 {
        assert_eq!(pass(), urls.len());
    }
    Cpu::of_process(std::process::id()).since(&before).as_secs_f64() / 10.0
}

/// The daemon's metrics by name, over all labels.
pub(crate) fn counters(daemon: &Daemon) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for line in daemon.get("/metrics").1.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let value = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
        *sums.entry(name.to_owned()).or_default() += value.unwrap_or_default();
    }
    sums
}

pub(crate) fn total(counters: &BTreeMap<String, f64>, name: &str) -> f64 {
    counters.get(name).copied().unwrap_or_default()
}

fn passes(daemon: &Daemon) -> f64 {
    total(&counters(daemon), "promote_scans_total") / f64::from(IMAGES)
}

/// How often the remote was asked for its references.
fn looks(ground: &Ground) -> f64 {
    let log = std::fs::read(bed().dir.join("logs/git.log")).unwrap();
    let needle = format!("/{}.git/info/refs?service=git-upload-pack", ground.site.name());
    let count = String::from_utf8_lossy(&log).lines().filter(|line| line.contains(&needle)).count();
    f64::from(u32::try_from(count).unwrap())
}
