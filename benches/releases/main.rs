//! Simulated releases, judged side by side: by the gate of `promote::verify::traffic`, by Flagger's rule and by the rule
//! that Argo Rollouts documents.
//!
//! `make compare-gates` runs it; `RUNS` (2000) and `SEED` can be set. What is printed is a table in Markdown, with the bars
//! that the gate has to meet below it. `docs/verification/traffic.md` keeps one run.

mod ours;
mod peers;
mod release;

use std::io::Write as _;

use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;

use self::release::{Outcome, Release};

/// How a rule ends releases of one kind.
#[derive(Debug, Default)]
struct Tally {
    runs: u32,
    accepted: u32,
    /// Seconds after which a release was taken back.
    back: Vec<u32>,
}

impl Tally {
    fn add(&mut self, outcome: Outcome) {
        self.runs += 1;
        match outcome {
            Outcome::TakenBack(seconds) => self.back.push(seconds),
            Outcome::Accepted => self.accepted += 1,
            Outcome::Open => {}
        }
    }

    fn share(&self, count: usize) -> f64 {
        f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / f64::from(self.runs.max(1))
    }

    fn back(&self) -> f64 {
        self.share(self.back.len())
    }

    fn within(&self, seconds: u32) -> f64 {
        self.share(self.back.iter().filter(|&&taken| taken <= seconds).count())
    }

    /// The time within which that share of those that were taken back was taken back.
    fn quantile(&self, share: f64) -> Option<u32> {
        let mut times = self.back.clone();
        times.sort_unstable();
        let place = (0..times.len()).find(|&place| self.share(place + 1) >= share * self.back())?;
        times.get(place).copied()
    }

    fn told(&self) -> String {
        let median = self.quantile(0.5).map_or(String::new(), |seconds| format!(", {seconds} s"));
        format!(
            "{:.1} %{median} / {:.1} %",
            self.back() * 100.0,
            f64::from(self.accepted) * 100.0 / f64::from(self.runs)
        )
    }
}

fn main() -> std::io::Result<()> {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (runs, seed) = (number("RUNS", 2000), number("SEED", 20_261_121));
    let mut out = std::io::stdout().lock();
    let today = jiff::Zoned::now().date();
    writeln!(
        out,
        "{runs} releases of each kind, seed {seed}, {today}. Each cell: taken back, median time / accepted.\n"
    )?;
    writeln!(out, "| release | ours | Flagger | Argo Rollouts |\n|---|---|---|---|")?;
    let mut healthiest: (f64, String) = (0.0, String::new());
    let mut bars = Vec::new();
    for release in releases() {
        let mut tallies: [Tally; 3] = Default::default();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..runs {
            let served = release.draw(&mut rng);
            for (tally, judge) in tallies.iter_mut().zip([ours::judge, peers::flagger, peers::argo]) {
                tally.add(judge(&served, &release));
            }
        }
        let [ours, flagger, argo] = &tallies;
        writeln!(out, "| {} | {} | {} | {} |", release.name, ours.told(), flagger.told(), argo.told())?;
        if release.is_healthy() && ours.back() >= healthiest.0 {
            healthiest = (ours.back(), release.name.clone());
        }
        if !release.is_healthy() {
            let all = ours.quantile(0.99).map_or(String::new(), |seconds| {
                format!("; 99 % of those that are taken back are so within {seconds} s")
            });
            bars.push(format!(
                "- {}: {:.1} % within 90 s, {:.1} % within 5 min{all}",
                release.name,
                ours.within(90) * 100.0,
                ours.within(300) * 100.0
            ));
        }
    }
    writeln!(
        out,
        "\nOurs:\n- a healthy release is taken back in at most {:.2} % ({})",
        healthiest.0 * 100.0,
        healthiest.1
    )?;
    for bar in bars {
        writeln!(out, "{bar}")?;
    }
    Ok(())
}

/// The releases of the table: each rule may allow 1 % of requests to fail.
fn releases() -> Vec<Release> {
    let mut all = Vec::new();
    for share in [0.001, 0.005, 0.01] {
        for rate in [0.01, 0.05, 0.2, 1.0, 10.0, 100.0] {
            let name = format!("healthy, {} % as before, {rate} rps", share * 100.0);
            all.push(Release { name, rate, bad: share, bad_before: share, ..Release::default() });
        }
    }
    let half = |name: &str| Release {
        name: name.to_owned(),
        bad: 0.005,
        bad_before: 0.005,
        rate: 5.0,
        ..Release::default()
    };
    all.push(Release {
        both: |second| if (150..450).contains(&second) { 30.0 } else { 1.0 },
        ..half("healthy, 5 min of an outage of both, 5 rps")
    });
    all.push(Release { precision: Some(200.0), ..half("healthy, 0.5 % in bursts, 5 rps") });
    all.push(Release {
        bad: 0.02,
        bad_before: 0.02,
        ..half("healthy, 2 % as before (the goal is missed by both), 5 rps")
    });
    let worse = |name: &str, bad: f64, rate: f64| {
        let name = format!("{name}, {rate} rps");
        Release { name, bad, bad_before: 0.005, rate, allowed: 0.005, ..Release::default() }
    };
    for rate in [0.05, 0.2, 1.0, 10.0] {
        all.push(worse("5 % against 0.5 %, the old version beside it", 0.05, rate));
    }
    all.push(Release {
        old_rate: Some(9.0),
        ..worse("5 % against 0.5 %, the old version has 9 rps", 0.05, 1.0)
    });
    for rate in [0.2, 1.0, 10.0] {
        all.push(Release { beside: 60, ..worse("5 % against 0.5 %, rolled out within 60 s", 0.05, rate) });
    }
    all.push(Release { beside: 0, ..worse("5 %, goal 0.5 %, nothing beside it", 0.05, 1.0) });
    all.push(worse("2 % against 0.5 %, the old version beside it", 0.02, 10.0));
    for rate in [0.1, 1.0, 10.0] {
        all.push(worse("total break, the old version beside it", 1.0, rate));
        all.push(Release { beside: 60, ..worse("total break, rolled out within 60 s", 1.0, rate) });
    }
    all
}
