//! The commands of `promote` and what they print.
//!
//! In: a command line. Out: text or JSON, and an exit code that tells what came of it. Everything that changes the
//! world goes through the rooms that the daemon uses.

mod approve;
pub mod args;
mod commit;
mod diff;
mod doctor;
mod history;
mod hold;
mod init;
mod open;
mod output;
mod promote;
mod quarantine;
mod rollback;
mod status;
mod validate;
mod versions;
mod wait;

use clap::{CommandFactory as _, Parser as _};

use self::args::{Cli, Command, Common};
use self::output::Printer;
use crate::daemon::args::LogFormat;
use crate::model::Exit;
use crate::publish::PublishError;

/// Why a command could not do what it was asked, and how it ends.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    words: String,
}

impl Failure {
    fn new(exit: Exit, words: impl Into<String>) -> Self {
        Self { exit, words: words.into() }
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        Self::new(crate::daemon::supervisor::exit_of(&error), error.to_string())
    }
}

/// Runs the command line of this process.
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            _ = error.print();
            return exit;
        }
    };
    let level = match (cli.common.quiet, cli.common.verbose) {
        (true, _) => "error",
        (_, true) => "debug",
        _ => "off",
    };
    crate::daemon::log_to_stderr(LogFormat::Text, level);
    _ = rustls::crypto::ring::default_provider().install_default();
    let printer = Printer::new(&cli.common);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            printer.error(&error.to_string());
            return Exit::Internal;
        }
    };
    let result = runtime.block_on(run(cli, &printer));
    runtime.shutdown_background();
    printer.clear();
    match result {
        Ok(exit) => exit,
        Err(Failure { exit, words }) => {
            printer.error(&words);
            exit
        }
    }
}

async fn run(cli: Cli, printer: &Printer) -> Result<Exit, Failure> {
    let Cli { common, promotion, command } = cli;
    match (command, promotion) {
        (Some(_), Some(_)) => Err(Failure::new(Exit::Usage, "--to stands alone, without another command")),
        (None, None) => {
            _ = Cli::command().print_help();
            Ok(Exit::Usage)
        }
        (None, Some(promotion)) => promote::run(&common, printer, &promotion).await,
        (Some(command), None) => other(command, &common, printer).await,
    }
}

async fn other(command: Command, common: &Common, printer: &Printer) -> Result<Exit, Failure> {
    match command {
        Command::Plan(promotion) => {
            let dry = args::Promotion { dry_run: true, ..promotion };
            promote::run(common, printer, &dry).await
        }
        Command::Status(what) => status::run(common, printer, &what).await,
        Command::History(what) => history::run(common, printer, &what).await,
        Command::Doctor(what) => doctor::run(common, printer, &what).await,
        Command::Diff(what) => diff::run(common, printer, &what).await,
        Command::Rollback(asked) => rollback::run(common, printer, &asked).await,
        Command::Hold(asked) => hold::hold(common, printer, &asked).await,
        Command::Release(asked) => hold::release(common, printer, &asked).await,
        Command::Approve(asked) => approve::run(common, printer, &asked).await,
        Command::Quarantine(asked) => quarantine::add(common, printer, &asked).await,
        Command::Unquarantine(asked) => quarantine::lift(common, printer, &asked).await,
        Command::Init { yes } => init::run(common, printer, yes),
        Command::Validate { file } => validate::run(printer, &file),
        Command::Schema => {
            output::out(crate::config::SCHEMA.trim_end());
            Ok(Exit::Done)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "promote", &mut script);
            output::out(&String::from_utf8_lossy(&script));
            Ok(Exit::Done)
        }
    }
}
