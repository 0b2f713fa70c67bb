//! Adds an item to a list below a key of the whole file, in the style that stands there.

use super::EditError;
use super::scalar::double_quoted;
use super::splice::{Splice, add_pair, colon_end, content_end, insert_line, is_flow, line_ending};
use super::tree::{Kind, NodeId, Tagged, Tree, doubtful};

/// A mapping that becomes an item of a list: `KEY: VALUE` in their order.
pub(super) struct Item(pub(super) Vec<String>);

/// `KEY: "VALUE"`; control characters are expected to be gone.
pub(super) fn quoted(key: &str, value: &str) -> String {
    format!("{key}: {}", double_quoted(value))
}

impl Item {
    fn flow(&self) -> String {
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

/// Where and how the item is added to the list `key` of the first document; a list that is not there yet is begun,
/// with its items `indent` to the right of the key.
pub(super) fn append(
    tree: &Tree<'_>,
    key: &'static str,
    item: &Item,
    indent: usize,
) -> Result<Splice, EditError> {
    let ending = line_ending(tree.text, 0);
    let root = match tree.documents.as_slice() {
        [] => return Ok(at_end(tree.text, &item.below(key, 0, indent, ending))),
        &[root] if tree.is_null(root) && tree.node(root).is_absent() => {
            return Ok(at_end(tree.text, &item.below(key, 0, indent, ending)));
        }
        &[root, ..] => root,
    };
    let node = tree.node(root);
    let Kind::Mapping { flow, pairs } = &node.kind else {
        return Err(doubtful(node.line, "the file is not a mapping"));
    };
    let Some((place, list)) = tree.pair(root, key) else {
        if *flow && pairs.is_empty() {
            return Ok(Splice::insert(node.span.start + 1, format!("{key}: [{}]", item.flow())));
        }
        let Some(&(first, _)) = pairs.first() else {
            return Err(doubtful(node.line, "the mapping is empty"));
        };
        let ending = line_ending(tree.text, tree.node(first).span.start);
        let pair = if *flow {
            format!("{key}: [{}]", item.flow())
        } else {
            item.below(key, tree.node(first).column, indent, ending)
        };
        return add_pair(tree, root, &pair, &|| format!("\"{key}\": [{}]", item.flow()));
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

/// The column of the `- ` that stands before an item on its line.
fn dash_column(tree: &Tree<'_>, item: NodeId) -> Option<usize> {
    let before = &tree.text[..tree.node(item).span.start];
    let before = &before[before.rfind('\n').map_or(0, |feed| feed + 1)..];
    let column = before.trim_end_matches(' ').strip_suffix('-')?;
    column.bytes().all(|byte| byte == b' ').then_some(column.len())
}
