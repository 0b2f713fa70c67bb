//! `newest`, told by its promises.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};

use super::*;
use crate::config::{Gates, Policy, RepositoryName};
use crate::discover::Facts;
use crate::elect::filter::Filter;
use crate::elect::{Choice, Standing, ahead, choose};
use crate::model::Repository;

struct Scene {
    tags: Vec<Tag>,
    digests: HashMap<(Repository, Tag), Known>,
    facts: HashMap<Digest, Facts>,
    current: Option<Tag>,
    rule: ImagePolicy,
}

const NOW: &str = "2026-11-21T12:00:00Z";

fn repository() -> Repository {
    "localhost:5000/wiki".parse().unwrap()
}

fn digest(tag: &Tag) -> Digest {
    Digest::of(tag.as_str().as_bytes())
}

fn facts(created: &str) -> Facts {
    Facts { depth: Depth::Created, other: None, platforms: Vec::new(), created: created.parse().ok() }
}

/// Tags with the times in their images; `?` for one that nobody has looked at.
fn built(images: &[(&str, &str)]) -> Scene {
    let mut scene = Scene {
        tags: images.iter().map(|(tag, _)| tag.parse().unwrap()).collect(),
        digests: HashMap::new(),
        facts: HashMap::new(),
        current: None,
        rule: ImagePolicy {
            repository: RepositoryName::Relative("wiki".to_owned()),
            policy: Policy::Newest,
            filter: None,
            platforms: Vec::new(),
            interval: None,
            build: None,
        },
    };
    for (tag, (_, created)) in scene.tags.iter().zip(images) {
        if *created != "?" {
            scene.digests.insert((repository(), tag.clone()), Known::Digest(digest(tag)));
            scene.facts.insert(digest(tag), facts(created));
        }
    }
    scene
}

impl Scene {
    fn at(mut self, tag: &str) -> Self {
        self.current = Some(tag.parse().unwrap());
        self
    }

    fn choice(&self) -> Choice {
        let repository = repository();
        let digest = self.current.as_ref().map(digest);
        let over = Candidates {
            repository: &repository,
            tags: &self.tags.iter().cloned().collect(),
            current: Standing {
                name: self.current.as_ref().map(|_| "localhost:5000/wiki"),
                tag: self.current.as_ref(),
                digest: digest.as_ref(),
            },
            quarantined: &[],
            barred: &[],
            platforms: &[],
            gates: &Gates::default(),
            approved: &BTreeMap::new(),
            now: NOW.parse().unwrap(),
        };
        let known = Knowledge { digests: &self.digests, facts: &self.facts, first_seen: &HashMap::new() };
        match ahead(&self.rule, &over, &known) {
            Ok(ahead) => choose(&self.rule, &over, &ahead, &known),
            Err(choice) => choice,
        }
    }

    fn told(&self) -> String {
        match self.choice() {
            Choice::Move(image) => image.tag.to_string(),
            Choice::Stay(why) => why.to_string(),
            Choice::Resolve(asks) => format!("{asks:?}"),
        }
    }
}

#[test]
fn what_was_built_last_is_elected_whatever_its_name() {
    let images =
        [("z", "2026-01-01T00:00:00Z"), ("a", "2026-01-03T00:00:00Z"), ("m", "2026-01-02T00:00:00+09:00")];
    assert_eq!(built(&images).told(), "a");
    assert_eq!(built(&images).at("z").told(), "a");
    assert_eq!(built(&images).at("a").told(), "up to date");
}

#[test]
fn nothing_is_elected_before_every_tag_has_a_date() {
    let scene = built(&[("a", "2026-01-01T00:00:00Z"), ("b", "?"), ("c", "?")]).at("a");
    let asks = ["c", "b"].map(|tag| Ask::Tag(tag.parse().unwrap()));
    assert_eq!(scene.choice(), Choice::Resolve(asks.to_vec()));
}

#[test]
fn only_what_passes_the_filter_is_asked_for() {
    let mut scene = built(&[("rel-a", "2026-01-01T00:00:00Z"), ("dev-b", "?")]);
    scene.rule.filter = Some(Filter::new("^rel-".parse().unwrap(), None).unwrap());
    assert_eq!(scene.told(), "rel-a");
}

#[test]
fn a_time_that_cannot_be_true_does_not_count() {
    for created in [
        "2099-01-01T00:00:00Z",
        "2026-11-22T12:00:01Z",
        "1970-01-01T00:00:00Z",
        "1980-01-01T00:00:01Z",
        "0001-01-01T00:00:00Z",
        "none",
    ] {
        let scene = built(&[("a", "2026-01-01T00:00:00Z"), ("b", created)]).at("a");
        assert_eq!(scene.told(), "up to date", "{created}");
    }
    // A clock may be a little ahead.
    assert_eq!(built(&[("a", "2026-01-01T00:00:00Z"), ("b", "2026-11-22T11:59:59Z")]).at("a").told(), "b");
}

#[test]
fn times_are_ordered_through_leap_days_and_changes_of_the_clocks() {
    let images =
        [("a", "2024-02-28T23:59:59Z"), ("b", "2024-02-29T00:00:00Z"), ("c", "2024-03-01T00:00:00Z")];
    assert_eq!(built(&images).told(), "c");
    assert_eq!(built(&images[..2]).told(), "b");
    let mut scene = built(&[("a", "2026-10-25T00:59:59.000000001Z"), ("b", "2026-10-25T02:30:00+02:00")]);
    assert_eq!(scene.told(), "a", "a change of the clocks is no change of the order");
    scene = built(&[("a", "2026-01-01T00:00:00.1Z"), ("b", "2026-01-01T00:00:00.2Z")]);
    assert_eq!(scene.told(), "b");
}

#[test]
fn of_equal_times_the_shortest_tag_is_elected_and_an_equal_one_is_no_reason_to_move() {
    let images =
        [("bb", "2026-01-01T00:00:00Z"), ("a", "2026-01-01T00:00:00Z"), ("b", "2026-01-01T00:00:00Z")];
    assert_eq!(built(&images).told(), "a");
    assert_eq!(built(&images).at("bb").told(), "up to date");
}

#[test]
fn where_the_date_of_what_stands_is_not_to_be_had_nothing_moves() {
    let images = [("a", "2026-01-01T00:00:00Z")];
    let mut scene = built(&images).at("gone");
    let gone: Tag = "gone".parse().unwrap();
    assert_eq!(
        scene.choice(),
        Choice::Resolve(vec![Ask::Digest(digest(&gone))]),
        "it may still be there by its digest"
    );
    scene.facts.insert(digest(&gone), facts("none"));
    assert!(scene.told().starts_with("the policy cannot tell"));
    scene.facts.insert(digest(&gone), facts("2026-02-01T00:00:00Z"));
    assert_eq!(scene.told(), "up to date", "and never downward");
}

#[test]
fn a_tag_that_cannot_be_read_or_is_no_image_holds_up_no_other() {
    let mut scene =
        built(&[("a", "2026-01-01T00:00:00Z"), ("b", "?"), ("c", "?"), ("d", "2026-02-01T00:00:00Z")]);
    scene.digests.insert((repository(), "b".parse().unwrap()), Known::Unusable("not a manifest".to_owned()));
    scene.digests.insert((repository(), "c".parse().unwrap()), Known::Absent);
    scene.facts.insert(
        digest(&"d".parse().unwrap()),
        Facts { other: Some("a Helm chart".to_owned()), ..facts("2026-02-01T00:00:00Z") },
    );
    assert_eq!(scene.told(), "a");
}

#[test]
fn more_tags_than_can_be_dated_are_told() {
    let mut scene = built(&[]);
    scene.tags = (0..=MOST).map(|number| format!("t{number:05}").parse().unwrap()).collect();
    assert_eq!(scene.told(), "5001 tags would have to be dated, at most 5000 are; narrow filterTags");
}
