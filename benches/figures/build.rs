//! A local build, from the moment when its artifact is whole to the commit on the remote: the daemon beside `skopeo copy` of
//! an equal artifact to the same registry and `git push` of a commit that stands ready. The two take turns.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::bed::Workshop;
use crate::floor::Floor;
use crate::ground::Ground;
use crate::report::{Report, Sample};

const ROUNDS: u32 = 11;

pub(crate) fn answer(report: &mut Report) {
    if Command::new("skopeo").arg("--version").output().is_err() {
        println!(
            "build: skopeo is not installed, so that there is nothing to compare with (apt-get install skopeo)"
        );
        return;
    }
    for (size, shown) in [(64 << 10, "64 KiB"), (32 << 20, "32 MiB")] {
        let ground = Ground::new("build", 10, 1);
        ground.site.write_build("{artifact: image}");
        let workshop = Workshop::new(&ground.site);
        let daemon = ground.site.promoted().allow_builds(&workshop).start();
        let by_hand = Floor::new(&ground);
        let (mut ours, mut floor) = (Sample::default(), Sample::default());
        for round in 0..=ROUNDS {
            let took = build(&ground, &workshop, &layer(size, 2 * round));
            let copied = copy(&ground, &workshop, &layer(size, 2 * round + 1));
            let pushed = by_hand.push(round);
            // The daemon looks at the remote every second; a lost race belongs to another question.
            std::thread::sleep(Duration::from_millis(1500));
            // The first of each finds cold caches.
            if round > 0 {
                ours.add(took);
                floor.add(copied + pushed);
            }
        }
        daemon.stop();
        let figure = format!("artifact of {shown} whole → commit on the remote");
        report.compare(&figure, &ours, ("`skopeo copy` and `git push`", &floor), Some(2.0));
    }
}

/// Bytes that no compression and no other round knows.
fn layer(size: usize, seed: u32) -> Vec<u8> {
    let mut state = u64::from(seed) << 32 | u64::from(std::process::id()) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes
}

/// Writes all files but the index, then puts that into its place: the moment from which is measured.
fn write(workshop: &Workshop, folder: &str, layer: &[u8]) -> Instant {
    let (files, _) = Workshop::layout_of(layer.to_vec());
    for (name, content) in &files {
        let name = if name == "index.json" { "next.json" } else { name };
        workshop.write(&format!("{folder}/{name}"), content);
    }
    // What is still being written back by the kernel belongs to neither side.
    std::thread::sleep(Duration::from_millis(200));
    let folder = workshop.path().join(folder);
    std::fs::rename(folder.join("next.json"), folder.join("index.json")).unwrap();
    Instant::now()
}

fn build(ground: &Ground, workshop: &Workshop, layer: &[u8]) -> Duration {
    let head = ground.head();
    let whole = write(workshop, "image", layer);
    ground.wait_move(&head) - whole
}

fn copy(ground: &Ground, workshop: &Workshop, layer: &[u8]) -> Duration {
    let began = write(workshop, "floor", layer);
    let to = format!("docker://{}/floor:latest", ground.site.registry("local"));
    let output = Command::new("skopeo")
        .args(["copy", "--quiet", "--dest-tls-verify=false", "--insecure-policy", "oci:floor", &to])
        .current_dir(workshop.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "skopeo: {}", String::from_utf8_lossy(&output.stderr));
    began.elapsed()
}
