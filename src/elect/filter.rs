//! Which tags count, and which part of them is compared: `filterTags`, with the meaning that it has in a Flux `ImagePolicy`.

use std::borrow::Cow;
use std::fmt;

use regex::bytes::CaptureLocations;

use super::pattern::Pattern;

/// The longest template in bytes.
const LONGEST: usize = 256;
/// More than this is never extracted from a tag.
const LONGEST_EXTRACT: usize = 1024;

/// A filter of tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    pattern: Pattern,
    /// None to compare the whole tag.
    extract: Option<Template>,
}

impl Filter {
    /// A filter that compares what `extract` makes of a match; with an empty one, the whole tag.
    pub fn new(pattern: Pattern, extract: Option<&str>) -> Result<Self, TemplateError> {
        let extract = match extract {
            None | Some("") => None,
            Some(text) => Some(Template::read(text, &pattern)?),
        };
        Ok(Self { pattern, extract })
    }

    /// What is compared of a tag; none if the tag does not count.
    pub fn compared(&self, tag: &str) -> Option<String> {
        self.sieve().pass(tag).map(Cow::into_owned)
    }

    /// Prepares for many tags.
    pub(super) fn sieve(&self) -> Sieve<'_> {
        Sieve { filter: self, room: self.pattern.room() }
    }
}

/// A filter at work.
pub(super) struct Sieve<'f> {
    filter: &'f Filter,
    room: CaptureLocations,
}

impl Sieve<'_> {
    /// What is compared of a tag; none if the tag does not count.
    pub(super) fn pass<'t>(&mut self, tag: &'t str) -> Option<Cow<'t, str>> {
        if !self.filter.pattern.find(tag, &mut self.room) {
            return None;
        }
        match &self.filter.extract {
            None => Some(Cow::Borrowed(tag)),
            Some(template) => template.expand(tag, &self.room),
        }
    }
}

/// A text with references to groups, as Go's `Regexp.Expand` reads it: `$1`, `$name` (the longest name), `${name}`, `$$`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The first of these groups that took part in the match; no group is no text.
    Groups(Vec<usize>),
}

impl Template {
    fn read(text: &str, pattern: &Pattern) -> Result<Self, TemplateError> {
        if text.len() > LONGEST {
            return Err(TemplateError { length: text.len() });
        }
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            plain.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                plain.push('$');
                rest = after;
            } else if let Some((name, after)) = reference(after) {
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Groups(groups(name, pattern)));
                rest = after;
            } else {
                // As in Go, a dollar that refers to nothing is a dollar.
                plain.push('$');
                rest = after;
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    fn expand<'t>(&self, tag: &'t str, room: &CaptureLocations) -> Option<Cow<'t, str>> {
        let group = |groups: &[usize]| {
            let (start, end) = groups.iter().find_map(|group| room.get(*group))?;
            tag.get(start..end)
        };
        // Nearly all templates are one reference, which costs no copy.
        if let [Part::Groups(groups)] = self.parts.as_slice() {
            return Some(Cow::Borrowed(group(groups).unwrap_or_default()));
        }
        let mut expanded = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => expanded.push_str(text),
                Part::Groups(groups) => expanded.push_str(group(groups).unwrap_or_default()),
            }
        }
        (expanded.len() <= LONGEST_EXTRACT).then_some(Cow::Owned(expanded))
    }
}

/// Reads `name` or `{name}` after a dollar; the name, and what follows.
fn reference(text: &str) -> Option<(&str, &str)> {
    let braced = text.strip_prefix('{');
    let inner = braced.unwrap_or(text);
    let end = inner.find(|letter: char| !(letter.is_alphanumeric() || letter == '_')).unwrap_or(inner.len());
    let (name, after) = inner.split_at(end);
    let after = if braced.is_some() { after.strip_prefix('}')? } else { after };
    (!name.is_empty()).then_some((name, after))
}

/// The groups that a name means: a number without leading zeros is one by its place, 0 for the whole match.
fn groups(name: &str, pattern: &Pattern) -> Vec<usize> {
    let numeric = name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    match name.parse::<usize>().ok().filter(|_| numeric) {
        Some(number) if number < 100_000_000 => {
            if number <= pattern.groups() {
                vec![number]
            } else {
                Vec::new()
            }
        }
        _ => pattern.named(name),
    }
}

/// A template that is too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is {length} bytes long; shorten it to 256 bytes at most")]
pub struct TemplateError {
    length: usize,
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extract = self.extract.as_ref().map_or("", |template| template.text.as_str());
        write!(f, "{} → {extract}", self.pattern)
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
