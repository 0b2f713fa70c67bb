//! What a command says: results on standard output, progress on standard error.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};

use super::args::{Common, Format};

/// The version of every JSON document.
pub(super) const API_VERSION: &str = "promote/v1";

/// Where results and progress go.
#[derive(Debug)]
pub(super) struct Printer {
    format: Format,
    quiet: bool,
    bar: Option<ProgressBar>,
}

impl Printer {
    /// As the flags say; a live line only on a terminal.
    pub(super) fn new(common: &Common) -> Self {
        let live = std::io::stderr().is_terminal() && !common.quiet && common.output == Format::Human;
        let bar = live.then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { format: common.output, quiet: common.quiet, bar }
    }

    /// The format of the result.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// One step that begins; `kind` names it for machines.
    pub(super) fn step(&self, kind: &str, text: &str, fields: &Value) {
        if self.format == Format::Jsonl {
            let mut line = json!({"apiVersion": API_VERSION, "step": kind, "text": text});
            if let (Some(line), Some(fields)) = (line.as_object_mut(), fields.as_object()) {
                line.extend(fields.clone());
            }
            out(&line.to_string());
        }
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None if !self.quiet => err(text),
            None => {}
        }
    }

    /// A step that stays on the screen.
    pub(super) fn keep(&self, kind: &str, text: &str, fields: &Value) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => self.step(kind, text, fields),
        }
    }

    /// The result for people; nothing in the other formats.
    pub(super) fn human(&self, text: &str) {
        if self.format == Format::Human {
            self.clear();
            out(text);
        }
    }

    /// The result for machines; nothing for people.
    pub(super) fn machine(&self, kind: &str, result: &impl Serialize) {
        if self.format == Format::Human {
            return;
        }
        let mut document = json!({"apiVersion": API_VERSION, "kind": kind});
        if let (Some(document), Ok(Value::Object(result))) =
            (document.as_object_mut(), serde_json::to_value(result))
        {
            document.extend(result);
        }
        let text = match self.format {
            Format::Json => serde_json::to_string_pretty(&document),
            _ => serde_json::to_string(&document),
        };
        out(&text.unwrap_or_default());
    }

    /// What went wrong, whatever the format.
    pub(super) fn error(&self, text: &str) {
        self.clear();
        err(&format!("error: {text}"));
    }

    /// Takes the live line away, to ask something or to end.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Writes a line of the result; a closed pipe (`| head`) is no error of ours.
pub(super) fn out(text: &str) {
    _ = writeln!(std::io::stdout().lock(), "{text}");
}

fn err(text: &str) {
    _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Rows in aligned columns below a line of headings.
pub(super) fn table(headings: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(headings.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// A number of things, in words.
pub(super) fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// How long ago, in its largest unit.
pub(super) fn ago(then: jiff::Timestamp, now: jiff::Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        0..=59 => format!("{seconds}s"),
        60..=3599 => format!("{}m", seconds / 60),
        3600..=86_399 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}
