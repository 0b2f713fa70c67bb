//! Values that cannot be wrong.
//!
//! Text from outside becomes one of these at the edge, or an [`Invalid`] that says what is wrong with it.
//! Inside, a [`Tag`] is a legal tag and a [`Digest`] a legal digest.

mod build_tag;
mod change;
mod exit;
mod names;
mod reference;
mod tags;
mod verdict;

pub use build_tag::BuildTag;
pub use change::{CommitId, Source};
pub use exit::Exit;
pub use names::{AppName, EnvironmentName, ImageName, ReceiverName};
pub use reference::{Digest, Image, RegistryHost, Repository, Tag};
pub use tags::Tags;
pub use verdict::{LayerNote, Times, Verdict, VerdictNote};

/// Text from outside that breaks a grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} \"{got}\": expected {rule}")]
pub struct Invalid {
    what: &'static str,
    got: String,
    rule: &'static str,
}

impl Invalid {
    /// `got` is kept for the message: escaped, and cut after 80 characters.
    pub fn new(what: &'static str, got: &str, rule: &'static str) -> Self {
        Self { what, got: printable(got, 80), rule }
    }
}

/// An error with its causes, each said once, made safe to show as [`printable`] does.
pub fn with_causes(error: &dyn std::error::Error, limit: usize) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let text = inner.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        source = inner.source();
    }
    printable(&words, limit)
}

/// Foreign text made safe to show: control characters escaped, cut after `limit` characters.
pub fn printable(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    for (count, letter) in text.chars().enumerate() {
        if count == limit {
            shown.push('…');
            break;
        }
        // Bidirectional controls can make a log line read backwards.
        if letter.is_control() || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}
