//! Filters, told by what passes and what is compared.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn passed(pattern: &str, extract: &str, tag: &str) -> Option<String> {
    let filter = Filter::new(pattern.parse().unwrap(), Some(extract)).unwrap();
    filter.compared(tag)
}

#[test]
fn a_tag_passes_where_the_pattern_matches_anywhere_in_it() {
    assert_eq!(passed("rc", "", "1.0-rc.1").unwrap(), "1.0-rc.1");
    assert_eq!(passed("^rc", "", "1.0-rc.1"), None);
}

#[test]
fn a_template_is_expanded_as_go_expands_it() {
    let pattern = "(?P<first>[a-z]+)-(?P<ts>[0-9]+)(-(?P<rest>x))?";
    for (extract, compared) in [
        ("$ts", "17"),
        ("${ts}", "17"),
        ("$2", "17"),
        ("$0", "main-17"),
        ("$1.$2", "main.17"),
        ("${1}0", "main0"),
        // The longest name: there is no group `10`, and none that is called `ts0`.
        ("$10", ""),
        ("$ts0", ""),
        ("$02", ""),
        ("$rest", ""),
        ("$nobody", ""),
        ("$$ts", "$ts"),
        ("$", "$"),
        ("$-$ts", "$-17"),
        ("${ts", "${ts"),
        ("${}", "${}"),
        ("${a-b}", "${a-b}"),
        ("1.0.$ts", "1.0.17"),
        ("$9999999999999999999999", ""),
    ] {
        assert_eq!(passed(pattern, extract, "main-17-abc").unwrap(), compared, "{extract}");
    }
}

#[test]
fn of_groups_that_share_a_name_the_one_that_matched_is_meant() {
    assert_eq!(passed("a(?P<v>1)|b(?P<v>2)", "$v", "b2").unwrap(), "2");
}

#[test]
fn a_template_is_bounded_and_so_is_what_it_makes() {
    assert!(Filter::new("a".parse().unwrap(), Some(&"x".repeat(257))).is_err());
    assert_eq!(passed(".*", &"$0".repeat(100), &"a".repeat(128)), None);
}

proptest! {
    #[test]
    fn no_template_makes_it_fail(extract in r"[$\{\}a-c0-3_ é-]{0,20}", tag in "[a-c0-3-]{1,12}") {
        _ = passed("(?P<a>[a-c]+)?(.)", &extract, &tag);
    }
}
