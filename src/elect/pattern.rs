//! Patterns in RE2's syntax, as `filterTags.pattern` of a Flux `ImagePolicy` has them, over tags, which are ASCII.
//!
//! Flux compiles them with Go's `regexp`, we with the `regex` crate: both search for the leftmost match, prefer the first
//! alternative and take linear time, but their syntax differs. So a pattern is read here by RE2's grammar
//! (<https://github.com/google/re2/wiki/Syntax>, as far as Go has it) and put into words that mean the same to the crate:
//! `\Q…\E`, octal escapes, `[` and `&&` within brackets, `{` that begins no repetition, groups of one name. What RE2
//! lacks (look-around, backreferences, `(?x)`, `\<`) is refused. Differences to Flux:
//! - `\pL` and other Unicode classes are refused: a tag has nothing but ASCII;
//! - a pattern has at most 1000 bytes and 100 levels of groups (Go: no limit in bytes, 1000 levels), and must compile to 1 MiB;
//! - a flag group is not followed by a repetition (Go repeats what stands before the group).

use std::fmt;
use std::str::FromStr;

use regex::bytes::{CaptureLocations, Regex, RegexBuilder};

mod class;
mod reader;

use reader::Reader;

/// The longest pattern in bytes.
const LONGEST: usize = 1000;
/// The largest compiled form in bytes.
const COMPILED: usize = 1 << 20;

/// A pattern that tags are searched with.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
    /// The names of the groups, from group 1 on.
    names: Vec<Option<String>>,
}

impl Pattern {
    /// Room for the places of a match; one serves for many searches.
    pub(super) fn room(&self) -> CaptureLocations {
        self.regex.capture_locations()
    }

    /// Searches `text` for the leftmost match; the places of its groups are then in `room`.
    pub(super) fn find(&self, text: &str, room: &mut CaptureLocations) -> bool {
        self.regex.captures_read(room, text.as_bytes()).is_some()
    }

    /// The groups of this name, by number; several may share one.
    pub(super) fn named(&self, name: &str) -> Vec<usize> {
        let named = self.names.iter().enumerate().filter(|(_, known)| known.as_deref() == Some(name));
        named.map(|(index, _)| index + 1).collect()
    }

    /// How many groups there are, the whole match not counted.
    pub(super) fn groups(&self) -> usize {
        self.names.len()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.len() > LONGEST {
            let wrong = format!("the pattern is {} bytes long", text.len());
            return Err(PatternError::new(LONGEST, wrong, "shorten it to 1000 bytes at most"));
        }
        let (translated, names) = Reader::new(text).read()?;
        let compiled = RegexBuilder::new(&translated)
            .unicode(false)
            .size_limit(COMPILED)
            .nest_limit(1000)
            .build()
            .map_err(|error| {
                let possible = "write smaller counts in {}, or fewer of them within each other";
                let wrong = match error {
                    regex::Error::CompiledTooBig(limit) => format!("it compiles to more than {limit} bytes"),
                    other => format!("it can't be compiled: {}", last_line(&other.to_string())),
                };
                PatternError::new(0, wrong, possible)
            })?;
        Ok(Self { text: text.to_owned(), regex: compiled, names })
    }
}

fn last_line(words: &str) -> String {
    crate::model::printable(words.lines().last().unwrap_or_default().trim(), 120)
}

/// Text that is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: {wrong}; {possible}")]
pub struct PatternError {
    at: usize,
    wrong: String,
    possible: &'static str,
}

impl PatternError {
    fn new(at: usize, wrong: impl Into<String>, possible: &'static str) -> Self {
        Self { at, wrong: wrong.into(), possible }
    }

    /// Where in the text the pattern goes wrong: a byte offset, counted from 0.
    pub fn at(&self) -> usize {
        self.at
    }
}

#[cfg(test)]
mod tests;
