//! Figures on real parts: ours beside a floor (what must be done anyway) or a peer (Flux's image automation), in one run.
//!
//! `cargo bench --profile ci --bench figures [-- QUESTION…]`; the questions are the names of the files here, and `rest`. It prints a
//! table as soon as a question is answered, and one of all at the end, ready for the README. Nothing here fails
//! for being slow: the machine's load is in the figures of both sides, so that only ratios should be compared.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

#[path = "../../tests/it/bed/mod.rs"]
mod bed;

mod build;
mod burst;
mod edit;
mod elect;
mod feed;
mod floor;
mod flux;
mod ground;
mod idle;
mod judge;
mod latency;
mod observed;
mod process;
mod push;
mod quiet;
mod report;
mod told;
mod wave;
mod webhooks;

use report::Report;

/// A question's name, and what answers it.
type Question = (&'static str, fn(&mut Report));

const QUESTIONS: [Question; 14] = [
    ("push", push::answer),
    ("edit", edit::answer),
    ("latency", latency::answer),
    ("build", build::answer),
    ("burst", burst::answer),
    ("quiet", quiet::answer),
    ("feed", feed::answer),
    ("told", told::answer),
    ("idle", idle::answer),
    ("webhooks", webhooks::answer),
    ("elect", elect::answer),
    ("judge", judge::answer),
    ("wave", wave::answer),
    ("rest", wave::at_rest),
];

fn main() {
    // cargo adds `--bench`.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    if let Some(unknown) = wanted.iter().find(|word| QUESTIONS.iter().all(|(name, _)| name != word)) {
        let names: Vec<&str> = QUESTIONS.iter().map(|(name, _)| *name).collect();
        println!("no question {unknown:?}; there are {}", names.join(", "));
        std::process::exit(2);
    }
    let mut all = Report::default();
    for (name, answer) in QUESTIONS.into_iter().filter(|(name, _)| is_wanted(name)) {
        let mut report = Report::default();
        answer(&mut report);
        if wanted.len() != 1 {
            println!("{name}\n{report}");
        }
        all.append(report);
    }
    println!("{all}\n{}", report::circumstances());
}
