//! Which of several replicas works: the one that holds the Lease.
//!
//! A holder is taken for gone once its Lease has not changed for [`DURATION`] by the clock of the one that looks, so that
//! clocks need not agree. A replica that was stopped and goes on may still act for a moment: its push is then refused,
//! and the edit, made again on the new head, changes nothing.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::health::Health;
use super::metrics::Metrics;
use crate::deliver::DeliverError;
use crate::deliver::lease::{Held, Lease};

/// How long a Lease that does not change is respected.
const DURATION: Duration = Duration::from_secs(10);
/// A renewal that fails this long after the last good one is the last try: even if it has to be waited for, the holder
/// stops before others take over.
const PATIENCE: Duration = Duration::from_secs(6);
/// Between two looks, and between two renewals.
const PERIOD: Duration = Duration::from_millis(1500);
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(2);
/// The name of this part in `/readyz`.
const PART: &str = "leadership";

/// A replica that stands for election.
#[derive(Debug)]
pub struct Candidate {
    lease: Lease,
    identity: String,
    /// What the Lease said last, and since when.
    seen: Option<(Held, Instant)>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

/// What a look at the Lease means.
#[derive(Debug, PartialEq, Eq)]
enum Chance {
    /// It is ours, nobody's, or its holder is gone.
    Take,
    /// Somebody else works.
    Wait,
}

/// Decides what `held`, unchanged for `unchanged`, means for `identity`.
fn chance(identity: &str, held: Option<&Held>, unchanged: Duration) -> Chance {
    match held.and_then(|held| held.holder.as_deref()) {
        Some(holder) if holder != identity && unchanged < DURATION => Chance::Wait,
        _ => Chance::Take,
    }
}

impl Candidate {
    /// Stands for election to the Lease `name` in the Pod's namespace.
    pub async fn new(name: &str, health: Arc<Health>, metrics: Arc<Metrics>) -> Result<Self, DeliverError> {
        let lease = Lease::in_own_namespace(name).await?;
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "promoted".to_owned());
        // A container that is started again is another candidate than the one that was killed.
        let identity = format!("{host}_{:x}", Timestamp::now().as_nanosecond());
        Ok(Self { lease, identity, seen: None, health, metrics })
    }

    /// Waits until this replica leads; false if `stop` came first.
    pub async fn elected(&mut self, stop: &CancellationToken) -> bool {
        self.metrics.leader.set(0);
        let mut told = None;
        loop {
            match self.try_to_lead().await {
                Ok(true) => {
                    self.health.set(PART, None);
                    self.metrics.leader.set(1);
                    tracing::info!(identity = self.identity, "this replica leads");
                    return true;
                }
                Ok(false) => {
                    self.health.set(PART, None);
                    let holder = self.seen.as_ref().and_then(|(held, _)| held.holder.clone());
                    if told != holder {
                        tracing::info!(leader = holder.as_deref().unwrap_or("nobody"), "this replica waits");
                        told = holder;
                    }
                }
                Err(error) => self.health.set(PART, Some(error.to_string())),
            }
            tokio::select! {
                () = sleep(PERIOD) => {}
                () = stop.cancelled() => return false,
            }
        }
    }

    /// Renews until the leadership is lost, which cancels `term`, or until `term` is cancelled.
    pub async fn keep(&mut self, term: &CancellationToken) {
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = sleep(PERIOD) => {}
                () = term.cancelled() => return,
            }
            match self.try_to_lead().await {
                Ok(true) => renewed = Instant::now(),
                Ok(false) => {
                    tracing::warn!("another replica leads now; this one waits");
                    break;
                }
                Err(error) if renewed.elapsed() >= PATIENCE => {
                    tracing::warn!(%error, "the leadership could not be renewed in time; this replica waits");
                    break;
                }
                Err(_) => {}
            }
        }
        self.metrics.leader.set(0);
        term.cancel();
    }

    /// Gives the leadership back, so that nobody has to wait for it to run out.
    pub async fn resign(&mut self) {
        self.metrics.leader.set(0);
        let Some((held, _)) =
            self.seen.take().filter(|(held, _)| held.holder.as_ref() == Some(&self.identity))
        else {
            return;
        };
        let given = self.lease.write(None, DURATION, Some(&held), Timestamp::now());
        if let Ok(Err(error)) = tokio::time::timeout(REQUEST, given).await {
            tracing::warn!(%error, "the leadership could not be given back; it runs out by itself");
        }
    }

    async fn try_to_lead(&mut self) -> Result<bool, DeliverError> {
        let cluster = "inCluster".to_owned();
        let silence =
            || DeliverError::Unreachable { cluster, cause: format!("no answer within {REQUEST:?}") };
        tokio::time::timeout(REQUEST, self.turn()).await.unwrap_or_else(|_| Err(silence()))
    }

    async fn turn(&mut self) -> Result<bool, DeliverError> {
        let held = self.lease.read().await?;
        let now = Instant::now();
        let since = match (&self.seen, &held) {
            (Some((seen, since)), Some(held)) if seen == held => *since,
            _ => now,
        };
        self.seen = held.clone().map(|held| (held, since));
        if chance(&self.identity, held.as_ref(), now - since) == Chance::Wait {
            return Ok(false);
        }
        let taken = self.lease.write(Some(&self.identity), DURATION, held.as_ref(), Timestamp::now()).await?;
        let won = taken.is_some();
        if let Some(taken) = taken {
            self.seen = Some((taken, now));
        }
        Ok(won)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(holder: Option<&str>) -> Held {
        Held { holder: holder.map(str::to_owned), version: "1".to_owned() }
    }

    #[test]
    fn a_lease_is_taken_that_is_nobodys_or_ours() {
        assert_eq!(chance("me", None, Duration::ZERO), Chance::Take);
        assert_eq!(chance("me", Some(&held(None)), Duration::ZERO), Chance::Take);
        assert_eq!(chance("me", Some(&held(Some("me"))), Duration::ZERO), Chance::Take);
    }

    #[test]
    fn another_holder_is_respected_until_its_lease_has_stood_still_for_its_whole_duration() {
        let other = held(Some("other"));
        assert_eq!(
            chance("me", Some(&other), DURATION.saturating_sub(Duration::from_millis(1))),
            Chance::Wait
        );
        assert_eq!(chance("me", Some(&other), DURATION), Chance::Take);
    }

    #[test]
    fn a_holder_gives_up_before_others_take_over() {
        assert!(PATIENCE + PERIOD + REQUEST < DURATION);
    }
}
