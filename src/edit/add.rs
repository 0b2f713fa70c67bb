//! Adds an entry to `images`.

use serde_yaml::{Mapping, Value};

use super::check::values;
use super::list::{Item, append, quoted, usual_indent};
use super::splice::checked_line_ends;
use super::tree::Tree;
use super::{EditError, Written, images, text_of};
use crate::model::ImageName;

/// The kustomization with an entry `name` that says `written`, at the end of `images`; every other byte as it was.
/// `Ok(None)` where an entry of that name is there.
pub fn add_image(text: &[u8], name: &ImageName, written: &Written) -> Result<Option<Vec<u8>>, EditError> {
    written.check()?;
    let text = text_of(text)?;
    let tree = Tree::parse(text)?;
    let before = values(text)?;
    images::agreed(&tree, &images::places(&tree)?, &before)?;
    match images::editable(&tree, name) {
        Err(EditError::NoSuchEntry { .. }) => {}
        Ok(_) => return Ok(None),
        Err(error) => return Err(error),
    }
    checked_line_ends(text)?;
    let mut entry = Mapping::new();
    let mut fields = Vec::new();
    for (key, value) in [("name", Some(name.as_str()))].into_iter().chain(written.fields()) {
        if let Some(value) = value {
            // A name or digest is a string for every reader; a tag may look like a number.
            let plain = key != "newTag" && super::scalar::is_plain_string(value);
            fields.push(if plain { format!("{key}: {value}") } else { quoted(key, value) });
            entry.insert(Value::from(key), Value::from(value));
        }
    }
    let edited = append(&tree, "images", &Item(fields), usual_indent(&tree))?.apply(text);
    let differs = |reason: &str| EditError::Unverified { reason: reason.to_owned() };
    let mut expected = before;
    if expected.is_empty() || expected == [Value::Null] {
        expected = vec![Value::Mapping(Mapping::new())];
    }
    let root = expected.first_mut().and_then(Value::as_mapping_mut);
    let list = root.ok_or_else(|| differs("the file is not a mapping"))?.entry(Value::from("images"));
    let list = list.or_insert_with(|| Value::Sequence(Vec::new()));
    if list.is_null() {
        *list = Value::Sequence(Vec::new());
    }
    list.as_sequence_mut().ok_or_else(|| differs("`images` is not a list"))?.push(Value::Mapping(entry));
    if expected == values(&edited)? {
        Ok(Some(edited.into_bytes()))
    } else {
        Err(differs("the file is not the old one with one entry more"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::image_tests::{image, tag};
    use super::*;

    #[track_caller]
    fn becomes(before: &str, written: &Written, after: &str) {
        let name = "r.io/a".parse().unwrap();
        let added = add_image(before.as_bytes(), &name, written).unwrap().unwrap();
        let after = after.replace('«', &"a".repeat(64));
        assert_eq!(String::from_utf8(added.clone()).unwrap(), after);
        assert_eq!(add_image(&added, &name, written), Ok(None), "it is added once");
    }

    #[test]
    fn an_entry_is_added_behind_the_others_in_their_style() {
        becomes(
            "images:\n- name: b\n# end\n",
            &tag("1"),
            "images:\n- name: b\n- name: r.io/a\n  newTag: \"1\"\n# end\n",
        );
        becomes(
            "images:\n  - name: b\n    newTag: v1 # c\nnamePrefix: x\n",
            &tag("v2"),
            "images:\n  - name: b\n    newTag: v1 # c\n  - name: r.io/a\n    newTag: \"v2\"\nnamePrefix: x\n",
        );
        becomes("images: [{name: b}]\n", &tag("1"), "images: [{name: b}, {name: r.io/a, newTag: \"1\"}]\n");
        becomes("images: []\n", &tag("1"), "images: [{name: r.io/a, newTag: \"1\"}]\n");
        becomes("images:\nkind: x\n", &tag("1"), "images: [{name: r.io/a, newTag: \"1\"}]\nkind: x\n");
    }

    #[test]
    fn a_list_is_begun_where_there_is_none() {
        becomes(
            "resources:\n- a\n",
            &image("1"),
            "resources:\n- a\nimages:\n- name: r.io/a\n  newName: r.io/a\n  newTag: \"1\"\n  digest: sha256:«\n",
        );
        becomes(
            "resources:\r\n  - a",
            &tag("1"),
            "resources:\r\n  - a\r\nimages:\r\n  - name: r.io/a\r\n    newTag: \"1\"",
        );
        becomes(
            "{\"resources\": []}",
            &tag("1"),
            "{\"resources\": [], \"images\": [{name: r.io/a, newTag: \"1\"}]}",
        );
        becomes("", &Written::default(), "images:\n- name: r.io/a\n");
    }

    #[test]
    fn what_is_no_kustomization_is_refused() {
        for text in ["- a\n", "images: x\n", "images: {a: b}\n", "x: &i []\nimages: *i\n"] {
            assert!(add_image(text.as_bytes(), &"a".parse().unwrap(), &tag("1")).is_err(), "{text:?}");
        }
    }
}
