//! Setter comments of Flux: `# {"$imagepolicy": "NAMESPACE:POLICY[:tag|:name|:digest]"}`.
//!
//! A marker stands behind its value on the same line, or alone on the line above it, as Flux's own setters (kyaml)
//! read them. What Flux passes over in silence is a [`Misplaced`] here.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::splice::{BLOCK, NOT_SINGLE, Splice, checked_line_ends, in_style, says};
use super::tree::{Comment, Kind, NodeId, Style, Tagged, Tree, doubtful};
use super::{EditError, Written, check, text_of};
use crate::model::printable;

/// Every marker has this key, and Flux looks for nothing else in a file.
const KEY: &str = "$imagepolicy";

/// What of an image a marked value holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `REPOSITORY:TAG@DIGEST`, or as much of that as there is.
    Reference,
    /// The repository alone.
    Name,
    /// The tag alone.
    Tag,
    /// The digest alone.
    Digest,
}

/// A marker with the value that it marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// `NAMESPACE:POLICY`.
    pub policy: String,
    /// What the value holds.
    pub part: Part,
    /// The line of the comment, from 1.
    pub line: usize,
    /// The value as every reader takes it; empty for `null`.
    pub value: String,
}

/// A comment that looks like a marker and is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misplaced {
    /// The line of the comment, from 1.
    pub line: usize,
    /// What is wrong, in words.
    pub reason: String,
}

/// The markers of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marked {
    /// Those that can be obeyed, in the order of the file.
    pub markers: Vec<Marker>,
    /// Those that can't.
    pub misplaced: Vec<Misplaced>,
}

/// Finds the markers of a YAML file. A file without any is not parsed; one that has some and is no YAML is an error.
pub fn markers(text: &[u8]) -> Result<Marked, EditError> {
    if !mentions(text) {
        return Ok(Marked::default());
    }
    let tree = Tree::parse_with_comments(text_of(text)?)?;
    let (places, misplaced) = places(&tree);
    Ok(Marked { markers: places.into_iter().map(|place| place.marker).collect(), misplaced })
}

/// The file with the values of all markers whose policy `wanted` knows saying what it tells, every other byte as it
/// was; `Ok(None)` where they say so already.
pub fn set_markers<'w>(
    text: &[u8],
    wanted: impl Fn(&str) -> Option<&'w Written>,
) -> Result<Option<Vec<u8>>, EditError> {
    if !mentions(text) {
        return Ok(None);
    }
    let text = text_of(text)?;
    let tree = Tree::parse_with_comments(text)?;
    let mut targets = BTreeMap::new();
    for Place { node, marker } in places(&tree).0 {
        let Some(written) = wanted(&marker.policy) else { continue };
        written.check()?;
        let value = marker.part.of(written, &marker.value).map_err(|lack| {
            let words = format!("the marker of {} asks for {lack}, and the version has none", marker.policy);
            doubtful(marker.line, &words)
        })?;
        if !says(&tree, node, &value) {
            targets.insert(node, value);
        }
    }
    if targets.is_empty() {
        return Ok(None);
    }
    checked_line_ends(text)?;
    let mut edited = text.to_owned();
    // From the end of the file: what stands before a place does not move.
    for (&node, value) in targets.iter().rev() {
        let Kind::Scalar { style, .. } = tree.node(node).kind else { continue };
        let with = in_style(style, value).ok_or_else(|| doubtful(tree.node(node).line, BLOCK))?;
        edited = Splice { range: tree.node(node).span.clone(), with }.apply(&edited);
    }
    proven(&tree, &edited, &targets)?;
    Ok(Some(edited.into_bytes()))
}

fn mentions(text: &[u8]) -> bool {
    memchr::memmem::find(text, KEY.as_bytes()).is_some()
}

impl Part {
    /// What the value shall say; what `written` leaves open stays as the old value has it. Fails with what is missing.
    fn of(self, written: &Written, old: &str) -> Result<String, &'static str> {
        let name = written.new_name.as_deref();
        let tag = written.new_tag.as_ref().map(ToString::to_string);
        let digest = written.digest.as_ref().map(ToString::to_string);
        match self {
            Self::Name => Ok(name.unwrap_or(old).to_owned()).and_then(|name| some(name, "a name")),
            Self::Tag => tag.ok_or("a tag"),
            Self::Digest => digest.ok_or("a digest"),
            Self::Reference => {
                let mut reference = some(name.unwrap_or(split(old).0).to_owned(), "a name")?;
                if tag.is_none() && digest.is_none() {
                    return Err("a tag or a digest");
                }
                reference.extend(tag.map(|tag| format!(":{tag}")));
                reference.extend(digest.map(|digest| format!("@{digest}")));
                Ok(reference)
            }
        }
    }
}

fn some(text: String, what: &'static str) -> Result<String, &'static str> {
    if text.is_empty() { Err(what) } else { Ok(text) }
}

/// Name, tag and digest of a reference, each empty where there is none.
pub(super) fn split(reference: &str) -> (&str, &str, &str) {
    let (rest, digest) = reference.split_once('@').unwrap_or((reference, ""));
    match rest.rsplit_once(':') {
        // A colon before the last slash belongs to a port.
        Some((name, tag)) if !tag.contains('/') => (name, tag, digest),
        _ => (rest, "", digest),
    }
}

struct Place {
    node: NodeId,
    marker: Marker,
}

/// Every marker with its value, and every comment that should be one.
fn places(tree: &Tree<'_>) -> (Vec<Place>, Vec<Misplaced>) {
    let layout = Layout::of(tree);
    let (mut places, mut misplaced) = (Vec::new(), Vec::new());
    let mut taken = HashSet::new();
    for comment in &tree.comments {
        let words = &tree.text[comment.span.clone()];
        if !words.contains(KEY) {
            continue;
        }
        let found = policy(words).and_then(|(policy, part)| {
            let node = layout.value(comment).map_err(str::to_owned);
            let node = node.and_then(|node| layout.editable(node).map(|()| node));
            let node = node.map_err(|reason| format!("the marker of {policy} {reason}"))?;
            if !taken.insert(node) {
                return Err(format!(
                    "the marker of {policy} stands at a value that another one marks already"
                ));
            }
            let value = tree.scalar(node).filter(|_| !tree.is_null(node)).unwrap_or_default().to_owned();
            Ok(Place { node, marker: Marker { policy, part, line: comment.line, value } })
        });
        match found {
            Ok(place) => places.push(place),
            Err(reason) => misplaced.push(Misplaced { line: comment.line, reason }),
        }
    }
    for node in tree.nodes() {
        // Values of Helm charts often stand in a block of text, where no reader of YAML sees a comment.
        if matches!(node.kind, Kind::Scalar { style: Style::Block, .. })
            && let Some(at) = tree.text.get(node.span.clone()).and_then(|block| block.find(KEY))
        {
            let line = node.line + tree.text[node.span.start..node.span.start + at].matches('\n').count();
            misplaced.push(Misplaced {
                line,
                reason: "a marker stands in a block of text, which is not edited".to_owned(),
            });
        }
    }
    misplaced.sort_by_key(|misplaced| misplaced.line);
    (places, misplaced)
}

/// What the words of a comment, `#` included, mark.
fn policy(comment: &str) -> Result<(String, Part), String> {
    let words = comment.trim_start_matches('#').trim();
    let fields: BTreeMap<String, String> = serde_json::from_str(words).map_err(|error| {
        format!(
            "`{}` is no marker, as it is not one JSON object of texts with nothing behind it ({error})",
            printable(words, 120)
        )
    })?;
    let text = fields.get(KEY).ok_or_else(|| format!("the marker has no key \"{KEY}\""))?;
    let parts: Vec<&str> = text.split(':').collect();
    let (namespace, name, part) = match parts.as_slice() {
        [namespace, name] => (namespace, name, Part::Reference),
        [namespace, name, "name"] => (namespace, name, Part::Name),
        [namespace, name, "tag"] => (namespace, name, Part::Tag),
        [namespace, name, "digest"] => (namespace, name, Part::Digest),
        _ => return Err(unknown(text)),
    };
    if namespace.is_empty() || name.is_empty() {
        return Err(unknown(text));
    }
    Ok((printable(&format!("{namespace}:{name}"), 520), part))
}

fn unknown(text: &str) -> String {
    format!(
        "\"{}\" names no policy; write NAMESPACE:POLICY, alone or with :tag, :name or :digest behind it",
        printable(text, 120)
    )
}

/// Which value stands where, for finding the one that a comment is about.
struct Layout<'n, 't> {
    tree: &'n Tree<'t>,
    /// Scalars and aliases that have bytes, in the order of the file.
    written: Vec<NodeId>,
    /// The value of each key.
    values: HashMap<NodeId, NodeId>,
}

impl<'n, 't> Layout<'n, 't> {
    fn of(tree: &'n Tree<'t>) -> Self {
        let mut values = HashMap::new();
        let mut written = Vec::new();
        for (id, node) in tree.nodes().iter().enumerate() {
            match &node.kind {
                Kind::Mapping { pairs, .. } => values.extend(pairs.iter().copied()),
                Kind::Scalar { .. } | Kind::Alias(_) if !node.span.is_empty() => written.push(id),
                _ => {}
            }
        }
        Self { tree, written, values }
    }

    /// The value that the comment is about, or why there is none.
    fn value(&self, comment: &Comment) -> Result<NodeId, &'static str> {
        let text = self.tree.text;
        let start = text[..comment.span.start].rfind('\n').map_or(0, |feed| feed + 1);
        let before = text[start..comment.span.start].trim_start_matches('\u{feff}');
        if before.trim_matches([' ', '\t']).is_empty() {
            self.below(start, comment)
        } else {
            self.beside(comment)
        }
    }

    /// The value that ends on the comment's line.
    fn beside(&self, comment: &Comment) -> Result<NodeId, &'static str> {
        let at = comment.span.start;
        let index = self.written.partition_point(|&id| self.tree.node(id).span.start < at);
        let Some(&last) = index.checked_sub(1).and_then(|index| self.written.get(index)) else {
            return Err("stands behind no value");
        };
        let end = self.tree.node(last).span.end;
        let Some(between) = self.tree.text.get(end..at) else {
            return Err("stands at a block of text, which is not edited");
        };
        match (between.trim_matches([' ', '\t']), self.values.get(&last)) {
            ("" | ",", None) => Ok(last),
            // Its value stands on one of the next lines.
            (":", Some(&value)) => Ok(value),
            (":" | "" | ",", _) => Err("stands behind a key without a value"),
            (header, Some(_)) if header.contains(['|', '>']) => {
                Err("stands at a block of text, which is not edited")
            }
            (between, _) if between.contains([']', '}']) => {
                Err("stands behind a list or a mapping, not behind one value")
            }
            _ => Err("stands behind no value"),
        }
    }

    /// The value on the line below the comment, which has its line to itself.
    fn below(&self, start: usize, comment: &Comment) -> Result<NodeId, &'static str> {
        let text = self.tree.text;
        let above = text[..start].trim_end_matches(['\r', '\n']);
        let is_next = text[above.len()..start].matches('\n').count() < 2;
        let above = above.rsplit('\n').next().unwrap_or_default();
        if is_next && above.trim_start_matches([' ', '\t', '\u{feff}']).starts_with('#') {
            return Err("stands below another comment, and only one alone is read");
        }
        let next = text[comment.span.end..].find('\n').map_or(text.len(), |feed| comment.span.end + feed + 1);
        let end = text[next..].find('\n').map_or(text.len(), |feed| next + feed);
        let index = self.written.partition_point(|&id| self.tree.node(id).span.start < next);
        let first = self.written.get(index).filter(|&&id| self.tree.node(id).span.start < end);
        let Some(&first) = first else {
            return Err("stands above no value: the next line has none");
        };
        let indent = &text[next..self.tree.node(first).span.start];
        match self.values.get(&first) {
            Some(&value) if indent.bytes().all(|byte| byte == b' ') => Ok(value),
            Some(_) => Err("stands above a list or a mapping, not above one value"),
            None => Ok(first),
        }
    }

    /// Whether the value can be replaced without reaching further.
    fn editable(&self, id: NodeId) -> Result<(), String> {
        let node = self.tree.node(id);
        let at = |reason: &str| Err(format!("can't be obeyed: {reason}"));
        match &node.kind {
            _ if node.tag == Tagged::Other => at("a tag gives the value another type"),
            _ if node.anchored.is_some_and(|uses| uses > 0) => at("aliases elsewhere repeat the value"),
            _ if node.is_absent() => at("the value is empty, so write the present one there"),
            Kind::Alias(_) => at("the value is an alias; write it out"),
            Kind::Scalar { style: Style::Block, .. } => at(BLOCK),
            Kind::Scalar { .. } => Ok(()),
            Kind::Sequence { .. } | Kind::Mapping { .. } => at(NOT_SINGLE),
        }
    }
}

/// Fails unless `edited` is the file of `before` with nothing but the values of `targets` changed, for two parsers.
fn proven(before: &Tree<'_>, edited: &str, targets: &BTreeMap<NodeId, String>) -> Result<(), EditError> {
    let differs = |reason: &str| EditError::Unverified { reason: reason.to_owned() };
    let after = Tree::parse_with_comments(text_of(edited.as_bytes())?)
        .map_err(|error| EditError::Unverified { reason: error.to_string() })?;
    if after.documents != before.documents || after.nodes().len() != before.nodes().len() {
        return Err(differs("there are more or fewer values"));
    }
    for (id, (old, new)) in before.nodes().iter().zip(after.nodes()).enumerate() {
        let same = old.tag == new.tag
            && old.anchored == new.anchored
            && match (&old.kind, &new.kind, targets.get(&id)) {
                (Kind::Scalar { .. }, Kind::Scalar { text, .. }, Some(wanted)) => {
                    text == wanted && says(&after, id, wanted)
                }
                (Kind::Scalar { text: old, style }, Kind::Scalar { text, style: now }, None) => {
                    old == text && style == now
                }
                (Kind::Sequence { items: old, .. }, Kind::Sequence { items, .. }, None) => old == items,
                (Kind::Mapping { pairs: old, .. }, Kind::Mapping { pairs, .. }, None) => old == pairs,
                (Kind::Alias(old), Kind::Alias(now), None) => old == now,
                _ => false,
            };
        if !same {
            return Err(differs("another value than those that are marked changed"));
        }
    }
    let comments = |tree: &Tree<'_>| -> Vec<String> {
        tree.comments.iter().map(|comment| tree.text[comment.span.clone()].to_owned()).collect()
    };
    if comments(before) != comments(&after) {
        return Err(differs("a comment changed"));
    }
    let paths = before.paths_of(targets.keys().copied());
    let wanted: Vec<_> = paths.into_iter().zip(targets.values().map(String::as_str)).collect();
    check::only_these_changed(&check::values(before.text)?, &check::values(edited)?, &wanted)
}
