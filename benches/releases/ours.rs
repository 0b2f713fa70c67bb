//! Our gate, as a rollout uses it: windows of 15 s, `falseRollback` 0.01, `stableFor` 30 s.

use promote::verify::traffic::evidence::{Counts, Evidence, Goal, Standing};

use crate::release::{Outcome, Release, Served};

const WINDOW: usize = 15;
/// Two windows are 30 s.
const STABLE: u32 = 2;

pub(crate) fn judge(served: &Served, release: &Release) -> Outcome {
    let mut evidence = Evidence::new(Goal { allowed: release.allowed, alpha: 0.01 });
    // What the pods of the old version had counted when they were first read: an hour of their requests.
    let before = release.old_rate.unwrap_or(release.rate) * 3600.0;
    evidence.history(Counts { all: whole(before), bad: whole(before * release.bad_before) });
    let sum = |seconds: &[(u64, u64)]| {
        seconds
            .iter()
            .fold(Counts::default(), |sum, &(all, bad)| Counts { all: sum.all + all, bad: sum.bad + bad })
    };
    let mut good = 0;
    for (window, (new, old)) in served.new.chunks(WINDOW).zip(served.old.chunks(WINDOW)).enumerate() {
        let seconds = u32::try_from((window + 1) * WINDOW).unwrap_or(u32::MAX);
        evidence.window(sum(new), (seconds <= release.beside).then(|| sum(old)));
        match evidence.standing() {
            Standing::Worse => return Outcome::TakenBack(seconds),
            Standing::Accepted if good == STABLE => return Outcome::Accepted,
            Standing::Accepted => good += 1,
            Standing::Open => good = 0,
        }
    }
    Outcome::Open
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of requests are small")]
fn whole(number: f64) -> u64 {
    number.round() as u64
}
