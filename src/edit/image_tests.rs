//! What an ordinary file looks like after an edit, byte by byte.
#![allow(clippy::unwrap_used)]

use super::{EditError, ImageEntry, Written, image_entries, set_image};
use crate::model::Image;

/// 64 digits are too long to read a test by; `«` stands for this digest's digits, and `‹` for those of an older one.
fn full(text: &str) -> String {
    text.replace('«', &"a".repeat(64)).replace('‹', &"b".repeat(64))
}

/// Only the tag is written.
pub(super) fn tag(tag: &str) -> Written {
    Written { new_name: None, new_tag: Some(tag.parse().unwrap()), digest: None }
}

/// Name `r.io/a`, tag and digest `«`.
pub(super) fn image(tag: &str) -> Written {
    Written::from(&full(&format!("r.io/a:{tag}@sha256:«")).parse::<Image>().unwrap())
}

/// Sets the entry `a`.
pub(super) fn set(text: &str, written: &Written) -> Result<Option<String>, EditError> {
    let edited = set_image(full(text).as_bytes(), &"a".parse().unwrap(), written)?;
    Ok(edited.map(|bytes| String::from_utf8(bytes).unwrap()))
}

/// The entry `a` of `before`, when it is set, leaves exactly `after`; set again, it changes nothing.
#[track_caller]
pub(super) fn becomes(before: &str, written: &Written, after: &str) {
    assert_eq!(set(before, written).unwrap().as_deref(), Some(full(after).as_str()), "\nfrom {before:?}");
    assert_eq!(set(after, written).unwrap(), None, "a second time, from {after:?}");
}

/// The entry is refused with this message.
#[track_caller]
pub(super) fn refused(before: &str, written: &Written, message: &str) {
    let error = set(before, written).unwrap_err().to_string();
    assert!(error.starts_with(message), "{error:?} does not start with {message:?}");
}

const ORDINARY: &str = "\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../../base]  # the app
images:
  # ours
  - name: a
    newName: old.io/a
    newTag: \"1.0.0\"   # {\"$imagepolicy\": \"flux-system:a:tag\"}

    digest: sha256:‹
  - name: b
    newTag: v1
";

#[test]
fn all_three_fields_change_and_nothing_else() {
    let after = ORDINARY.replace("old.io/a", "r.io/a").replace("1.0.0", "1.1.0").replace('‹', "«");
    becomes(ORDINARY, &image("1.1.0"), &after);
}

#[test]
fn an_entry_that_says_so_already_is_left_alone() {
    let text = ORDINARY.replace("old.io/a", "r.io/a").replace('‹', "«");
    assert_eq!(set(&text, &image("1.0.0")), Ok(None));
}

#[test]
fn missing_fields_are_added_behind_the_last_line() {
    becomes(
        "images:\n- name: a # c\n- name: b\n",
        &image("1"),
        "images:\n- name: a # c\n  newName: r.io/a\n  newTag: \"1\"\n  digest: sha256:«\n- name: b\n",
    );
}

#[test]
fn a_comment_below_the_entry_stays_below_what_is_added() {
    becomes(
        "images:\n  - name: a\n    # about b\n  - name: b\n",
        &tag("v1"),
        "images:\n  - name: a\n    newTag: \"v1\"\n    # about b\n  - name: b\n",
    );
}

#[test]
fn a_new_tag_is_in_double_quotes_and_a_new_digest_is_not() {
    becomes(
        "images:\n- name: a\n  newName: r.io/a\n",
        &image("v1"),
        "images:\n- name: a\n  newName: r.io/a\n  newTag: \"v1\"\n  digest: sha256:«\n",
    );
}

#[test]
fn quotes_keep_their_style() {
    becomes("images:\n- name: a\n  newTag: '1.0'\n", &tag("1.1"), "images:\n- name: a\n  newTag: '1.1'\n");
    becomes("images:\n- name: a\n  newTag: \"1.0\"\n", &tag("v2"), "images:\n- name: a\n  newTag: \"v2\"\n");
    becomes(
        "images:\n- name: a\n  newName: 'x'\n  newTag: \"v1\"\n  digest: \"sha256:‹\"\n",
        &image("v1"),
        "images:\n- name: a\n  newName: 'r.io/a'\n  newTag: \"v1\"\n  digest: \"sha256:«\"\n",
    );
}

#[test]
fn a_plain_tag_stays_plain_while_every_reader_takes_it_for_a_string() {
    becomes("images:\n- name: a\n  newTag: v1\n", &tag("1.2.3"), "images:\n- name: a\n  newTag: 1.2.3\n");
    for number in
        ["1.20", "1e3", "017", "0x1F", "1_000", "20240101", "2024-01-01", "yes", "N", "null", "12e4567"]
    {
        becomes(
            "images:\n- name: a\n  newTag: v1 # c\n",
            &tag(number),
            &format!("images:\n- name: a\n  newTag: \"{number}\" # c\n"),
        );
    }
}

#[test]
fn the_same_tag_without_the_quotes_that_it_needs_gets_them() {
    becomes("images:\n- name: a\n  newTag: 1.20\n", &tag("1.20"), "images:\n- name: a\n  newTag: \"1.20\"\n");
    becomes("images:\n- name: a\n  newTag: on\n", &tag("on"), "images:\n- name: a\n  newTag: \"on\"\n");
}

#[test]
fn an_empty_value_is_written_behind_its_colon() {
    becomes(
        "images:\n- name: a\n  newTag:   # c\n",
        &tag("1"),
        "images:\n- name: a\n  newTag: \"1\"   # c\n",
    );
    becomes("images:\n- newTag:\n  name: a\n", &tag("1"), "images:\n- newTag: \"1\"\n  name: a\n");
    becomes("images:\n- name: a\n  newTag:", &tag("1"), "images:\n- name: a\n  newTag: \"1\"");
}

#[test]
fn null_and_the_empty_string_are_replaced() {
    becomes("images:\n- name: a\n  newTag: ~\n", &tag("v1"), "images:\n- name: a\n  newTag: v1\n");
    becomes("images:\n- name: a\n  newTag: \"\"\n", &tag("v1"), "images:\n- name: a\n  newTag: \"v1\"\n");
}

#[test]
fn a_flow_entry_is_edited_and_extended_within_its_braces() {
    becomes(
        "images: [{name: a, newTag: \"1\"}, {name: b}]\n",
        &tag("2"),
        "images: [{name: a, newTag: \"2\"}, {name: b}]\n",
    );
    becomes(
        "images:\n- { name: a }  # c\n",
        &image("1"),
        "images:\n- { name: a, newName: r.io/a, newTag: \"1\", digest: sha256:« }  # c\n",
    );
    becomes("images:\n- {name: a, newTag: }\n", &tag("1"), "images:\n- {name: a, newTag: \"1\" }\n");
    becomes("images:\n- {name: a, newTag: 1,}\n", &tag("v2"), "images:\n- {name: a, newTag: v2,}\n");
}

#[test]
fn a_flow_entry_over_several_lines_keeps_its_lines() {
    becomes(
        "images:\n- {\n    name: a, # c\n    newTag: v1, # d\n  }\n",
        &Written { new_tag: Some("v2".parse().unwrap()), ..image("v2") },
        "images:\n- {\n    name: a, # c\n    newTag: v2, newName: r.io/a, digest: sha256:«, # d\n  }\n",
    );
}

#[test]
fn a_json_file_stays_json() {
    becomes(
        "{\"images\": [{\"name\": \"a\"}]}",
        &image("1"),
        "{\"images\": [{\"name\": \"a\", \"newName\": \"r.io/a\", \"newTag\": \"1\", \"digest\": \"sha256:«\"}]}",
    );
}

#[test]
fn a_field_that_shall_not_be_is_removed_with_its_line() {
    becomes(
        "images:\n- name: a\n  digest: sha256:‹ # old\n  newTag: v1\n",
        &tag("v2"),
        "images:\n- name: a\n  newTag: v2\n",
    );
    becomes(
        "images:\n- name: a\n  newTag: v1\n  digest:\n\n",
        &tag("v1"),
        "images:\n- name: a\n  newTag: v1\n\n",
    );
    becomes("images:\n- name: a\n  newTag: v1\n  digest: x", &tag("v1"), "images:\n- name: a\n  newTag: v1");
    becomes(
        "images:\r\n- name: a\r\n  newTag: v1\r\n  digest: x",
        &tag("v1"),
        "images:\r\n- name: a\r\n  newTag: v1",
    );
}

#[test]
fn a_field_on_the_line_of_the_dash_is_removed_only_without_doubt() {
    becomes(
        "images:\n- digest: x\n  name: a\n  newTag: v1\n",
        &tag("v1"),
        "images:\n- name: a\n  newTag: v1\n",
    );
    becomes(
        "images:\n-   digest: x\n    newName: y\n    newTag: v1\n    name: a\n",
        &tag("v1"),
        "images:\n-   newTag: v1\n    name: a\n",
    );
    becomes(
        "images:\n-\n  digest: x\n  name: a\n  newTag: v1\n",
        &tag("v1"),
        "images:\n-\n  name: a\n  newTag: v1\n",
    );
    becomes(
        "images:\n- newName: x\n  digest: y # why\n  name: a\n  newTag: v1\n",
        &tag("v1"),
        "images:\n- name: a\n  newTag: v1\n",
    );
    refused(
        "images:\n- digest: x # why\n  name: a\n  newTag: v1\n",
        &tag("v1"),
        "line 2: the field that is to be removed shares its line with the `- `",
    );
}

#[test]
fn a_field_of_a_flow_entry_is_removed_with_its_comma() {
    becomes("images: [{name: a, digest: x, newTag: v1}]\n", &tag("v1"), "images: [{name: a, newTag: v1}]\n");
    becomes(
        "images: [{name: a, newTag: v1, digest: x }]\n",
        &tag("v1"),
        "images: [{name: a, newTag: v1 }]\n",
    );
    becomes("images: [{digest: x, name: a, newTag: v1}]\n", &tag("v1"), "images: [{name: a, newTag: v1}]\n");
    becomes(
        "images: [{newName: x, digest: y, name: a, newTag: v1}]\n",
        &tag("v1"),
        "images: [{name: a, newTag: v1}]\n",
    );
    refused(
        "images:\n- {name: a, # c\n   digest: x, newTag: v1}\n",
        &tag("v1"),
        "line 3: a comment stands next to the field",
    );
}

#[test]
fn lines_end_as_their_neighbours_do() {
    becomes(
        "images:\r\n- name: a\r\n- name: b\r\n",
        &tag("1"),
        "images:\r\n- name: a\r\n  newTag: \"1\"\r\n- name: b\r\n",
    );
    becomes(
        "images:\r\n- name: a\n- name: b\r\n",
        &tag("1"),
        "images:\r\n- name: a\n  newTag: \"1\"\n- name: b\r\n",
    );
    becomes(
        "images:\r\n- name: a\r\n  newTag: v1\r\n",
        &tag("v2"),
        "images:\r\n- name: a\r\n  newTag: v2\r\n",
    );
}

#[test]
fn a_file_without_a_last_line_ending_gets_none() {
    becomes("images:\n- name: a", &tag("1"), "images:\n- name: a\n  newTag: \"1\"");
    becomes("images:\r\n- name: a", &tag("1"), "images:\r\n- name: a\r\n  newTag: \"1\"");
    becomes("images:\n- name: a\n  newTag: v1", &tag("v2"), "images:\n- name: a\n  newTag: v2");
}

#[test]
fn a_byte_order_mark_stays() {
    becomes("\u{feff}images:\n- name: a\n", &tag("1"), "\u{feff}images:\n- name: a\n  newTag: \"1\"\n");
    becomes("\u{feff}images: [{name: a}]\n", &tag("1"), "\u{feff}images: [{name: a, newTag: \"1\"}]\n");
}

#[test]
fn text_beyond_ascii_does_not_move_the_place() {
    becomes(
        "# größe 🎉\nnamePrefix: \"é-\"\nimages:\n- name: a # ü\n  newTag: v1 # ö\n",
        &tag("v2"),
        "# größe 🎉\nnamePrefix: \"é-\"\nimages:\n- name: a # ü\n  newTag: v2 # ö\n",
    );
}

#[test]
fn every_document_is_searched() {
    becomes(
        "images: []\n---\nkind: x\n...\n---\nimages:\n- name: a\n---\nimages:\n- name: b\n",
        &tag("1"),
        "images: []\n---\nkind: x\n...\n---\nimages:\n- name: a\n  newTag: \"1\"\n---\nimages:\n- name: b\n",
    );
}

#[test]
fn wide_and_narrow_indents_are_followed() {
    becomes("images:\n    -   name: a\n", &tag("1"), "images:\n    -   name: a\n        newTag: \"1\"\n");
    becomes("images:\n-\n      name: a\n", &tag("1"), "images:\n-\n      name: a\n      newTag: \"1\"\n");
}

#[test]
fn unknown_fields_of_the_entry_stay() {
    becomes(
        "images:\n- name: a\n  tagSuffix: -x\n  more:\n    - 1\n    - x: y # c\n",
        &tag("1"),
        "images:\n- name: a\n  tagSuffix: -x\n  more:\n    - 1\n    - x: y # c\n  newTag: \"1\"\n",
    );
    becomes(
        "images:\n- name: a\n  note: |\n    one\n\n    two\n- name: b\n",
        &tag("1"),
        "images:\n- name: a\n  note: |\n    one\n\n    two\n  newTag: \"1\"\n- name: b\n",
    );
}

#[test]
fn entries_are_listed_as_they_stand() {
    let entries = image_entries(
        full("images:\n- name: a\n  newTag: 1.20\n  digest: sha256:«\n- {newName: x, name: 'b'}\n---\nimages:\n- name: c\n  newTag:\n")
            .as_bytes(),
    )
    .unwrap();
    let entry = |name: &str, line| ImageEntry {
        name: name.to_owned(),
        new_name: None,
        new_tag: None,
        digest: None,
        line,
    };
    let expected = [
        ImageEntry { new_tag: Some("1.20".to_owned()), digest: Some(full("sha256:«")), ..entry("a", 2) },
        ImageEntry { new_name: Some("x".to_owned()), ..entry("b", 5) },
        entry("c", 8),
    ];
    assert_eq!(entries, expected);
}

#[test]
fn a_file_without_images_has_no_entries() {
    for text in ["", "# only\n", "images:\n", "images: []\n", "[1, 2]\n", "text\n", "images: {a: b}\n"] {
        assert_eq!(image_entries(text.as_bytes()), Ok(Vec::new()), "{text:?}");
    }
}

#[test]
fn a_missing_entry_is_told_with_those_that_exist() {
    refused(
        "images: [{name: b}, {name: c}]\n",
        &tag("1"),
        "no `images` entry is named \"a\": the file has b, c: add",
    );
    refused("kind: x\n", &tag("1"), "no `images` entry is named \"a\": the file has no `images:` list");
}
