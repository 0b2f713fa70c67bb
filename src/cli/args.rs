//! The command line as it is typed.

mod people;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::people::{Approve, Diff, Doctor, Hold, Quarantine, Release, Rollback};
use crate::daemon::args::endpoint;
use crate::daemon::promotion::At;
use crate::model::{AppName, Digest, EnvironmentName, RegistryHost, Tag};

/// Moves verified versions from one environment to the next, and tells what runs where.
///
/// promote --to ENV copies the images that are verified upstream to ENV's registry, commits them to its overlay, and
/// waits for the verdict there. It works on the remote of the clone around the working folder and never touches the
/// work tree.
#[derive(Debug, Parser)]
#[command(name = "promote", version, max_term_width = 100, after_help = EXIT_CODES)]
#[command(subcommand_negates_reqs = true, arg_required_else_help = true)]
pub struct Cli {
    /// What all commands share.
    #[command(flatten)]
    pub common: Common,
    /// The promotion, where no other command is given.
    #[command(flatten)]
    pub promotion: Option<Promotion>,
    /// Another command.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXIT_CODES: &str = "Exit codes: 0 done and verified, or already there · 2 wrong usage or configuration · 3 blocked · \
4 failed and rolled back · 5 failed · 6 timed out or unknown · 7 Git refused · 8 unreachable · 10 --dry-run: there are \
changes · 130 interrupted";

/// What all commands share.
#[derive(Debug, Args)]
pub struct Common {
    /// The GitOps repository: an address, a bare repository, or a clone (which stands for its origin)
    #[arg(long, global = true, default_value = ".", value_name = "URL|PATH", env = "PROMOTE_REPO")]
    pub repo: String,
    /// The branch [default: the repository's default branch]
    #[arg(long, global = true)]
    pub branch: Option<String>,
    /// The configuration's path in the repository
    #[arg(long, global = true, default_value = "promote.yaml", value_name = "PATH")]
    pub config: String,
    /// The folder of the files that promote.yaml names as secrets [default: ~/.config/promote/secrets]
    #[arg(long, global = true, value_name = "DIR")]
    pub secrets: Option<PathBuf>,
    /// A folder with the keys of Flux's Git Secret [default: your own Git set-up]
    #[arg(long, global = true, value_name = "DIR")]
    pub git_credentials: Option<PathBuf>,
    /// A docker config.json; may be given several times [default: ~/.docker/config.json]
    #[arg(long, global = true, value_name = "FILE")]
    pub registry_credentials: Vec<PathBuf>,
    /// Connect to ADDR for the registry HOST, whose name stays; may be given several times
    #[arg(long, global = true, value_name = "HOST=ADDR", value_parser = endpoint)]
    pub registry_endpoint: Vec<(RegistryHost, String)>,
    /// How the result is written
    #[arg(long, short, global = true, default_value = "human", value_name = "FORMAT")]
    pub output: Format,
    /// No progress on standard error
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// More about what happens on standard error
    #[arg(long, short, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
}

/// How the result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// One JSON document.
    Json,
    /// One JSON object per line, as things happen.
    Jsonl,
}

/// A promotion.
#[derive(Debug, Clone, Args)]
pub struct Promotion {
    /// The environment to promote to
    #[arg(long, value_name = "ENV")]
    pub to: EnvironmentName,
    /// The environment to take versions from [default: those in `after`]
    #[arg(long, value_name = "ENV")]
    pub from: Option<EnvironmentName>,
    /// Only this app; may be given several times [default: all]
    #[arg(long, value_name = "APP")]
    pub app: Vec<AppName>,
    /// This version instead of the one that stands upstream
    #[arg(long, value_name = "TAG|sha256:…", value_parser = at)]
    pub at: Option<At>,
    /// Show what would move, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How long to wait
    #[arg(long, default_value = "verified", value_name = "STATE")]
    pub wait: Wait,
    /// How long the verdict may take [default: `verify.timeout`]; what still goes on then ends with 6
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<std::time::Duration>,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// Take what stands upstream without a verdict; the reason is recorded in the commit
    #[arg(long, value_name = "REASON")]
    pub override_gates: Option<String>,
}

/// How long a promotion waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Wait {
    /// For the verdict.
    Verified,
    /// For the remote to have the commit.
    Committed,
    /// The same as `committed`: there is nothing shorter that would be honest.
    None,
}

/// The other commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what would move to an environment, and change nothing
    Plan(Promotion),
    /// Show what runs where, since when, and what the verdict on it is
    Status(Status),
    /// Show the commits that moved versions, newest first
    History(History),
    /// Show the versions of two environments side by side
    Diff(Diff),
    /// Tell what can be verified here, and what is missing for more
    Doctor(Doctor),
    /// Put the version before back, keep it, and wait for the verdict
    Rollback(Rollback),
    /// Keep an app, or all of an environment, where it is
    Hold(Hold),
    /// Let versions move again: ends holds, and takes back what people took away
    Release(Release),
    /// Say that a version may come to an environment, where gates.approvals asks people
    Approve(Approve),
    /// Never elect a version again, in any environment
    Quarantine(Quarantine),
    /// Let a version be elected again that is in quarantine
    Unquarantine(Quarantine),
    /// Write a promote.yaml for this clone, and the `images` entries that are missing
    Init {
        /// Do not ask; without it, and without a terminal, the changes are only shown (exit code 10)
        #[arg(long, short = 'y')]
        yes: bool,
    },
    /// Check a promote.yaml and list every problem with line and column
    Validate {
        /// The file
        #[arg(default_value = "promote.yaml")]
        file: PathBuf,
    },
    /// Print the JSON Schema of promote.yaml
    Schema,
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// What to show of the present.
#[derive(Debug, Args)]
pub struct Status {
    /// Only this environment
    #[arg(long, value_name = "ENV")]
    pub environment: Option<EnvironmentName>,
    /// Only this app
    #[arg(long, value_name = "APP")]
    pub app: Option<AppName>,
    /// Show it again whenever something has changed
    #[arg(long)]
    pub watch: bool,
}

/// What to show of the past.
#[derive(Debug, Args)]
pub struct History {
    /// Only this environment
    #[arg(long, value_name = "ENV")]
    pub environment: Option<EnvironmentName>,
    /// Only this app
    #[arg(long, value_name = "APP")]
    pub app: Option<AppName>,
    /// Only what is younger: a duration (7h) or an instant (2026-01-31T00:00:00Z)
    #[arg(long, value_name = "T", value_parser = since)]
    pub since: Option<jiff::Timestamp>,
}

fn at(text: &str) -> Result<At, String> {
    if text.starts_with("sha256:") || text.starts_with("sha512:") {
        return text.parse::<Digest>().map(At::Digest).map_err(|error| error.to_string());
    }
    text.parse::<Tag>().map(At::Tag).map_err(|error| error.to_string())
}

fn duration(text: &str) -> Result<std::time::Duration, String> {
    crate::config::duration::parse(text)
        .map_err(|_| "expected a duration such as 90s, 5m or 1h30m".to_owned())
}

fn since(text: &str) -> Result<jiff::Timestamp, String> {
    if let Ok(instant) = text.parse() {
        return Ok(instant);
    }
    let ago = jiff::SignedDuration::try_from(duration(text)?).map_err(|error| error.to_string())?;
    Ok(jiff::Timestamp::now() - ago)
}
