use super::super::ledger::Counter;
use super::*;

const INTERVAL: Duration = Duration::from_secs(20);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// A reading at second 0 in which these pods have counters, and samples of these ages in seconds.
fn heard(telemetry: &mut Telemetry, counted: &[&str], ages: &[(&str, f64)]) {
    let series_of =
        |of: &&str| Counter { of: (*of).to_owned(), series: "200".to_owned(), failed: false, value: 1 };
    let reading = Reading { requests: counted.iter().map(series_of).collect(), ..Reading::default() };
    let ages = ages.iter().map(|(pod, age)| ((*pod).to_owned(), *age)).collect();
    telemetry.heard(&reading, &ages, INTERVAL, at(0));
}

fn blind(words: &str) -> Gap {
    Gap::Blind(format!("telemetry gap: {words}"))
}

#[test]
fn what_every_serving_pod_tells_is_relied_on() {
    let mut telemetry = Telemetry::new(INTERVAL);
    heard(&mut telemetry, &["a"], &[("a", 3.0), ("b", 41.0)]);
    assert_eq!(telemetry.gap(["a", "b"], at(40)), None);
}

#[test]
fn a_pod_that_is_not_reached_is_a_gap_once_it_serves() {
    let mut telemetry = Telemetry::new(INTERVAL);
    heard(&mut telemetry, &["a"], &[("a", 3.0)]);
    assert_eq!(telemetry.gap(["a"], at(1)), None);
    assert_eq!(telemetry.gap(["a", "b"], at(1)), Some(blind("Prometheus does not reach pod b")));
}

#[test]
fn a_sample_older_than_two_scrapes_is_a_gap() {
    let mut telemetry = Telemetry::new(INTERVAL);
    heard(&mut telemetry, &["a"], &[("a", 41.5)]);
    assert_eq!(telemetry.gap(["a"], at(0)), Some(blind("the newest sample of pod a is 42 s old")));
    assert_eq!(telemetry.gap_of_instances(at(0)), Some(blind("no instance has a fresh sample")));
}

#[test]
fn counters_that_vanish_are_a_gap_until_they_are_back() {
    let mut telemetry = Telemetry::new(INTERVAL);
    heard(&mut telemetry, &["a"], &[("a", 1.0)]);
    heard(&mut telemetry, &[], &[("a", 1.0)]);
    assert_eq!(telemetry.gap(["a"], at(0)), Some(blind("the counters of pod a are gone")));
    heard(&mut telemetry, &["a"], &[("a", 1.0)]);
    assert_eq!(telemetry.gap(["a"], at(0)), None);
}

#[test]
fn one_reading_that_fails_takes_nothing_away_and_silence_does() {
    let mut telemetry = Telemetry::new(INTERVAL);
    let silence = |words: &str| Some(Gap::Silence(words.to_owned()));
    assert_eq!(telemetry.gap(["a"], at(0)), silence("Prometheus has not answered yet"));

    heard(&mut telemetry, &["a"], &[("a", 1.0)]);
    telemetry.silent("it is down");
    assert_eq!(telemetry.gap(["a"], at(40)), None);
    assert_eq!(telemetry.gap(["a"], at(41)), silence("it is down"));
    assert_eq!(telemetry.gap_of_instances(at(41)), silence("it is down"));
}
