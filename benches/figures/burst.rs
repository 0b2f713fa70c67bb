//! A hundred apps in one repository, all pushed within a second: how many commits, and how soon the last.

use std::time::{Duration, Instant};

use crate::flux::Flux;
use crate::ground::Ground;
use crate::report::{Report, Sample, shown};

const APPS: usize = 100;
const ROUNDS: u32 = 5;
/// After this long without a commit the last one has been seen.
const SILENCE: Duration = Duration::from_secs(4);
/// Longest time for one round; on a busy machine a pass over all apps can take many seconds.
const DEADLINE: Duration = Duration::from_mins(5);

#[derive(Default)]
struct Seen {
    pushing: Sample,
    last: Sample,
    commits: Vec<usize>,
}

pub(crate) fn answer(report: &mut Report) {
    let ground = Ground::new("burst", 1000, APPS);
    let daemon = ground.site.promoted().start();
    let ours = measure(&ground, 1);
    daemon.stop();
    // Not before: they share the cores.
    let flux = Flux::start();
    let automation = flux.automate(&ground);
    let theirs = measure(&ground, 2);
    drop(automation);
    let most = |seen: &Seen| seen.commits.iter().max().copied().unwrap_or_default();
    let pushing = shown(ours.pushing.median());
    let figure = format!("{APPS} apps pushed within {pushing}, 1 s interval: last push → last commit");
    report.limit(&figure, &ours.last, "", Duration::from_millis(1500));
    report.compare(&figure, &ours.last, ("Flux", &theirs.last), None);
    #[expect(clippy::cast_precision_loss)]
    report.number(
        &format!("{APPS} apps: most commits of {ROUNDS} rounds"),
        most(&ours) as f64,
        "",
        &format!("Flux: {}", most(&theirs)),
        Some(2.0),
    );
}

fn measure(ground: &Ground, minor: u32) -> Seen {
    let mut seen = Seen::default();
    for round in 0..=ROUNDS {
        std::thread::sleep(Duration::from_secs(1) + Duration::from_secs(1) * round / ROUNDS);
        let version = format!("1.{minor}.{round}");
        let before = ground.head();
        let (pushing, moves) = std::thread::scope(|scope| {
            let watcher = scope.spawn(|| moves(ground, &before, &version));
            let began = Instant::now();
            let workers: Vec<_> = ground
                .apps
                .chunks(APPS / 4)
                .map(|apps| scope.spawn(|| apps.iter().for_each(|app| _ = ground.push(app, &version))))
                .collect();
            for worker in workers {
                worker.join().unwrap();
            }
            let pushed = Instant::now();
            (pushed - began, (pushed, watcher.join().unwrap()))
        });
        let (pushed, (commits, last)) = moves;
        // The first round finds cold caches.
        if round > 0 {
            seen.pushing.add(pushing);
            let took = last.saturating_duration_since(pushed);
            seen.last.add(took);
            seen.commits.push(commits);
            println!(
                "burst: round {round} of {ROUNDS}: {commits} commits, {} after the last push",
                shown(took)
            );
        }
    }
    seen
}

/// Waits until all apps have the version and no commit comes any more: how many there were, and when the last.
fn moves(ground: &Ground, before: &str, version: &str) -> (usize, Instant) {
    let began = Instant::now();
    let (mut head, mut last, mut counted) = (before.to_owned(), began, before.to_owned());
    loop {
        let now = ground.head();
        if !now.is_empty() && now != head {
            (head, last) = (now, Instant::now());
        }
        if head != counted && last.elapsed() > SILENCE {
            if ground.count(version) == APPS {
                let count = ground.site.git(&["rev-list", "--count", &format!("{before}..{head}")]);
                return (count.trim().parse().unwrap(), last);
            }
            counted.clone_from(&head);
        }
        if began.elapsed() > DEADLINE {
            ground.site.give_up("the apps were not all committed");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
