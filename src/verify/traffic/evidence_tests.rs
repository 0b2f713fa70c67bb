use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use rand_distr::{Beta, Binomial, Distribution as _, Poisson};

use super::*;

/// A release whose requests are drawn, in windows of 15 s.
struct Release {
    /// Requests per second of the new and the old version.
    rates: (f64, f64),
    /// Shares of bad requests.
    bad: (f64, f64),
    /// How much each window's shares vary around them, as the precision of a beta distribution; infinite for not at all.
    precision: f64,
    /// What both shares are multiplied by in a window.
    both: fn(u64) -> f64,
    /// In how many windows the old version serves.
    beside: u64,
    allowed: f64,
}

impl Default for Release {
    fn default() -> Self {
        Self {
            rates: (1.0, 1.0),
            bad: (0.005, 0.005),
            precision: f64::INFINITY,
            both: |_| 1.0,
            beside: u64::MAX,
            allowed: 0.005,
        }
    }
}

impl Release {
    fn draw(&self, rng: &mut ChaCha8Rng, rate: f64, bad: f64, window: u64) -> Counts {
        let mean = rate * 15.0;
        let all = if mean > 0.0 { whole(Poisson::new(mean).unwrap().sample(rng)) } else { 0 };
        let mut share = (bad * (self.both)(window)).min(1.0);
        if self.precision.is_finite() {
            share = Beta::new(share * self.precision, (1.0 - share) * self.precision).unwrap().sample(rng);
        }
        Counts { all, bad: Binomial::new(all, share).unwrap().sample(rng) }
    }

    /// After how many windows it is called worse, if it is within `windows`.
    fn run(&self, rng: &mut ChaCha8Rng, windows: u64) -> Option<u64> {
        let mut evidence = Evidence::new(Goal { allowed: self.allowed, alpha: 0.01 });
        (0..windows).find(|&window| {
            let new = self.draw(rng, self.rates.0, self.bad.0, window);
            let old = (window < self.beside).then(|| self.draw(rng, self.rates.1, self.bad.1, window));
            evidence.window(new, old);
            evidence.standing() == Standing::Worse
        })
    }

    /// How many of `runs` are called worse.
    fn worse(&self, runs: u64, windows: u64) -> u64 {
        let mut rng = ChaCha8Rng::seed_from_u64(20_261_121);
        (0..runs).filter(|_| self.run(&mut rng, windows).is_some()).count() as u64
    }
}

use super::super::bet::whole;

/// The most of `runs` at a rate of 1 %, and three standard errors more.
fn allowed(runs: u64) -> u64 {
    let mean = float(runs) * 0.01;
    whole(mean + 3.0 * (mean * 0.99).sqrt())
}

#[test]
fn a_version_that_is_not_worse_is_blamed_in_at_most_1_of_100_releases() {
    let cases: [(&str, Release); 10] = [
        ("few requests", Release { rates: (0.05, 0.05), ..Release::default() }),
        ("as many as a small service has", Release { bad: (0.01, 0.01), ..Release::default() }),
        ("many requests", Release { rates: (20.0, 20.0), bad: (0.01, 0.01), ..Release::default() }),
        (
            "the new one has few requests",
            Release { rates: (0.5, 9.5), bad: (0.02, 0.02), ..Release::default() },
        ),
        (
            "the old one has few requests",
            Release { rates: (9.5, 0.5), bad: (0.02, 0.02), ..Release::default() },
        ),
        (
            "errors grow for both",
            Release { rates: (5.0, 5.0), both: |window| 1.0 + float(window) / 4.0, ..Release::default() },
        ),
        (
            "an outage of both for five minutes",
            Release {
                rates: (5.0, 5.0),
                both: |window| if (10..30).contains(&window) { 30.0 } else { 1.0 },
                ..Release::default()
            },
        ),
        (
            "errors come in bursts",
            Release { rates: (5.0, 5.0), bad: (0.01, 0.01), precision: 200.0, ..Release::default() },
        ),
        (
            "the goal is just met, nothing beside it",
            Release { rates: (5.0, 0.0), beside: 0, ..Release::default() },
        ),
        (
            "errors in bursts, nothing beside it",
            Release { rates: (5.0, 0.0), beside: 0, precision: 200.0, ..Release::default() },
        ),
    ];
    for (name, release) in cases {
        let (runs, windows) = (200, 40);
        let worse = release.worse(runs, windows);
        assert!(worse <= allowed(runs), "{name}: {worse} of {runs}");
    }
}

#[test]
fn a_worse_version_is_found_as_soon_as_the_table_says() {
    // Releases, windows, and how many of 200 are found at least: fixed seeds, so that a weaker gate shows.
    let five = (0.05, 0.005);
    let rows: [(&str, Release, u64, u64); 6] = [
        ("a total break, 1 rps", Release { bad: (1.0, 0.005), ..Release::default() }, 5, 200),
        ("5 % against 0.5 %, 1 rps each, 5 min", Release { bad: five, ..Release::default() }, 20, 130),
        ("5 % against 0.5 %, 1 rps each, 20 min", Release { bad: five, ..Release::default() }, 80, 200),
        ("5 %, goal 0.5 %, 1 rps, 5 min", Release { bad: five, beside: 0, ..Release::default() }, 20, 190),
        (
            "2 % against 1 %, 10 rps each, 20 min",
            Release { bad: (0.02, 0.01), rates: (10.0, 10.0), ..Release::default() },
            80,
            196,
        ),
        (
            "20 % against 0.5 %, 0.1 rps each, 20 min",
            Release { bad: (0.2, 0.005), rates: (0.1, 0.1), ..Release::default() },
            80,
            170,
        ),
    ];
    for (name, release, windows, least) in rows {
        let found = release.worse(200, windows);
        assert!(found >= least, "{name}: {found} of 200");
    }
}

#[test]
fn a_version_that_is_ten_times_as_bad_as_it_may_be_is_rarely_accepted() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let release = Release { bad: (0.05, 0.0), rates: (1.0, 0.0), beside: 0, ..Release::default() };
    let accepted = (0..1000).filter(|_| {
        let mut evidence = Evidence::new(Goal { allowed: 0.005, alpha: 0.01 });
        (0..80).any(|window| {
            evidence.window(release.draw(&mut rng, 1.0, 0.05, window), None);
            evidence.standing() == Standing::Accepted
        })
    });
    let accepted = accepted.count() as u64;
    assert!(accepted <= allowed(1000), "{accepted} of 1000");
}

fn evidence(allowed: f64) -> Evidence {
    Evidence::new(Goal { allowed, alpha: 0.01 })
}

fn counts(all: u64, bad: u64) -> Counts {
    Counts { all, bad }
}

#[test]
fn so_many_good_requests_are_enough() {
    for (allowed, requests) in [(0.005, 100), (0.01, 49), (0.001, 509)] {
        let goal = Goal { allowed, alpha: 0.01 };
        assert_eq!(goal.enough(), requests, "{allowed}");
        let mut known = evidence(allowed);
        known.window(counts(requests - 1, 0), None);
        assert_eq!(known.standing(), Standing::Open);
        known.window(counts(1, 0), None);
        assert_eq!(known.standing(), Standing::Accepted);
    }
}

#[test]
fn no_requests_are_no_evidence() {
    let mut known = evidence(0.005);
    for _ in 0..1000 {
        known.window(counts(0, 0), None);
        known.window(counts(0, 0), Some(counts(50, 3)));
        known.window(counts(50, 0), Some(counts(0, 0)));
    }
    assert!((known.value() - 1.0).abs() < 1e-9);
    known = evidence(0.005);
    known.window(counts(0, 0), None);
    assert_eq!(known.standing(), Standing::Open);
}

#[test]
fn one_bad_window_alone_never_fails_a_version() {
    let mut known = evidence(0.005);
    known.window(counts(10_000, 10_000), Some(counts(10_000, 0)));
    known.window(counts(10_000, 10_000), Some(counts(10_000, 0)));
    assert_eq!(known.standing(), Standing::Open);
}

#[test]
fn a_version_is_not_blamed_for_a_goal_that_the_one_before_it_missed() {
    let judge = |history| {
        let mut known = evidence(0.005);
        known.history(history);
        for _ in 0..40 {
            known.window(counts(100, 2), None);
        }
        known.standing()
    };
    assert_eq!(judge(counts(0, 0)), Standing::Worse);
    assert_eq!(judge(counts(10_000, 10)), Standing::Worse);
    assert_eq!(judge(counts(10_000, 200)), Standing::Open);
}

#[test]
fn the_order_of_windows_does_not_matter() {
    let windows =
        [(counts(10, 1), counts(10, 0)), (counts(30, 0), counts(9, 1)), (counts(5, 2), counts(50, 1))];
    let of = |order: [usize; 3]| {
        let mut known = evidence(0.01);
        for place in order {
            known.window(windows[place].0, Some(windows[place].1));
        }
        known.value()
    };
    assert!((of([0, 1, 2]) - of([2, 0, 1])).abs() < 1e-12);
}

#[test]
fn with_the_arms_swapped_evidence_against_becomes_evidence_for() {
    let of = |new, old| {
        let mut known = evidence(0.005);
        for _ in 0..10 {
            known.window(new, Some(old));
        }
        known.value()
    };
    assert!(of(counts(50, 5), counts(50, 0)) > 100.0);
    assert!(of(counts(50, 0), counts(50, 5)) < 0.5);
}

#[test]
fn a_window_that_is_split_tells_about_as_much() {
    let of = |parts: u64| {
        let mut known = evidence(0.005);
        for _ in 0..12 * parts {
            known.window(counts(60 / parts, 0), Some(counts(60 / parts, 0)));
            known.window(counts(60 / parts, 2 / parts), Some(counts(60 / parts, 0)));
        }
        known.value().ln()
    };
    assert!((of(1) - of(2)).abs() < 0.25 * of(1), "{} {}", of(1), of(2));
}

#[test]
fn two_bad_windows_fail_no_version_however_many_false_rollbacks_are_allowed() {
    let mut evidence = Evidence::new(Goal { allowed: 0.01, alpha: 0.2 });
    let broken = Counts { all: 20, bad: 20 };
    evidence.window(broken, None);
    evidence.window(broken, None);
    assert!(evidence.value() >= 5.0, "the evidence alone would do: {}", evidence.value());
    assert_eq!(evidence.standing(), Standing::Open);

    evidence.window(broken, None);
    assert_eq!(evidence.standing(), Standing::Worse);
}
