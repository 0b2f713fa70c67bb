//! What people say about versions beside promoting them.

use clap::Args;
use jiff::Timestamp;

use super::{Wait, at, duration};
use crate::daemon::promotion::At;
use crate::edit::one_line;
use crate::model::{AppName, EnvironmentName};

/// A way back.
#[derive(Debug, Clone, Args)]
pub struct Rollback {
    /// The environment
    #[arg(long, value_name = "ENV")]
    pub environment: EnvironmentName,
    /// The app
    #[arg(long, value_name = "APP")]
    pub app: AppName,
    /// This version instead of the one before
    #[arg(long, value_name = "TAG|sha256:…", value_parser = at)]
    pub at: Option<At>,
    /// Why, for whoever reads the commit
    #[arg(long, value_parser = reason)]
    pub reason: Option<String>,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How long to wait
    #[arg(long, default_value = "verified", value_name = "STATE")]
    pub wait: Wait,
    /// How long the verdict may take [default: `verify.timeout`]; what still goes on then ends with 6
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<std::time::Duration>,
}

/// A hold.
#[derive(Debug, Clone, Args)]
pub struct Hold {
    /// The environment
    #[arg(long, value_name = "ENV")]
    pub environment: EnvironmentName,
    /// Only this app [default: all]
    #[arg(long, value_name = "APP")]
    pub app: Option<AppName>,
    /// Why, for whoever finds it held
    #[arg(long, value_parser = reason)]
    pub reason: String,
    /// When it ends by itself: a duration from now (2h) or an instant (2026-01-31T00:00:00Z)
    #[arg(long, value_name = "T", value_parser = until)]
    pub until: Option<Timestamp>,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// A release.
#[derive(Debug, Clone, Args)]
pub struct Release {
    /// The environment
    #[arg(long, value_name = "ENV")]
    pub environment: EnvironmentName,
    /// Only this app [default: all]
    #[arg(long, value_name = "APP")]
    pub app: Option<AppName>,
    /// Why, for whoever reads the commit
    #[arg(long, value_parser = reason)]
    pub reason: String,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// A version that goes into quarantine or comes out of it.
#[derive(Debug, Clone, Args)]
pub struct Quarantine {
    /// The app
    #[arg(long, value_name = "APP")]
    pub app: AppName,
    /// The version
    #[arg(long, value_name = "TAG|sha256:…", value_parser = at)]
    pub at: At,
    /// Why, for whoever reads the commit
    #[arg(long, value_parser = reason)]
    pub reason: String,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// An approval.
#[derive(Debug, Clone, Args)]
pub struct Approve {
    /// The environment that the version may come to
    #[arg(long, value_name = "ENV")]
    pub environment: EnvironmentName,
    /// The app
    #[arg(long, value_name = "APP")]
    pub app: AppName,
    /// This version instead of the one that would come next
    #[arg(long, value_name = "TAG|sha256:…", value_parser = at)]
    pub at: Option<At>,
    /// Why, for whoever reads the commit
    #[arg(long, value_parser = reason)]
    pub reason: String,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Two environments side by side.
#[derive(Debug, Clone, Args)]
pub struct Diff {
    /// The environment on the left
    #[arg(long, value_name = "ENV")]
    pub from: EnvironmentName,
    /// The environment on the right
    #[arg(long, value_name = "ENV")]
    pub to: EnvironmentName,
    /// Only this app
    #[arg(long, value_name = "APP")]
    pub app: Option<AppName>,
    /// The manifests instead, as the kustomize or kubectl on the PATH builds them
    #[arg(long)]
    pub rendered: bool,
}

/// What is to be looked at.
#[derive(Debug, Clone, Args)]
pub struct Doctor {
    /// Only this environment
    #[arg(long, value_name = "ENV")]
    pub environment: Option<EnvironmentName>,
}

fn reason(text: &str) -> Result<String, String> {
    one_line(text).ok_or_else(|| "it says nothing; write a few words".to_owned())
}

fn until(text: &str) -> Result<Timestamp, String> {
    let now = Timestamp::now();
    let until = if let Ok(instant) = text.parse::<Timestamp>() {
        instant
    } else {
        let ahead = duration(text)
            .map_err(|_| "expected a duration such as 2h, or an instant such as 2026-01-31T00:00:00Z")?;
        let ahead = jiff::SignedDuration::try_from(ahead).map_err(|error| error.to_string())?;
        now.checked_add(ahead).map_err(|error| error.to_string())?
    };
    if until <= now {
        return Err("it is in the past, so that nothing would be held".to_owned());
    }
    // Git and people count in seconds.
    Ok(until.round(jiff::Unit::Second).unwrap_or(until))
}
