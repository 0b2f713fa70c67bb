//! Adds an item to a list below a key of the whole file, or sets a mapping there, in the style that stands there.

use super::EditError;
use super::scalar::double_quoted;
use super::splice::{
    Splice, add_pair, colon_end, content_end, insert_line, is_flow, line_ending, without_line_ends,
};
use super::tree::{Kind, NodeId, Tagged, Tree, doubtful};

/// A mapping that becomes an item of a list: `KEY: VALUE` in their order.
pub(super) struct Item(pub(super) Vec<String>);

/// `KEY: "VALUE"`; control characters are expected to be gone.
pub(super) fn quoted(key: &str, value: &str) -> String {
    format!("{key}: {}", double_quoted(value))
}

impl Item {
    pub(super) fn flow(&self) -> String {
        format!("{{{}}}", self.0.join(", "))
    }

    /// With its `- ` at the column; without the indentation of its first line.
    fn block(&self, column: usize, ending: &str) -> String {
        format!("- {}", self.0.join(&format!("{ending}{}", " ".repeat(column + 2))))
    }

    /// The key at the column, and the item in a list of its own, `indent` further to the right.
    fn below(&self, key: &str, column: usize, indent: usize, ending: &str) -> String {
        let dash = column + indent;
        format!("{key}:{ending}{}{}", " ".repeat(dash), self.block(dash, ending))
    }
}

/// Where a value stands below a key of the whole file, or how the key begins.
pub(super) enum Place {
    /// The key is not there yet; this adds it.
    Fresh(Splice),
    /// The key's node and its value's.
    There(NodeId, NodeId),
}

/// Finds `key` in the first document. `flow` is the whole value in flow style; `block` is the whole pair, for a key at a column
/// and with an ending of its lines.
pub(super) fn place(
    tree: &Tree<'_>,
    key: &'static str,
    flow: &str,
    block: &dyn Fn(usize, &str) -> String,
) -> Result<Place, EditError> {
    let ending = line_ending(tree.text, 0);
    let root = match tree.documents.as_slice() {
        [] => return Ok(Place::Fresh(at_end(tree.text, &block(0, ending)))),
        &[root] if tree.is_null(root) && tree.node(root).is_absent() => {
            return Ok(Place::Fresh(at_end(tree.text, &block(0, ending))));
        }
        &[root, ..] => root,
    };
    let node = tree.node(root);
    let Kind::Mapping { flow: in_flow, pairs } = &node.kind else {
        return Err(doubtful(node.line, "the file is not a mapping"));
    };
    if let Some((place, value)) = tree.pair(root, key) {
        return Ok(Place::There(place, value));
    }
    if *in_flow && pairs.is_empty() {
        return Ok(Place::Fresh(Splice::insert(node.span.start + 1, format!("{key}: {flow}"))));
    }
    let Some(&(first, _)) = pairs.first() else {
        return Err(doubtful(node.line, "the mapping is empty"));
    };
    let ending = line_ending(tree.text, tree.node(first).span.start);
    let pair = if *in_flow { format!("{key}: {flow}") } else { block(tree.node(first).column, ending) };
    add_pair(tree, root, &pair, &|| format!("\"{key}\": {flow}")).map(Place::Fresh)
}

/// Where and how the item is added to the list `key` of the first document; a list that is not there yet is begun,
/// with its items `indent` to the right of the key.
pub(super) fn append(
    tree: &Tree<'_>,
    key: &'static str,
    item: &Item,
    indent: usize,
) -> Result<Splice, EditError> {
    let begun = |column: usize, ending: &str| item.below(key, column, indent, ending);
    let (place, list) = match place(tree, key, &format!("[{}]", item.flow()), &begun)? {
        Place::Fresh(splice) => return Ok(splice),
        Place::There(place, list) => (place, list),
    };
    let node = tree.node(list);
    if matches!(node.kind, Kind::Alias(_))
        || node.anchored.is_some_and(|uses| uses > 0)
        || node.tag != Tagged::No
    {
        return Err(doubtful(node.line, &format!("an anchor, alias or tag stands at the `{key}` list")));
    }
    match &node.kind {
        Kind::Sequence { items, .. } if is_flow(tree, list)? => Ok(match items.last() {
            Some(&end) => Splice::insert(content_end(tree, end)?, format!(", {}", item.flow())),
            None => Splice::insert(node.span.start + 1, item.flow()),
        }),
        Kind::Sequence { items, .. } => {
            let dash = items.iter().find_map(|&item| dash_column(tree, item));
            let (Some(dash), Some(&tail)) = (dash, items.last()) else {
                let words = format!("the `- ` of the `{key}` list do not stand at their items");
                return Err(doubtful(node.line, &words));
            };
            let end = content_end(tree, tail)?;
            Ok(insert_line(tree.text, end, dash, &item.block(dash, line_ending(tree.text, end))))
        }
        Kind::Scalar { .. } if node.is_absent() && node.anchored.is_none() => {
            Ok(Splice::insert(colon_end(tree, place)?, format!(" [{}]", item.flow())))
        }
        Kind::Scalar { .. } if tree.is_null(list) => {
            Ok(Splice { range: node.span.clone(), with: format!("[{}]", item.flow()) })
        }
        _ => Err(doubtful(node.line, &format!("`{key}` is not a list"))),
    }
}

/// How far the items of the file's own lists stand to the right of their keys.
pub(super) fn usual_indent(tree: &Tree<'_>) -> usize {
    let lists = tree.documents.iter().flat_map(|&root| tree.pairs(root));
    let indent = |&(key, list): &(NodeId, NodeId)| match &tree.node(list).kind {
        Kind::Sequence { flow: false, items } => {
            dash_column(tree, *items.first()?)?.checked_sub(tree.node(key).column)
        }
        _ => None,
    };
    lists.into_iter().find_map(indent).unwrap_or(0)
}

/// Behind the last line of the file, which gets a line ending where it has none.
fn at_end(text: &str, words: &str) -> Splice {
    let ending = line_ending(text, 0);
    let before = if text.is_empty() || text.ends_with('\n') || text == "\u{feff}" { "" } else { ending };
    Splice::insert(text.len(), format!("{before}{words}{ending}"))
}

/// How a mapping below a key of the first document comes to say exactly this; a key that is not there yet is begun.
pub(super) fn set(tree: &Tree<'_>, key: &'static str, fields: &Item) -> Result<Splice, EditError> {
    let lines = |column: usize, ending: &str| fields.0.join(&format!("{ending}{}", " ".repeat(column)));
    let begun = |column: usize, ending: &str| match fields.0.as_slice() {
        [] => format!("{key}: {{}}"),
        _ => format!("{key}:{ending}{}{}", " ".repeat(column + 2), lines(column + 2, ending)),
    };
    let (place, value) = match place(tree, key, &fields.flow(), &begun)? {
        Place::Fresh(splice) => return Ok(splice),
        Place::There(place, value) => (place, value),
    };
    let node = tree.node(value);
    if node.anchored.is_some() || node.tag != Tagged::No {
        return Err(doubtful(node.line, &format!("an anchor or tag stands at `{key}`")));
    }
    match &node.kind {
        Kind::Mapping { flow: false, .. } => {
            let end = without_line_ends(tree.text, content_end(tree, value)?);
            let ending = line_ending(tree.text, node.span.start);
            let with = if fields.0.is_empty() { fields.flow() } else { lines(node.column, ending) };
            Ok(Splice { range: node.span.start..end, with })
        }
        Kind::Mapping { .. } if is_flow(tree, value)? => {
            Ok(Splice { range: node.span.clone(), with: fields.flow() })
        }
        Kind::Scalar { .. } if node.is_absent() => {
            Ok(Splice::insert(colon_end(tree, place)?, format!(" {}", fields.flow())))
        }
        Kind::Scalar { .. } if tree.is_null(value) => {
            Ok(Splice { range: node.span.clone(), with: fields.flow() })
        }
        _ => Err(doubtful(node.line, &format!("`{key}` is not a mapping"))),
    }
}

/// The column of the `- ` that stands before an item on its line.
fn dash_column(tree: &Tree<'_>, item: NodeId) -> Option<usize> {
    let before = &tree.text[..tree.node(item).span.start];
    let before = &before[before.rfind('\n').map_or(0, |feed| feed + 1)..];
    let column = before.trim_end_matches(' ').strip_suffix('-')?;
    column.bytes().all(|byte| byte == b' ').then_some(column.len())
}
