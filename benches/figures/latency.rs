//! From the push of an image to the commit, at a poll interval of one second: the daemon beside Flux's image controllers,
//! on the same repository and registry.

use std::time::{Duration, Instant};

use crate::floor::Floor;
use crate::flux::Flux;
use crate::ground::Ground;
use crate::report::{Report, Sample};

/// As many phases of the interval, so that the median is true to an eightieth of it.
const ROUNDS: u32 = 40;
const FLOOR_ROUNDS: u32 = 10;
const INTERVAL: Duration = Duration::from_secs(1);

pub(crate) fn answer(report: &mut Report) {
    let flux = Flux::start();
    for files in [10, 10_000] {
        let ground = Ground::new("latency", files, 1);
        let daemon = ground.site.promoted().start();
        let mut patch = 0;
        let ours = measure(&ground, &mut patch);
        daemon.stop();
        let push = floor(&ground);
        println!("latency: {files} files: ours {ours}, `git push` {}", crate::report::shown(push));
        let automation = flux.automate(&ground);
        let theirs = measure(&ground, &mut patch);
        drop(automation);
        let figure = format!("image pushed → committed, 1 s interval; {files} files");
        let floor =
            format!("half the interval and `git push` of a ready commit ({})", crate::report::shown(push));
        report.limit(&figure, &ours, &floor, INTERVAL / 2 + push);
        report.compare(&figure, &ours, ("Flux", &theirs), None);
    }
}

/// Pushes versions one after the other, evenly spread over the phases of the interval, whatever its beginning.
fn measure(ground: &Ground, patch: &mut u32) -> Sample {
    let mut sample = Sample::default();
    for round in 0..=ROUNDS {
        // What follows a commit must not fall on a fixed phase of the poll that made it.
        std::thread::sleep(INTERVAL + INTERVAL * round / ROUNDS);
        let head = ground.head();
        *patch += 1;
        ground.push(&ground.apps[0], &format!("1.0.{patch}"));
        let pushed = Instant::now();
        let took = ground.wait_move(&head) - pushed;
        // The first one finds cold caches, and waits for the start of what is measured.
        if round > 0 {
            sample.add(took);
        }
    }
    sample
}

/// How long `git push` takes here.
fn floor(ground: &Ground) -> Duration {
    let floor = Floor::new(ground);
    let mut sample = Sample::default();
    for round in 0..=FLOOR_ROUNDS {
        let took = floor.push(round);
        if round > 0 {
            sample.add(took);
        }
    }
    sample.median()
}
