//! One look at a version that stands somewhere: what every layer says now, and nothing asked of anybody.

use std::time::{Duration, Instant};

use super::arrival::Arrival;
use super::layers::Layers;
use super::{ASKS, Follower, Subject};
use crate::daemon::Context;
use crate::rollout::{Delivered, Observation};
use crate::verify::{Finding, Judgement};

/// How long the cluster has to say the same: watches bring one list after the other.
const STEADY: Duration = Duration::from_millis(250);
/// The same where something is waited for, which may only not have been listed yet.
const STEADY_WAIT: Duration = Duration::from_secs(1);
/// How long there is between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// What is seen of `subject` once the cluster says the same for a while, or else after `patience`.
pub async fn glance(context: &Context, subject: &Subject, patience: Duration) -> Observation {
    let mut follower = Follower {
        context,
        subject,
        flux: None,
        arrival: Arrival::new(context, subject),
        layers: Layers::new(context, subject),
        // As if it had been asked often enough: whoever only looks changes nothing.
        asks: ASKS,
        asked: None,
        applied: false,
    };
    let snapshots = context.mirror.snapshots();
    let began = Instant::now();
    let mut last: Option<(Observation, Instant)> = None;
    loop {
        let snapshot = snapshots.borrow().clone();
        let look = tokio::time::timeout(patience, follower.look(snapshot.as_deref()));
        let Ok((seen, _)) = look.await else {
            let words = format!("no answer within {} s", patience.as_secs());
            return Observation { delivered: Delivered::Silent(words), findings: Vec::new() };
        };
        let since = match &last {
            Some((before, since)) if *before == seen => *since,
            _ => Instant::now(),
        };
        let wanted = if waits(&seen) { STEADY_WAIT } else { STEADY };
        let silent = matches!(seen.delivered, Delivered::Silent(_));
        if (!silent && since.elapsed() >= wanted) || began.elapsed() >= patience {
            return seen;
        }
        last = Some((seen, since));
        tokio::time::sleep(PAUSE).await;
    }
}

fn waits(seen: &Observation) -> bool {
    let waiting = |finding: &Finding| {
        matches!(finding.judgement(), Some(Judgement::Wait { .. } | Judgement::Unknown(_)))
    };
    seen.delivered != Delivered::Yes || seen.findings.iter().any(waiting)
}
