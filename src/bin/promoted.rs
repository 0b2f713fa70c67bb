//! The daemon.

use std::process::ExitCode;

use clap::Parser as _;
use promote::daemon;

fn main() -> ExitCode {
    daemon::main(&daemon::args::Args::parse()).into()
}
