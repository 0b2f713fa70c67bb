//! Passes in which nothing is new, over a hundred images of one registry: what they ask of others, and what they cost.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::bed::{Daemon, bed};
use crate::ground::Ground;
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
    let (began, cpu, heads) = (counters(&daemon), cpu(&daemon), looks(&ground));
    while passes(&daemon) < total(&began, "promote_scans_total") / f64::from(IMAGES) + PASSES {
        std::thread::sleep(Duration::from_millis(500));
    }
    let (ended, cpu, heads) =
        (counters(&daemon), self::cpu(&daemon).saturating_sub(cpu), looks(&ground) - heads);
    let grown = |name: &str| total(&ended, name) - total(&began, name);
    let scans = grown("promote_scans_total");
    let passes = scans / f64::from(IMAGES);
    let figure = |what: &str| format!("a pass with nothing new over {IMAGES} images: {what}");
    let requests = grown("promote_registry_requests_total") / scans;
    report.number(&figure("requests per repository"), requests, "", "one list of tags: 1", Some(1.0));
    report.number(&figure("looks at the remote's head"), heads / passes, "", "one: 1", Some(1.0));
    report.number(&figure("CPU of the daemon"), cpu.as_secs_f64() * 1000.0 / passes, "ms", "", Some(20.0));
    daemon.stop();
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

/// How long the daemon's threads have run, in user and in kernel mode.
pub(crate) fn cpu(daemon: &Daemon) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
    // The second field, the name, may hold spaces; what follows its bracket is the third.
    let fields: Vec<&str> = text.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |place: usize| fields[place].parse::<u64>().unwrap();
    // Linux reports in hundredths of a second, whatever the kernel's own tick is.
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// How often the remote was asked for its references.
fn looks(ground: &Ground) -> f64 {
    let log = std::fs::read(bed().dir.join("logs/git.log")).unwrap();
    let needle = format!("/{}.git/info/refs?service=git-upload-pack", ground.site.name());
    let count = String::from_utf8_lossy(&log).lines().filter(|line| line.contains(&needle)).count();
    f64::from(u32::try_from(count).unwrap())
}
