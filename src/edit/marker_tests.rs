//! What a file with setter comments looks like after an edit, byte by byte, and what is reported.
#![allow(clippy::unwrap_used)]

use super::image_tests::{image, tag};
use super::{EditError, Part, Written, carried, deviation, markers, set_markers};

fn full(text: &str) -> String {
    text.replace('«', &"a".repeat(64)).replace('‹', &"b".repeat(64))
}

/// Sets the markers of `flux-system:app`.
fn set(text: &str, written: &Written) -> Result<Option<String>, EditError> {
    let wanted = |policy: &str| (policy == "flux-system:app").then_some(written);
    let edited = set_markers(full(text).as_bytes(), wanted)?;
    Ok(edited.map(|bytes| String::from_utf8(bytes).unwrap()))
}

/// `M` stands for a marker of the whole reference, `T`, `N` and `D` for those of tag, name and digest.
fn marked(text: &str) -> String {
    let marker = |part: &str| format!("# {{\"$imagepolicy\": \"flux-system:app{part}\"}}");
    text.replace("#M", &marker(""))
        .replace("#T", &marker(":tag"))
        .replace("#N", &marker(":name"))
        .replace("#D", &marker(":digest"))
}

/// `before` with its markers set leaves exactly `after`; set again, it changes nothing.
#[track_caller]
fn becomes(before: &str, written: &Written, after: &str) {
    let (before, after) = (marked(before), marked(after));
    assert_eq!(set(&before, written).unwrap().as_deref(), Some(full(&after).as_str()), "\nfrom {before:?}");
    assert_eq!(set(&after, written).unwrap(), None, "a second time, from {after:?}");
}

/// No marker of the file can be obeyed, for these reasons.
#[track_caller]
fn misplaced(text: &str, reasons: &[(usize, &str)]) {
    let found = markers(marked(text).as_bytes()).unwrap();
    let told: Vec<(usize, &str)> =
        found.misplaced.iter().map(|misplaced| (misplaced.line, misplaced.reason.as_str())).collect();
    assert_eq!(told.len(), reasons.len(), "{told:?}");
    for ((line, told), (wanted, words)) in told.into_iter().zip(reasons) {
        assert!(line == *wanted && told.contains(words), "{line}: {told:?} is not {wanted}: {words:?}");
    }
    assert_eq!(found.markers, []);
    assert_eq!(set(&marked(text), &image("9")), Ok(None), "nothing is edited");
}

#[test]
fn each_part_is_written_where_its_marker_stands() {
    becomes(
        "image: r.io/a:1.0 #M\nvalues:\n  repository: old.io/a #N\n  tag: v1 #T\n  digest: sha256:‹ #D\n",
        &image("1.1.0"),
        "image: r.io/a:1.1.0@sha256:« #M\nvalues:\n  repository: r.io/a #N\n  tag: 1.1.0 #T\n  digest: sha256:« #D\n",
    );
}

#[test]
fn only_the_marked_values_of_known_policies_change() {
    let other = "a: x:1 # {\"$imagepolicy\": \"flux-system:other\"}\nb: x:1 # plain words\nc: x:1\n";
    becomes(&format!("{other}d: x:1 #M\n"), &image("2"), &format!("{other}d: r.io/a:2@sha256:« #M\n"));
    assert_eq!(set(other, &image("2")), Ok(None));
}

#[test]
fn a_marker_counts_for_its_own_namespace_only() {
    let text = "a: x:1 # {\"$imagepolicy\": \"team:app\"}\n";
    assert_eq!(set(text, &image("2")), Ok(None));
    assert_eq!(markers(text.as_bytes()).unwrap().markers[0].policy, "team:app");
}

#[test]
fn quotes_keep_their_style_and_a_number_gets_them() {
    becomes(
        "a: '1.0' #T\nb: \"1.0\" #T\nc: v1 #T\n",
        &tag("1.20"),
        "a: '1.20' #T\nb: \"1.20\" #T\nc: \"1.20\" #T\n",
    );
    becomes(
        "a: 'x:1' #M\nb: \"x:1\" #M\n",
        &image("2"),
        "a: 'r.io/a:2@sha256:«' #M\nb: \"r.io/a:2@sha256:«\" #M\n",
    );
    becomes("a: 1.20 #T\n", &tag("1.20"), "a: \"1.20\" #T\n");
}

#[test]
fn every_reading_of_a_tag_as_another_type_is_prevented() {
    for number in ["1.20", "1e3", "017", "0x1F", "1_000", "2024-01-01", "yes", "N", "null", "12e4567", "0b11"]
    {
        becomes("a: v1 #T\n", &tag(number), &format!("a: \"{number}\" #T\n"));
    }
}

#[test]
fn the_name_stays_where_the_version_has_none() {
    becomes(
        "a: old.io:5000/x:1@sha256:‹ #M\nb: old.io:5000/x #N\nc: '1' #T\n",
        &tag("2"),
        "a: old.io:5000/x:2 #M\nb: old.io:5000/x #N\nc: '2' #T\n",
    );
}

#[test]
fn flow_style_and_lists_are_edited_too() {
    becomes(
        "a: {image: x:1, #M\n  b: c}\nd: [x:1, #M\n  y]\ne:\n- x:1 #M\n- y\n",
        &image("2"),
        "a: {image: r.io/a:2@sha256:«, #M\n  b: c}\nd: [r.io/a:2@sha256:«, #M\n  y]\ne:\n- r.io/a:2@sha256:« #M\n- y\n",
    );
    becomes("{\"a\": \"1\" #T\n}\n", &tag("2"), "{\"a\": \"2\" #T\n}\n");
}

#[test]
fn a_marker_alone_on_a_line_is_about_the_value_below() {
    becomes("#M\nimage: x:1\n", &image("2"), "#M\nimage: r.io/a:2@sha256:«\n");
    becomes("list:\n  #M\n  - x:1\n  - y\n", &image("2"), "list:\n  #M\n  - r.io/a:2@sha256:«\n  - y\n");
    becomes("image: #M\n  x:1\n", &image("2"), "image: #M\n  r.io/a:2@sha256:«\n");
    becomes("image:\n  #M\n  x:1\n", &image("2"), "image:\n  #M\n  r.io/a:2@sha256:«\n");
    becomes("a: b\n# c\n\n#T\ntag: '1'\n", &tag("2"), "a: b\n# c\n\n#T\ntag: '2'\n");
}

#[test]
fn line_endings_marks_and_letters_beyond_ascii_stay() {
    becomes(
        "\u{feff}a: ü # ö\r\nb: x:1 #M\r\nc: 🎉",
        &image("2"),
        "\u{feff}a: ü # ö\r\nb: r.io/a:2@sha256:« #M\r\nc: 🎉",
    );
    becomes("a: x:1 #M", &image("2"), "a: r.io/a:2@sha256:« #M");
    becomes("---\na: x:1\t  #M\n...\n---\n- '1' #T\n", &tag("2"), "---\na: x:2\t  #M\n...\n---\n- '2' #T\n");
}

#[test]
fn other_keys_in_the_marker_and_more_signs_before_it_do_no_harm() {
    let text = "a: '1' ##  {\"x\": \"y\", \"$imagepolicy\": \"flux-system:app:tag\"}  \n";
    assert_eq!(set(text, &tag("2")).unwrap().unwrap(), text.replace("'1'", "'2'"));
}

#[test]
fn what_is_no_marker_is_reported() {
    let reasons = "is no marker, as it is not one JSON object of texts with nothing behind it";
    for comment in [
        "{\"$imagepolicy\": \"flux-system:app\"} keep",
        "{\"$imagepolicy\": \"flux-system:app\"",
        "{'$imagepolicy': 'flux-system:app'}",
        "{\"$imagepolicy\": 1}",
        "see $imagepolicy",
    ] {
        misplaced(&format!("a: x:1 # {comment}\n"), &[(1, reasons)]);
    }
    misplaced("a: x:1 # {\"other\": \"$imagepolicy\"}\n", &[(1, "has no key")]);
    for policy in ["app", "", "a:b:c", "a:b:tag:x", ":app", "a:"] {
        let text = format!("\n\na: x:1 # {{\"$imagepolicy\": \"{policy}\"}}\n");
        misplaced(&text, &[(3, "names no policy")]);
    }
}

#[test]
fn a_marker_at_what_is_no_single_value_is_reported() {
    misplaced("a: #M\n  b: c\n", &[(1, "not a single text")]);
    misplaced("a: {b: c} #M\n", &[(1, "stands behind a list or a mapping")]);
    misplaced("a: [b] #M\n", &[(1, "stands behind a list or a mapping")]);
    misplaced("#M\n- name: x\n", &[(1, "stands above a list or a mapping")]);
    misplaced("#M\na:\n  b: c\n", &[(1, "not a single text")]);
    misplaced("a: | #M\n  x:1\n", &[(1, "block of text")]);
    misplaced("a: |\n  b: c\n  x:1 #M\n", &[(3, "stands in a block of text")]);
    misplaced("a: #M\nb: c\n", &[(1, "the value is empty")]);
    misplaced("#M\n\na: x:1\n", &[(1, "stands above no value")]);
    misplaced("# words\n#M\na: x:1\n", &[(2, "stands below another comment")]);
    misplaced("a: b\n#M\n", &[(2, "stands above no value")]);
    misplaced("#M", &[(1, "stands above no value")]);
    misplaced("x: &v x:1 #M\ny: *v\n", &[(1, "aliases elsewhere repeat the value")]);
    misplaced("x: &v x:1\ny: *v #M\n", &[(2, "the value is an alias")]);
    misplaced("x: !int 1 #T\n", &[(1, "a tag gives the value another type")]);
}

#[test]
fn a_value_has_one_marker() {
    let found = markers(marked("#M\na: x:1 #T\n").as_bytes()).unwrap();
    assert_eq!((found.markers.len(), found.misplaced.len()), (1, 1));
    assert!(found.misplaced[0].reason.contains("another one marks already"), "{found:?}");
}

#[test]
fn a_file_without_a_marker_is_not_even_parsed() {
    assert_eq!(markers(b"{{ template }}: [\n"), Ok(super::Marked::default()));
    let broken = marked("{{ template }}: [ #M\n");
    assert!(matches!(markers(broken.as_bytes()), Err(EditError::Unparsable { line: 1 | 2, .. })));
}

#[test]
fn an_empty_value_is_never_written() {
    let without_digest = tag("2");
    let refused = set(&marked("a: sha256:‹ #D\n"), &without_digest).unwrap_err().to_string();
    assert_eq!(
        refused,
        "line 1: the marker of flux-system:app asks for a digest, and the version has none: write it out by hand"
    );
    let nothing = Written::default();
    assert!(set(&marked("a: '1' #T\n"), &nothing).is_err());
    assert!(set(&marked("a: x:1 #M\n"), &nothing).is_err());
    assert!(set(&marked("a: '' #N\n"), &nothing).is_err());
}

#[test]
fn what_a_value_would_do_to_its_file_is_checked_first() {
    let hostile = Written { new_name: Some("x #".to_owned()), ..tag("2") };
    assert!(matches!(set(&marked("a: x:1 #M\n"), &hostile), Err(EditError::InvalidNewName { .. })));
    assert!(matches!(set(&marked("a: x:1 #M\nb: 1\rc: 2\n"), &tag("2")), Err(EditError::Doubtful { .. })));
}

/// What the markers of a file say together.
fn said(text: &str) -> Result<Written, String> {
    let found = markers(full(&marked(text)).as_bytes()).unwrap();
    assert_eq!(found.misplaced, []);
    let places: Vec<_> = found.markers.iter().map(|marker| ("app.yaml", marker)).collect();
    carried(&places, "r.io/a")
}

#[test]
fn the_markers_of_an_image_say_together_what_stands() {
    assert_eq!(said("a: r.io/a:1@sha256:« #M\n").unwrap(), image("1"));
    assert_eq!(said("a: r.io/a:1 #M\nb: '1' #T\n").unwrap(), Written { digest: None, ..image("1") });
    assert_eq!(
        said("a: '1' #T\nb: sha256:« #D\n").unwrap(),
        image("1"),
        "the name is the one that is configured"
    );
    assert_eq!(said("a: r.io:5000/a #M\n").unwrap().new_name.as_deref(), Some("r.io:5000/a"));
    assert_eq!(said("a: r.io/a:1 #M\nb: r.io/a:1@sha256:« #M\n").unwrap(), image("1"));
}

#[test]
fn markers_that_contradict_each_other_or_hold_no_digest_are_refused() {
    assert_eq!(
        said("a: x:1 #M\n\nb: x:2 #M\n").unwrap_err(),
        "the markers of flux-system:app contradict each other: \"1\" in app.yaml:1, \"2\" in app.yaml:3; make them say the \
         same"
    );
    let refused = said("a: '1' #T\nb: r.io/a #N\n").unwrap_err();
    assert!(
        refused.starts_with("app.yaml:1: the markers of flux-system:app leave no room for the digest"),
        "{refused}"
    );
    let refused = said("a: x:-1 #M\n").unwrap_err();
    assert!(refused.starts_with("app.yaml:1: invalid tag \"-1\""), "{refused}");
}

#[test]
fn a_value_that_differs_from_the_entry_is_told() {
    let text = marked("a: old.io/a:1 #M\nb: r.io/a:1 #M\nc: '2' #T\nd: r.io/a #N\n");
    let found = markers(text.as_bytes()).unwrap().markers;
    let told: Vec<_> = found
        .iter()
        .filter_map(|marker| deviation(&("app.yaml", marker), &Written { digest: None, ..image("1") }))
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("app.yaml:1: the marker of flux-system:app has \"old.io/a:1\""), "{told:?}");
    assert!(told[1].starts_with("app.yaml:3: "), "{told:?}");
}

#[test]
fn a_marker_says_what_of_the_image_its_value_holds() {
    let found =
        markers(marked("a: x:1 #M\nb: x #N\nc: '1' #T\nd: y #D\ne: ~ #T\n").as_bytes()).unwrap().markers;
    let parts: Vec<_> =
        found.iter().map(|marker| (marker.line, marker.part, marker.value.as_str())).collect();
    let expected = [
        (1, Part::Reference, "x:1"),
        (2, Part::Name, "x"),
        (3, Part::Tag, "1"),
        (4, Part::Digest, "y"),
        (5, Part::Tag, ""),
    ];
    assert_eq!(parts, expected);
}
