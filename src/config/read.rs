//! The tree's values as types; what has another type is a problem and no value.

use std::rc::Rc;
use std::str::FromStr;
use std::time::Duration;

use super::duration;
use super::keys::Keys;
use super::mask::shown;
use super::nearest::nearest;
use super::problem::{Findings, Place};
use super::tree::{Content, Entry, Node, key_path};

/// A message for what is part of the design, but not of this version.
pub(super) const NOT_YET: &str = "is not supported yet; remove it";

/// Parts of names that people give to credentials.
const CREDENTIAL_WORDS: [&str; 5] = ["password", "passwd", "token", "credential", "secret"];

/// A value, where its problems are reported, and its path.
#[derive(Debug, Clone)]
pub(super) struct Value<'t> {
    node: &'t Node,
    pub(super) place: Place,
    pub(super) path: String,
}

impl<'t> Value<'t> {
    pub(super) fn root(node: &'t Node) -> Self {
        Self { node, place: Place::START, path: String::new() }
    }

    fn below(&self, entry: &'t Entry) -> Self {
        // The place of a value that is not there is the end of the line before.
        let node: &Node = &entry.value;
        let place = if node.is_null() { entry.place } else { node.place };
        Self { node, place, path: key_path(&self.path, &entry.key) }
    }

    pub(super) fn problem(&self, findings: &mut Findings, message: impl Into<String>) {
        findings.add(self.place, &self.path, message);
    }

    /// What was found, in words.
    fn kind(&self) -> &'static str {
        match &self.node.content {
            _ if self.node.is_null() => "nothing",
            Content::Scalar { .. } => "text",
            Content::Sequence(_) => "a list",
            Content::Mapping(_) => "a mapping",
        }
    }

    /// The text, where the value is a scalar.
    pub(super) fn scalar(&self) -> Option<&'t str> {
        match &self.node.content {
            Content::Scalar { text, .. } if !self.node.is_null() => Some(text),
            _ => None,
        }
    }

    /// The text of a scalar.
    pub(super) fn text(&self, findings: &mut Findings) -> Option<&'t str> {
        let text = self.scalar();
        if text.is_none() {
            let fix = if self.node.is_null() { "; write a value or remove the key" } else { "" };
            self.problem(findings, format!("expected text, got {}{fix}", self.kind()));
        }
        text
    }

    /// The text as `grammar` reads it; what is wrong with it comes from there.
    pub(super) fn legal<T>(
        &self,
        grammar: impl FnOnce(&str) -> Result<T, String>,
        findings: &mut Findings,
    ) -> Option<T> {
        let text = self.text(findings)?;
        grammar(text).map_err(|message| self.problem(findings, message)).ok()
    }

    /// A name that was written as a key.
    pub(super) fn name<T: FromStr>(
        &self,
        text: &str,
        what: &str,
        rule: &str,
        findings: &mut Findings,
    ) -> Option<T> {
        let name = text.parse().ok();
        if name.is_none() {
            self.problem(findings, format!("not {what} (got \"{}\"); use {rule}", shown(text)));
        }
        name
    }

    /// `true` or `false` without quotes; the other words of YAML 1.1 are not guessed at.
    pub(super) fn boolean(&self, findings: &mut Findings) -> Option<bool> {
        match &self.node.content {
            Content::Scalar { text, plain: true } if text == "true" => return Some(true),
            Content::Scalar { text, plain: true } if text == "false" => return Some(false),
            Content::Scalar { text, .. } if !self.node.is_null() => {
                self.problem(
                    findings,
                    format!("expected true or false, without quotes (got \"{}\")", shown(text)),
                );
            }
            _ => self.problem(findings, format!("expected true or false, got {}", self.kind())),
        }
        None
    }

    /// A duration of at least `minimum`.
    pub(super) fn duration(&self, minimum: Duration, findings: &mut Findings) -> Option<Duration> {
        let text = self.text(findings)?;
        let least = duration::format(minimum);
        let wrong = match duration::parse(text) {
            Ok(duration) if duration >= minimum => return Some(duration),
            Ok(_) => "too short".to_owned(),
            Err(error) => error.to_string(),
        };
        let got = shown(text);
        self.problem(
            findings,
            format!("{wrong} (got \"{got}\"); write it like 90s, 5m or 1h30m, at least {least}"),
        );
        None
    }

    /// One of a few words.
    pub(super) fn word<T: Clone>(&self, words: &[(&str, T)], findings: &mut Findings) -> Option<T> {
        let text = self.text(findings)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.problem(
                findings,
                format!("unknown value (got \"{}\"); write {}", shown(text), known.join(" or ")),
            );
        }
        found.map(|(_, value)| value.clone())
    }

    /// The items of a list.
    pub(super) fn items(&self, findings: &mut Findings) -> Option<Vec<Value<'t>>> {
        let Content::Sequence(items) = &self.node.content else {
            self.problem(findings, format!("expected a list, got {}; write it like [one, two]", self.kind()));
            return None;
        };
        let item = |(index, item): (usize, &'t Rc<Node>)| Value {
            node: item,
            place: item.place,
            path: format!("{}[{index}]", self.path),
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// The entries of a mapping whose keys are names.
    pub(super) fn entries(&self, findings: &mut Findings) -> Option<Vec<Named<'t>>> {
        let Content::Mapping(entries) = &self.node.content else {
            self.problem(findings, format!("expected a mapping, got {}", self.kind()));
            return None;
        };
        let named = |entry: &'t Entry| {
            let value = self.below(entry);
            Named { name: &entry.key, key: Value { place: entry.place, ..value.clone() }, value }
        };
        Some(entries.iter().map(named).collect())
    }

    /// The entries of a mapping whose keys are known; the others are problems.
    pub(super) fn fields(&self, keys: &Keys, findings: &mut Findings) -> Option<Fields<'t>> {
        let Content::Mapping(entries) = &self.node.content else {
            let known = keys.supported.join(", ");
            let fix = if known.is_empty() { "write {}".to_owned() } else { format!("its keys are {known}") };
            self.problem(findings, format!("expected a mapping, got {}; {fix}", self.kind()));
            return None;
        };
        for entry in entries {
            let key = entry.key.as_str();
            if keys.not_yet.contains(&key) {
                findings.add(entry.place, &key_path(&self.path, key), NOT_YET);
            } else if !keys.supported.contains(&key) {
                findings.add(entry.place, &key_path(&self.path, key), unknown_key(key, keys, findings));
            }
        }
        Some(Fields { value: self.clone(), entries })
    }

    /// Whether it is a mapping.
    pub(super) fn is_mapping(&self) -> bool {
        matches!(self.node.content, Content::Mapping(_))
    }
}

fn unknown_key(key: &str, keys: &Keys, findings: &Findings) -> String {
    let candidates = keys.supported.iter().chain(keys.not_yet).copied();
    let near = if findings.is_full() { None } else { nearest(key, candidates) };
    if let Some(near) = near {
        return format!("unknown key; did you mean \"{near}\"?");
    }
    let lower = if key.len() <= 80 { key.to_ascii_lowercase() } else { String::new() };
    if CREDENTIAL_WORDS.iter().any(|word| lower.contains(word)) {
        return "unknown key; credentials don't stand in this file, use --registry-credentials or \
                --git-credentials"
            .to_owned();
    }
    if keys.supported.is_empty() {
        return "unknown key; there are none here, remove it".to_owned();
    }
    format!("unknown key; known here: {}", keys.supported.join(", "))
}

/// An entry whose key is a name.
#[derive(Debug)]
pub(super) struct Named<'t> {
    pub(super) name: &'t str,
    /// For problems with the name.
    pub(super) key: Value<'t>,
    pub(super) value: Value<'t>,
}

/// A mapping whose keys are known.
#[derive(Debug)]
pub(super) struct Fields<'t> {
    value: Value<'t>,
    entries: &'t [Entry],
}

impl<'t> Fields<'t> {
    pub(super) fn get(&self, key: &str) -> Option<Value<'t>> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| self.value.below(entry))
    }

    /// The value of a key that must be there; `example` shows how to add it.
    pub(super) fn required(&self, key: &str, example: &str, findings: &mut Findings) -> Option<Value<'t>> {
        let found = self.get(key);
        if found.is_none() {
            self.value.problem(findings, format!("`{key}` is missing; add `{key}: {example}`"));
        }
        found
    }

    /// Whether any of the keys is there.
    pub(super) fn has_any(&self, keys: &[&str]) -> bool {
        self.entries.iter().any(|entry| keys.contains(&entry.key.as_str()))
    }
}
