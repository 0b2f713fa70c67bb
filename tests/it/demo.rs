//! The demo tells its story to the end, on a bed of its own, and leaves nothing.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::bed::{self, Ports, example, processes, until};

/// What the demo says, in this order.
const STORY: &[&str] = &[
    "It takes one to two minutes.",
    "1  A cluster, a GitOps repository, and promoted",
    "$ promote validate",
    "2  Version 1.0.0 is pushed",
    "test-app: local 0.0.0 → 1.0.0",
    "verdict  verified",
    "3  Version 1.1.0 is pushed",
    "test-app: local 1.0.0 → 1.1.0",
    "verdict  verified",
    "4  Version 1.2.0 is pushed, which crashes",
    "test-app: local 1.1.0 → 1.2.0-bad-crash",
    "verdict  failed",
    "test-app: local 1.2.0-bad-crash → 1.1.0",
    "verdict  verified",
    "quarantine:",
    "5  What is verified locally is promoted to aws",
    "$ promote --to aws",
    "test-app: aws 0.0.0 → 1.1.0",
    "verdict  verified",
    "6  What runs where, and how it came there",
    "$ promote status",
    "Done in ",
    "It all keeps running until Ctrl-C.",
];

/// The demo, below `folder` alone and in a process group of its own; what it says goes to `output`.
fn demo(folder: &Path, output: &File) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(example("demo")).env("TMPDIR", folder).process_group(0);
    command.stdout(output.try_clone().unwrap()).stderr(output.try_clone().unwrap());
    command
}

#[test]
fn the_demo_ends_well_by_itself_and_leaves_no_process_no_port_and_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let said = tempfile::NamedTempFile::new().unwrap();
    let output = File::create(said.path()).unwrap();
    let text = || std::fs::read_to_string(said.path()).unwrap();
    let mut running = demo(folder.path(), &output).env_remove("KEEP").spawn().unwrap();

    let began = Instant::now();
    let at_step = |step: &str| text().contains(step) || began.elapsed() > Duration::from_mins(4);
    while !at_step("2  Version 1.0.0 is pushed") {
        std::thread::sleep(Duration::from_millis(100));
    }
    let ports = Ports::of(folder.path());
    assert!(ports.count() > 12, "{ports:?}:\n{}", text());
    let ended = loop {
        if let Some(ended) = running.try_wait().unwrap() {
            break ended;
        }
        assert!(began.elapsed() < Duration::from_mins(4), "it does not end:\n{}", text());
        std::thread::sleep(Duration::from_millis(100));
    };

    assert!(ended.success(), "{ended:?}:\n{}", text());
    assert!(text().contains("Done in ") && !text().contains("until Ctrl-C"), "{}", text());
    assert!(processes(folder.path()).is_empty(), "still running: {:#?}", processes(folder.path()));
    assert_eq!(ports.open(), [0; 0], "still listening");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "its files are gone");
}

/// Kept, it shows everything that it shows otherwise, and then stays.
#[test]
fn the_demo_tells_its_story_in_two_minutes_and_when_it_is_kept_it_stays_until_ctrl_c_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let said = tempfile::NamedTempFile::new().unwrap();
    let output = File::create(said.path()).unwrap();
    let text = || std::fs::read_to_string(said.path()).unwrap();
    let began = Instant::now();
    let mut demo = demo(folder.path(), &output).env("KEEP", "1").spawn().unwrap();

    while !text().contains("tail -f ") {
        assert!(demo.try_wait().unwrap().is_none(), "it ended:\n{}", text());
        assert!(began.elapsed() < Duration::from_mins(2), "it is not through after two minutes:\n{}", text());
        std::thread::sleep(Duration::from_millis(100));
    }
    let (told, mut from) = (text(), 0);
    for step in STORY {
        let place = told[from..].find(step).unwrap_or_else(|| panic!("{step:?} is missing in\n{told}"));
        from += place + step.len();
    }
    let address = told.split("curl http://").nth(1).unwrap().split('/').next().unwrap();
    let metrics = bed::request("GET", &format!("http://{address}/metrics"), &[], b"").unwrap().text();
    assert_eq!(crate::metrics_and_health::sum(&metrics, "promote_rollbacks_total"), 1, "{metrics}");
    let ports = Ports::of(folder.path());
    assert!(processes(folder.path()).len() > 12 && ports.count() > 12, "{ports:?}");

    let group = format!("-{}", demo.id());
    assert!(Command::new("kill").args(["-INT", "--", &group]).status().unwrap().success());

    let ended = until(|| demo.try_wait().unwrap());
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}:\n{}", text());
    assert!(text().trim_end().ends_with("Stopping."), "{}", text());
    assert!(processes(folder.path()).is_empty(), "still running: {:#?}", processes(folder.path()));
    assert_eq!(ports.open(), [0; 0], "still listening");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "its files are gone");
}
