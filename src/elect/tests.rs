//! Elections, told by their promises.

#![allow(clippy::unwrap_used)]

use super::*;

fn digest(digit: char) -> Digest {
    format!("sha256:{}", digit.to_string().repeat(64)).parse().unwrap()
}

/// The digest of a tag in these tests: its last character, or `0`.
fn digest_of(tag: &Tag) -> Digest {
    digest(tag.as_str().chars().last().filter(char::is_ascii_hexdigit).unwrap_or('0'))
}

struct Scene {
    tags: Vec<Tag>,
    current: Option<Tag>,
    current_digest: Option<Digest>,
    quarantined: Vec<Digest>,
    barred: Vec<Tag>,
}

fn tags(tags: &[&str]) -> Scene {
    Scene {
        tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
        current: None,
        current_digest: None,
        quarantined: Vec::new(),
        barred: Vec::new(),
    }
}

impl Scene {
    fn at(mut self, tag: &str) -> Self {
        let tag: Tag = tag.parse().unwrap();
        self.current_digest = Some(digest_of(&tag));
        self.current = Some(tag);
        self
    }

    fn choose(&self) -> Choice {
        let repository: Repository = "localhost:5000/wiki".parse().unwrap();
        let barred: Vec<Standing<'_>> =
            self.barred.iter().map(|tag| Standing { tag: Some(tag), ..Standing::default() }).collect();
        let over = Candidates {
            repository: &repository,
            tags: &self.tags,
            current: Standing {
                name: self.current.as_ref().map(|_| "localhost:5000/wiki"),
                tag: self.current.as_ref(),
                digest: self.current_digest.as_ref(),
            },
            quarantined: &self.quarantined,
            barred: &barred,
        };
        let policy = Policy::Semver { range: ">=1.0.0".parse().unwrap() };
        choose(&policy, &over, |tag| Known::Digest(digest_of(tag)))
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
    assert_eq!(tags(&[]).at("1.5.0").why(), "the registry lists no tags; nothing is concluded from that");
    assert_eq!(tags(&["0.9.0"]).at("1.5.0").why(), "no tag matches the policy");
}

#[test]
fn where_the_order_cannot_be_told_nothing_moves() {
    assert!(tags(&["1.0.0"]).at("latest").why().starts_with("the policy cannot tell"));
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
    let mut scene = tags(&["1.1.0", "1.2.0"]).at("1.1.0");
    scene.barred = vec!["1.2.0".parse().unwrap()];
    assert_eq!(scene.why(), "1.2.0 is taken away by a person");
    scene.tags.push("1.3.0".parse().unwrap());
    assert_eq!(scene.elected().unwrap(), "1.3.0");
}

#[test]
fn a_tag_without_digest_is_pinned() {
    let mut scene = tags(&["1.1.0"]).at("1.1.0");
    assert_eq!(scene.why(), "up to date");
    scene.current_digest = None;
    assert_eq!(scene.elected().unwrap(), "1.1.0");
}

#[test]
fn the_same_version_under_another_tag_is_no_reason_to_move() {
    assert_eq!(tags(&["v1.1.0", "1.1.0"]).at("1.1.0").why(), "up to date");
}

#[test]
fn a_digest_is_asked_for_only_when_it_is_needed() {
    let repository: Repository = "localhost:5000/wiki".parse().unwrap();
    let tags: Vec<Tag> = ["1.0.0", "1.1.0"].iter().map(|tag| tag.parse().unwrap()).collect();
    let over = Candidates {
        repository: &repository,
        tags: &tags,
        current: Standing { name: None, tag: Some(&tags[0]), digest: None },
        quarantined: &[],
        barred: &[],
    };
    let policy = Policy::Semver { range: "*".parse().unwrap() };
    assert_eq!(choose(&policy, &over, |_| Known::NotAsked), Choice::Resolve(tags[1].clone()));
    assert_eq!(
        choose(&policy, &over, |tag| if tag.as_str() == "1.1.0" { Known::Absent } else { Known::NotAsked }),
        Choice::Resolve(tags[0].clone())
    );
}
