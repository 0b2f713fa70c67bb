//! The daemon by itself: how soon it is ready, and how much memory it holds when nothing happens.

use std::time::{Duration, Instant};

use crate::bed::{Promoted, Site, request, site};
use crate::ground::watch;
use crate::process::resident;
use crate::report::{Report, Sample};

const STARTS: usize = 7;
const IDLE: Duration = Duration::from_secs(20);

pub(crate) fn answer(report: &mut Report) {
    let site = site("idle").environments(&["local"]).create();
    let daemon = site.promoted().start();
    site.wait_verdict("test-app", "local", "1.0.0");
    daemon.stop();
    let limit = Duration::from_millis(300);
    let clone = starts(&site, || site.promoted());
    report.limit("start → `/readyz` 200, with the clone still to be made", &clone, "", limit);
    let state = site.folder().join("kept");
    site.promoted().state_dir(&state).start().get("/readyz");
    let kept = starts(&site, || site.promoted().state_dir(&state));
    report.limit("start → `/readyz` 200, with the state of the last run", &kept, "", limit);

    let daemon = site.promoted().start();
    daemon.get("/readyz");
    std::thread::sleep(IDLE);
    report.number("resident memory, idle with one app", resident(&daemon), "MiB", "", Some(25.0));
    daemon.stop();
}

fn starts<'a>(site: &Site, promoted: impl Fn() -> Promoted<'a>) -> Sample {
    let mut sample = Sample::default();
    for _ in 0..STARTS {
        let began = Instant::now();
        let daemon = promoted().start();
        let url = format!("http://{}/readyz", daemon.address());
        let ready = || request("GET", &url, &[], b"").ok().filter(|answer| answer.status == 200);
        let (when, _) = watch(ready).unwrap_or_else(|| site.give_up("the daemon was not ready"));
        sample.add(when - began);
        daemon.stop();
    }
    sample
}
