//! Files that want to cost time or memory.

use std::fmt::Write as _;
use std::time::Instant;

use super::super::*;

fn problems(text: &[u8]) -> String {
    let started = Instant::now();
    let problems = Config::parse("promote.yaml", text).expect_err("a hostile file is refused").to_string();
    assert!(started.elapsed().as_secs() < 20, "took {:?}", started.elapsed());
    problems
}

#[test]
fn a_file_over_one_mebibyte_is_refused() {
    assert_eq!(
        problems(&vec![b' '; 1024 * 1024 + 1]),
        "promote.yaml:1:1: the file is larger than 1 MiB (got 1048577 bytes); split it"
    );
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let aliases = vec![format!("*l{}", level - 1); 10].join(", ");
        writeln!(text, "l{level}: &l{level} [{aliases}]").unwrap();
    }
    assert_eq!(
        problems(text.as_bytes()),
        "promote.yaml:5:45: l4[7]: more than 100000 values, aliases expanded; make the file smaller"
    );
}

#[test]
fn one_long_text_named_many_times_is_refused() {
    let text = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(500_000), vec!["*a"; 1000].join(","));
    assert!(problems(text.as_bytes()).contains("more than 100000 values"));
}

#[test]
fn an_alias_within_its_own_value_is_refused() {
    assert_eq!(
        problems(b"a: &a {b: [*a]}\n"),
        "promote.yaml:1:12: a.b[0]: an alias stands inside the value that it names; write the value out"
    );
}

#[test]
fn deep_nesting_is_refused_with_and_without_aliases() {
    let deep = "nested more than 64 levels deep; no key needs that";
    assert!(problems(format!("a: {}{}", "[".repeat(70), "]".repeat(70)).as_bytes()).ends_with(deep));
    assert!(problems("[".repeat(100_000).as_bytes()).contains("not valid YAML"));
    assert!(problems("- ".repeat(100_000).as_bytes()).ends_with(deep));
    let half =
        format!("a: &a {}{}\nb: {}*a{}\n", "[".repeat(40), "]".repeat(40), "[".repeat(40), "]".repeat(40));
    assert!(problems(half.as_bytes()).ends_with(deep));
}

#[test]
fn too_many_values_are_refused() {
    assert!(problems("- x\n".repeat(100_001).as_bytes()).contains("more than 100000 values"));
}

#[test]
fn only_so_many_problems_are_kept() {
    let mut text = String::new();
    for index in 0..20_000 {
        writeln!(text, "unknown{index}: 1").unwrap();
    }
    let told = problems(text.as_bytes());
    assert_eq!(told.lines().count(), 1001);
    assert!(told.ends_with("promote.yaml: and 19003 more problems"), "{}", told.lines().last().unwrap());
}

#[test]
fn too_many_pairs_of_app_and_environment_are_refused() {
    let mut text = "version: 1\nenvironments:\n".to_owned();
    for index in 0..101 {
        writeln!(text, "  e{index}: {{registry: 'localhost:5000'}}").unwrap();
    }
    text.push_str("apps: {a: {path: 'a/{environment}', images: {a: {policy: {semver: {range: '*'}}}}}}\n");
    assert_eq!(
        problems(text.as_bytes()),
        "promote.yaml:1:1: at most 100 environments, and 10000 pairs of app and environment are supported \
         (got 101 environments, 1 apps); split the repository"
    );
}

#[test]
fn files_that_are_hard_to_scan_take_linear_time() {
    for part in
        ["? ", "a: &a ", "'", "\"", "#\n", "<<: ", "{a: ", "*a ", "!x ", "%", "|\n ", ": ", "\t", "---\n"]
    {
        let text = part.repeat(1_000_000 / part.len());
        problems(text.as_bytes());
    }
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        let _ = Config::parse("promote.yaml", &bytes).map_err(|problems| problems.to_string());
    }

    #[test]
    fn arbitrary_yaml_never_panics(text in "([a-z]{1,3}|[-:?{}\\[\\],&*!|>'\"%@`#~<]| |\n|\n  ){0,80}") {
        let _ = Config::parse("promote.yaml", text.as_bytes()).map_err(|problems| problems.to_string());
    }

    #[test]
    fn a_good_file_with_one_stretch_replaced_never_panics(
        start in 0_usize..1200, length in 0_usize..40, with in "\\PC{0,20}"
    ) {
        let letters: Vec<char> = super::FULL.chars().collect();
        let start = start.min(letters.len());
        let end = (start + length).min(letters.len());
        let text: String = letters[..start].iter().copied().chain(with.chars())
            .chain(letters[end..].iter().copied()).collect();
        let _ = Config::parse("promote.yaml", text.as_bytes()).map_err(|problems| problems.to_string());
    }
}
