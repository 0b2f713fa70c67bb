//! `promoted` and `promote`: GitOps image automation that verifies what it deploys.
//!
//! The rooms, in the order of a version's walk through the house; see `ARCHITECTURE.md`.

/// Values that cannot be wrong.
pub mod model;

/// `promote.yaml` → [`config::Config`], every problem at once.
pub mod config;

/// What exists: tags, digests and manifests in registries.
pub mod discover;

/// Which version should run.
pub mod elect;

/// Bytes → bytes: the `images` entry and the `.promote` files.
pub mod edit;

/// Git: commits, pushes, notes, and what the remote says.
pub mod publish;

/// Images from registry to registry, by digest.
pub mod transfer;

/// Flux: asking for our commit, watching until it is applied.
pub mod deliver;

/// Workloads and pods → what each layer says.
pub mod verify;

/// The life of one change in one environment.
pub mod rollout;

/// Where tests kill the process; empty in release builds.
pub mod boundary;

/// The rooms wired into a running process.
pub mod daemon;

/// HTTP, read-only: metrics and health.
pub mod serve;

/// The commands of `promote` and what they print.
pub mod cli;
