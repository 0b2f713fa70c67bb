//! Killed at any moment and started again with an empty state directory, the daemon comes to the same end.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Mutex;
use std::time::Duration;

use promote::boundary;

use crate::bed::{self, Commit, Site};

const GOOD: &str = "1.1.0";
const BAD: &str = "1.1.0-bad-crash";
/// How many sites are tried at the same time.
const SIDE_BY_SIDE: usize = 6;

/// A site whose first version is verified, and the commits that people made there.
fn begin(name: &str) -> (Site, Vec<String>) {
    let site = bed::site(name).environments(&["local"]).create();
    site.write_config(|text| text.replace("\">=1.0.0\"", "\">=1.0.0-0\""));
    site.once().expect_code(0);
    let people = site.commits().into_iter().map(|commit| commit.sha).collect();
    (site, people)
}

fn is_rollback(commit: &Commit) -> bool {
    commit.trailer("Promote-Source").starts_with("rollback")
}

/// What is true after every crash. Returns the commits that moved a version, newest first.
#[track_caller]
fn nothing_is_lost_or_done_twice(site: &Site, people: &[String]) -> Vec<Commit> {
    let commits = site.commits();
    for person in people {
        assert!(commits.iter().any(|commit| commit.sha == *person), "the person's commit {person} is gone");
    }
    let moves: Vec<Commit> =
        commits.into_iter().filter(|commit| commit.trailers.contains_key("Promote-App")).collect();
    let mut brought = BTreeSet::new();
    for commit in &moves {
        let tree = |revision: &str| site.git(&["rev-parse", &format!("{revision}^{{tree}}")]);
        let before = tree(&format!("{}^", commit.sha));
        assert_ne!(tree(&commit.sha), before, "{} is empty", commit.subject);
        let what = (commit.trailer("Promote-Environment"), commit.trailer("Promote-Image"));
        assert!(is_rollback(commit) || brought.insert(what), "{} was committed twice", commit.subject);
    }
    let complaints = site.git(&["fsck", "--strict", "--no-dangling", "--no-progress"]);
    assert_eq!(complaints.trim(), "", "git fsck complains");
    moves
}

/// One more pass finds nothing to do.
#[track_caller]
fn it_is_over(site: &Site) {
    let before = site.git(&["rev-parse", "main"]);
    site.once().expect_code(0);
    assert_eq!(site.git(&["rev-parse", "main"]), before, "another pass changed something");
}

/// Pushes `version`, starts a daemon that dies at `place`, and lets another one finish.
fn die_and_finish(version: &str, place: &str) {
    let kind = if version == GOOD { "good" } else { "bad" };
    let (site, people) = begin(&format!("die-{kind}-{}", place.replace(':', "-")));
    let digest = site.push_image("local", "test-app", version);

    let mut first = site.promoted().env(boundary::VARIABLE, place).start();
    let status = first.wait(bed::DEADLINE);
    let died = status.is_some_and(|status| status.signal().is_some());
    assert!(died, "with {version}, {place} was never reached:\n{}", first.log());

    let next = site.once();
    let moves = nothing_is_lost_or_done_twice(&site, &people);
    let subjects: Vec<&str> = moves.iter().map(|commit| commit.subject.as_str()).collect();
    let record = site.try_read(".promote/local/test-app.yaml").unwrap_or_default();
    let there = format!("test-app: local 1.0.0 → {version}");
    if version == GOOD {
        assert_eq!(subjects, [there.as_str()], "killed at {place}: {next:?}");
        assert_eq!(record, "", "killed at {place}");
        next.expect_code(0);
    } else {
        let back = format!("test-app: local {version} → 1.0.0");
        assert_eq!(subjects, [back.as_str(), there.as_str()], "killed at {place}: {next:?}");
        assert_eq!(record.matches(&digest).count(), 1, "killed at {place}:\n{record}");
        assert!([0, 4].contains(&next.code), "killed at {place}: {next:?}");
    }
    let standing = if version == GOOD { version } else { "1.0.0" };
    site.wait_rolled_out("local", "test-app", standing);
    let last = |commit: &str| {
        let verdict = site.verdicts().into_iter().rfind(|verdict| verdict["commit"] == commit);
        verdict.unwrap_or_else(|| panic!("killed at {place}: no verdict on {commit}"))["verdict"].clone()
    };
    assert_eq!(last(&moves[0].sha), "verified", "killed at {place}");
    if version == BAD {
        assert_eq!(last(&moves[1].sha), "failed", "killed at {place}");
    }
    it_is_over(&site);
}

/// Tries all places, a few at the same time; all that go wrong are told.
fn at_each(version: &str, places: Vec<String>) {
    let left = Mutex::new(places);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(place) = { left.lock().unwrap().pop() } {
                    if std::panic::catch_unwind(|| die_and_finish(version, &place)).is_err() {
                        wrong.lock().unwrap().push(place);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{version} killed at {wrong:?}: what went wrong stands above");
}

#[test]
fn killed_between_any_two_steps_a_good_version_is_committed_once_and_verified() {
    let mut places: Vec<String> = boundary::ALL.iter().map(|&place| place.to_owned()).collect();
    // The second push is the note's.
    places.extend(["push-sent:2", "push-answered:2"].map(str::to_owned));
    at_each(GOOD, places);
}

#[test]
fn killed_between_any_two_steps_a_bad_version_is_taken_back_once() {
    // The second time is the rollback's; the tags are new only once.
    let again = boundary::ALL.iter().filter(|&&place| place != "discovered");
    let mut places: Vec<String> = again.map(|place| format!("{place}:2")).collect();
    places.extend(["decided:1", "noted:1", "push-sent:3", "push-answered:3"].map(str::to_owned));
    at_each(BAD, places);
}

#[test]
fn killed_ten_times_at_random_while_versions_come_it_ends_with_the_newest_good_one() {
    let (site, people) = begin("die-random");
    let random = RandomState::new();
    let mut versions = ["1.1.0", "1.2.0-bad-crash", "1.3.0"].into_iter();
    for kill in 0..10_u32 {
        if kill % 3 == 0
            && let Some(version) = versions.next()
        {
            site.push_image("local", "test-app", version);
        }
        let life = 100 + random.hash_one(kill) % 3000;
        let mut daemon = site.promoted().start();
        assert!(daemon.wait(Duration::from_millis(life)).is_none(), "it ended by itself:\n{}", daemon.log());
        daemon.kill();
    }

    let end = site.once();
    assert!([0, 4].contains(&end.code), "{end:?}");
    // What came while the last change was under way is for the next pass.
    site.once().expect_code(0);
    let moves = nothing_is_lost_or_done_twice(&site, &people);
    let subjects: Vec<&str> = moves.iter().map(|commit| commit.subject.as_str()).collect();
    assert!(subjects[0].ends_with("→ 1.3.0"), "{subjects:?}");
    assert!(moves.iter().filter(|commit| is_rollback(commit)).count() <= 1, "{subjects:?}");
    assert_eq!(site.wait_verdict("test-app", "local", "1.3.0")["verdict"], "verified");
    site.wait_rolled_out("local", "test-app", "1.3.0");
    it_is_over(&site);
}
