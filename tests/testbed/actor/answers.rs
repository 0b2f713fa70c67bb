//! What was answered, counted as a proxy counts.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The upper bounds of Istio's histograms, in milliseconds.
pub(super) const BOUNDS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10000.0,
    30000.0,
    60000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// How requests of one kind ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Kind {
    /// HTTP's status code; 0 where the client left.
    pub(super) status: u16,
    /// Envoy's response flags; `-` for none.
    #[serde(default = "none")]
    pub(super) flags: String,
    /// gRPC's status code, for requests of gRPC.
    #[serde(default)]
    pub(super) grpc: Option<String>,
    /// The service that was asked: what the gateway tells, for requests that may never have reached a pod.
    #[serde(default)]
    pub(super) service: String,
    /// Its namespace.
    #[serde(default)]
    pub(super) namespace: String,
}

fn none() -> String {
    "-".to_owned()
}

impl Kind {
    /// A request of HTTP that reached its pod.
    pub(super) fn http(status: u16, flags: &str) -> Self {
        Self { status, flags: flags.to_owned(), grpc: None, service: String::new(), namespace: String::new() }
    }
}

/// The requests of one kind.
#[derive(Debug, Default, Clone)]
pub(super) struct Count {
    pub(super) requests: u64,
    /// Requests up to each bound, those of smaller bounds included.
    pub(super) within: [u64; BOUNDS.len()],
    pub(super) milliseconds: f64,
}

/// All requests.
#[derive(Debug, Default)]
pub(super) struct Ledger(pub(super) BTreeMap<Kind, Count>);

impl Ledger {
    /// Counts requests that each took that long.
    pub(super) fn add(&mut self, kind: Kind, requests: u64, milliseconds: f64) {
        let count = self.0.entry(kind).or_default();
        count.requests += requests;
        #[allow(clippy::cast_precision_loss, reason = "a test's counts are small")]
        let all = requests as f64;
        count.milliseconds += milliseconds * all;
        for (bound, within) in BOUNDS.iter().zip(&mut count.within) {
            if milliseconds <= *bound {
                *within += requests;
            }
        }
    }
}
