//! Traffic: how do the requests of a version fare?
//!
//! In: counters of requests by pod, at moments. Out: whether the new version is worse than the old one beside it, or than
//! it may be; whether enough is known to say that it is not; or neither. Counters become windows in [`ledger`], windows
//! become evidence in [`evidence`] and [`bet`], and evidence becomes a judgement in [`gate`]; whether counters can be relied
//! on says [`telemetry`].
//! The rules are told for people in `docs/verification/traffic.md`.

pub mod bet;
pub mod classify;
pub mod evidence;
pub mod gate;
pub mod ledger;
pub mod telemetry;

pub use self::gate::{Gate, Rules, Said};
pub use self::ledger::{Arms, Counter, Durations, Reading};
pub use self::telemetry::{Gap, Telemetry};
