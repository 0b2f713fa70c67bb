//! The command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    promote::cli::main().into()
}
