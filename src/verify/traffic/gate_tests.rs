use super::super::ledger::{Counter, Durations};
use super::*;

const RULES: Rules = Rules { may_fail: Some(0.005), may_be_slow: None, false_rollback: 0.01 };

fn arms(old: bool) -> Arms {
    let pods = |names: [&str; 2]| names.map(str::to_owned);
    Arms {
        new: pods(["n1", "n2"]).map(|pod| (pod, true)).into(),
        old: if old { pods(["o1", "o2"]).into() } else { BTreeSet::new() },
        old_serves: old,
    }
}

fn counters(of: &str, good: u64, bad: u64) -> [Counter; 2] {
    let one =
        |series: &str, failed, value| Counter { of: of.to_owned(), series: series.to_owned(), failed, value };
    [one("200", false, good), one("503", true, bad)]
}

/// A reading after `windows` windows; each pod of the new version had that many good and bad requests in each.
fn after(windows: u32, each: [(u64, u64); 2], old: (u64, u64)) -> Reading {
    let times = u64::from(windows);
    let requests = [("n1", each[0]), ("n2", each[1]), ("o1", old), ("o2", old)]
        .into_iter()
        .flat_map(|(of, (good, bad))| counters(of, good * times, bad * times));
    Reading { at: f64::from(windows * 15), requests: requests.collect(), durations: Vec::new() }
}

fn judged(windows: u32, each: [(u64, u64); 2], old: Option<(u64, u64)>) -> Said {
    let mut gate = Gate::new(&RULES, 1);
    for window in 0..=windows {
        gate.enter(&after(window, each, old.unwrap_or_default()), &arms(old.is_some()));
    }
    gate.says()
}

#[test]
fn a_version_that_fails_more_than_the_one_beside_it_fails_with_the_evidence() {
    let Said::Enough(Judgement::Fail(words)) = judged(6, [(10, 2), (10, 2)], Some((40, 0))) else {
        panic!("it is worse");
    };
    assert!(words.starts_with("new 24/144 failed, old 0/480, E="), "{words}");
}

#[test]
fn a_good_version_passes_and_says_what_is_excluded() {
    let said = judged(6, [(10, 0), (10, 0)], Some((40, 0)));
    let words = "new 0/120 failed, old 0/480, E=1.0, 5 % or more excluded with 99 %";
    assert_eq!(said, Said::Enough(Judgement::Pass(words.to_owned())));
}

#[test]
fn failures_of_both_versions_alike_are_nobodys() {
    let Said::Doubt(words) = judged(40, [(10, 2), (10, 2)], Some((40, 8))) else {
        panic!("it can't be told")
    };
    assert!(words.starts_with("new 160/960 failed, old 640/3840"), "{words}");
}

#[test]
fn one_pod_alone_may_be_on_a_bad_node() {
    assert!(matches!(judged(20, [(0, 10), (10, 0)], Some((10, 0))), Said::Doubt(_)));
    // Where only that pod serves, it is all there is to see.
    assert!(matches!(judged(20, [(0, 10), (0, 0)], Some((10, 0))), Said::Enough(Judgement::Fail(_))));
}

#[test]
fn too_few_requests_are_neither_a_pass_nor_a_failure() {
    assert_eq!(
        judged(2, [(3, 0), (2, 0)], None),
        Said::TooLittle("new 0/10 failed, allowed 0.5 %, E=0.9; 100 good requests are enough".to_owned())
    );
    assert!(matches!(judged(0, [(0, 0), (0, 0)], None), Said::TooLittle(_)));
    assert!(matches!(judged(2, [(3, 1), (2, 0)], None), Said::Doubt(_)));
}

#[test]
fn a_slow_version_fails_where_speed_is_judged() {
    let rules = Rules { may_be_slow: Some((0.01, 500.0)), ..RULES };
    let mut gate = Gate::new(&rules, 1);
    for window in 0..=12_u32 {
        let mut reading = after(window, [(20, 0), (20, 0)], (20, 0));
        let all = u64::from(window) * 20;
        let one = |of: &str, within| Durations { of: of.to_owned(), all, within };
        reading.durations = vec![one("n1", all / 2), one("n2", all / 2), one("o1", all), one("o2", all)];
        gate.enter(&reading, &arms(true));
    }
    let Said::Enough(Judgement::Fail(words)) = gate.says() else { panic!("it is slower: {:?}", gate.says()) };
    assert!(words.contains("slower than 500 ms, old 0/"), "{words}");
}
