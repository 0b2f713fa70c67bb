//! The rules of others, as their documentation and code have them.

use crate::release::{Outcome, Release, Served};

/// Flagger 1.44: each minute the share of requests that succeeded; no request is a failed check; failed checks are never
/// forgotten; `threshold: 5`, and 10 checks that pass promote.
pub(crate) fn flagger(served: &Served, release: &Release) -> Outcome {
    let (mut passed, mut failed) = (0, 0);
    for (minute, requests) in served.new.chunks(60).enumerate() {
        if success(requests).is_some_and(|share| share >= 1.0 - release.allowed) {
            passed += 1;
        } else {
            failed += 1;
        }
        if failed == 5 {
            return Outcome::TakenBack(u32::try_from((minute + 1) * 60).unwrap_or(u32::MAX));
        }
        if passed == 10 {
            return Outcome::Accepted;
        }
    }
    Outcome::Open
}

/// Argo Rollouts 1.9, the template `success-rate` of its documentation: each five minutes at least 95 % of the requests of
/// these five minutes succeed, `failureLimit: 3`; a measurement without a number is an error, which is tried again every
/// 10 s, and the fifth error in a row ends the rollout.
pub(crate) fn argo(served: &Served, _: &Release) -> Outcome {
    const INTERVAL: usize = 300;
    let (mut failed, mut errors, mut next) = (0, 0, INTERVAL);
    while next <= served.new.len() {
        let seconds = u32::try_from(next).unwrap_or(u32::MAX);
        match success(&served.new[next - INTERVAL..next]) {
            None => {
                errors += 1;
                next += 10;
            }
            Some(share) => {
                errors = 0;
                failed += u32::from(share < 0.95);
                next += INTERVAL;
            }
        }
        if failed > 3 || errors > 4 {
            return Outcome::TakenBack(seconds);
        }
    }
    Outcome::Accepted
}

/// The share of requests that succeeded; none without requests, and none where all failed, since a series of successes that
/// does not exist makes the query's answer empty.
fn success(requests: &[(u64, u64)]) -> Option<f64> {
    let (all, bad) = requests.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    (all > bad).then(|| {
        f64::from(u32::try_from(all - bad).unwrap_or(u32::MAX))
            / f64::from(u32::try_from(all).unwrap_or(u32::MAX))
    })
}
