//! Samples, and the table that is made of them.

use std::fmt;
use std::time::Duration;

/// Measured durations.
#[derive(Debug, Default, Clone)]
pub(crate) struct Sample(Vec<Duration>);

impl Sample {
    /// One more.
    pub(crate) fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// The value below which this part of the sample lies; between two values, in proportion.
    fn quantile(&self, part: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        #[expect(clippy::cast_precision_loss)]
        let place = part * sorted.len().saturating_sub(1) as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let below = place as usize;
        let value = |place: usize| sorted.get(place).copied().unwrap_or_default();
        let (low, high) = (value(below), value((below + 1).min(sorted.len().saturating_sub(1))));
        low + high.saturating_sub(low).mul_f64(place.fract())
    }

    /// The middle value.
    pub(crate) fn median(&self) -> Duration {
        self.quantile(0.5)
    }
}

impl fmt::Display for Sample {
    /// The median, and in brackets the value that nine of ten stay below.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", shown(self.median()), shown(self.quantile(0.9)))
    }
}

/// A duration in the unit that people would choose.
pub(crate) fn shown(took: Duration) -> String {
    match took.as_secs_f64() {
        seconds if seconds >= 1.0 => format!("{seconds:.2} s"),
        seconds if seconds >= 0.01 => format!("{:.0} ms", seconds * 1000.0),
        seconds => format!("{:.1} ms", seconds * 1000.0),
    }
}

struct Row {
    figure: String,
    ours: String,
    other: String,
    ratio: String,
    target: String,
    met: Option<bool>,
}

/// Rows of the table.
#[derive(Default)]
pub(crate) struct Report(Vec<Row>);

impl Report {
    /// A figure of ours beside another one; `target` is the largest ratio.
    pub(crate) fn compare(
        &mut self,
        figure: &str,
        ours: &Sample,
        (name, other): (&str, &Sample),
        target: Option<f64>,
    ) {
        let ratio = ours.median().as_secs_f64() / other.median().as_secs_f64();
        self.0.push(Row {
            figure: figure.to_owned(),
            ours: ours.to_string(),
            other: format!("{name}: {other}"),
            ratio: format!("{ratio:.2}"),
            target: target.map_or_else(String::new, |target| format!("≤ {target:.1}×")),
            met: target.map(|target| ratio <= target),
        });
    }

    /// A figure of ours with a limit.
    pub(crate) fn limit(&mut self, figure: &str, ours: &Sample, floor: &str, limit: Duration) {
        let ratio = ours.median().as_secs_f64() / limit.as_secs_f64();
        self.0.push(Row {
            figure: figure.to_owned(),
            ours: ours.to_string(),
            other: floor.to_owned(),
            ratio: format!("{ratio:.2} of the target"),
            target: format!("≤ {}", shown(limit)),
            met: Some(ours.median() <= limit),
        });
    }

    /// A number of ours with a limit.
    pub(crate) fn number(&mut self, figure: &str, ours: f64, unit: &str, other: &str, limit: Option<f64>) {
        self.0.push(Row {
            figure: figure.to_owned(),
            ours: format!("{} {unit}", number(ours)).trim().to_owned(),
            other: other.to_owned(),
            // Of a target that allows nothing there is no part.
            ratio: limit
                .filter(|limit| *limit > 0.0)
                .map_or_else(String::new, |limit| format!("{:.2} of the target", ours / limit)),
            target: limit
                .map_or_else(String::new, |limit| format!("≤ {} {unit}", number(limit)).trim().to_owned()),
            // As it is shown: what was counted between two readings of a clock is never a whole number.
            met: limit.map(|limit| (ours * 100.0).round() <= (limit * 100.0).round()),
        });
    }

    /// Adds the rows of another report.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }
}

fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| figure | ours | floor or peer | ratio | target |\n|---|---|---|---|---|")?;
        for Row { figure, ours, other, ratio, target, met } in &self.0 {
            let missed = if *met == Some(false) { " **missed**" } else { "" };
            writeln!(f, "| {figure} | {ours} | {other} | {ratio} | {target}{missed} |")?;
        }
        Ok(())
    }
}

/// When and how the figures were taken.
pub(crate) fn circumstances() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let load = read("/proc/loadavg");
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!(
        "Measured {} with `make bench` on {cores} cores ({}; load {} at the end): medians, in brackets what nine of ten stay \
         below. All parts are real and on the loopback of this one machine: registries (distribution), Git \
         (`git http-backend`), Kubernetes with KWOK, Flux. Both sides of a ratio were taken in the same run, in turns where that \
         is possible.",
        jiff::Timestamp::now().strftime("%Y-%m-%d"),
        model.trim_start_matches([' ', '\t', ':']),
        load.split(' ').next().unwrap_or_default(),
    )
}
