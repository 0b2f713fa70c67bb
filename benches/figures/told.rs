//! From a commit on the remote to Flux being told, and from the last ready pod to the verdict on the remote.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use crate::bed::{self, Site};
use crate::ground::watch;
use crate::observed::{Seen, observe};
use crate::report::{Report, Sample};

const ROUNDS: u32 = 11;

pub(crate) fn answer(report: &mut Report) {
    _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let site = bed::site("told").environments(&["local"]).verify("{timeout: 60s, stableFor: 0s}").create();
    let seen = runtime.block_on(observe(&site.namespace("local")));
    let daemon = site.promoted().start();
    site.wait_verdict("test-app", "local", "1.0.0");
    let (mut told, mut verdict, mut complete) = (Sample::default(), Sample::default(), Sample::default());
    for round in 0..=ROUNDS {
        let times = follow(&site, &seen, &format!("1.1.{round}"));
        if round > 0 {
            told.add(times.asked.saturating_duration_since(times.committed));
            verdict.add(times.written.saturating_duration_since(times.ready));
            complete.add(times.complete.saturating_duration_since(times.ready));
        }
    }
    daemon.stop();
    report.limit("commit on the remote → Flux told (seen by a watch)", &told, "", Duration::from_millis(50));
    let floor = format!("rollout complete in the Deployment's status: {complete}");
    report.limit(
        "last pod ready → verdict on the remote, `stableFor: 0s`",
        &verdict,
        &floor,
        Duration::from_millis(300),
    );
}

struct Times {
    committed: Instant,
    asked: Instant,
    ready: Instant,
    complete: Instant,
    written: Instant,
}

fn follow(site: &Site, seen: &Receiver<(Instant, Seen)>, version: &str) -> Times {
    while seen.try_recv().is_ok() {}
    let reference = |name: &str| -> PathBuf { site.bare().join("refs").join(name) };
    let read = |path: &PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let (branch, notes) = (reference("heads/main"), reference("notes/promote"));
    let (head, note) = (read(&branch), read(&notes));
    site.push_image("local", "test-app", version);
    let moved = |path: &PathBuf, old: &str| {
        let changed = || Some(read(path)).filter(|now| !now.is_empty() && now != old);
        watch(changed).unwrap_or_else(|| site.give_up(&format!("{} did not move", path.display()))).0
    };
    let committed = moved(&branch, &head);
    let written = moved(&notes, &note);

    let wanted = format!("/test-app:{version}@");
    let (mut asked, mut ready, mut complete) = (None, None, None);
    let mut pods: BTreeMap<String, (String, bool)> = BTreeMap::new();
    while complete.is_none() || ready.is_none() || asked.is_none() {
        let (when, what) =
            seen.recv_timeout(bed::DEADLINE).unwrap_or_else(|_| site.give_up("the watch saw nothing"));
        match what {
            Seen::Asked => _ = asked.get_or_insert(when),
            Seen::Pod(name, Some(state)) => _ = pods.insert(name, state),
            Seen::Pod(name, None) => _ = pods.remove(&name),
            Seen::Complete(image) if image.contains(&wanted) => _ = complete.get_or_insert(when),
            Seen::Complete(_) => {}
        }
        if pods.values().filter(|(image, ready)| *ready && image.contains(&wanted)).count() == 2 {
            ready.get_or_insert(when);
        }
    }
    Times { committed, asked: asked.unwrap(), ready: ready.unwrap(), complete: complete.unwrap(), written }
}
