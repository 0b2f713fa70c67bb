//! Which bytes go when a pair or an item is taken out of the collection that holds it.

use std::ops::Range;

use super::EditError;
use super::splice::{Splice, content_end, is_flow, line_around, pair_end, with_line_end, without_line_ends};
use super::tree::{Kind, NodeId, Tree, doubtful};

/// Takes the pair `key` out of the first document's mapping; `None` where there is none.
pub(super) fn pair(tree: &Tree<'_>, key: &str) -> Result<Option<Splice>, EditError> {
    let Some(&root) = tree.documents.first() else { return Ok(None) };
    let pairs = tree.pairs(root);
    let Some(index) = pairs.iter().position(|&(name, _)| tree.scalar(name) == Some(key)) else {
        return Ok(None);
    };
    let (name, value) = pairs[index];
    let range = tree.node(name).span.start..pair_end(tree, name, value)?;
    if !is_flow(tree, root)? {
        return lines(tree, range, "").map(Some);
    }
    let before = index.checked_sub(1).map(|before| pair_end(tree, pairs[before].0, pairs[before].1));
    let after = pairs.get(index + 1).map(|&(next, _)| tree.node(next).span.start);
    within(tree, range, before.transpose()?, after).map(Some)
}

/// Takes one of several items out of a list.
pub(super) fn item(tree: &Tree<'_>, list: NodeId, index: usize) -> Result<Splice, EditError> {
    let node = tree.node(list);
    let Kind::Sequence { items, .. } = &node.kind else {
        return Err(doubtful(node.line, "it is not a list"));
    };
    let Some(&item) = items.get(index) else {
        return Err(doubtful(node.line, "the list has changed"));
    };
    let range = tree.node(item).span.start..content_end(tree, item)?;
    if !is_flow(tree, list)? {
        return lines(tree, range, "-");
    }
    let before = index.checked_sub(1).map(|before| content_end(tree, items[before]));
    let after = items.get(index + 1).map(|&next| tree.node(next).span.start);
    within(tree, range, before.transpose()?, after)
}

/// Out of a flow collection, with one of the commas beside it.
fn within(
    tree: &Tree<'_>,
    range: Range<usize>,
    before: Option<usize>,
    after: Option<usize>,
) -> Result<Splice, EditError> {
    let wider = match (before, after) {
        (Some(before), _) => before..range.end,
        (None, Some(after)) => range.start..after,
        (None, None) => range.clone(),
    };
    let between = [&tree.text[wider.start..range.start], &tree.text[range.end..wider.end]];
    if between.iter().any(|text| text.contains('#')) {
        return Err(doubtful(line(tree, range.start), "a comment stands next to what is to be removed"));
    }
    Ok(Splice { range: wider, with: String::new() })
}

/// Out of a block collection, as whole lines; `mark` is what stands before it on its first line.
fn lines(tree: &Tree<'_>, range: Range<usize>, mark: &str) -> Result<Splice, EditError> {
    let text = tree.text;
    let first = line_around(text, range.start);
    let begin = if text[first.start..].starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let start = first.start + begin;
    let end = without_line_ends(text, range.end).max(range.start);
    let last = line_around(text, end);
    let rest = text[end..last.end].trim_start_matches([' ', '\t']);
    if text[start..range.start].trim_matches(' ') != mark || !(rest.is_empty() || rest.starts_with('#')) {
        return Err(doubtful(line(tree, range.start), "what is to be removed shares its lines with more"));
    }
    Ok(Splice { range: with_line_end(text, start..last.end), with: String::new() })
}

fn line(tree: &Tree<'_>, at: usize) -> usize {
    tree.text[..at].matches('\n').count() + 1
}
