//! `promote validate`: every problem of a configuration, with its place.

use std::path::Path;

use serde_json::json;

use super::Failure;
use super::args::Format;
use super::output::{Printer, counted};
use crate::config::{Config, Update};
use crate::model::Exit;

pub(super) fn run(printer: &Printer, file: &Path) -> Result<Exit, Failure> {
    let name = file.display().to_string();
    let text = fs_err::read(file).map_err(|error| {
        Failure::new(
            Exit::Usage,
            format!("{error}; run this at the root of the repository, or name the file"),
        )
    })?;
    match Config::parse(&name, &text) {
        Ok(config) => {
            let automatic =
                config.environments.values().filter(|environment| environment.update == Update::Auto).count();
            printer.human(&format!(
                "{name} is valid: {}, {} ({automatic} updated automatically)",
                counted(config.apps.len(), "app"),
                counted(config.environments.len(), "environment"),
            ));
            for (environment, settings) in &config.environments {
                if settings.deploy.is_some() && settings.cluster.is_none() {
                    printer.human(&format!(
                        "note: {environment} has no `cluster`: a daemon that runs in a Pod watches the cluster it runs in; \
                         elsewhere versions are committed and not verified"
                    ));
                }
            }
            printer.machine("Validation", &json!({"file": name, "valid": true, "problems": []}));
            Ok(Exit::Done)
        }
        Err(problems) => {
            if printer.format() == Format::Human {
                return Err(Failure::new(Exit::Usage, format!("{name} is not valid\n{problems}")));
            }
            printer
                .machine("Validation", &json!({"file": name, "valid": false, "problems": problems.problems}));
            Ok(Exit::Usage)
        }
    }
}
