//! The mistakes of policies, filters, platforms and gates, with their exact words.

use super::super::*;
use super::{problems, with_environment, with_image};

#[test]
fn an_image_has_one_policy_of_the_known_ones() {
    assert_eq!(
        problems(&with_image("policy: {semver: {range: '*'}, numerical: {}}")),
        [
            "3:48: apps.web.images.web.policy: expected one policy, got semver and numerical; remove the others"
        ]
    );
    assert_eq!(
        problems(&with_image("policy: {numeric: {order: asc}}")),
        [
            "3:48: apps.web.images.web.policy: `semver` is missing; add `semver: {range: \">=1.0.0\"}`",
            "3:49: apps.web.images.web.policy.numeric: unknown key; did you mean \"numerical\"?"
        ]
    );
    assert_eq!(
        problems(&with_image("policy: {numerical: {order: up}}")),
        ["3:68: apps.web.images.web.policy.numerical.order: unknown value (got \"up\"); write asc or desc"]
    );
    assert_eq!(
        problems(&with_image("policy: {alphabetical: desc}")),
        ["3:63: apps.web.images.web.policy.alphabetical: expected a mapping, got text; its keys are order"]
    );
    assert_eq!(
        problems(&with_image("policy: {newest: {order: asc}}")),
        ["3:58: apps.web.images.web.policy.newest.order: unknown key; there are none here, remove it"]
    );
    assert_eq!(
        problems(&with_image("policy: {newest: ~}")),
        ["3:49: apps.web.images.web.policy.newest: expected a mapping, got nothing; write {}"]
    );
    assert_eq!(
        problems(&with_image("policy: {digest: {}}")),
        ["3:57: apps.web.images.web.policy.digest: `tag` is missing; add `tag: latest`"]
    );
    assert_eq!(
        problems(&with_image("policy: {digest: {tag: 'a/b'}}")),
        [
            "3:63: apps.web.images.web.policy.digest.tag: not a tag (got \"a/b\"); use up to 128 letters, digits, and . _ - that do not come first"
        ]
    );
}

#[test]
fn a_filter_is_told_what_is_wrong_and_where() {
    let filter =
        |keys: &str| problems(&with_image(&format!("policy: {{numerical: {{}}}}, filterTags: {keys}")));
    assert_eq!(
        filter("{extract: $ts}"),
        [
            "3:77: apps.web.images.web.filterTags: `pattern` is missing; add `pattern: '^main-[0-9a-f]+-(?P<ts>[0-9]+)$'`"
        ]
    );
    assert_eq!(
        filter("{pattern: '^(a'}"),
        [
            "3:87: apps.web.images.web.filterTags.pattern: not a pattern of RE2 (got \"^(a\"); byte 1: this group has no end; add the missing )"
        ]
    );
    assert_eq!(
        filter("{pattern: '(?=a)'}"),
        [
            "3:87: apps.web.images.web.filterTags.pattern: not a pattern of RE2 (got \"(?=a)\"); byte 0: RE2 has no such group; RE2 has (?:…), (?P<name>…), (?flags) and (?flags:…) with the flags i, m, s and U; it has no look-around"
        ]
    );
    let long = filter(&format!("{{pattern: a, extract: '{}'}}", "$1".repeat(129)));
    assert_eq!(
        long,
        [
            "3:99: apps.web.images.web.filterTags.extract: it is 258 bytes long; shorten it to 256 bytes at most"
        ]
    );
}

#[test]
fn a_filter_that_means_nothing_to_its_policy_is_told_so() {
    assert_eq!(
        problems(&with_image("policy: {digest: {tag: latest}}, filterTags: {pattern: a}")),
        [
            "3:85: apps.web.images.web.filterTags: means nothing beside `digest`, which names its one tag; remove it"
        ]
    );
    assert_eq!(
        problems(&with_image("policy: {newest: {}}, filterTags: {pattern: a, extract: $0}")),
        [
            "3:96: apps.web.images.web.filterTags.extract: means nothing beside `newest`, which compares times; remove it"
        ]
    );
}

#[test]
fn a_platform_is_os_and_architecture() {
    let platforms =
        |list: &str| problems(&with_image(&format!("policy: {{newest: {{}}}}, platforms: {list}")));
    assert_eq!(
        platforms("[linux, Linux/amd64, linux/arm64/v8/x]"),
        [
            "3:74: apps.web.images.web.platforms[0]: not a platform (got \"linux\"); write os/architecture, like linux/amd64",
            "3:81: apps.web.images.web.platforms[1]: not a platform (got \"Linux/amd64\"); write os/architecture, like linux/amd64",
            "3:94: apps.web.images.web.platforms[2]: not a platform (got \"linux/arm64/v8/x\"); write os/architecture, like linux/amd64",
        ]
    );
    assert_eq!(
        platforms("[]"),
        ["3:73: apps.web.images.web.platforms: has 0 platforms; write 1 to 20, like [linux/amd64]"]
    );
}

#[test]
fn a_gate_is_told_what_is_wrong() {
    assert_eq!(
        problems(&with_environment("registry: 'a:1', gates: {minAge: 0s, maxJump: big, approvals: 0}")),
        [
            "4:44: environments.local.gates.minAge: too short (got \"0s\"); write it like 90s, 5m or 1h30m, at least 1s",
            "4:57: environments.local.gates.maxJump: unknown value (got \"big\"); write major or minor or patch",
            "4:73: environments.local.gates.approvals: not a number from 1 to 100 (got \"0\"); write how many people must approve, like 2"
        ]
    );
    let text = with_environment("registry: 'a:1', gates: {maxJump: minor}");
    parses(&text);
    assert_eq!(
        problems(&text.replace("{semver: {range: '*'}}", "{numerical: {}}")),
        [
            "4:45: environments.local.gates.maxJump: needs `semver` policies, since only versions have jumps, and image web of app web has `numerical`; remove it, or write a `semver` policy there"
        ]
    );
}

fn parses(text: &str) {
    Config::parse("promote.yaml", text.as_bytes()).unwrap();
}
