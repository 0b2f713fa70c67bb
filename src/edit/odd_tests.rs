//! Files that are odd or hostile: edited without doubt, or refused with the place.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::image_tests::{becomes, image, refused, tag};
use super::{EditError, Written, image_entries, set_image};

#[test]
fn an_alias_as_value_is_replaced() {
    becomes(
        "x: &v v1\nimages:\n- name: a\n  newTag: *v # c\n",
        &tag("v2"),
        "x: &v v1\nimages:\n- name: a\n  newTag: \"v2\" # c\n",
    );
    becomes(
        "x: &v v1\nimages: [{newTag: *v , name: a}]\n",
        &tag("v2"),
        "x: &v v1\nimages: [{newTag: \"v2\" , name: a}]\n",
    );
}

#[test]
fn an_alias_that_says_so_already_stays() {
    let text = "x: &v v1\nimages:\n- name: a\n  newTag: *v\n";
    assert_eq!(set_image(text.as_bytes(), &"a".parse().unwrap(), &tag("v1")), Ok(None));
}

#[test]
fn an_anchor_stays_unless_aliases_use_it() {
    becomes("images:\n- name: a\n  newTag: &v v1\n", &tag("v2"), "images:\n- name: a\n  newTag: &v v2\n");
    refused(
        "images:\n- name: a\n  newTag: &v v1\n- name: b\n  newTag: *v\n",
        &tag("v2"),
        "line 3: aliases elsewhere repeat the value",
    );
    refused(
        "images:\n- name: a\n  newTag: v1\n  digest: &d x\nx: *d\n",
        &tag("v1"),
        "line 4: aliases elsewhere repeat the value",
    );
}

#[test]
fn an_entry_that_is_shared_is_refused() {
    refused("x:\n- &e\n  name: a\nimages:\n- *e\n", &tag("1"), "line 5: an anchor or alias shares");
    refused("images:\n- &e\n  name: a\nx: *e\n", &tag("1"), "line 3: an anchor or alias shares");
    refused("x: &l [{name: a}]\nimages: *l\n", &tag("1"), "line 2: an anchor or alias shares");
    becomes("images:\n- &e\n  name: a\n", &tag("1"), "images:\n- &e\n  name: a\n  newTag: \"1\"\n");
}

#[test]
fn a_name_may_be_an_alias() {
    becomes("x: &n a\nimages:\n- name: *n\n", &tag("1"), "x: &n a\nimages:\n- name: *n\n  newTag: \"1\"\n");
}

#[test]
fn a_text_tag_stays_and_another_type_is_refused() {
    becomes(
        "images:\n- name: a\n  newTag: !!str 1.0\n",
        &tag("1.1"),
        "images:\n- name: a\n  newTag: !!str \"1.1\"\n",
    );
    becomes(
        "images:\n- name: a\n  newTag: !!str v1\n",
        &tag("v2"),
        "images:\n- name: a\n  newTag: !!str v2\n",
    );
    refused(
        "images:\n- name: a\n  newTag: !!float 1.0\n",
        &tag("1.1"),
        "line 3: a tag gives the value another type",
    );
    refused(
        "images:\n- name: a\n  newTag: !x 1.0\n",
        &tag("1.1"),
        "line 3: a tag gives the value another type",
    );
    refused("images:\n- name: a\n  newTag: !!str\n", &tag("1.1"), "line 3: an anchor or tag stands before");
}

#[test]
fn a_block_of_text_or_a_collection_as_value_is_refused() {
    refused("images:\n- name: a\n  newTag: |-\n    v1\n", &tag("v2"), "line 4: the value is a block of text");
    refused("images:\n- name: a\n  newTag: |\n", &tag("v2"), "line ");
    refused("images:\n- name: a\n  newTag: [v1]\n", &tag("v2"), "line 3: the value is not a single text");
    refused(
        "images:\n- name: a\n  newTag: v1\n  digest: {x: y}\n",
        &tag("v1"),
        "line 4: the value that is to be removed",
    );
    refused(
        "images:\n- name: a\n  newTag: v1\n  digest:\n    x\n",
        &tag("v1"),
        "line 4: the field that is to be removed spans",
    );
}

#[test]
fn a_value_over_several_lines_is_replaced_as_one() {
    becomes(
        "images:\n- name: a\n  newTag:\n    v1 # c\n",
        &tag("v2"),
        "images:\n- name: a\n  newTag:\n    v2 # c\n",
    );
    becomes("images:\n- name: a\n  newTag: 'v\n    1'\n", &tag("v2"), "images:\n- name: a\n  newTag: 'v2'\n");
}

#[test]
fn two_entries_of_one_name_are_refused_with_their_lines() {
    refused(
        "images:\n- name: a\n- name: b\n- name: 'a'\n---\nimages: [{name: a}]\n",
        &tag("1"),
        "`images` has several entries named \"a\" (lines 2, 4, 6): keep one",
    );
}

#[test]
fn a_merge_key_is_refused_where_it_decides() {
    refused("x: &x {newTag: v1}\nimages:\n- name: a\n  <<: *x\n", &tag("1"), "line 4: a merge key");
    refused("x: &x {name: a}\nimages:\n- <<: *x\n", &tag("1"), "line 3: a merge key");
    refused(
        "x: &x {images: [{name: a}]}\n---\n<<: {images: [{name: a}]}\n",
        &tag("1"),
        "line 3: a merge key",
    );
    becomes(
        "x: &x {newTag: v1}\nimages:\n- name: a\n- name: b\n  <<: *x\n",
        &tag("1"),
        "x: &x {newTag: v1}\nimages:\n- name: a\n  newTag: \"1\"\n- name: b\n  <<: *x\n",
    );
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    refused(
        "images:\n- name: a\n  newTag: v1\n  newTag: v2\n",
        &tag("1"),
        "line 4: the key \"newTag\" stands twice",
    );
    refused("images:\n- name: b\nimages:\n- name: a\n", &tag("1"), "line 3: the key \"images\" stands twice");
    refused("kind: x\nkind: y\nimages:\n- name: a\n", &tag("1"), "line ");
}

#[test]
fn a_key_that_is_not_simple_is_refused() {
    refused("images:\n- ? name\n  : a\n", &tag("1"), "line 2: no colon follows the key");
    refused("images:\n- &k name: a\n", &tag("1"), "line 2: a key of the `images` entry is not a simple one");
    refused("images:\n- {name: a, newTag}\n", &tag("1"), "line 2: no colon follows the key");
    refused("images: [name: a]\n", &tag("1"), "line 1: the entry has no braces of its own");
}

#[test]
fn quoted_keys_are_keys() {
    becomes(
        "images:\n- \"name\": a\n  'newTag' : v1\n",
        &tag("v2"),
        "images:\n- \"name\": a\n  'newTag' : v2\n",
    );
}

#[test]
fn a_carriage_return_alone_is_refused() {
    refused("images:\n- name: a\n# x\r# y\n", &tag("1"), "line 3: the line holds a carriage return");
}

#[test]
fn readers_that_disagree_are_a_reason_to_refuse() {
    // U+0085 ends a line in YAML 1.1 and not in 1.2, so here one reader sees a tag in a comment.
    let text = "images:\n- name: a # c\u{85}  newTag: v1\n";
    refused(text, &tag("v2"), "line 2: YAML readers disagree on the `images` entry");
    assert!(matches!(image_entries(text.as_bytes()), Err(EditError::Doubtful { line: 2, .. })));
}

#[test]
fn a_name_with_brackets_is_quoted_and_one_with_spaces_refused() {
    let named = |name: &str| Written { new_name: Some(name.to_owned()), new_tag: None, digest: None };
    becomes(
        "images:\n- name: a\n",
        &named("[::1]:5000/x"),
        "images:\n- name: a\n  newName: \"[::1]:5000/x\"\n",
    );
    becomes(
        "images:\n- {name: a, newName: x}\n",
        &named("[::1]:5/x"),
        "images:\n- {name: a, newName: \"[::1]:5/x\"}\n",
    );
    for wrong in ["a b", "", "a\nb", "a\"", "x#"] {
        assert!(matches!(
            set_image(b"images: [{name: a}]", &"a".parse().unwrap(), &named(wrong)),
            Err(EditError::InvalidNewName { .. })
        ));
    }
}

#[test]
fn a_file_that_is_no_yaml_is_told_with_its_place() {
    refused("images:\n\t- name: a\n", &tag("1"), "line 2, column 2: ");
    refused("images:\n- name: *x\n", &tag("1"), "line 2, column ");
    assert_eq!(image_entries(b"a: \xff"), Err(EditError::NotUtf8 { offset: 3 }));
}

fn bombs() -> Vec<String> {
    let mut laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..30 {
        let previous = format!("*a{},", level - 1).repeat(10);
        writeln!(laughs, "a{level}: &a{level} [{}]", previous.trim_end_matches(',')).unwrap();
    }
    let mut chain = "a0: &a0 {x: y}\n".to_owned();
    for level in 1..5000 {
        writeln!(chain, "a{level}: &a{level} {{<<: *a{}}}", level - 1).unwrap();
    }
    let many = |text: &str| text.repeat(256 * 1024 / text.len());
    vec![
        laughs,
        chain,
        format!("x: &x {}\ny: [{}]\n", "t".repeat(200_000), "*x,".repeat(10_000).trim_end_matches(',')),
        "a: &a [*a]\n".to_owned(),
        many("["),
        many("{a: "),
        many("- "),
        many("- x\n"),
        many("? "),
        many("%TAG !a! b\n"),
        many("---\n"),
        many("a: b\n"),
        many("&a "),
        many("!"),
        many("\"\\u0041"),
        many("'"),
        many("# c\n"),
        many("*a\n"),
        many("x\n"),
        many("|\n"),
        many(" "),
        many("\t"),
        many("[],"),
        many("a:\n  "),
        format!("images:\n{}", "- name: a\n".repeat(20_000)),
        format!("{}x", many("\r").trim_end()),
        many("\u{feff}"),
        many("# {\"$imagepolicy\": \"ns:a\"}\n"),
        many("- x # {\"$imagepolicy\": \"ns:a\"}\n"),
        "x".repeat(1024 * 1024 + 1),
        format!("x: {}\n", "y".repeat(10 * 1024 * 1024)),
    ]
}

/// Fails if the answer takes long.
#[track_caller]
fn at_once<T>(bomb: &str, answer: impl FnOnce() -> T) {
    let start = Instant::now();
    let _ = answer();
    let shown: String = bomb.chars().take(20).collect();
    // Without optimisation, and with other tests at the same time.
    assert!(start.elapsed() < Duration::from_secs(10), "{shown:?} took {:?}", start.elapsed());
}

#[test]
fn a_hostile_file_is_answered_at_once() {
    let (name, written) = ("a".parse().unwrap(), image("v1"));
    for bomb in bombs() {
        let marker = "# {\"$imagepolicy\": \"ns:a\"}";
        let text = format!("{bomb}\n{marker}\na: b {marker}\n");
        at_once(&bomb, || set_image(bomb.as_bytes(), &name, &written));
        at_once(&bomb, || super::add_image(bomb.as_bytes(), &name, &written));
        at_once(&bomb, || super::Record::parse(bomb.as_bytes()));
        at_once(&bomb, || super::markers(text.as_bytes()));
        at_once(&bomb, || super::set_markers(text.as_bytes(), |_| Some(&written)));
    }
}

#[test]
fn what_unfolds_to_too_much_is_refused() {
    for bomb in &bombs()[..5] {
        assert!(
            matches!(
                image_entries(bomb.as_bytes()),
                Err(EditError::TooComplex { .. } | EditError::Unparsable { .. })
            ),
            "{:?}",
            bomb.get(..40)
        );
    }
    let large = vec![b'x'; 1024 * 1024 + 1];
    assert!(matches!(image_entries(&large), Err(EditError::TooLarge { .. })));
}
