//! Elections, told by their promises.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::order::tests::rule;
use super::*;
use crate::config::{Jump, Order};
use crate::discover::Platform;

const NOW: &str = "2026-11-21T12:00:00Z";
const NOT_LISTED: &str =
    "the registry has no tag latest; nothing is concluded from that, and it is asked again at the next pass";

fn digest(digit: char) -> Digest {
    format!("sha256:{}", digit.to_string().repeat(64)).parse().unwrap()
}

/// The digest of a tag in these tests: its last character, or `0`.
fn digest_of(tag: &Tag) -> Digest {
    digest(tag.as_str().chars().last().filter(char::is_ascii_hexdigit).unwrap_or('0'))
}

fn repository() -> Repository {
    "localhost:5000/wiki".parse().unwrap()
}

struct Scene {
    rule: ImagePolicy,
    tags: Vec<Tag>,
    digests: HashMap<(Repository, Tag), Known>,
    facts: HashMap<Digest, Facts>,
    first_seen: HashMap<(Repository, Digest), Timestamp>,
    current: Option<Tag>,
    current_digest: Option<Digest>,
    quarantined: Vec<Digest>,
    barred: Vec<(Tag, Option<Digest>)>,
    gates: Gates,
    approved: BTreeMap<Digest, Vec<String>>,
}

/// A list of which everything is known.
fn tags(tags: &[&str]) -> Scene {
    let tags: Vec<Tag> = tags.iter().map(|tag| tag.parse().unwrap()).collect();
    let digests = tags.iter().map(|tag| ((repository(), tag.clone()), Known::Digest(digest_of(tag))));
    let facts = Facts { depth: Depth::Created, other: None, platforms: Vec::new(), created: None };
    Scene {
        rule: rule(Policy::Semver { range: ">=1.0.0".parse().unwrap() }, None),
        digests: digests.collect(),
        facts: tags.iter().map(|tag| (digest_of(tag), facts.clone())).collect(),
        first_seen: HashMap::new(),
        tags,
        current: None,
        current_digest: None,
        quarantined: Vec::new(),
        barred: Vec::new(),
        gates: Gates::default(),
        approved: BTreeMap::new(),
    }
}

impl Scene {
    fn at(mut self, tag: &str) -> Self {
        let tag: Tag = tag.parse().unwrap();
        self.current_digest = Some(digest_of(&tag));
        self.current = Some(tag);
        self
    }

    fn policy(mut self, policy: Policy) -> Self {
        self.rule.policy = policy;
        self
    }

    fn following(self, tag: &str) -> Self {
        self.policy(Policy::Digest { tag: tag.parse().unwrap() })
    }

    /// The registry has this content under the tag now.
    fn points_to(mut self, tag: &str, digit: char) -> Self {
        let facts = Facts { depth: Depth::Created, other: None, platforms: Vec::new(), created: None };
        self.digests.insert((repository(), tag.parse().unwrap()), Known::Digest(digest(digit)));
        self.facts.insert(digest(digit), facts);
        self
    }

    fn jump(mut self, jump: Jump) -> Self {
        self.gates.max_jump = Some(jump);
        self
    }

    fn min_age(mut self, age: Duration) -> Self {
        self.gates.min_age = Some(age);
        self
    }

    fn seen(mut self, tag: &str, at: &str) -> Self {
        self.first_seen.insert((repository(), digest_of(&tag.parse().unwrap())), at.parse().unwrap());
        self
    }

    fn look<T>(&self, at: impl FnOnce(&Candidates<'_>, &Knowledge<'_>) -> T) -> T {
        let repository = repository();
        let barred: Vec<Standing<'_>> = self
            .barred
            .iter()
            .map(|(tag, digest)| Standing { name: None, tag: Some(tag), digest: digest.as_ref() })
            .collect();
        let over = Candidates {
            repository: &repository,
            tags: &self.tags.iter().cloned().collect(),
            current: Standing {
                name: self.current.as_ref().map(|_| "localhost:5000/wiki"),
                tag: self.current.as_ref(),
                digest: self.current_digest.as_ref(),
            },
            quarantined: &self.quarantined,
            barred: &barred,
            platforms: &self.rule.platforms,
            gates: &self.gates,
            approved: &self.approved,
            now: NOW.parse().unwrap(),
        };
        at(&over, &Knowledge { digests: &self.digests, facts: &self.facts, first_seen: &self.first_seen })
    }

    fn choose(&self) -> Choice {
        self.look(|over, known| match ahead(&self.rule, over, known) {
            Ok(ahead) => choose(&self.rule, over, &ahead, known),
            Err(choice) => choice,
        })
    }

    fn behind(&self) -> usize {
        self.look(|over, known| behind(&self.rule, over, &ahead(&self.rule, over, known).unwrap(), known))
    }

    fn elected(&self) -> Option<String> {
        match self.choose() {
            Choice::Move(image) => Some(image.tag.to_string()),
            _ => None,
        }
    }

    fn why(&self) -> String {
        match self.choose() {
            Choice::Stay(why) => why.to_string(),
            other => format!("{other:?}"),
        }
    }
}

#[test]
fn the_highest_version_is_elected_whatever_the_order_of_the_list() {
    assert_eq!(tags(&["1.2.0", "1.10.0", "latest", "1.9.0"]).at("1.2.0").elected().unwrap(), "1.10.0");
}

#[test]
fn an_entry_that_says_nothing_yet_gets_the_highest_version() {
    assert_eq!(tags(&["1.0.0", "1.1.0"]).elected().unwrap(), "1.1.0");
}

#[test]
fn a_short_or_empty_list_never_moves_anything_down() {
    assert_eq!(tags(&["1.0.0"]).at("1.5.0").why(), "up to date");
    assert_eq!(
        tags(&[]).at("1.5.0").why(),
        "the registry lists no tags; nothing is concluded from that, and it is asked again at the next pass"
    );
    assert_eq!(tags(&["0.9.0"]).at("1.5.0").why(), "no tag matches the policy");
    for order in [Order::Ascending, Order::Descending] {
        let (worse, better) = if order == Order::Ascending { ("1", "2") } else { ("2", "1") };
        assert_eq!(tags(&[worse]).policy(Policy::Numerical { order }).at(better).why(), "up to date");
        assert_eq!(tags(&[worse]).policy(Policy::Alphabetical { order }).at(better).why(), "up to date");
        assert_eq!(tags(&[better]).policy(Policy::Numerical { order }).at(worse).elected().unwrap(), better);
    }
}

#[test]
fn where_the_order_cannot_be_told_nothing_moves() {
    assert!(tags(&["1.0.0"]).at("latest").why().starts_with("the policy cannot tell"));
    let numerical = Policy::Numerical { order: Order::Ascending };
    assert!(tags(&["1"]).policy(numerical).at("latest").why().starts_with("the policy cannot tell"));
    let mut scene = tags(&["1.0.0"]);
    scene.current_digest = Some(digest('5'));
    assert!(scene.why().starts_with("the policy cannot tell"), "a digest alone has no order");
}

#[test]
fn a_quarantined_digest_is_not_elected_and_the_next_best_is() {
    let mut scene = tags(&["1.1.0", "1.2.1", "1.2.2"]).at("1.1.0");
    scene.quarantined = vec![digest('2')];
    assert_eq!(scene.elected().unwrap(), "1.2.1");
    scene.quarantined.push(digest('1'));
    assert_eq!(scene.why(), "1.2.2 is quarantined");
}

#[test]
fn a_version_that_a_person_took_away_is_not_elected_and_a_newer_one_is() {
    let mut scene = tags(&["1.1.0", "1.2.0", "1.3.0"]).at("1.1.0");
    let newest = scene.tags.pop().unwrap();
    scene.barred = vec![("1.2.0".parse().unwrap(), None)];
    assert_eq!(scene.why(), "1.2.0 is taken away by a person");
    scene.tags.push(newest);
    assert_eq!(scene.elected().unwrap(), "1.3.0");
}

#[test]
fn a_tag_without_digest_is_pinned() {
    let mut scene = tags(&["1.1.0"]).at("1.1.0");
    assert_eq!(scene.why(), "up to date");
    scene.current_digest = None;
    assert_eq!(scene.elected().unwrap(), "1.1.0");
    scene.gates.min_age = Some(Duration::from_hours(1));
    assert_eq!(scene.elected().unwrap(), "1.1.0", "it runs already");
}

#[test]
fn a_tag_that_was_pushed_again_is_not_followed() {
    let mut scene = tags(&["1.1.0"]).at("1.1.0").points_to("1.1.0", '9');
    assert_eq!(scene.why(), "up to date");
    scene.rule.repository = crate::config::RepositoryName::Relative("wiki".to_owned());
    scene.current_digest = Some(digest('7'));
    let told = scene.look(|over, known| {
        let current = Standing { name: None, ..over.current };
        let over = Candidates { current, ..*over };
        choose(&scene.rule, &over, &ahead(&scene.rule, &over, known).unwrap(), known)
    });
    assert_eq!(
        told,
        Choice::Stay(Why::Excluded {
            tag: "1.1.0".parse().unwrap(),
            because: "pushed again with other content".to_owned()
        })
    );
}

#[test]
fn the_same_version_under_another_tag_is_no_reason_to_move() {
    assert_eq!(tags(&["v1.1.0", "1.1.0"]).at("1.1.0").why(), "up to date");
}

#[test]
fn a_digest_is_asked_for_only_when_it_is_needed() {
    let ask = |tag: &str| Choice::Resolve(vec![Ask::Tag(tag.parse().unwrap())]);
    let mut scene = tags(&["1.0.0", "1.1.0"]).at("1.0.0");
    scene.current_digest = None;
    scene.digests.clear();
    assert_eq!(scene.choose(), ask("1.1.0"));
    scene.digests.insert((repository(), scene.tags[1].clone()), Known::Absent);
    assert_eq!(scene.choose(), ask("1.0.0"));
    scene = tags(&["1.1.0"]);
    scene.facts.clear();
    assert_eq!(scene.choose(), ask("1.1.0"), "what it is must be known, too");
}

#[test]
fn what_is_no_image_or_cannot_be_read_is_not_elected_and_the_next_best_is() {
    let mut scene = tags(&["1.1.0", "1.2.1", "1.3.2"]).at("1.1.0");
    scene.facts.get_mut(&digest('2')).unwrap().other = Some("a Helm chart".to_owned());
    assert_eq!(scene.elected().unwrap(), "1.2.1");
    scene.digests.insert((repository(), "1.2.1".parse().unwrap()), Known::Unusable("it is HTML".to_owned()));
    assert_eq!(scene.why(), "1.3.2 is no image but a Helm chart");
    scene.tags.pop();
    assert_eq!(scene.why(), "1.2.1 is not usable: it is HTML");
}

#[test]
fn a_version_that_lacks_a_platform_is_skipped_with_the_reason() {
    let platform = |architecture: &str| Platform {
        os: "linux".to_owned(),
        architecture: architecture.to_owned(),
        variant: None,
    };
    let mut scene = tags(&["1.1.0", "1.2.1", "1.3.2"]).at("1.1.0");
    scene.rule.platforms = vec![platform("amd64"), platform("arm64")];
    scene.facts.get_mut(&digest('1')).unwrap().platforms = vec![platform("arm64"), platform("amd64")];
    scene.facts.get_mut(&digest('2')).unwrap().platforms = vec![platform("amd64")];
    assert_eq!(scene.elected().unwrap(), "1.2.1");
    scene.tags.remove(1);
    assert_eq!(scene.why(), "1.3.2 is not there for linux/arm64");
    // What was only asked for its kind does not tell the platforms.
    scene.facts.get_mut(&digest('2')).unwrap().depth = Depth::Kind;
    assert!(matches!(scene.choose(), Choice::Resolve(_)));
}

#[test]
fn no_more_than_a_few_versions_are_looked_at() {
    let mut scene = tags(&[]);
    let last = LOOKED_AT + 50;
    scene.tags = (0..=last).map(|patch| format!("1.0.{patch}").parse().unwrap()).collect();
    for tag in &scene.tags {
        scene.digests.insert((repository(), tag.clone()), Known::Digest(Digest::of(tag.as_str().as_bytes())));
    }
    scene.tags.sort_by_key(|tag| tag.as_str().len());
    let bad = last + 1 - LOOKED_AT;
    scene.quarantined = scene.tags[bad..].iter().map(|tag| Digest::of(tag.as_str().as_bytes())).collect();
    let best = scene.tags[last].clone();
    let words = "nor can any other of the 256 best be taken, and no more are looked at";
    assert_eq!(scene.why(), format!("{best} is quarantined; {words}"));
    scene.quarantined.remove(0);
    assert!(matches!(scene.choose(), Choice::Resolve(_)), "the last of those that are looked at");
}

#[test]
fn behind_many_versions_that_are_too_young_the_first_one_that_is_old_enough_is_taken() {
    let mut scene = tags(&[]);
    scene.tags = (0..40).map(|patch| format!("1.0.{patch:02}").parse().unwrap()).collect();
    for (age, tag) in scene.tags.iter().rev().enumerate() {
        let digest = Digest::of(tag.as_str().as_bytes());
        let seen = NOW.parse::<Timestamp>().unwrap() - Duration::from_mins(age as u64);
        scene.first_seen.insert((repository(), digest.clone()), seen);
        let facts = Facts { depth: Depth::Created, other: None, platforms: Vec::new(), created: None };
        scene.facts.insert(digest.clone(), facts);
        scene.digests.insert((repository(), tag.clone()), Known::Digest(digest));
    }
    scene.gates.min_age = Some(Duration::from_mins(33));
    assert_eq!(scene.elected().unwrap(), "1.0.06");
}

#[test]
fn the_highest_version_within_the_allowed_step_is_taken_and_the_one_beyond_is_told() {
    let list = ["1.1.0", "1.1.1", "1.2.2", "2.0.3"];
    assert_eq!(tags(&list).at("1.1.0").jump(Jump::Patch).elected().unwrap(), "1.1.1");
    assert_eq!(tags(&list).at("1.1.0").jump(Jump::Minor).elected().unwrap(), "1.2.2");
    assert_eq!(tags(&list).at("1.1.0").jump(Jump::Major).elected().unwrap(), "2.0.3");
    assert_eq!(
        tags(&list).at("1.1.1").jump(Jump::Patch).why(),
        "2.0.3 is a major step, and gates.maxJump allows patch; a person may take it"
    );
    assert_eq!(tags(&list).jump(Jump::Patch).elected().unwrap(), "2.0.3", "the first version is no step");
}

#[test]
fn a_step_that_is_too_large_costs_the_registry_nothing() {
    let mut scene = tags(&["2.0.0", "3.0.0"]).at("1.0.0").jump(Jump::Minor);
    scene.digests.clear();
    assert!(scene.why().starts_with("3.0.0 is a major step"));
}

#[test]
fn a_version_that_is_too_young_waits_and_an_older_one_is_taken_meanwhile() {
    let hours = Duration::from_hours(2);
    let scene =
        tags(&["1.1.0", "1.2.1", "1.3.2"]).at("1.1.0").min_age(hours).seen("1.3.2", "2026-11-21T11:00:00Z");
    assert_eq!(scene.why(), "1.3.2 waits until 2026-11-21T13:00:00Z: gates.minAge is 2h");
    let scene = scene.seen("1.2.1", "2026-11-21T10:00:00Z");
    assert_eq!(scene.elected().unwrap(), "1.2.1");
    let scene = scene.seen("1.3.2", "2026-11-21T10:00:00Z");
    assert_eq!(scene.elected().unwrap(), "1.3.2");
}

#[test]
fn the_best_version_that_enough_people_approved_is_taken_and_a_better_one_waits_for_them() {
    let mut scene = tags(&["1.1.0", "1.2.1", "1.3.2"]).at("1.1.0");
    scene.gates.approvals = Some(2);
    let why = scene.why();
    assert!(why.starts_with("1.3.2 has 0 of the 2 approvals"), "{why}");
    scene.approved.insert(digest('2'), vec!["Ann".to_owned()]);
    scene.approved.insert(digest('1'), vec!["Ann".to_owned(), "Bob".to_owned()]);
    assert_eq!(scene.elected().unwrap(), "1.2.1");
    scene.approved.get_mut(&digest('2')).unwrap().push("Bob".to_owned());
    assert_eq!(scene.elected().unwrap(), "1.3.2");
}

#[test]
fn where_nothing_is_approved_the_registry_is_asked_for_one_version_only() {
    let mut scene = tags(&["1.1.0", "1.2.1", "1.3.2"]).at("1.1.0");
    scene.gates.approvals = Some(1);
    scene.digests.remove(&(repository(), "1.2.1".parse().unwrap()));
    assert!(scene.why().starts_with("1.3.2 has 0 of the 1 approvals"));
    scene.approved.insert(digest('c'), vec!["Ann".to_owned()]);
    assert!(matches!(scene.choose(), Choice::Resolve(_)), "1.2.1 may be what Ann approved");
}

#[test]
fn every_gate_that_a_version_does_not_meet_is_told() {
    let mut scene = tags(&["1.1.0", "1.3.2"]).at("1.1.0").min_age(Duration::from_hours(2));
    scene.gates.approvals = Some(2);
    let why = scene.why();
    assert!(why.contains("gates.minAge is 2h; and has 0 of the 2 approvals"), "{why}");
}

#[test]
fn a_followed_tag_moves_when_its_content_does_and_in_either_direction() {
    let scene = tags(&["latest", "1.0.0"]).following("latest");
    assert_eq!(scene.elected().unwrap(), "latest");
    let scene = scene.at("latest").points_to("latest", '0');
    assert_eq!((scene.why().as_str(), scene.behind()), ("up to date", 0));
    let scene = scene.points_to("latest", '5');
    assert_eq!((scene.elected().unwrap().as_str(), scene.behind()), ("latest", 1));
    assert_eq!(scene.at("9.9.9").elected().unwrap(), "latest", "whatever stood there before");
}

#[test]
fn a_followed_tag_stays_where_its_content_failed_or_was_taken_away() {
    let scene = || tags(&["latest"]).following("latest").at("latest").points_to("latest", '5');
    let mut failed = scene();
    failed.quarantined = vec![digest('5')];
    assert_eq!(failed.why(), "latest is quarantined");
    let mut taken = scene();
    taken.barred = vec![("latest".parse().unwrap(), Some(digest('5')))];
    assert_eq!(taken.why(), "latest is taken away by a person");
    assert_eq!(taken.points_to("latest", '6').elected().unwrap(), "latest", "newer content is taken");
}

#[test]
fn a_followed_tag_that_is_not_there_is_no_reason_to_move() {
    let scene = tags(&["1.0.0"]).following("latest").at("latest");
    assert_eq!(scene.why(), NOT_LISTED);
    let mut scene = tags(&["latest"]).following("latest").at("latest");
    scene.digests.insert((repository(), "latest".parse().unwrap()), Known::Absent);
    assert_eq!(scene.why(), NOT_LISTED);
    assert_eq!(scene.behind(), 0);
}

#[test]
fn young_content_of_a_followed_tag_waits() {
    let scene = tags(&["latest"]).following("latest").at("latest").points_to("latest", '5');
    let scene = scene.min_age(Duration::from_mins(1));
    assert_eq!(scene.why(), "latest waits until 2026-11-21T12:01:00Z: gates.minAge is 1m");
}

#[test]
fn how_far_behind_an_environment_is_counts_what_the_policy_puts_above_it() {
    assert_eq!(tags(&["1.0.0", "1.1.0", "1.2.0", "latest"]).at("1.0.0").behind(), 2);
    assert_eq!(tags(&["1.0.0", "1.1.0"]).at("1.1.0").behind(), 0);
}
