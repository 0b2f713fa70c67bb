//! The platform as files: clusters, the GitOps tree, the chart and the image, checked without a cloud and without Docker.
//!
//! What needs a Kubernetes API server is among the scenarios of `tests/it`, but for what Terraform makes of a whole cluster: it
//! would take the place of what other tests find there, and so has a bed of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub
)]

mod charts;
mod command;
mod deploy;
mod edits;
mod image;
mod infra_aws;
mod infra_aws_page;
mod infra_aws_state;
mod infra_aws_tree;
mod infra_local;
mod manifests;
mod modules;
mod needs;
mod order;
mod pages;
mod scanners;
mod validations;
