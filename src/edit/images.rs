//! Finds the entries of `images:` and the one entry that may be edited.

use serde_yaml::Value;

use super::tree::{Kind, NodeId, Tree, doubtful};
use super::{EditError, check, text_of};
use crate::model::{ImageName, printable};

/// One entry of `images:` as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageEntry {
    /// `name`.
    pub name: String,
    /// `newName`; `None` where it is absent or empty.
    pub new_name: Option<String>,
    /// `newTag` as it is spelled, even where a reader would take it for a number; `None` where it is absent or empty.
    pub new_tag: Option<String>,
    /// `digest`; `None` where it is absent or empty.
    pub digest: Option<String>,
    /// The line of the entry's first field, from 1.
    pub line: usize,
}

/// The `images` entries of a kustomization, all documents, in the order of the file. Entries without a name, which
/// kustomize matches with nothing, are left out. Fails where the file cannot be read or two parsers disagree on it.
pub fn image_entries(text: &[u8]) -> Result<Vec<ImageEntry>, EditError> {
    let tree = Tree::parse(text_of(text)?)?;
    let places = places(&tree)?;
    agreed(&tree, &places, &check::values(tree.text)?)?;
    let entry = |place: &Place| {
        let field = |key| said(&tree, place.item, key).filter(|value| !value.is_empty()).map(str::to_owned);
        Some(ImageEntry {
            name: said(&tree, place.item, "name")?.to_owned(),
            new_name: field("newName"),
            new_tag: field("newTag"),
            digest: field("digest"),
            line: place.line,
        })
    };
    Ok(places.iter().filter_map(entry).collect())
}

/// Where an entry stands.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// From 0.
    pub(super) document: usize,
    /// Within the list, from 0.
    pub(super) index: usize,
    /// The item of the list: a mapping, or an alias for one.
    pub(super) item: NodeId,
    /// From 1.
    pub(super) line: usize,
    /// Where what the entry says is shared with another place of the file, if it is.
    shared: Option<usize>,
}

/// All entries that are mappings, with or without a name.
pub(super) fn places(tree: &Tree<'_>) -> Result<Vec<Place>, EditError> {
    let mut places = Vec::new();
    for (document, &root) in tree.documents.iter().enumerate() {
        unique_keys(tree, root, |key| key == "images")?;
        let Some((_, list)) = tree.pair(root, "images") else { continue };
        let Kind::Sequence { items, .. } = &tree.resolved(list).kind else { continue };
        for (index, &item) in items.iter().enumerate() {
            if !matches!(tree.resolved(item).kind, Kind::Mapping { .. }) {
                continue;
            }
            unique_keys(tree, item, |_| true)?;
            let shared = [root, list, item].into_iter().find_map(|node| shared_at(tree, node));
            places.push(Place { document, index, item, line: tree.node(item).line, shared });
        }
    }
    Ok(places)
}

/// The one entry of the name, if it may be edited: named once, nothing merged, nothing shared.
pub(super) fn editable(tree: &Tree<'_>, name: &ImageName) -> Result<Place, EditError> {
    let places = places(tree)?;
    let named: Vec<&Place> =
        places.iter().filter(|place| said(tree, place.item, "name") == Some(name.as_str())).collect();
    let place = match named.as_slice() {
        [place] => *place,
        [] => return Err(no_such_entry(tree, &places, name)),
        several => {
            let lines = several.iter().map(|place| place.line).collect();
            return Err(EditError::AmbiguousEntry { name: name.to_string(), lines });
        }
    };
    if let Some(line) = merge_key(tree, place.item) {
        return Err(EditError::MergeKey { line });
    }
    if let Some(line) = place.shared {
        return Err(doubtful(line, "an anchor or alias shares the `images` entry with another place"));
    }
    Ok(place.clone())
}

/// Fails unless the second parser finds the same entries with the same fields.
pub(super) fn agreed(tree: &Tree<'_>, places: &[Place], values: &[Value]) -> Result<(), EditError> {
    // Without any document, the second parser reports one that is null.
    if tree.documents.len() != values.len() && !tree.documents.is_empty() {
        return Err(doubtful(1, "YAML readers disagree on how many documents there are"));
    }
    for (document, &root) in tree.documents.iter().enumerate() {
        let ours = tree.pair(root, "images").map_or(0, |(_, list)| match &tree.resolved(list).kind {
            Kind::Sequence { items, .. } => items.len(),
            _ => 0,
        });
        let theirs = values[document].get("images").and_then(Value::as_sequence).map_or(0, Vec::len);
        if ours != theirs {
            return Err(doubtful(tree.node(root).line, "YAML readers disagree on the `images` list"));
        }
    }
    for place in places {
        let entry = &values[place.document]["images"][place.index];
        for key in ["name", "newName", "newTag", "digest"] {
            let own = tree.pair(place.item, key).map(|(_, value)| value);
            let same = match (own, entry.get(key)) {
                (Some(own), Some(Value::Null)) => tree.is_null(own),
                (Some(own), Some(Value::String(text))) => tree.scalar(own) == Some(text),
                // Their spelling is lost; whether they are to be quoted is decided by the spelling.
                (Some(own), Some(Value::Bool(_) | Value::Number(_))) => tree.scalar(own).is_some(),
                (Some(own), Some(Value::Sequence(_) | Value::Mapping(_))) => tree.scalar(own).is_none(),
                (None, None) | (Some(_), Some(Value::Tagged(_))) => true,
                (None, Some(_)) | (Some(_), None) => false,
            };
            if !same {
                return Err(doubtful(place.line, "YAML readers disagree on the `images` entry"));
            }
        }
    }
    Ok(())
}

/// What an entry says for a key, merge keys included, as every reader that knows them does.
fn said<'n>(tree: &'n Tree<'_>, mapping: NodeId, key: &str) -> Option<&'n str> {
    if let Some((_, value)) = tree.pair(mapping, key) {
        return if tree.is_null(value) { None } else { tree.scalar(value) };
    }
    let (_, merged) = tree.pair(mapping, "<<")?;
    match &tree.resolved(merged).kind {
        Kind::Sequence { items, .. } => items.iter().find_map(|&item| said(tree, item, key)),
        _ => said(tree, merged, key),
    }
}

fn merge_key(tree: &Tree<'_>, mapping: NodeId) -> Option<usize> {
    tree.pair(mapping, "<<").map(|(key, _)| tree.node(key).line)
}

fn shared_at(tree: &Tree<'_>, node: NodeId) -> Option<usize> {
    let node = tree.node(node);
    let alias = matches!(node.kind, Kind::Alias(_));
    (alias || node.anchored.is_some_and(|uses| uses > 0)).then_some(node.line)
}

fn unique_keys(tree: &Tree<'_>, mapping: NodeId, counts: impl Fn(&str) -> bool) -> Result<(), EditError> {
    let mut seen = std::collections::HashSet::new();
    for &(key, _) in tree.pairs(mapping) {
        let Some(text) = tree.scalar(key).filter(|text| counts(text)) else { continue };
        if !seen.insert(text) {
            return Err(EditError::DuplicateKey { line: tree.node(key).line, key: printable(text, 80) });
        }
    }
    Ok(())
}

fn no_such_entry(tree: &Tree<'_>, places: &[Place], name: &ImageName) -> EditError {
    // A list that is merged in may hold the entry, but is no place to edit.
    let mut merged = tree.documents.iter().filter(|&&root| tree.pair(root, "images").is_none());
    if let Some(line) = merged.find_map(|&root| merge_key(tree, root)) {
        return EditError::MergeKey { line };
    }
    let named = places.iter().filter_map(|place| said(tree, place.item, "name"));
    EditError::NoSuchEntry { name: name.to_string(), available: named.map(str::to_owned).collect() }
}
