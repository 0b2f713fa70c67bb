//! Many rollouts at once: what one of them costs in a wave of 200 and in one of 20, and how soon each is judged; and five
//! hundred apps in three environments of which none changes.

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::bed::{self, Daemon, Site};
use crate::ground::watch;
use crate::observed::{Seen, observe};
use crate::process::{Cpu, peak, resident};
use crate::report::{Report, Sample};

const ALL: usize = 200;
const FEW: usize = 20;
/// A wave of the whole bed takes minutes, most of them the controllers'.
const DEADLINE: Duration = Duration::from_mins(10);
const APPS: usize = 500;
const ENVIRONMENTS: [&str; 3] = ["local", "staging", "aws"];
const IDLE: Duration = Duration::from_secs(30);

pub(crate) fn answer(report: &mut Report) {
    _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let apps = names(ALL);
    let site = site("wave", &["local"], &apps);
    let seen = runtime.block_on(observe(&site.namespace("local")));
    let daemon = site.promoted().start();
    wait(&site, "1.0.0", ALL);
    let few = wave(&site, &daemon, &seen, &apps[..FEW], "1.1.0");
    let all = wave(&site, &daemon, &seen, &apps, "1.2.0");
    daemon.stop();
    let milliseconds = |cost: Duration| format!("{:.1} ms", cost.as_secs_f64() * 1000.0);
    report.number(
        &format!("CPU per rollout in a wave of {ALL}, beside a wave of {FEW}"),
        all.cost.as_secs_f64() / few.cost.as_secs_f64(),
        "",
        &format!("{}; {}", milliseconds(all.cost), milliseconds(few.cost)),
        Some(1.2),
    );
    let limit = Duration::from_millis(500);
    report.limit(&format!("rollout complete → verdict, wave of {FEW}"), &few.judged, "", limit);
    report.limit(&format!("rollout complete → verdict, wave of {ALL}"), &all.judged, "", limit);
}

struct Wave {
    /// CPU of the daemon per rollout.
    cost: Duration,
    /// From the Deployment's status that completes a rollout to the verdict.
    judged: Sample,
}

fn wave(
    site: &Site,
    daemon: &Daemon,
    seen: &Receiver<(Instant, Seen)>,
    apps: &[String],
    version: &str,
) -> Wave {
    while seen.try_recv().is_ok() {}
    let (clock, began) = (Instant::now(), Timestamp::now());
    let reference = site.bare().join("refs/heads/main");
    let head = || std::fs::read_to_string(&reference).unwrap_or_default();
    let old = head();
    push(site, apps, version);
    // What it costs to find the images is another question.
    let moved = watch(|| Some(head()).filter(|head| !head.is_empty() && *head != old));
    moved.unwrap_or_else(|| site.give_up("there was no commit"));
    let before = Cpu::of(daemon);
    wait(site, version, apps.len());
    let cost = Cpu::of(daemon).since(&before) / u32::try_from(apps.len()).unwrap();
    let mut complete: BTreeMap<String, Timestamp> = BTreeMap::new();
    while let Ok((when, what)) = seen.try_recv() {
        if let Seen::Complete(image) = what
            && let Some((name, _)) = image.split_once(&format!(":{version}@"))
        {
            let app = name.rsplit('/').next().unwrap().to_owned();
            let when = began + SignedDuration::try_from(when - clock).unwrap();
            complete.entry(app).or_insert(when);
        }
    }
    let mut judged = Sample::default();
    for verdict in site.verdicts().into_iter().filter(|verdict| verdict["tag"] == version) {
        assert_eq!(verdict["verdict"], "verified", "{verdict}");
        let decided: Timestamp = verdict["times"]["decided"].as_str().unwrap().parse().unwrap();
        let complete = complete[verdict["app"].as_str().unwrap()];
        judged.add(decided.duration_since(complete).try_into().unwrap_or_default());
    }
    Wave { cost, judged }
}

/// Five hundred apps in three environments, all verified, of which none changes.
pub(crate) fn at_rest(report: &mut Report) {
    let apps = names(APPS);
    let site = site("estate", &ENVIRONMENTS, &apps);
    let daemon = site.promoted().start();
    wait(&site, "1.0.0", APPS * ENVIRONMENTS.len());
    let peak = peak(&daemon);
    daemon.stop();
    // As a daemon is that has been running for long: it has nothing to judge.
    let daemon = site.promoted().start();
    daemon.get("/readyz");
    std::thread::sleep(IDLE);
    let (before, began) = (Cpu::of(&daemon), Instant::now());
    std::thread::sleep(IDLE);
    let busy = Cpu::of(&daemon).since(&before).as_secs_f64() / began.elapsed().as_secs_f64();
    let figure = |what: &str| format!("{APPS} apps in {} environments: {what}", ENVIRONMENTS.len());
    let other = format!("peak while all were judged at once: {peak:.0} MiB");
    report.number(&figure("resident memory"), resident(&daemon), "MiB", &other, Some(60.0));
    let other = "a pass over all images each minute among it";
    report.number(&figure("CPU when nothing happens"), busy * 100.0, "% of a core", other, Some(2.0));
    daemon.stop();
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("app-{number}")).collect()
}

fn site(name: &str, environments: &[&str], apps: &[String]) -> Site {
    let apps: Vec<&str> = apps.iter().map(String::as_str).collect();
    let verify = "{timeout: 10m, stableFor: 0s}";
    let site =
        bed::site(name).environments(environments).apps(&apps).verify(verify).flux_timeout("5m").create();
    site.write_config(|text| text.replace("interval: 1s", "interval: 1m"));
    site
}

/// Pushes a version of each app, from four hands.
fn push(site: &Site, apps: &[String], version: &str) {
    std::thread::scope(|hands| {
        for apps in apps.chunks(apps.len().div_ceil(4)) {
            hands.spawn(move || apps.iter().for_each(|app| _ = site.push_image("local", app, version)));
        }
    });
}

/// Waits until there are so many verdicts on a version.
fn wait(site: &Site, version: &str, count: usize) {
    let began = Instant::now();
    while site.verdicts().iter().filter(|verdict| verdict["tag"] == version).count() < count {
        if began.elapsed() > DEADLINE {
            site.give_up(&format!("not all rollouts of {version} were judged"));
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}
