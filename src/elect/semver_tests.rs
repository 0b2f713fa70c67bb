//! Tags as versions, told by their promises.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn best_first(range: &str, tags: &[Tag]) -> Vec<String> {
    ranked(&range.parse().unwrap(), tags).into_iter().map(|(_, tag)| tag.to_string()).collect()
}

#[test]
fn a_tag_of_three_dot_parts_is_a_version() {
    for (text, version) in [
        ("1.2.3", "1.2.3"),
        ("v1.2.3", "1.2.3"),
        ("1.2.3-rc.1", "1.2.3-rc.1"),
        ("1.2.3-a-b--c", "1.2.3-a-b--c"),
        ("v2025.02.03", "2025.2.3"),
        ("18446744073709551615.0.0", "18446744073709551615.0.0"),
        ("1.2.3-99999999999999999999", "1.2.3-99999999999999999999"),
        ("1.25-alpine3.18", "1.25.0-alpine3.18"),
        ("1-a.b.c", "1.0.0-a.b.c"),
    ] {
        assert_eq!(
            version_of(&tag(text)).map(|version| version.to_string()).as_deref(),
            Some(version),
            "{text}"
        );
    }
}

#[test]
fn any_other_tag_does_not_count() {
    for text in [
        "latest",
        "1",
        "1.2",
        "v1.2",
        "1.2-rc",
        "1.2.3.4",
        "1..3",
        "1.2.",
        "1.2.3-",
        "1.2.3-01",
        "1.2.3-a..b",
        "1.2.3-a.",
        "1.2.3_1",
        "1.2.3-a_b",
        "V1.2.3",
        "vv1.2.3",
        "v.1.2",
        "1.2.x",
        "18446744073709551616.0.0",
        "0.0.99999999999999999999999",
    ] {
        assert_eq!(version_of(&tag(text)), None, "{text}");
    }
}

#[test]
fn the_highest_version_within_the_range_comes_first() {
    let tags = ["1.9.0", "latest", "1.10.0", "2.0.0", "1.10.0-rc.1", "v1.2.0", "1.2"].map(tag);
    assert_eq!(best_first("1.x", &tags), ["1.10.0", "1.9.0", "v1.2.0"]);
    assert_eq!(best_first(">=1.9-0", &tags), ["2.0.0", "1.10.0", "1.10.0-rc.1", "1.9.0"]);
    assert!(best_first("3", &tags).is_empty());
}

#[test]
fn of_tags_for_one_version_the_shortest_comes_first() {
    let tags = ["v1.0.0", "01.0.0", "v01.0.0", "1.0.0", "1.00.0"].map(tag);
    assert_eq!(best_first("*", &tags), ["1.0.0", "01.0.0", "1.00.0", "v1.0.0", "v01.0.0"]);
}

#[test]
fn tags_compare_as_versions_or_not_at_all() {
    let compared = |a, b| compare(&tag(a), &tag(b));
    assert_eq!(compared("1.10.0", "1.9.0"), Some(Ordering::Greater));
    assert_eq!(compared("1.0.0-rc.2", "1.0.0-rc.10"), Some(Ordering::Less));
    assert_eq!(compared("1.0.0-rc.1", "1.0.0"), Some(Ordering::Less));
    assert_eq!(compared("v1.0.0", "1.0.0"), Some(Ordering::Equal));
    assert_eq!(compared("1.0.0", "latest"), None);
    assert_eq!(compared("1.0", "1.0.0"), None);
}

fn any_tag() -> impl Strategy<Value = Tag> {
    prop_oneof!["v?0?[0-3]\\.[0-3]\\.[0-3](-[0-2a]{1,2})?", "[0-9A-Za-z_][0-9A-Za-z._-]{0,127}"]
        .prop_map(|text| text.parse().unwrap())
}

proptest! {
    #[test]
    fn the_order_of_the_list_plays_no_part(
        (tags, shuffled) in prop::collection::vec(any_tag(), 0..12).prop_flat_map(|tags| (Just(tags.clone()), Just(tags).prop_shuffle()))
    ) {
        prop_assert_eq!(best_first("*-0", &tags), best_first("*-0", &shuffled));
    }

    #[test]
    fn no_tag_comes_before_a_better_one(tags in prop::collection::vec(any_tag(), 0..12)) {
        let range = ">=1.1-0 <3".parse().unwrap();
        let best_first = ranked(&range, &tags);
        prop_assert!(best_first.is_sorted_by(|(_, a), (_, b)| compare(a, b).unwrap().is_ge()));
        let within = |tag: &&Tag| version_of(tag).is_some_and(|version| range.matches(&version));
        prop_assert_eq!(best_first.len(), tags.iter().filter(within).count());
    }

    #[test]
    fn comparing_the_other_way_round_gives_the_opposite(a in any_tag(), b in any_tag()) {
        prop_assert_eq!(compare(&a, &b), compare(&b, &a).map(Ordering::reverse));
    }
}
