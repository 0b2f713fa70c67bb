//! Adds a version to the `quarantine` list of a record.

use super::record::{Quarantined, Record};
use super::scalar::double_quoted;
use super::splice::{
    Splice, add_pair, checked_line_ends, colon_end, content_end, insert_line, is_flow, line_ending,
};
use super::tree::{Kind, NodeId, Tagged, Tree, doubtful};
use super::{EditError, text_of};

/// Longest free text that is written, in characters.
const MAX_REASON: usize = 300;

/// The file with `entry` added to `quarantine`; `text` `None` means that there is no file yet. Every byte that people
/// wrote stays. `Ok(None)`: the digest is in quarantine already. The reason is cleaned of control characters, put on
/// one line and cut after 300 characters.
pub fn add_quarantine(text: Option<&[u8]>, entry: &Quarantined) -> Result<Option<Vec<u8>>, EditError> {
    let entry = Quarantined { reason: entry.reason.as_deref().and_then(one_line), ..entry.clone() };
    let text = text_of(text.unwrap_or_default())?;
    let tree = Tree::parse(text)?;
    let mut record = Record::of(&tree)?;
    if record.quarantine.iter().any(|known| known.digest == entry.digest) {
        return Ok(None);
    }
    checked_line_ends(text)?;
    let edited = place(&tree, &entry)?.apply(text);
    record.quarantine.push(entry);
    let same = Record::parse(edited.as_bytes()).is_ok_and(|after| after == record);
    if same {
        Ok(Some(edited.into_bytes()))
    } else {
        Err(EditError::Unverified {
            reason: "the record is not the old one with one quarantined digest more".to_owned(),
        })
    }
}

/// The bytes to insert.
fn place(tree: &Tree<'_>, entry: &Quarantined) -> Result<Splice, EditError> {
    let ending = line_ending(tree.text, 0);
    let root = match tree.documents.as_slice() {
        [] => return Ok(at_end(tree.text, &key_and_item(entry, 0, ending))),
        &[root] if tree.is_null(root) && tree.node(root).is_absent() => {
            return Ok(at_end(tree.text, &key_and_item(entry, 0, ending)));
        }
        &[root, ..] => root,
    };
    let node = tree.node(root);
    let Kind::Mapping { flow, pairs } = &node.kind else {
        return Err(doubtful(node.line, "the record is not a mapping"));
    };
    let Some((key, quarantine)) = tree.pair(root, "quarantine") else {
        if *flow && pairs.is_empty() {
            return Ok(Splice::insert(node.span.start + 1, format!("quarantine: [{}]", flow_item(entry))));
        }
        let ending = line_ending(tree.text, tree.node(pairs[0].0).span.start);
        let pair = if *flow {
            format!("quarantine: [{}]", flow_item(entry))
        } else {
            key_and_item(entry, tree.node(pairs[0].0).column, ending)
        };
        return add_pair(tree, root, &pair, &|| format!("\"quarantine\": [{}]", flow_item(entry)));
    };
    let node = tree.node(quarantine);
    if matches!(node.kind, Kind::Alias(_))
        || node.anchored.is_some_and(|uses| uses > 0)
        || node.tag != Tagged::No
    {
        return Err(doubtful(node.line, "an anchor, alias or tag stands at the `quarantine` list"));
    }
    match &node.kind {
        Kind::Sequence { items, .. } if is_flow(tree, quarantine)? => Ok(match items.last() {
            Some(&last) => Splice::insert(content_end(tree, last)?, format!(", {}", flow_item(entry))),
            None => Splice::insert(node.span.start + 1, flow_item(entry)),
        }),
        Kind::Sequence { items, .. } => {
            let dash = items.iter().find_map(|&item| dash_column(tree, item));
            let (Some(dash), Some(&last)) = (dash, items.last()) else {
                return Err(doubtful(
                    node.line,
                    "the `- ` of the `quarantine` list do not stand at their items",
                ));
            };
            let end = content_end(tree, last)?;
            Ok(insert_line(tree.text, end, dash, &block_item(entry, dash, line_ending(tree.text, end))))
        }
        Kind::Scalar { .. } if node.is_absent() && node.anchored.is_none() => {
            Ok(Splice::insert(colon_end(tree, key)?, format!(" [{}]", flow_item(entry))))
        }
        Kind::Scalar { .. } => {
            Ok(Splice { range: node.span.clone(), with: format!("[{}]", flow_item(entry)) })
        }
        _ => Err(doubtful(node.line, "`quarantine` is not a list")),
    }
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

fn fields(entry: &Quarantined) -> Vec<String> {
    let quoted = |key: &str, value: &str| format!("{key}: {}", double_quoted(value));
    let mut fields = vec![quoted("digest", entry.digest.as_str())];
    fields.extend(entry.tag.as_ref().map(|tag| quoted("tag", tag.as_str())));
    fields.extend(entry.reason.as_ref().map(|reason| quoted("reason", reason)));
    fields.extend(entry.at.map(|at| quoted("at", &at.to_string())));
    fields
}

fn flow_item(entry: &Quarantined) -> String {
    format!("{{{}}}", fields(entry).join(", "))
}

/// An item whose `- ` stands at the column; without the indentation of its first line.
fn block_item(entry: &Quarantined, column: usize, ending: &str) -> String {
    format!("- {}", fields(entry).join(&format!("{ending}{}", " ".repeat(column + 2))))
}

fn key_and_item(entry: &Quarantined, column: usize, ending: &str) -> String {
    let indent = " ".repeat(column + 2);
    format!("quarantine:{ending}{indent}{}", block_item(entry, column + 2, ending))
}

/// Free text on one line: control, formatting and forbidden characters become spaces, spaces are collapsed.
fn one_line(text: &str) -> Option<String> {
    let foreign = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut line = String::new();
    for word in
        text.split(|letter: char| foreign(letter) || letter.is_whitespace()).filter(|word| !word.is_empty())
    {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > MAX_REASON * 4 {
            break;
        }
    }
    let cut: String = line.chars().take(MAX_REASON).collect();
    let cut = cut.trim_end();
    (!cut.is_empty()).then(|| cut.to_owned())
}
