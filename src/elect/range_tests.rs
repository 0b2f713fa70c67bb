//! Ranges, told by their promises.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::elect::semver::version_of;

fn range(text: &str) -> Range {
    text.parse().unwrap_or_else(|error| panic!("\"{text}\": {error}"))
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

/// Each row: a range, versions within it, versions outside it.
fn check(rows: &[(&str, &[&str], &[&str])]) {
    for (text, within, outside) in rows {
        let range = range(text);
        for inside in *within {
            assert!(range.matches(&version(inside)), "{inside} must be within \"{text}\"");
        }
        for outsider in *outside {
            assert!(!range.matches(&version(outsider)), "{outsider} must be outside \"{text}\"");
        }
    }
}

#[test]
fn answers_are_those_of_masterminds() {
    let rows =
        include_str!("../../tests/fixtures/masterminds.tsv").lines().filter(|row| !row.starts_with('#'));
    let mut count = 0;
    for row in rows {
        let [text, tag, expected] = row.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let answer = match (text.parse::<Range>(), version_of(tag)) {
            (Err(_), _) => "error",
            (Ok(_), None) => "skip",
            (Ok(range), Some(version)) if range.matches(&version) => "true",
            _ => "false",
        };
        assert_eq!(answer, expected, "{tag} in \"{text}\"");
        count += 1;
    }
    assert!(count > 200, "only {count} rows");
}

#[test]
fn a_complete_version_is_exact() {
    check(&[
        ("1.2.3", &["1.2.3", "1.2.3+build"], &["1.2.4", "1.3.0", "1.2.2"]),
        ("=1.2.3", &["1.2.3"], &["1.2.4"]),
        ("= v1.2.3", &["1.2.3"], &["1.2.4"]),
        ("01.02.03", &["1.2.3"], &["1.2.4"]),
        ("1.2.3-rc.1", &["1.2.3-rc.1"], &["1.2.3", "1.2.3-rc.2"]),
        ("!=1.2.3", &["1.2.2", "1.2.4"], &["1.2.3"]),
    ]);
}

#[test]
fn what_is_left_open_matches_anything() {
    check(&[
        ("*", &["0.0.0", "9.9.9"], &["1.0.0-rc.1"]),
        ("1", &["1.0.0", "1.9.9"], &["0.9.9", "2.0.0"]),
        ("1.x", &["1.0.0", "1.9.9"], &["0.9.9", "2.0.0"]),
        ("1.X.X", &["1.9.9"], &["2.0.0"]),
        ("v1.*", &["1.9.9"], &["2.0.0"]),
        ("1.2", &["1.2.0", "1.2.9"], &["1.1.9", "1.3.0"]),
        ("=1.2.x", &["1.2.9"], &["1.3.0"]),
        ("1.x.3", &["1.0.0", "1.9.9"], &["2.0.0"]),
        ("!=1.2", &["1.1.9", "1.3.0"], &["1.2.0", "1.2.9"]),
        ("!=1", &["0.9.0", "2.0.0"], &["1.0.0", "1.9.9"]),
    ]);
}

#[test]
fn comparisons_treat_an_open_version_as_a_whole() {
    check(&[
        (">1.2.3", &["1.2.4", "2.0.0"], &["1.2.3", "1.2.2"]),
        (">1.2", &["1.3.0"], &["1.2.0", "1.2.9"]),
        (">1", &["2.0.0"], &["1.0.0", "1.9.9"]),
        (">=1.2", &["1.2.0", "2.0.0"], &["1.1.9"]),
        ("=>1.2.3", &["1.2.3"], &["1.2.2"]),
        ("<1.2", &["1.1.9"], &["1.2.0", "1.2.1"]),
        ("<=1.2.3", &["1.2.3"], &["1.2.4"]),
        ("=<1.2", &["1.2.9"], &["1.3.0", "2.0.0"]),
        ("<=1", &["1.9.9"], &["2.0.0"]),
    ]);
}

#[test]
fn a_tilde_keeps_the_minor_version() {
    check(&[
        ("~1.2.3", &["1.2.3", "1.2.9"], &["1.2.2", "1.3.0"]),
        ("~>1.2.3", &["1.2.9"], &["1.3.0"]),
        ("~1.2", &["1.2.0", "1.2.9"], &["1.3.0"]),
        ("~ 1", &["1.0.0", "1.9.9"], &["2.0.0"]),
        ("~*", &["0.0.0", "9.0.0"], &[]),
        ("~0.0.0", &["0.0.0", "9.0.0"], &[]),
        ("~0.0.1", &["0.0.9"], &["0.0.0", "0.1.0"]),
    ]);
}

#[test]
fn a_caret_keeps_the_leftmost_part_that_is_not_zero() {
    check(&[
        ("^1.2.3", &["1.2.3", "1.9.9"], &["1.2.2", "2.0.0"]),
        ("^1.2", &["1.2.0", "1.9.9"], &["1.1.9", "2.0.0"]),
        ("^1", &["1.0.0", "1.9.9"], &["2.0.0"]),
        ("^0.2.3", &["0.2.3", "0.2.9"], &["0.2.2", "0.3.0", "1.2.3"]),
        ("^0.2", &["0.2.0"], &["0.3.0", "1.2.0"]),
        ("^0.0.3", &["0.0.3"], &["0.0.2", "0.0.4", "0.1.3", "1.0.3"]),
        ("^0.0", &["0.0.0", "0.0.9"], &["0.1.0", "1.0.0"]),
        ("^0", &["0.0.0", "0.9.9"], &["1.0.0"]),
    ]);
}

#[test]
fn a_hyphen_includes_both_ends() {
    check(&[
        ("1.2 - 1.4.5", &["1.2.0", "1.4.5"], &["1.1.9", "1.4.6"]),
        ("1.2.3 - 1.4", &["1.2.3", "1.4.9"], &["1.2.2", "1.5.0"]),
        ("1  -  2", &["1.0.0", "2.9.9"], &["0.9.9", "3.0.0"]),
        ("1 - 2, !=1.5.0", &["1.4.0"], &["1.5.0", "3.0.0"]),
        ("!=1.5.0, 1 - 2", &["1.4.0"], &["1.5.0", "3.0.0"]),
        ("!=1.5.0 1 - 2", &["1.4.0"], &["1.5.0", "3.0.0"]),
        ("1 - 2 || 4 - 5", &["1.0.0", "5.9.0"], &["3.0.0", "6.0.0"]),
        ("1.0.0 - 2.0.0||3.0.0", &["1.0.0", "3.0.0"], &["2.1.0"]),
        ("1-rc.1 - 2", &["1.0.0-rc.2", "1.0.0", "2.0.0-rc.1"], &["1.0.0-rc.0"]),
    ]);
}

#[test]
fn a_space_or_comma_means_and_two_bars_mean_or() {
    check(&[
        (">=1.2 <1.4", &["1.2.0", "1.3.9"], &["1.1.0", "1.4.0"]),
        (">=1.2,<1.4", &["1.3.9"], &["1.4.0"]),
        (" >= 1.2 , < 1.4 ", &["1.3.9"], &["1.4.0"]),
        ("1.2||1.4", &["1.2.5", "1.4.5"], &["1.3.0"]),
        ("<1 || >=2 !=2.5.0\n|| 1.7.7", &["0.9.0", "2.0.0", "1.7.7"], &["1.0.0", "2.5.0"]),
    ]);
}

#[test]
fn prereleases_are_within_only_by_an_alternative_that_names_one() {
    check(&[
        (">=1.0.0", &["1.1.0"], &["1.1.0-rc.1"]),
        (">=1.0.0-0", &["1.0.0-rc.1", "1.1.0-rc.1", "1.1.0"], &["0.9.0"]),
        (">=1.0.0-0 <2", &["1.9.0-rc.1", "2.0.0-rc.1"], &["2.0.0"]),
        (">=1.0.0-0 <2.0.0-0", &["1.9.0-rc.1"], &["2.0.0-rc.1"]),
        (">=1.0.0-0 <2 || >=3", &["1.1.0-rc.1", "3.0.0"], &["3.1.0-rc.1"]),
        (">1.0.0-rc.2", &["1.0.0-rc.10", "1.0.0"], &["1.0.0-rc.1", "1.0.0-alpha"]),
        ("^1.2.3-beta", &["1.2.3-rc", "1.9.0-alpha"], &["1.2.3-alpha", "2.0.0-alpha"]),
        ("1.2.x-0", &["1.2.0-rc.1", "1.2.5"], &["1.3.0-rc.1"]),
        ("!=1.2-beta", &["1.2.5", "1.2.5-rc", "1.3.0-beta"], &["1.2.5-beta"]),
    ]);
}

#[test]
fn numbers_in_prereleases_are_compared_as_numbers_past_64_bits() {
    check(&[(
        ">1.0.0-99999999999999999999",
        &["1.0.0-100000000000000000000"],
        &["1.0.0-99999999999999999998"],
    )]);
}

#[test]
fn what_is_no_range_is_refused_with_its_place() {
    for (text, at) in [
        ("", 0),
        ("  ", 2),
        ("latest", 0),
        (">= ", 3),
        ("==1", 1),
        ("~>=1", 2),
        (">=1.0<2", 5),
        ("1.2.3.4", 5),
        ("1.2.", 3),
        ("1.2.3-", 5),
        ("1.2.3+", 5),
        ("1.2.3-01", 6),
        ("1.2.3-a..b", 7),
        ("1x", 0),
        ("1.x.xx", 4),
        ("1.18446744073709551616", 2),
        ("1,", 2),
        (",1", 0),
        ("1,,2", 2),
        ("1 ||", 4),
        ("|| 1", 0),
        ("1|2", 1),
        ("1 - ", 4),
        ("1 -2", 3),
        ("1- 2", 1),
        ("1 - 2 - 3", 6),
        ("1 - 2<3", 5),
        (">=1 - 2", 2),
        ("1||2 - 3", 3),
        ("V1", 0),
        ("1 é", 2),
        ("1.0\u{a0}<2", 3),
    ] {
        let error = text.parse::<Range>().expect_err(text);
        assert_eq!(error.at(), at, "\"{text}\": {error}");
    }
}

#[test]
fn a_message_says_what_is_there_and_what_is_possible() {
    let message = |text: &str| text.parse::<Range>().unwrap_err().to_string();
    assert_eq!(
        message(">=1.0.0 \u{1b}[31mred"),
        "byte 8: a version is expected here, got \"\\u{1b}[31mred\"; \
         write a version such as 1.2.3, 1.2.x or *, after one of = != > >= < <= ~ ^ or none of them"
    );
    assert_eq!(
        message("1 - 2 && 3"),
        "byte 6: a version is expected here, got \"&& 3\"; \
         write a version such as 1.2.3, 1.2.x or *, after one of = != > >= < <= ~ ^ or none of them"
    );
    assert!(message("1 ||").contains("got the end"), "{}", message("1 ||"));
}

#[test]
fn a_range_has_at_most_256_bytes() {
    let longest = format!("1.2.3{}", " ".repeat(251));
    assert!(longest.parse::<Range>().is_ok());
    let error = (longest + " ").parse::<Range>().unwrap_err();
    assert_eq!(error.to_string(), "byte 256: the range is 257 bytes long; shorten it to 256 bytes at most");
}

#[test]
fn a_range_is_shown_as_it_was_written() {
    assert_eq!(range(" >=1.0 ,<2.x||3 ").to_string(), " >=1.0 ,<2.x||3 ");
}

/// Releases close enough to each other to meet every border.
fn release() -> impl Strategy<Value = Version> {
    (0..4_u64, 0..4_u64, 0..4_u64).prop_map(|(major, minor, patch)| Version::new(major, minor, patch))
}

/// Single conditions without pre-releases.
fn condition() -> impl Strategy<Value = String> {
    let operator = prop::sample::select(vec!["", "=", "!=", ">", ">=", "<", "<=", "~", "^"]);
    (operator, "[0-3](\\.([0-3]|x)){0,2}").prop_map(|(operator, bound)| format!("{operator}{bound}"))
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_at_a_place_within_it(text in ".{0,300}") {
        if let Err(error) = text.parse::<Range>() {
            prop_assert!(text.is_char_boundary(error.at()), "{}", error);
        }
    }

    #[test]
    fn text_like_a_range_is_read_or_refused(text in "[0-3xX*.,|<>=~^!v a+-]{0,40}", version in release()) {
        if let Ok(range) = text.parse::<Range>() {
            range.matches(&version);
            prop_assert_eq!(range.to_string(), text);
        }
    }

    #[test]
    fn and_is_both_and_or_is_either(a in condition(), b in condition(), version in release()) {
        let (in_a, in_b) = (range(&a).matches(&version), range(&b).matches(&version));
        prop_assert_eq!(range(&format!("{a} {b}")).matches(&version), in_a && in_b);
        prop_assert_eq!(range(&format!("{a},{b}")).matches(&version), in_a && in_b);
        prop_assert_eq!(range(&format!("{a}||{b}")).matches(&version), in_a || in_b);
    }

    #[test]
    fn opposites_share_no_release_and_leave_none_out(bound in "[0-3](\\.[0-3]){0,2}", version in release()) {
        for (one, other) in [("=", "!="), (">", "<="), ("<", ">=")] {
            let one = range(&format!("{one}{bound}")).matches(&version);
            prop_assert_ne!(one, range(&format!("{other}{bound}")).matches(&version));
        }
    }

    #[test]
    fn a_caret_and_a_tilde_are_two_comparisons(low in release(), version in release()) {
        let Version { major, minor, patch, .. } = low;
        let caret = match (major, minor) {
            (0, 0) => format!("<0.0.{}", patch + 1),
            (0, _) => format!("<0.{}.0", minor + 1),
            _ => format!("<{}.0.0", major + 1),
        };
        let spelled = range(&format!(">={low} {caret}")).matches(&version);
        prop_assert_eq!(range(&format!("^{low}")).matches(&version), spelled);
        if low != Version::new(0, 0, 0) {
            let spelled = range(&format!(">={low} <{major}.{}.0", minor + 1)).matches(&version);
            prop_assert_eq!(range(&format!("~{low}")).matches(&version), spelled);
        }
    }

    #[test]
    fn a_hyphen_is_two_comparisons(
        low in "[0-3](\\.[0-3]){0,2}", high in "[0-3](\\.[0-3]){0,2}", version in release()
    ) {
        let spelled = range(&format!(">={low} <={high}")).matches(&version);
        prop_assert_eq!(range(&format!("{low} - {high}")).matches(&version), spelled);
    }
}
