//! The promises of the product, on real parts: one file per promise, one test per sentence of it.

#![allow(clippy::unwrap_used, missing_docs)]

mod as_flux;
mod bad_input;
mod bed;
mod builds;
mod chart;
mod clusters;
mod command_line;
mod deliver;
mod demo;
mod discover_and_elect;
mod exit_codes;
mod killed;
mod logs;
mod markers;
mod mesh;
mod metrics_and_health;
mod outages;
mod people;
mod policies;
mod promotion;
mod publish;
mod recovery;
mod registries;
mod replicas;
mod rollback;
mod silent;
mod the_bed;
mod the_loop;
mod traffic;
mod verdicts;
mod verify;
mod webhook_limits;
mod webhooks;
