//! Orders of tags, told by their promises.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::config::RepositoryName;
use crate::elect::filter::Filter;

pub(in crate::elect) fn rule(policy: Policy, filter: Option<(&str, &str)>) -> ImagePolicy {
    ImagePolicy {
        repository: RepositoryName::Relative("wiki".to_owned()),
        policy,
        filter: filter
            .map(|(pattern, extract)| Filter::new(pattern.parse().unwrap(), Some(extract)).unwrap()),
        platforms: Vec::new(),
        interval: None,
        build: None,
    }
}

fn semver(range: &str) -> Policy {
    Policy::Semver { range: range.parse().unwrap() }
}

fn numerical(order: Order) -> Policy {
    Policy::Numerical { order }
}

fn alphabetical(order: Order) -> Policy {
    Policy::Alphabetical { order }
}

fn tags(list: &[&str]) -> Tags {
    list.iter().map(|tag| tag.parse::<Tag>().unwrap()).collect()
}

fn named(tags: &Tags, ahead: &Ahead) -> Vec<String> {
    ahead.above.iter().map(|place| tags.get(*place).unwrap().to_string()).collect()
}

/// All that the policy can elect, best first.
fn best_first(rule: &ImagePolicy, list: &[&str]) -> Vec<String> {
    let tags = tags(list);
    named(&tags, &ahead(rule, &tags, None))
}

#[test]
fn a_local_builds_tag_is_elected_by_no_policy() {
    let build = "build-20261121T152300Z-2d711642b726";
    for policy in [alphabetical(Order::Ascending), alphabetical(Order::Descending)] {
        assert_eq!(best_first(&rule(policy, None), &[build, "build-1"]), ["build-1"]);
    }
    let by_time = rule(numerical(Order::Ascending), Some(("^build-(?P<day>[0-9]+)", "$day")));
    assert_eq!(best_first(&by_time, &[build, "build-7"]), ["build-7"]);
    assert!(
        !ahead(&by_time, &tags(&["build-7"]), Some(&build.parse().unwrap())).ordered,
        "nor is it compared"
    );
}

/// What is above `current`, best first.
fn above(rule: &ImagePolicy, list: &[&str], current: &str) -> Vec<String> {
    let tags = tags(list);
    named(&tags, &ahead(rule, &tags, Some(&current.parse().unwrap())))
}

#[test]
fn versions_within_the_range_come_in_their_order() {
    let list = ["1.9.0", "latest", "1.10.0", "2.0.0", "1.10.0-rc.1", "v1.2.0", "1.2"];
    assert_eq!(best_first(&rule(semver("1.x"), None), &list), ["1.10.0", "1.9.0", "v1.2.0"]);
    assert_eq!(
        best_first(&rule(semver(">=1.9-0"), None), &list),
        ["2.0.0", "1.10.0", "1.10.0-rc.1", "1.9.0"]
    );
    assert_eq!(above(&rule(semver("*"), None), &list, "1.9.0"), ["2.0.0", "1.10.0"]);
}

#[test]
fn numbers_come_by_size_and_one_odd_tag_fails_no_policy() {
    let list = ["9", "10", "latest", "2.5", "1e1", "007"];
    assert_eq!(best_first(&rule(numerical(Order::Ascending), None), &list), ["10", "1e1", "9", "007", "2.5"]);
    assert_eq!(
        best_first(&rule(numerical(Order::Descending), None), &list),
        ["2.5", "007", "9", "10", "1e1"]
    );
    assert_eq!(above(&rule(numerical(Order::Descending), None), &list, "9"), ["2.5", "007"]);
    let big = ["9007199254740992", "9007199254740993"];
    assert_eq!(above(&rule(numerical(Order::Ascending), None), &big, big[0]), [big[1]]);
}

#[test]
fn letters_come_in_byte_order() {
    let list = ["a", "B", "b", "_", "aa", "10", "9"];
    let ascending = best_first(&rule(alphabetical(Order::Ascending), None), &list);
    assert_eq!(ascending, ["b", "aa", "a", "_", "B", "9", "10"]);
    let mut descending = best_first(&rule(alphabetical(Order::Descending), None), &list);
    descending.reverse();
    assert_eq!(ascending, descending);
}

#[test]
fn what_is_extracted_is_compared_and_the_tag_itself_is_elected() {
    let filter = Some(("^main-[a-f0-9]+-(?P<ts>[0-9]+)$", "$ts"));
    let list = ["main-a1-9", "main-b2-10", "dev-c3-99", "main-d4-x", "11"];
    assert_eq!(best_first(&rule(numerical(Order::Ascending), filter), &list), ["main-b2-10", "main-a1-9"]);
    let filter = Some(("^release-(.*)$", "$1"));
    assert_eq!(
        best_first(&rule(semver("1.x"), filter), &["release-1.2.0", "release-1.10.0", "1.11.0"]),
        ["release-1.10.0", "release-1.2.0"]
    );
    // Numbers that are put together to a version, with build metadata that no tag could have.
    let filter = Some(("^(?P<n>[0-9]+)-(?P<sha>[a-f0-9]+)$", "1.$n.0+$sha"));
    assert_eq!(best_first(&rule(semver("*"), filter), &["9-aa", "10-bb"]), ["10-bb", "9-aa"]);
}

#[test]
fn of_equal_tags_the_shortest_comes_first_and_then_the_first_in_byte_order() {
    let list = ["v1.0.0", "01.0.0", "v01.0.0", "1.0.0", "1.00.0"];
    assert_eq!(
        best_first(&rule(semver("*"), None), &list),
        ["1.0.0", "01.0.0", "1.00.0", "v1.0.0", "v01.0.0"]
    );
    let filter = Some(("^[a-z]+-([0-9]+)$", "$1"));
    assert_eq!(
        best_first(&rule(numerical(Order::Ascending), filter), &["b-1", "aa-1", "a-1"]),
        ["a-1", "b-1", "aa-1"]
    );
}

#[test]
fn an_equal_version_is_no_reason_to_move() {
    assert!(above(&rule(semver("*"), None), &["v1.0.0", "01.0.0"], "1.0.0").is_empty());
    assert!(above(&rule(numerical(Order::Ascending), None), &["1.0", "01"], "1").is_empty());
}

#[test]
fn an_empty_extract_is_no_number_and_no_version_and_the_lowest_text() {
    let filter = Some(("^x(?P<n>[0-9]*)$", "$n"));
    let list = ["x", "x1"];
    assert_eq!(best_first(&rule(numerical(Order::Ascending), filter), &list), ["x1"]);
    assert_eq!(best_first(&rule(alphabetical(Order::Ascending), filter), &list), ["x1", "x"]);
    assert!(best_first(&rule(semver("*"), filter), &list).is_empty());
}

#[test]
fn what_stands_beside_the_filter_or_is_nothing_to_the_policy_has_no_order() {
    let list = tags(&["main-1", "main-2"]);
    let filter = Some(("^main-([0-9]+)$", "$1"));
    for (policy, current) in [
        (numerical(Order::Ascending), "dev-1"),
        (alphabetical(Order::Ascending), "dev-1"),
        (numerical(Order::Ascending), "latest"),
    ] {
        let ahead = ahead(&rule(policy, filter), &list, Some(&current.parse().unwrap()));
        assert!(ahead.any && !ahead.ordered && ahead.above.is_empty(), "{current}: {ahead:?}");
    }
    // Out of its range, but a version.
    let list = tags(&["1.1.0"]);
    assert!(ahead(&rule(semver("1.x"), None), &list, Some(&"0.9.0".parse().unwrap())).ordered);
}

#[test]
fn two_tags_compare_as_the_policy_prefers_them() {
    let compared =
        |policy, a: &str, b: &str| compare(&rule(policy, None), &a.parse().unwrap(), &b.parse().unwrap());
    assert_eq!(compared(semver("*"), "1.10.0", "1.9.0"), Some(Ordering::Greater));
    assert_eq!(compared(semver("*"), "v1.0.0", "1.0.0"), Some(Ordering::Equal));
    assert_eq!(compared(semver("*"), "1.0.0", "latest"), None);
    assert_eq!(compared(semver("*"), "1.0", "1.0.0"), None);
    assert_eq!(compared(numerical(Order::Descending), "1", "2"), Some(Ordering::Greater));
    assert_eq!(compared(alphabetical(Order::Ascending), "a", "b"), Some(Ordering::Less));
    assert_eq!(compared(Policy::Newest, "a", "b"), None);
}

fn any_tag() -> impl Strategy<Value = Tag> {
    prop_oneof!["v?0?[0-3]\\.[0-3]\\.[0-3](-[0-2a]{1,2})?", "[0-9]{1,3}", "[0-9A-Za-z_][0-9A-Za-z._-]{0,127}"]
        .prop_map(|text| text.parse().unwrap())
}

/// What an `extract` may make of a tag: of any sign, and far past what fits into words.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "v?([0-9]{1,2}|4398046511[0-9]{3}|[0-9]{18})\\.([0-2]|4398046511[0-9]{3})\\.[0-2](-[0-2a]{1,2})?",
        "-?[0-9]{0,2}(0{0,40}[0-9]{1,40})?(\\.0{0,40}[0-9]{0,30})?(e-?([0-9]{1,2}|3276[0-9]))?",
        "[ab]{14,18}[a-c]?",
    ]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(semver("*-0")),
        Just(semver(">=1.1-0 <3")),
        Just(numerical(Order::Ascending)),
        Just(numerical(Order::Descending)),
        Just(alphabetical(Order::Ascending)),
        Just(alphabetical(Order::Descending)),
    ]
}

proptest! {
    /// What is above stands in the policy's order, and nothing is missing.
    #[test]
    fn what_is_above_comes_best_first(policy in any_policy(), tags in prop::collection::vec(any_tag(), 0..40)) {
        let (rule, tags) = (rule(policy, None), tags.into_iter().collect::<Tags>());
        let all: Vec<Tag> = ahead(&rule, &tags, None).above.iter().map(|place| tags.get(*place).unwrap()).collect();
        for pair in all.windows(2) {
            prop_assert_ne!(compare(&rule, &pair[0], &pair[1]).unwrap(), Ordering::Less, "{:?}", pair);
        }
        let electable = |tag: &Tag| Ranker::new(&rule).key(tag.as_str()).is_some_and(|key| Ranker::new(&rule).elects(&key));
        prop_assert_eq!(all.len(), tags.iter().filter(electable).count());
    }

    /// The short form of a key decides nothing that the key would decide otherwise.
    #[test]
    fn a_brief_never_contradicts_the_order(policy in any_policy(), texts in prop::collection::vec(any_text(), 2..8)) {
        let rule = rule(policy, None);
        let mut ranker = Ranker::new(&rule);
        let keys: Vec<Key> = texts.iter().filter_map(|text| ranker.key(text)).collect();
        for (one, other) in keys.iter().flat_map(|one| keys.iter().map(move |other| (one, other))) {
            let brief = ranker.brief(one).cmp(&ranker.brief(other));
            prop_assert!(brief.is_eq() || brief == ranker.compare(one, other), "{:?} {:?}", one, other);
        }
    }

    /// Nothing is above what stands but what compares so, and nothing of that is missing.
    #[test]
    fn exactly_what_is_better_is_above(policy in any_policy(), tags in prop::collection::vec(any_tag(), 0..12), current in any_tag()) {
        let (rule, tags) = (rule(policy, None), tags.into_iter().collect::<Tags>());
        let all = ahead(&rule, &tags, None);
        let above = ahead(&rule, &tags, Some(&current));
        let better = |place: &&u32| compare(&rule, &tags.get(**place).unwrap(), &current) == Some(Ordering::Greater);
        prop_assert_eq!(above.any, all.any);
        prop_assert_eq!(above.stands, all.above.iter().any(|place| tags.get(*place).unwrap() == current));
        prop_assert_eq!(above.above, all.above.iter().filter(better).copied().collect::<Vec<_>>());
        prop_assert_eq!(above.ordered, compare(&rule, &current, &current).is_some());
    }
}
