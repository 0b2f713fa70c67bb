use super::*;

fn arms(new: &[&str], old: &[&str]) -> Arms {
    Arms {
        new: new.iter().map(|pod| ((*pod).to_owned(), true)).collect(),
        old: old.iter().map(|pod| (*pod).to_owned()).collect(),
        old_serves: !old.is_empty(),
    }
}

/// Requests and failures so far, by pod.
fn reading(at: u32, pods: &[(&str, u64, u64)]) -> Reading {
    let counter = |of: &str, failed, value| Counter {
        of: of.to_owned(),
        series: if failed { "500" } else { "200" }.to_owned(),
        failed,
        value,
    };
    let requests =
        pods.iter().flat_map(|&(of, good, bad)| [counter(of, false, good), counter(of, true, bad)]);
    Reading { at: f64::from(at), requests: requests.collect(), durations: Vec::new() }
}

fn counts(all: u64, bad: u64) -> Counts {
    Counts { all, bad }
}

#[test]
fn a_window_has_what_came_since_the_last_one() {
    let mut ledger = Ledger::default();
    let arms = arms(&["n"], &["o"]);
    let first = ledger.enter(&reading(0, &[("n", 5, 0), ("o", 900, 2)]), &arms);
    assert_eq!((first.history.0, first.window), (counts(902, 2), None));
    assert_eq!(ledger.enter(&reading(10, &[("n", 8, 1), ("o", 950, 2)]), &arms).window, None);
    let window = ledger.enter(&reading(15, &[("n", 20, 3), ("o", 1000, 4)]), &arms).window.unwrap();
    assert_eq!((window.failures.new, window.failures.old), (counts(18, 3), Some(counts(102, 2))));
}

#[test]
fn a_young_pods_first_value_is_all_its_own() {
    let mut ledger = Ledger::default();
    assert_eq!(ledger.enter(&reading(0, &[]), &arms(&["n"], &[])).window, None);
    let window = ledger.enter(&reading(15, &[("n", 30, 2)]), &arms(&["n"], &[])).window.unwrap();
    assert_eq!((window.failures.new, window.failures.old), (counts(32, 2), None));
}

#[test]
fn a_pod_that_ran_before_counts_from_its_first_reading() {
    let mut ledger = Ledger::default();
    let mut arms = arms(&["n"], &[]);
    arms.new.insert("n".to_owned(), false);
    ledger.enter(&reading(0, &[("n", 30_000, 2000)]), &arms);
    let window = ledger.enter(&reading(15, &[("n", 30_010, 2001)]), &arms).window.unwrap();
    assert_eq!(window.failures.new, counts(11, 1));
}

#[test]
fn a_counter_that_falls_was_reset() {
    let mut ledger = Ledger::default();
    let arms = arms(&["n"], &[]);
    ledger.enter(&reading(0, &[("n", 100, 10)]), &arms);
    let window = ledger.enter(&reading(15, &[("n", 7, 1)]), &arms).window.unwrap();
    assert_eq!(window.failures.new, counts(110 + 8, 10 + 1));
}

#[test]
fn a_missing_scrape_and_a_vanished_pod_add_nothing() {
    let mut ledger = Ledger::default();
    let both = arms(&["n"], &["o"]);
    ledger.enter(&reading(0, &[("n", 10, 0), ("o", 100, 0)]), &both);
    // Nothing of either: no window that would be evidence.
    let window = ledger.enter(&reading(15, &[]), &both).window.unwrap();
    assert_eq!((window.failures.new, window.failures.old), (counts(0, 0), Some(counts(0, 0))));
    // What the missing scrape missed comes with the next one.
    let window = ledger.enter(&reading(30, &[("n", 40, 1), ("o", 160, 1)]), &both).window.unwrap();
    assert_eq!((window.failures.new, window.failures.old), (counts(31, 1), Some(counts(61, 1))));
    let gone = Arms { old_serves: false, ..both };
    let window = ledger.enter(&reading(45, &[("n", 50, 1)]), &gone).window.unwrap();
    assert_eq!(window.failures.old, Some(counts(0, 0)), "the old version served when the window began");
    let window = ledger.enter(&reading(60, &[("n", 60, 1)]), &gone).window.unwrap();
    assert_eq!((window.failures.new, window.failures.old), (counts(10, 0), None));
}

#[test]
fn a_window_waits_for_requests_of_both_versions() {
    let mut ledger = Ledger::default();
    let arms = arms(&["n"], &["o"]);
    ledger.enter(&reading(0, &[("n", 0, 0), ("o", 10, 0)]), &arms);
    assert_eq!(ledger.enter(&reading(15, &[("n", 9, 9), ("o", 10, 0)]), &arms).window, None);
    assert_eq!(ledger.enter(&reading(30, &[("n", 9, 18), ("o", 10, 0)]), &arms).window, None);
    let window = ledger.enter(&reading(45, &[("n", 9, 18), ("o", 10, 1)]), &arms).window.unwrap();
    assert_eq!((window.failures.new, window.failures.old), (counts(27, 18), Some(counts(1, 1))));
}

#[test]
fn an_old_pod_that_turns_up_later_is_history() {
    let mut ledger = Ledger::default();
    let both = arms(&["n"], &["o", "p"]);
    ledger.enter(&reading(0, &[("n", 0, 0), ("o", 10, 0)]), &both);
    let entry = ledger.enter(&reading(15, &[("n", 5, 0), ("o", 12, 0), ("p", 70_000, 300)]), &both);
    assert_eq!(entry.history.0, counts(70_300, 300));
    assert_eq!(entry.window.unwrap().failures.old, Some(counts(2, 0)));
}

#[test]
fn a_reading_out_of_order_is_dropped() {
    let mut ledger = Ledger::default();
    let arms = arms(&["n"], &[]);
    ledger.enter(&reading(100, &[("n", 10, 0)]), &arms);
    assert_eq!(ledger.enter(&reading(90, &[("n", 99, 99)]), &arms), Entry::default());
    let window = ledger.enter(&reading(115, &[("n", 12, 0)]), &arms).window.unwrap();
    assert_eq!(window.failures.new, counts(12, 0));
}

#[test]
fn two_servers_with_different_answers_count_no_request_twice() {
    let mut ledger = Ledger::default();
    let arms = arms(&["n"], &[]);
    ledger.enter(&reading(0, &[("n", 0, 0)]), &arms);
    for (at, good, bad) in [(3, 500, 40), (6, 480, 38), (9, 520, 41), (12, 500, 40), (15, 530, 41)] {
        let entry = ledger.enter(&reading(at, &[("n", good, bad)]), &arms);
        assert_eq!(entry.window.map(|window| window.failures.new), (at == 15).then_some(counts(571, 41)));
    }
}

#[test]
fn foreign_pods_are_nobodys() {
    let mut ledger = Ledger::default();
    let arms = arms(&["n"], &[]);
    ledger.enter(&reading(0, &[]), &arms);
    let window = ledger.enter(&reading(15, &[("n", 1, 0), ("stranger", 0, 500)]), &arms).window.unwrap();
    assert_eq!((window.failures.new, window.failures.old), (counts(1, 0), None));
}

#[test]
fn speed_counts_once_the_version_is_warm() {
    let mut ledger = Ledger::default();
    let arms = arms(&["n"], &["o"]);
    let at = |at: u32, all: u64, within: u64| {
        let one = |of: &str, all, within| Durations { of: of.to_owned(), all, within };
        let requests = reading(at, &[("n", all, 0), ("o", all, 0)]).requests;
        Reading { at: f64::from(at), requests, durations: vec![one("n", all, within), one("o", all, all)] }
    };
    assert_eq!(ledger.enter(&at(0, 100, 90), &arms).history.1, counts(100, 0));
    assert_eq!(ledger.enter(&at(15, 150, 100), &arms).window.unwrap().slow.new, counts(0, 0));
    let window = ledger.enter(&at(30, 200, 140), &arms).window.unwrap();
    assert_eq!((window.slow.new, window.slow.old), (counts(50, 10), Some(counts(50, 0))));
}
