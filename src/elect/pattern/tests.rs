//! RE2's syntax, told by what matches.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

/// What the pattern finds in the text: the whole match and its groups, `-` for a group that took no part.
fn found(pattern: &str, text: &str) -> Option<String> {
    let pattern: Pattern = pattern.parse().unwrap_or_else(|error| panic!("{pattern}: {error}"));
    let mut room = pattern.room();
    let is_found = pattern.find(text, &mut room);
    is_found.then(|| {
        let group = |index| room.get(index).map_or("-", |(start, end)| &text[start..end]);
        (0..=pattern.groups()).map(group).collect::<Vec<_>>().join(" ")
    })
}

fn wrong(pattern: &str) -> String {
    pattern.parse::<Pattern>().unwrap_err().to_string()
}

#[test]
fn a_pattern_finds_what_it_finds_in_go() {
    for (pattern, text, groups) in [
        ("", "abc", ""),
        ("b", "abc", "b"),
        ("^main-[a-f0-9]+-(?P<ts>[0-9]+)$", "main-0a1b-1700000000", "main-0a1b-1700000000 1700000000"),
        ("^main-[a-f0-9]+-(?<ts>[0-9]+)$", "main-0a1b-17", "main-0a1b-17 17"),
        ("(a|ab)(c|bcd)(d*)", "abcd", "abcd a bcd "),
        ("(a+?)(a*)", "aaa", "aaa a aa"),
        ("(?U)(a+)(a*)", "aaa", "a a "),
        ("(x)?(y)", "y", "y - y"),
        ("(?i)RC", "1.0-rc1", "rc"),
        ("(?i:R)C", "rC", "rC"),
        ("(?-i)a", "a", "a"),
        ("(?)a", "a", "a"),
        (r"\Q1.2\E+", "1.22", "1.22"),
        (r"\Q1.2", "1.2", "1.2"),
        (r"\Q\E", "a", ""),
        (r"\061\x32\x{33}", "123", "123"),
        (r"\012|\0|a", "a", "a"),
        (r"\_\-\.", "_-.", "_-."),
        (r"\Aa\b-\Bz?\z", "a-", "a-"),
        ("[[:digit:]]+[[:^digit:]]", "12a", "12a"),
        ("[:dig]+", "dig", "dig"),
        ("[]a]+", "a", "a"),
        ("[a-]+", "a-", "a-"),
        ("[+--]+", "-", "-"),
        ("[a&&b]+", "ab", "ab"),
        ("[a~~b]+", "ab", "ab"),
        ("[a[bc]", "b", "b"),
        (r"[\d-z]+", "1-z2", "1-z2"),
        (r"[^\D5]+", "4567", "4"),
        ("[^é]", "a", "a"),
        ("[a-é]+", "az", "az"),
        ("a{2}", "aaa", "aa"),
        ("a{2,}", "aaa", "aaa"),
        ("a{1,2}?", "aa", "a"),
        ("(?:ab){0,1}c", "abc", "abc"),
        ("^*a", "a", "a"),
        ("()*a", "a", "a -"),
        ("(|a)b", "ab", "ab a"),
        ("a||b", "b", ""),
    ] {
        let groups = groups.to_owned();
        let found = found(pattern, text);
        // Whether the empty group took part is not told by an empty repetition.
        if pattern != "()*a" {
            assert_eq!(found, Some(groups), "{pattern} in {text}");
        }
    }
}

#[test]
fn what_no_tag_can_have_matches_nothing() {
    for pattern in
        ["é", r"\x{e9}", r"\xff", r"[é-ü]", "☃", "a{,2}", "a{x}", "{", "a{01}", "b&&c", r"[^\x00-\x{10FFFF}]"]
    {
        assert_eq!(
            found(pattern, "abc{"),
            if pattern == "{" { Some("{".to_owned()) } else { None },
            "{pattern}"
        );
    }
}

#[test]
fn a_group_may_share_its_name_as_in_go() {
    let pattern: Pattern = "(?P<v>a)|(?P<v>b)|(?P<1>c)".parse().unwrap();
    assert_eq!(pattern.named("v"), [1, 2]);
    assert_eq!(pattern.named("1"), [3]);
    assert!(pattern.named("w").is_empty());
}

#[test]
fn a_mistake_is_told_with_its_place_and_what_is_possible() {
    for (pattern, told) in [
        ("a(b", "byte 1: this group has no end; add the missing )"),
        ("ab)", "byte 2: a group ends that never began; write \\) for the character"),
        ("a[b", "byte 1: this class has no end; add the missing ]"),
        ("[]", "byte 0: this class has no end; add the missing ]"),
        (
            "[z-a]",
            "byte 1: a range goes down; write the smaller character first, or - at the end of the class",
        ),
        ("*a", "byte 0: there is nothing to repeat; write \\ before the character"),
        ("(+)", "byte 1: there is nothing to repeat; write \\ before the character"),
        (
            "a**",
            "byte 2: a repetition is repeated; put the inner one into (?:…), or write \\ before the character",
        ),
        (
            "a{2}{3}",
            "byte 4: a repetition is repeated; put the inner one into (?:…), or write \\ before the character",
        ),
        (
            "a{1001}",
            "byte 1: a count of repetitions is out of range; write at most 1000, the smaller one first",
        ),
        (
            "a{3,2}",
            "byte 1: a count of repetitions is out of range; write at most 1000, the smaller one first",
        ),
        ("a\\", "byte 1: a backslash ends the pattern; write \\\\ for the character"),
        ("(?P<a-b>c)", "byte 0: a group has no legal name; write it like (?P<name>…)"),
        ("(?P<n", "byte 0: a group has no legal name; write it like (?P<name>…)"),
        (
            r"\pL",
            "byte 0: the escape \\p… has no meaning here; a tag has no letters beyond ASCII: write a class such as [A-Za-z]",
        ),
        (
            "[[:wort:]]",
            "byte 1: no class has this name; write one of alnum alpha ascii blank cntrl digit graph lower print punct space upper word xdigit",
        ),
    ] {
        assert_eq!(wrong(pattern), told, "{pattern}");
    }
}

#[test]
fn what_re2_lacks_is_refused() {
    for pattern in [
        "(?=a)",
        "(?!a)",
        "(?<=a)",
        "(?<!a)",
        "(?>a)",
        "(?x)a",
        "(?u)a",
        "(?i-)a",
        "(?i--s)a",
        "(?",
        "(?i",
        "(?P=n)",
        "(?#c)",
        r"\1",
        r"\8",
        r"\Z",
        r"\C",
        r"\G",
        r"\R",
        r"\k<n>",
        r"\<a",
        r"\u0041",
        r"\x4",
        r"\x{}",
        r"\x{110000}",
        r"\x{+1}",
        r"\e",
        r"[\b]",
        r"[\Q]",
        r"[\pL]",
        r"[a-\d]",
        r"\é",
        "a*+",
        "a++",
        "a??*",
    ] {
        // A word boundary that the crate knows and RE2 does not would be the worst: it would match something else.
        if pattern == r"\<a" {
            assert_eq!(found(pattern, "a"), None);
        } else {
            assert!(pattern.parse::<Pattern>().is_err(), "{pattern}");
        }
    }
}

#[test]
fn a_pattern_is_bounded_in_length_depth_and_compiled_size() {
    assert!(wrong(&"a".repeat(1001)).starts_with("byte 1000: the pattern is 1001 bytes long"));
    assert!(wrong(&("(".repeat(101) + &")".repeat(101))).contains("nested too deeply"));
    assert!((("(".repeat(100)) + &")".repeat(100)).parse::<Pattern>().is_ok());
    assert!(wrong("((a{1000}){1000}){1000}").contains("compiles to more than 1048576 bytes"));
    assert!(r"\w{1000}".parse::<Pattern>().is_ok());
}

#[test]
fn a_search_takes_linear_time() {
    let pattern: Pattern = "^(a+)+(a|a)*(.*)*$x?[^a]$".parse().unwrap();
    let mut room = pattern.room();
    let text = "a".repeat(128);
    let began = std::time::Instant::now();
    for _ in 0..100 {
        assert!(!pattern.find(&text, &mut room));
    }
    assert!(began.elapsed().as_secs() < 5);
}

proptest! {
    /// Whatever is taken compiles: the words that the crate is given are its own.
    #[test]
    fn no_pattern_makes_it_fail(pattern in r"[-a-c0-3^$.|?*+(){}\[\]\\,:<>=!&~ PQEdDbxipLé]{0,24}") {
        if let Err(error) = pattern.parse::<Pattern>() {
            prop_assert!(!error.wrong.contains("can't be compiled"), "{pattern}: {error}");
            prop_assert!(error.at() <= pattern.len());
        }
    }

    /// What means the same to both is left as it is.
    #[test]
    fn plain_patterns_mean_what_they_mean_to_the_crate(pattern in r"([a-c.]|\[[a-c]{1,2}\]|\([a-c]\|[a-c]\)|[a-c][*+?]){0,6}", text in "[a-c]{0,8}") {
        let theirs = Regex::new(&format!("(?-u){pattern}")).unwrap();
        let whole = theirs.find(text.as_bytes()).map(|whole| String::from_utf8_lossy(whole.as_bytes()).into_owned());
        let ours = found(&pattern, &text);
        prop_assert_eq!(whole.is_some(), ours.is_some());
        prop_assert!(ours.unwrap_or_default().starts_with(&whole.unwrap_or_default()));
    }
}
