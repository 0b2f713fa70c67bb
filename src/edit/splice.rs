//! Which bytes change when a field of a mapping is set, added or removed.

use std::ops::Range;

use super::EditError;
use super::scalar::{double_quoted, is_plain_string, plain_or_quoted};
use super::tree::{Kind, Node, NodeId, Style, Tagged, Tree, doubtful};

/// Replaces the bytes of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Splice {
    pub(super) range: Range<usize>,
    pub(super) with: String,
}

impl Splice {
    pub(super) fn insert(at: usize, with: String) -> Self {
        Self { range: at..at, with }
    }

    /// Whether something stands there before and after.
    pub(super) fn replaces(&self) -> bool {
        !self.range.is_empty() && !self.with.is_empty()
    }

    pub(super) fn apply(&self, text: &str) -> String {
        [&text[..self.range.start], &self.with, &text[self.range.end..]].concat()
    }
}

/// A carriage return alone ends a line for YAML, but not for the rules here.
pub(super) fn checked_line_ends(text: &str) -> Result<(), EditError> {
    for (index, line) in text.split('\n').enumerate() {
        if line.strip_suffix('\r').unwrap_or(line).contains('\r') {
            return Err(doubtful(index + 1, "the line holds a carriage return without a line feed"));
        }
    }
    Ok(())
}

/// A field of a mapping: there, or to be added.
pub(super) struct Field<'n, 't> {
    pub(super) tree: &'n Tree<'t>,
    pub(super) entry: NodeId,
    pub(super) key: &'static str,
}

impl Field<'_, '_> {
    /// What to change so that the field holds `value` as a string, or is absent for `None`; `None` if it is so.
    pub(super) fn splice(&self, value: Option<&str>) -> Result<Option<Splice>, EditError> {
        let found =
            self.tree.pairs(self.entry).iter().position(|&(key, _)| self.tree.scalar(key) == Some(self.key));
        match (found, value) {
            (None, None) => Ok(None),
            (None, Some(value)) => self.add(value).map(Some),
            (Some(index), None) => self.remove(index).map(Some),
            (Some(index), Some(value)) => {
                let (key, old) = self.tree.pairs(self.entry)[index];
                if says(self.tree, old, value) { Ok(None) } else { self.replace(key, old, value).map(Some) }
            }
        }
    }

    fn replace(&self, key: NodeId, old: NodeId, value: &str) -> Result<Splice, EditError> {
        self.plain_keys()?;
        let node = self.tree.node(old);
        let refuse = |reason| Err(doubtful(node.line, reason));
        if node.tag == Tagged::Other {
            return refuse("a tag gives the value another type");
        }
        if node.anchored.is_some_and(|uses| uses > 0) {
            return refuse("aliases elsewhere repeat the value");
        }
        let with = match &node.kind {
            Kind::Alias(_) => self.fresh(value),
            Kind::Scalar { .. } if node.is_absent() => {
                if node.anchored.is_some() || node.tag != Tagged::No {
                    return refuse("an anchor or tag stands before an empty value");
                }
                return Ok(Splice::insert(colon_end(self.tree, key)?, format!(" {}", self.fresh(value))));
            }
            Kind::Scalar { style, .. } => match in_style(*style, value) {
                Some(with) => with,
                None => return refuse(BLOCK),
            },
            Kind::Sequence { .. } | Kind::Mapping { .. } => return refuse(NOT_SINGLE),
        };
        Ok(Splice { range: node.span.clone(), with })
    }

    fn add(&self, value: &str) -> Result<Splice, EditError> {
        self.plain_keys()?;
        add_pair(self.tree, self.entry, &format!("{}: {}", self.key, self.fresh(value)), &|| {
            format!("\"{}\": {}", self.key, double_quoted(value))
        })
    }

    fn remove(&self, index: usize) -> Result<Splice, EditError> {
        self.plain_keys()?;
        let tree = self.tree;
        let pairs = tree.pairs(self.entry);
        let (key, value) = pairs[index];
        let (name, old) = (tree.node(key), tree.node(value));
        let refuse = |reason| Err(doubtful(name.line, reason));
        if old.anchored.is_some_and(|uses| uses > 0) {
            return refuse("aliases elsewhere repeat the value that is to be removed");
        }
        if !matches!(old.kind, Kind::Alias(_) | Kind::Scalar { .. }) {
            return refuse("the value that is to be removed is not a single text");
        }
        let end = pair_end(tree, key, value)?;
        let next = pairs.get(index + 1).map(|&(next, _)| tree.node(next).span.start);
        if is_flow(tree, self.entry)? {
            let range = match (index.checked_sub(1), next) {
                (Some(before), _) => pair_end(tree, pairs[before].0, pairs[before].1)?..end,
                (None, Some(next)) => name.span.start..next,
                (None, None) => return refuse("nothing else would be left of the entry"),
            };
            let between = [
                &tree.text[range.start..name.span.start.max(range.start)],
                &tree.text[end..range.end.max(end)],
            ];
            if between.iter().any(|text| text.contains('#')) {
                return refuse("a comment stands next to the field that is to be removed");
            }
            return Ok(Splice { range, with: String::new() });
        }
        let line = line_around(tree.text, name.span.start);
        if end > line.end {
            return refuse("the field that is to be removed spans several lines");
        }
        let rest = tree.text[end..line.end].trim_start_matches([' ', '\t']);
        if !(rest.is_empty() || rest.starts_with('#')) {
            return refuse("the line of the field that is to be removed holds more");
        }
        if tree.text[line.start..name.span.start].bytes().all(|byte| byte == b' ') {
            return Ok(Splice { range: with_line_end(tree.text, line), with: String::new() });
        }
        // On the line of the `- `: the next field moves up, if nothing but the line's end stands between.
        match next {
            Some(next) if tree.text[end..next].trim_matches([' ', '\r', '\n']).is_empty() => {
                Ok(Splice { range: name.span.start..next, with: String::new() })
            }
            _ => refuse("the field that is to be removed shares its line with the `- ` of the entry"),
        }
    }

    /// A tag is quoted, so that the next hand that writes a number there keeps the quotes.
    fn fresh(&self, value: &str) -> String {
        if self.key == "newTag" { double_quoted(value) } else { plain_or_quoted(value) }
    }

    /// Explicit, anchored, tagged and aliased keys have more than one place where the value could go.
    fn plain_keys(&self) -> Result<(), EditError> {
        for &(key, _) in self.tree.pairs(self.entry) {
            let node = self.tree.node(key);
            let simple = matches!(&node.kind, Kind::Scalar { style, .. } if *style != Style::Block);
            if !simple || node.anchored.is_some() || node.tag != Tagged::No || node.span.is_empty() {
                return Err(doubtful(node.line, "a key of the `images` entry is not a simple one"));
            }
            colon_end(self.tree, key)?;
        }
        Ok(())
    }
}

/// Why a value is not replaced.
pub(super) const BLOCK: &str = "the value is a block of text";
pub(super) const NOT_SINGLE: &str = "the value is not a single text";

/// Whether every reader takes the node for this string.
pub(super) fn says(tree: &Tree<'_>, node: NodeId, value: &str) -> bool {
    match tree.resolved(node) {
        Node { kind: Kind::Scalar { text, style }, tag, .. } if text == value => match tag {
            Tagged::Text => true,
            Tagged::No => *style != Style::Plain || is_plain_string(text),
            Tagged::Other => false,
        },
        _ => false,
    }
}

/// The value as it stands in place of one of this style; none in place of a block of text.
pub(super) fn in_style(style: Style, value: &str) -> Option<String> {
    match style {
        Style::Plain => Some(plain_or_quoted(value)),
        Style::SingleQuoted => Some(format!("'{value}'")),
        Style::DoubleQuoted => Some(double_quoted(value)),
        Style::Block => None,
    }
}

/// Adds `pair` (or `json` in a flow mapping whose keys are all in double quotes) behind the last pair of a mapping.
pub(super) fn add_pair(
    tree: &Tree<'_>,
    mapping: NodeId,
    pair: &str,
    json: &dyn Fn() -> String,
) -> Result<Splice, EditError> {
    let pairs = tree.pairs(mapping);
    let (Some(&(first, _)), Some(&(key, value))) = (pairs.first(), pairs.last()) else {
        return Err(doubtful(tree.node(mapping).line, "the mapping is empty"));
    };
    let end = pair_end(tree, key, value)?;
    if is_flow(tree, mapping)? {
        let quoted = |&(key, _): &(NodeId, NodeId)| {
            matches!(tree.node(key).kind, Kind::Scalar { style: Style::DoubleQuoted, .. })
        };
        let pair = if pairs.iter().all(quoted) { json() } else { pair.to_owned() };
        return Ok(Splice::insert(end, format!(", {pair}")));
    }
    Ok(insert_line(tree.text, end, tree.node(first).column, pair))
}

/// A new line behind the one that holds `end`, with its line ending; `column` spaces and the words.
pub(super) fn insert_line(text: &str, end: usize, column: usize, words: &str) -> Splice {
    // A block of text ends behind its line's end.
    let inside = if end > 0 && text.as_bytes()[end - 1] == b'\n' { end - 1 } else { end };
    let line = line_around(text, inside);
    let ending = line_ending(text, line.end);
    Splice::insert(line.end, format!("{ending}{}{words}", " ".repeat(column)))
}

/// The line ending at or after the offset; without one the last before it, or a line feed.
pub(super) fn line_ending(text: &str, at: usize) -> &'static str {
    let feed = text[at..].find('\n').map(|found| at + found).or_else(|| text[..at].rfind('\n'));
    match feed {
        Some(feed) if text[..feed].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

/// Whether the mapping or sequence is in flow style. One without its own brackets (`[a: b]`) cannot be extended.
pub(super) fn is_flow(tree: &Tree<'_>, id: NodeId) -> Result<bool, EditError> {
    let node = tree.node(id);
    match node.kind {
        Kind::Mapping { flow: true, .. } | Kind::Sequence { flow: true, .. } => {
            let own = tree.text[node.span.clone()].ends_with(['}', ']'])
                && tree.text[node.span.start..].starts_with(['{', '[']);
            if own { Ok(true) } else { Err(doubtful(node.line, "the entry has no braces of its own")) }
        }
        _ => Ok(false),
    }
}

/// The bytes of the line around the offset, without its ending.
pub(super) fn line_around(text: &str, at: usize) -> Range<usize> {
    let start = text[..at].rfind('\n').map_or(0, |feed| feed + 1);
    let end = text[at..].find('\n').map_or(text.len(), |feed| at + feed);
    let end =
        if end > start && end < text.len() && text.as_bytes()[end - 1] == b'\r' { end - 1 } else { end };
    start..end.max(at)
}

/// The line with its ending, or with the ending before it where it is the file's last and has none.
pub(super) fn with_line_end(text: &str, line: Range<usize>) -> Range<usize> {
    let rest = &text[line.end..];
    let ending = if rest.starts_with("\r\n") { 2 } else { usize::from(rest.starts_with('\n')) };
    if ending > 0 {
        return line.start..line.end + ending;
    }
    let before = &text[..line.start];
    let start =
        before.strip_suffix('\n').map_or(before, |shorter| shorter.strip_suffix('\r').unwrap_or(shorter));
    start.len()..line.end
}

/// An end of content without the line endings that a block of text brings.
pub(super) fn without_line_ends(text: &str, end: usize) -> usize {
    text[..end].trim_end_matches(['\n', '\r']).len()
}

/// The offset behind the colon of a simple key.
pub(super) fn colon_end(tree: &Tree<'_>, key: NodeId) -> Result<usize, EditError> {
    let node = tree.node(key);
    let rest = &tree.text[node.span.end..];
    let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    if rest[blanks..].starts_with(':') {
        Ok(node.span.end + blanks + 1)
    } else {
        Err(doubtful(node.line, "no colon follows the key"))
    }
}

pub(super) fn pair_end(tree: &Tree<'_>, key: NodeId, value: NodeId) -> Result<usize, EditError> {
    Ok(content_end(tree, value)?.max(colon_end(tree, key)?))
}

/// The offset behind a node's last byte of content.
pub(super) fn content_end(tree: &Tree<'_>, id: NodeId) -> Result<usize, EditError> {
    let node = tree.node(id);
    match &node.kind {
        Kind::Mapping { flow: false, pairs } => match pairs.last() {
            Some(&(key, value)) => pair_end(tree, key, value),
            None => Ok(node.span.start),
        },
        Kind::Sequence { flow: false, items } => match items.last() {
            Some(&item) => content_end(tree, item),
            None => Ok(node.span.start),
        },
        _ => Ok(node.span.end),
    }
}
