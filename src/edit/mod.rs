//! Bytes to bytes: the `images` entry of a kustomization, the setter comments of Flux, and the record of an app's holds
//! and quarantine.
//!
//! In: the bytes of one file from Git and what it shall say. Out: the new bytes, in which nothing else changed, or
//! `None` where the file says so already. Fails with an [`EditError`] wherever an edit could be doubted: every result
//! is parsed again by two parsers and compared with the file as it came before it is handed out.

mod add;
mod amend;
mod carried;
mod check;
mod cut;
mod images;
mod list;
mod markers;
mod record;
mod scalar;
mod set;
mod splice;
mod tree;

#[cfg(test)]
mod generate;
#[cfg(test)]
mod generated_tests;
#[cfg(test)]
mod image_tests;
#[cfg(test)]
mod marker_tests;
#[cfg(test)]
mod odd_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod record_tests;

pub use add::add_image;
pub use amend::{Amended, Amendment, amend, one_line};
pub use carried::{Place, carried, deviation};
pub use images::{ImageEntry, image_entries};
pub use markers::{Marked, Marker, Misplaced, Part, markers, set_markers};
pub use record::{Approval, Hold, Quarantined, Record, Released};
pub use set::{Written, set_image};

use crate::model::printable;

/// Largest file that is read, in bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// Why a file was not read or not edited. The file's own path is added by the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The file is not text in UTF-8.
    #[error("the file is not UTF-8 (first wrong byte at offset {offset}): save it as UTF-8")]
    NotUtf8 {
        /// Bytes before the first one that is wrong.
        offset: usize,
    },
    /// The file is larger than is read.
    #[error("the file has {bytes} bytes, more than the {limit} that are read: split it")]
    TooLarge {
        /// The file's size in bytes.
        bytes: usize,
        /// The largest size that is read, in bytes.
        limit: usize,
    },
    /// The file is not YAML, or not of the expected form.
    #[error("line {line}, column {column}: {reason}")]
    Unparsable {
        /// Line, from 1; 0 where the parser names none.
        line: usize,
        /// Column, from 1; 0 where the parser names none.
        column: usize,
        /// The parser's words.
        reason: String,
    },
    /// Reading the file would take unbounded time or memory.
    #[error("line {line}: {reason}: simplify the file")]
    TooComplex {
        /// Line, from 1.
        line: usize,
        /// Which limit is passed.
        reason: &'static str,
    },
    /// No entry of `images` has the name.
    #[error("no `images` entry is named \"{name}\": {}", available_text(.available))]
    NoSuchEntry {
        /// The name that was looked for.
        name: String,
        /// The names that exist, in the order of the file.
        available: Vec<String>,
    },
    /// More than one entry of `images` has the name.
    #[error("`images` has several entries named \"{name}\" (lines {}): keep one", lines_text(.lines))]
    AmbiguousEntry {
        /// The name.
        name: String,
        /// The lines of the entries, from 1.
        lines: Vec<usize>,
    },
    /// A merge key decides what the entry says.
    #[error("line {line}: a merge key (`<<`) decides what the `images` entry says: write the fields out")]
    MergeKey {
        /// Line, from 1.
        line: usize,
    },
    /// A mapping has the same key twice.
    #[error("line {line}: the key \"{key}\" stands twice: keep one")]
    DuplicateKey {
        /// Line of the second one, from 1.
        line: usize,
        /// The key.
        key: String,
    },
    /// The place can be written in more than one way, or an edit would reach further than it shall.
    #[error("line {line}: {reason}: write it out by hand")]
    Doubtful {
        /// Line, from 1.
        line: usize,
        /// What makes it doubtful.
        reason: String,
    },
    /// The value that shall be written breaks its grammar.
    #[error("cannot write \"{}\" as newName: expected letters, digits and . _ - / : [ ]", printable(.got, 80))]
    InvalidNewName {
        /// The value.
        got: String,
    },
    /// The edited file does not say exactly what it shall say.
    #[error("the edit was dropped, as the file read again differs: {reason}: edit the file by hand")]
    Unverified {
        /// What differs.
        reason: String,
    },
}

/// All documents of a YAML file as values, within the limits of every other file that is read here.
pub fn documents(text: &[u8]) -> Result<Vec<serde_yaml::Value>, EditError> {
    let text = text_of(text)?;
    tree::Tree::parse(text)?;
    check::values(text)
}

/// The file as text, within the size that is read.
fn text_of(bytes: &[u8]) -> Result<&str, EditError> {
    if bytes.len() > MAX_BYTES {
        return Err(EditError::TooLarge { bytes: bytes.len(), limit: MAX_BYTES });
    }
    std::str::from_utf8(bytes).map_err(|error| EditError::NotUtf8 { offset: error.valid_up_to() })
}

fn available_text(available: &[String]) -> String {
    const SHOWN: usize = 20;
    if available.is_empty() {
        return "the file has no `images:` list with entries: add one".to_owned();
    }
    let mut names: Vec<String> = available.iter().take(SHOWN).map(|name| printable(name, 80)).collect();
    if available.len() > SHOWN {
        names.push(format!("and {} more", available.len() - SHOWN));
    }
    format!("the file has {}: add the entry or correct the name", names.join(", "))
}

fn lines_text(lines: &[usize]) -> String {
    let shown: Vec<String> = lines.iter().take(20).map(ToString::to_string).collect();
    shown.join(", ")
}
