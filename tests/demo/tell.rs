//! What the demo says: the same words on a terminal and in a log.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

/// One line on standard output. Nobody may be reading any more; the demo goes on to its end all the same.
pub(crate) fn line(text: &str) {
    let mut output = std::io::stdout().lock();
    let _ = writeln!(output, "{text}").and_then(|()| output.flush());
}

/// Text with a blank margin before each of its lines.
pub(crate) fn indented(text: &str) {
    for part in text.lines() {
        line(&format!("     {part}"));
    }
}

/// The headline of a step.
pub(crate) fn step(number: u32, title: &str) {
    line("");
    line(&bold(&format!("{number}  {title}")));
}

/// A command, as it is run.
pub(crate) fn command(text: &str) {
    line(&format!("   {} {text}", bold("$")));
}

/// What happened, and how long after its cause.
pub(crate) fn happened(what: &str, detail: &str, after: Duration) {
    line(&format!("   {what:<8} {detail:<60} {:>5.1} s", after.as_secs_f64()));
}

/// More about it.
pub(crate) fn because(detail: &str) {
    line(&format!("            {detail}"));
}

/// What went wrong, on standard error, and where the logs are.
pub(crate) fn failed(why: &str, folder: Option<&Path>) {
    let mut text = format!("demo: {why}\n");
    if let Some(folder) = folder {
        text += &format!(
            "demo: everything is stopped; the logs are {0}/promoted.log and {0}/bed/logs\n",
            folder.display()
        );
    }
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn bold(text: &str) -> String {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if plain || !std::io::stdout().is_terminal() { text.to_owned() } else { format!("\x1b[1m{text}\x1b[0m") }
}
