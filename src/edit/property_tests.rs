//! Promises that hold for every file.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_yaml::Value;

use crate::model::{Digest, Tag};

use super::{Amended, Amendment, Hold, Quarantined, Record, Written, amend, image_entries, set_image};

/// A value as somebody may have written it: with its style, and maybe absent.
fn old_value() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        Just(None),
        Just(Some(String::new())),
        "[a-z0-9][a-z0-9.]{0,6}".prop_map(Some),
        "[a-z0-9.-]{0,6}".prop_map(|text| Some(format!("'{text}'"))),
        "[a-z0-9.-]{0,6}".prop_map(|text| Some(format!("\"{text}\""))),
        "[1-9]\\.[0-9]{1,2}".prop_map(Some),
        Just(Some("~".to_owned())),
    ]
}

/// One entry: its fields in some order, block or flow, with indents and comments.
#[derive(Debug, Clone)]
struct Entry {
    fields: Vec<(&'static str, String)>,
    flow: bool,
    gap: usize,
    comment: Option<String>,
}

fn entry(name: String) -> impl Strategy<Value = Entry> {
    let values = [old_value(), old_value(), old_value()];
    (values, any::<bool>(), 1..4_usize, proptest::option::of("[ -~é🎉]{0,12}"), any::<prop::sample::Index>())
        .prop_map(move |([new_name, new_tag, digest], flow, gap, comment, turn)| {
            let mut fields = vec![("name", name.clone())];
            for (key, value) in [("newName", new_name), ("newTag", new_tag), ("digest", digest)] {
                fields.extend(value.map(|value| (key, value)));
            }
            let turn = turn.index(fields.len());
            fields.rotate_left(turn);
            Entry { fields, flow, gap, comment }
        })
}

fn render(entries: &[Entry], indent: usize, ending: &str, last: bool) -> String {
    let mut lines = vec!["kind: Kustomization # größe".to_owned(), "images:".to_owned()];
    for entry in entries {
        let comment = entry.comment.as_ref().map(|text| format!(" # {text}")).unwrap_or_default();
        let dash = format!("{}-{}", " ".repeat(indent), " ".repeat(entry.gap));
        if entry.flow {
            let pairs: Vec<String> =
                entry.fields.iter().map(|(key, value)| format!("{key}: {value}")).collect();
            lines.push(format!("{dash}{{{} }}{comment}", pairs.join(" , ")));
        } else {
            let inner = " ".repeat(dash.len());
            for (index, (key, value)) in entry.fields.iter().enumerate() {
                let start = if index == 0 { &dash } else { &inner };
                // A comment on the line of the dash would forbid its removal, which has its own test.
                let comment = if index == 0 { "" } else { &comment };
                lines.push(format!("{start}{key}: {value}{comment}"));
            }
        }
        lines.push("  # between".to_owned());
    }
    lines.push("namePrefix: x".to_owned());
    let mut text = lines.join(ending);
    if last {
        text.push_str(ending);
    }
    text
}

fn kustomization() -> impl Strategy<Value = String> {
    let entries = (1..4_usize).prop_flat_map(|count| {
        (0..count)
            .map(|index| entry(if index == 0 { "a".to_owned() } else { format!("other{index}") }))
            .collect::<Vec<_>>()
    });
    (entries, 0..4_usize, prop_oneof![Just("\n"), Just("\r\n")], any::<bool>(), any::<prop::sample::Index>())
        .prop_map(|(mut entries, indent, ending, last, turn)| {
            let turn = turn.index(entries.len());
            entries.rotate_left(turn);
            render(&entries, indent, ending, last)
        })
}

fn written() -> impl Strategy<Value = Written> {
    let name =
        proptest::option::of("[a-z0-9]{1,3}(\\.[a-z0-9]{1,3})?(:[0-9]{1,4})?/[a-z0-9]{1,4}|\\[::1\\]:5000/a");
    let tag = prop_oneof![
        "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,8}",
        "[0-9][0-9_.xobeE+-]{0,5}",
        "(y|no|On|TRUE|null|2024-01-02)"
    ]
    .prop_filter_map("a tag", |text| text.parse().ok());
    let digest = "[0-9a-f]{64}".prop_map(|digits| format!("sha256:{digits}").parse().unwrap());
    (name, proptest::option::of(tag), proptest::option::of(digest))
        .prop_map(|(new_name, new_tag, digest)| Written { new_name, new_tag, digest })
}

fn entry_a(text: &str) -> Value {
    let file: Value = serde_yaml::from_str(text).unwrap();
    let entries = file["images"].as_sequence().unwrap().clone();
    entries.into_iter().find(|entry| entry["name"] == "a").unwrap()
}

/// The lines, endings included, without those of the entry `a`: from its `- ` to the comment behind it.
fn other_lines(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let name = lines
        .iter()
        .position(|line| {
            line.split_once("name: a").is_some_and(|(before, after)| {
                before.chars().all(|letter| !letter.is_alphanumeric() || line.contains('{'))
                    && !after.starts_with(|letter: char| letter.is_alphanumeric())
                    && !before.contains('#')
            })
        })
        .unwrap();
    let start = (0..=name).rev().find(|&index| lines[index].trim_start().starts_with('-')).unwrap();
    let end = (name..lines.len()).find(|&index| lines[index].trim() == "# between").unwrap();
    [&lines[..start], &lines[end..]].concat()
}

/// A failing case is printed whole; it becomes a test of its own instead of a file of seeds.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn an_edit_is_read_back_and_touches_no_other_line(text in kustomization(), written in written()) {
        let name = "a".parse().unwrap();
        let edited = set_image(text.as_bytes(), &name, &written).unwrap();
        let edited = edited.map_or_else(|| text.clone(), |bytes| String::from_utf8(bytes).unwrap());
        let entry = entry_a(&edited);
        let expected = |value: Option<&str>| value.map(Value::from);
        prop_assert_eq!(entry.get("newName").cloned(), expected(written.new_name.as_deref()));
        prop_assert_eq!(entry.get("newTag").cloned(), expected(written.new_tag.as_ref().map(Tag::as_str)));
        prop_assert_eq!(entry.get("digest").cloned(), expected(written.digest.as_ref().map(Digest::as_str)));
        prop_assert_eq!(other_lines(&text), other_lines(&edited));
        prop_assert_eq!(set_image(edited.as_bytes(), &name, &written), Ok(None));
        let listed = image_entries(edited.as_bytes()).unwrap();
        let listed = listed.iter().find(|entry| entry.name == "a").unwrap();
        prop_assert_eq!(&listed.new_name, &written.new_name);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), written in written()) {
        let _ = set_image(&bytes, &"a".parse().unwrap(), &written);
        let _ = image_entries(&bytes);
        let _ = Record::parse(&bytes);
    }

    #[test]
    fn pieces_of_yaml_never_panic_and_never_change_more_than_the_entry(
        pieces in proptest::collection::vec(prop::sample::select(vec![
            "images:", "\n", "\n- ", "\n  ", "\n    ", "name: a", "newTag: ", "digest: x", "newName:", "{", "}", "[", "]",
            ", ", "&x ", "*x", "!!str ", "|", ">-", "|+", "'", "\"", "# c", "\r\n", "---", "...", "? ", ": ", "<<: ", "v1",
            "1.0", "\u{feff}", "é", "\t", "~", "\u{85}", "\r", "images:\n- name: a\n  newTag: ", "\n- {name: a, ", "\u{2028}", "-",
        ]), 0..24),
        written in written(),
    ) {
        let text = pieces.concat();
        if let Ok(Some(edited)) = set_image(text.as_bytes(), &"a".parse().unwrap(), &written) {
            prop_assert_eq!(set_image(&edited, &"a".parse().unwrap(), &written), Ok(None));
        }
    }

    #[test]
    fn any_reason_is_kept_on_one_line(reason in ".{0,400}", before in prop::sample::select(vec![
        "", "# c\n", "hold: {}\n", "quarantine: []", "quarantine:\n- sha256:B\n", "{hold: {}}", "quarantine: # c\r\n",
    ])) {
        let before = before.replace('B', &"b".repeat(64));
        let digest = Digest::of(b"x");
        let entry = Quarantined { digest: digest.clone(), tag: None, reason: Some(reason), at: None };
        let amended = amend(Some(before.as_bytes()), &[Amendment::Quarantine(entry)]).unwrap();
        let Amended::Written(after) = amended else { panic!("{amended:?}") };
        let after = String::from_utf8(after).unwrap();
        let record = Record::parse(after.as_bytes()).unwrap();
        prop_assert_eq!(&record.quarantine.last().unwrap().digest, &digest);
        prop_assert!(after.len() >= before.len() && after.lines().count() <= before.lines().count() + 3);
    }

    #[test]
    fn what_was_amended_and_taken_back_leaves_the_record_as_it_was(
        pieces in proptest::collection::vec(prop::sample::select(vec![
            "# c\n", "hold: {by: ann}\n", "hold:\n  reason: x\n", "quarantine: []\n", "quarantine:\n- sha256:B\n",
            "quarantine:\n  - digest: sha256:B # c\n    tag: 1.0\n", "approvals: []\n", "\n", "released: {commit: \"C\"}\n",
        ]), 0..4),
        reason in ".{1,40}",
    ) {
        let before = pieces.concat().replace('B', &"b".repeat(64)).replace('C', &"c".repeat(40));
        if let Ok(record) = Record::parse(before.as_bytes()) {
            let entry = Quarantined { digest: Digest::of(b"x"), tag: None, reason: Some(reason.clone()), at: None };
            let hold = Hold { reason: Some(reason), by: None, until: None, image: None };
            let there = [Amendment::Hold(hold), Amendment::Quarantine(entry)];
            let mut back = vec![Amendment::Unquarantine(Digest::of(b"x"))];
            back.push(record.hold.clone().map_or(Amendment::Unhold, Amendment::Hold));
            let amended = amend(Some(before.as_bytes()), &there).unwrap();
            let Amended::Written(middle) = amended else { panic!("{amended:?}") };
            let after = match amend(Some(&middle), &back).unwrap() {
                Amended::Same => middle,
                Amended::Removed => Vec::new(),
                Amended::Written(after) => after,
            };
            prop_assert_eq!(Record::parse(&after).unwrap(), record);
            let after = String::from_utf8(after).unwrap();
            let comments = |text: &str| text.matches('#').count();
            prop_assert!(after.is_empty() || comments(&after) == comments(&before), "{}", after);
        }
    }
}
