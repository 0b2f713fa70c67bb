//! YAML text → a tree of values with their places.
//!
//! Scalars stay text, so that `on`, `no` and `1.10` mean what was written. Aliases share their target;
//! the limits count what they expand to.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::mask::shown;
use super::problem::{Findings, Place};

/// The largest file, in bytes.
const LARGEST: usize = 1024 * 1024;
/// The deepest nesting.
const DEEPEST: usize = 64;
/// The most values once aliases are expanded; every 64 bytes of a text count as one more.
const MOST: usize = 100_000;

/// A value and where it begins.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) content: Content,
    /// What the limit [`MOST`] counts.
    weight: usize,
    height: usize,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Content {
    /// `plain` where it was written without quotes.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Rc<Node>>),
    Mapping(Vec<Entry>),
}

/// One key of a mapping; no two have the same text.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) value: Rc<Node>,
}

impl Node {
    /// Whether there is no value: nothing, `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }
}

/// `path` with a key added; a key that itself holds a dot is quoted.
pub(super) fn key_path(path: &str, key: &str) -> String {
    let key = shown(key);
    let quote = if key.contains(['.', ' ']) || key.is_empty() { "\"" } else { "" };
    let dot = if path.is_empty() { "" } else { "." };
    format!("{path}{dot}{quote}{key}{quote}")
}

/// Reads the one document of a file. What stops the reading ends as one problem and no tree;
/// a duplicate key and the like are problems of a tree that can still be walked.
pub(super) fn read(bytes: &[u8], findings: &mut Findings) -> Option<Rc<Node>> {
    if bytes.len() > LARGEST {
        findings.add(
            Place::START,
            "",
            format!("the file is larger than 1 MiB (got {} bytes); split it", bytes.len()),
        );
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let place = place_after(&bytes[..error.valid_up_to()]);
            findings.add(place, "", "the file is not UTF-8 text; save it as UTF-8");
            return None;
        }
    };
    let mut builder = Builder::default();
    let options = granit_parser::options! { emit_comments: false };
    for step in Parser::new_from_str_with_options(text, options) {
        let (event, span) = match step {
            Ok(step) => step,
            Err(error) => {
                let place = Place { line: error.marker().line(), column: error.marker().col() + 1 };
                findings.add(place, "", syntax_message(text, place, &error.info()));
                return None;
            }
        };
        if matches!(event, Event::DocumentStart(..)) && builder.documents > 0 {
            findings.add(place_of(span), "", "a second document starts here; keep one document in the file");
            break;
        }
        if let Err(Stop(message)) = builder.take(event, span, findings) {
            findings.add(place_of(span), &builder.path(), message);
            return None;
        }
    }
    if builder.root.as_ref().is_none_or(|root| root.is_null()) {
        findings.add(Place::START, "", "the file is empty; start it with `version: 1`");
        return None;
    }
    builder.root
}

fn place_of(span: Span) -> Place {
    Place { line: span.start.line(), column: span.start.col() + 1 }
}

fn place_after(bytes: &[u8]) -> Place {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let last = text.rsplit('\n').next().unwrap_or_default();
    Place { line: text.matches('\n').count() + 1, column: last.chars().count() + 1 }
}

/// A tab in the indentation is invisible in most editors, so it is named before anything else.
fn syntax_message(text: &str, place: Place, info: &str) -> String {
    let line = text.lines().nth(place.line.saturating_sub(1)).unwrap_or_default();
    let indentation = &line[..line.len() - line.trim_start().len()];
    if indentation.contains('\t') {
        "a tab indents this line; use spaces".to_owned()
    } else {
        format!("not valid YAML: {}; correct this line or the one before it", shown(info))
    }
}

/// What ends the reading, as a message.
struct Stop(String);

/// A collection that is still open.
struct Frame {
    place: Place,
    anchor: usize,
    weight: usize,
    height: usize,
    kind: Kind,
}

enum Kind {
    Sequence(Vec<Rc<Node>>),
    Mapping { entries: Vec<Entry>, lines: HashMap<String, usize>, key: Awaited },
}

/// What a mapping's next value belongs to.
enum Awaited {
    /// It is itself a key.
    Key,
    Value(String, Place),
    /// Its key was refused.
    Nothing,
}

#[derive(Default)]
struct Builder {
    frames: Vec<Frame>,
    anchors: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
    documents: usize,
    weight: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span, findings: &mut Findings) -> Result<(), Stop> {
        let place = place_of(span);
        let tag = match &event {
            Event::Scalar(_, _, _, tag)
            | Event::SequenceStart(_, _, tag)
            | Event::MappingStart(_, _, tag) => tag,
            _ => &None,
        };
        if tag.is_some() {
            findings.add(place, &self.path(), "a YAML tag changes the meaning of this value; remove it");
        }
        match event {
            Event::DocumentStart(..) => self.documents += 1,
            Event::Scalar(text, style, anchor, _) => {
                let weight = 1 + text.len() / 64;
                let content = Content::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                self.close(Node { place, content, weight, height: 0 }, anchor, findings)?;
            }
            Event::SequenceStart(_, anchor, _) => self.open(place, anchor, Kind::Sequence(Vec::new()))?,
            Event::MappingStart(_, anchor, _) => {
                let (entries, lines) = (Vec::new(), HashMap::new());
                self.open(place, anchor, Kind::Mapping { entries, lines, key: Awaited::Key })?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Frame { place, anchor, weight, height, kind }) = self.frames.pop() {
                    let content = match kind {
                        Kind::Sequence(items) => Content::Sequence(items),
                        Kind::Mapping { entries, .. } => Content::Mapping(entries),
                    };
                    // Its parts have been counted already; only its own value is new.
                    self.weight -= weight - 1;
                    self.close(Node { place, content, weight, height }, anchor, findings)?;
                }
            }
            Event::Alias(anchor) => {
                let stop =
                    || Stop("an alias stands inside the value that it names; write the value out".to_owned());
                let target = self.anchors.get(&anchor).cloned().ok_or_else(stop)?;
                self.attach(target, place, findings)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, place: Place, anchor: usize, kind: Kind) -> Result<(), Stop> {
        self.frames.push(Frame { place, anchor, weight: 1, height: 0, kind });
        if self.frames.len() > DEEPEST { Err(too_deep()) } else { Ok(()) }
    }

    fn close(&mut self, node: Node, anchor: usize, findings: &mut Findings) -> Result<(), Stop> {
        let place = node.place;
        let node = Rc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.attach(node, place, findings)
    }

    /// Puts a complete value where the innermost open collection waits for it.
    fn attach(&mut self, node: Rc<Node>, place: Place, findings: &mut Findings) -> Result<(), Stop> {
        self.weight += node.weight;
        if self.weight > MOST {
            return Err(Stop(format!("more than {MOST} values, aliases expanded; make the file smaller")));
        }
        if self.frames.len() + node.height > DEEPEST {
            return Err(too_deep());
        }
        let Some(frame) = self.frames.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        frame.weight += node.weight;
        frame.height = frame.height.max(node.height + 1);
        let mut refused = None;
        match &mut frame.kind {
            Kind::Sequence(items) => items.push(node),
            Kind::Mapping { entries, lines, key } => match std::mem::replace(key, Awaited::Nothing) {
                Awaited::Key => match usable_key(&node, place, lines) {
                    Ok(text) => *key = Awaited::Value(text, place),
                    Err(message) => refused = Some(message),
                },
                Awaited::Value(text, place) => {
                    entries.push(Entry { key: text, place, value: node });
                    *key = Awaited::Key;
                }
                Awaited::Nothing => *key = Awaited::Key,
            },
        }
        if let Some(message) = refused {
            findings.add(place, &self.path(), message);
        }
        Ok(())
    }

    /// Where the next value belongs.
    fn path(&self) -> String {
        let mut path = String::new();
        for frame in &self.frames {
            match &frame.kind {
                Kind::Sequence(items) => {
                    let _ = write!(path, "[{}]", items.len());
                }
                Kind::Mapping { key: Awaited::Value(key, _), .. } => path = key_path(&path, key),
                Kind::Mapping { .. } => {}
            }
        }
        path
    }
}

fn too_deep() -> Stop {
    Stop(format!("nested more than {DEEPEST} levels deep; no key needs that"))
}

/// The key's text, which is new to the mapping.
fn usable_key(node: &Node, place: Place, lines: &mut HashMap<String, usize>) -> Result<String, String> {
    let Content::Scalar { text, plain } = &node.content else {
        return Err("a key must be plain text; a list or a mapping can't be one".to_owned());
    };
    if *plain && text == "<<" {
        return Err("merge keys (<<) are not supported; write the keys out".to_owned());
    }
    if let Some(line) = lines.get(text) {
        return Err(format!(
            "the key \"{}\" already stands in line {line}; remove one of the two",
            shown(text)
        ));
    }
    lines.insert(text.clone(), place.line);
    Ok(text.clone())
}
