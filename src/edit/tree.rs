//! The file as a tree of nodes that know their bytes.
//!
//! The only file that knows the parser: another one with byte offsets could replace it here.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle, Tag};

use super::EditError;
use crate::model::printable;

/// A file of the largest size with ordinary lines stays below these; none of them takes longer than a blink.
const MAX_NODES: usize = 50_000;
const MAX_DEPTH: usize = 64;
const MAX_WEIGHT: u64 = 300_000;
const MAX_DIRECTIVES: usize = 64;
const MAX_COMMENTS: usize = 20_000;

pub(super) type NodeId = usize;

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Block,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind<'t> {
    Scalar { text: Cow<'t, str>, style: Style },
    Sequence { flow: bool, items: Vec<NodeId> },
    Mapping { flow: bool, pairs: Vec<(NodeId, NodeId)> },
    Alias(NodeId),
}

/// An explicit tag, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tagged {
    No,
    Text,
    Other,
}

#[derive(Debug)]
pub(super) struct Node<'t> {
    pub(super) kind: Kind<'t>,
    /// Bytes of the content, without anchor and tag. The end is exact for scalars, aliases and flow collections only.
    pub(super) span: Range<usize>,
    /// From 1.
    pub(super) line: usize,
    /// From 0, in characters.
    pub(super) column: usize,
    /// The number of aliases that refer to the node's anchor; `None` without an anchor.
    pub(super) anchored: Option<usize>,
    pub(super) tag: Tagged,
}

/// Where a comment stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Comment {
    /// Bytes from its `#` to the end of its line.
    pub(super) span: Range<usize>,
    /// From 1.
    pub(super) line: usize,
}

/// All documents of a file.
#[derive(Debug)]
pub(super) struct Tree<'t> {
    pub(super) text: &'t str,
    pub(super) documents: Vec<NodeId>,
    /// In the order of the file; empty unless they were asked for.
    pub(super) comments: Vec<Comment>,
    nodes: Vec<Node<'t>>,
}

impl Node<'_> {
    /// Whether nothing stands where the value would.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self.kind, Kind::Scalar { style: Style::Plain, .. }) && self.span.is_empty()
    }
}

impl<'t> Tree<'t> {
    /// Parses within limits of depth, size and what aliases unfold to.
    pub(super) fn parse(text: &'t str) -> Result<Self, EditError> {
        Self::read(text, false)
    }

    /// The same, with the comments.
    pub(super) fn parse_with_comments(text: &'t str) -> Result<Self, EditError> {
        Self::read(text, true)
    }

    fn read(text: &'t str, comments: bool) -> Result<Self, EditError> {
        if text.split('\n').filter(|line| line.starts_with('%')).count() > MAX_DIRECTIVES {
            return Err(EditError::TooComplex { line: 1, reason: "there are too many directives" });
        }
        let mut options = granit_parser::options! {
            // The builder below tells the limit by name; the parser's own only bounds its stacks.
            flow_nesting_limit: MAX_DEPTH * 2,
            block_nesting_limit: MAX_DEPTH * 2,
        };
        options.set_emit_comments(comments);
        // As many as stand in a row; the file's own size bounds them.
        options.max_buffered_comment_events = MAX_COMMENTS;
        let mut builder = Builder::new(text);
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = event.map_err(|error| EditError::Unparsable {
                line: error.marker().line(),
                column: error.marker().col() + 1,
                reason: printable(&error.info(), 200),
            })?;
            builder.take(event, span)?;
        }
        Ok(builder.tree)
    }

    /// All nodes, in the order of the file.
    pub(super) fn nodes(&self) -> &[Node<'t>] {
        &self.nodes
    }

    pub(super) fn node(&self, id: NodeId) -> &Node<'t> {
        &self.nodes[id]
    }

    /// The node that an alias stands for, or the node itself.
    pub(super) fn resolved(&self, id: NodeId) -> &Node<'t> {
        match self.nodes[id].kind {
            Kind::Alias(target) => &self.nodes[target],
            _ => &self.nodes[id],
        }
    }

    /// The text of a scalar, through an alias.
    pub(super) fn scalar(&self, id: NodeId) -> Option<&str> {
        match &self.resolved(id).kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Whether the node, through an alias, is nothing: empty, `~` or `null`.
    pub(super) fn is_null(&self, id: NodeId) -> bool {
        let node = self.resolved(id);
        match &node.kind {
            Kind::Scalar { text, style: Style::Plain } if node.tag == Tagged::No => {
                node.is_absent() || matches!(text.as_ref(), "~" | "null" | "Null" | "NULL")
            }
            _ => false,
        }
    }

    /// The pairs of a mapping, through an alias; none for anything else.
    pub(super) fn pairs(&self, id: NodeId) -> &[(NodeId, NodeId)] {
        match &self.resolved(id).kind {
            Kind::Mapping { pairs, .. } => pairs,
            _ => &[],
        }
    }

    /// The ways to nodes from the top of the file: the document, then at each collection the place of the item or pair.
    pub(super) fn paths_of(&self, ids: impl Iterator<Item = NodeId>) -> Vec<Vec<usize>> {
        let mut holders: HashMap<NodeId, (NodeId, usize)> = HashMap::new();
        for (holder, node) in self.nodes.iter().enumerate() {
            match &node.kind {
                Kind::Sequence { items, .. } => {
                    holders.extend(items.iter().enumerate().map(|(place, &item)| (item, (holder, place))));
                }
                Kind::Mapping { pairs, .. } => {
                    holders.extend(
                        pairs.iter().enumerate().map(|(place, &(_, value))| (value, (holder, place))),
                    );
                }
                Kind::Scalar { .. } | Kind::Alias(_) => {}
            }
        }
        ids.map(|mut id| {
            let mut path = Vec::new();
            while let Some(&(holder, place)) = holders.get(&id) {
                path.push(place);
                id = holder;
            }
            path.extend(self.documents.iter().position(|&document| document == id));
            path.reverse();
            path
        })
        .collect()
    }

    /// Whether all nodes are those of `other`, wherever they stand, but for these.
    pub(super) fn differs_only_in(&self, other: &Tree<'_>, may: impl Fn(NodeId) -> bool) -> bool {
        let same = |(id, (one, other)): (NodeId, (&Node<'_>, &Node<'_>))| {
            let placed = one.anchored == other.anchored && one.tag == other.tag && one.line == other.line;
            placed && (may(id) || one.kind == other.kind)
        };
        self.documents == other.documents
            && self.nodes.len() == other.nodes.len()
            && self.nodes.iter().zip(&other.nodes).enumerate().all(same)
    }

    /// The pair with the key, of a mapping.
    pub(super) fn pair(&self, mapping: NodeId, key: &str) -> Option<(NodeId, NodeId)> {
        self.pairs(mapping).iter().copied().find(|&(found, _)| self.scalar(found) == Some(key))
    }
}

struct Open {
    node: NodeId,
    key: Option<NodeId>,
    weight: u64,
    height: usize,
}

struct Builder<'t> {
    tree: Tree<'t>,
    stack: Vec<Open>,
    /// By the parser's anchor number.
    anchors: HashMap<usize, NodeId>,
    /// What a finished node unfolds to, and how deep: (weight, height).
    sizes: HashMap<NodeId, (u64, usize)>,
    total: u64,
}

impl<'t> Builder<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            tree: Tree { text, documents: Vec::new(), comments: Vec::new(), nodes: Vec::new() },
            stack: Vec::new(),
            anchors: HashMap::new(),
            sizes: HashMap::new(),
            total: 0,
        }
    }

    fn take(&mut self, event: Event<'t>, span: Span) -> Result<(), EditError> {
        match event {
            Event::Comment(..) => {
                let line = span.start.line();
                self.tree.comments.push(Comment { span: bytes(span), line });
                Ok(())
            }
            Event::Alias(anchor) => {
                let line = span.start.line();
                let Some(&target) = self.anchors.get(&anchor) else {
                    return Err(doubtful(line, "an alias has no anchor before it"));
                };
                let Some(&(weight, height)) = self.sizes.get(&target) else {
                    return Err(EditError::TooComplex {
                        line,
                        reason: "an alias refers to what it stands in",
                    });
                };
                if let Some(uses) = &mut self.tree.nodes[target].anchored {
                    *uses += 1;
                }
                let node = self.add(Kind::Alias(target), span, 0, None)?;
                self.finish(node, weight, height, line)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted => Style::SingleQuoted,
                    ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                };
                // A long text that many aliases repeat is a bomb, too.
                let weight = 1 + text.len() as u64 / 16;
                let node = self.add(Kind::Scalar { text, style }, span, anchor, tag.as_deref())?;
                self.note_size(node, anchor, weight, 1);
                self.finish(node, weight, 1, span.start.line())
            }
            Event::SequenceStart(style, anchor, tag) => {
                let kind = Kind::Sequence { flow: style == StructureStyle::Flow, items: Vec::new() };
                self.open(kind, span, anchor, tag.as_deref())
            }
            Event::MappingStart(style, anchor, tag) => {
                let kind = Kind::Mapping { flow: style == StructureStyle::Flow, pairs: Vec::new() };
                self.open(kind, span, anchor, tag.as_deref())
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { node, weight, height, .. }) = self.stack.pop() else { return Ok(()) };
                self.tree.nodes[node].span.end = bytes(span).end;
                if self.tree.nodes[node].anchored.is_some() {
                    self.sizes.insert(node, (weight, height));
                }
                let line = self.tree.nodes[node].line;
                self.finish(node, weight, height, line)
            }
            _ => Ok(()),
        }
    }

    fn open(
        &mut self,
        kind: Kind<'t>,
        span: Span,
        anchor: usize,
        tag: Option<&Tag>,
    ) -> Result<(), EditError> {
        let node = self.add(kind, span, anchor, tag)?;
        self.stack.push(Open { node, key: None, weight: 1, height: 1 });
        Ok(())
    }

    fn add(
        &mut self,
        kind: Kind<'t>,
        span: Span,
        anchor: usize,
        tag: Option<&Tag>,
    ) -> Result<NodeId, EditError> {
        let line = span.start.line();
        if self.tree.nodes.len() >= MAX_NODES {
            return Err(EditError::TooComplex { line, reason: "there are too many values" });
        }
        if self.stack.len() >= MAX_DEPTH {
            return Err(EditError::TooComplex { line, reason: "values are nested too deep" });
        }
        let node = self.tree.nodes.len();
        let tag = match tag {
            None => Tagged::No,
            Some(tag) if tag.core_suffix() == Some("str") => Tagged::Text,
            Some(_) => Tagged::Other,
        };
        let anchored = (anchor != 0).then_some(0);
        if anchored.is_some() {
            self.anchors.insert(anchor, node);
        }
        self.tree.nodes.push(Node { kind, span: bytes(span), line, column: span.start.col(), anchored, tag });
        Ok(node)
    }

    fn note_size(&mut self, node: NodeId, anchor: usize, weight: u64, height: usize) {
        if anchor != 0 {
            self.sizes.insert(node, (weight, height));
        }
    }

    /// Hands a finished node to the collection that it stands in, or makes it a document.
    fn finish(&mut self, node: NodeId, weight: u64, height: usize, line: usize) -> Result<(), EditError> {
        let Some(parent) = self.stack.last_mut() else {
            self.tree.documents.push(node);
            self.total += weight;
            return Self::bounded(self.total, height, line);
        };
        parent.weight = parent.weight.saturating_add(weight);
        parent.height = parent.height.max(height + 1);
        let (weight, height) = (parent.weight, parent.height);
        match &mut self.tree.nodes[parent.node].kind {
            Kind::Mapping { pairs, .. } => match parent.key.take() {
                None => parent.key = Some(node),
                Some(key) => pairs.push((key, node)),
            },
            Kind::Sequence { items, .. } => items.push(node),
            Kind::Scalar { .. } | Kind::Alias(_) => {}
        }
        Self::bounded(weight, height, line)
    }

    fn bounded(weight: u64, height: usize, line: usize) -> Result<(), EditError> {
        if weight > MAX_WEIGHT {
            return Err(EditError::TooComplex { line, reason: "aliases unfold to too much" });
        }
        if height > MAX_DEPTH {
            return Err(EditError::TooComplex { line, reason: "values are nested too deep" });
        }
        Ok(())
    }
}

fn bytes(span: Span) -> Range<usize> {
    span.byte_range().unwrap_or(0..0)
}

/// An [`EditError::Doubtful`].
pub(super) fn doubtful(line: usize, reason: &str) -> EditError {
    EditError::Doubtful { line, reason: reason.to_owned() }
}
