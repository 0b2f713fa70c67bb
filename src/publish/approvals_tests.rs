//! Who approved, told as commits to a record.

#![allow(clippy::unwrap_used)]

use git2::{Signature, build::TreeUpdateBuilder};

use super::*;

const PATH: &str = ".promote/aws/wiki.yaml";

struct Story {
    repository: Repository,
    head: Oid,
    _folder: tempfile::TempDir,
}

fn story() -> Story {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::init_bare(folder.path()).unwrap();
    let mut story = Story { repository, head: Oid::ZERO_SHA1, _folder: folder };
    story.head = story.commit("init", &[], "README.md", "");
    story
}

fn digest(digit: char) -> Digest {
    format!("sha256:{}", digit.to_string().repeat(64)).parse().unwrap()
}

/// A record with one approval of each digit; `by` is what the file says.
fn record(approvals: &[(char, &str)]) -> String {
    let item = |(digit, by): &(char, &str)| format!("- {{digest: \"{}\", by: \"{by}\"}}\n", digest(*digit));
    format!("approvals:\n{}", approvals.iter().map(item).collect::<Vec<_>>().concat())
}

impl Story {
    fn commit(&self, who: &str, parents: &[Oid], path: &str, content: &str) -> Oid {
        let parents: Vec<_> = parents.iter().map(|id| self.repository.find_commit(*id).unwrap()).collect();
        let base = parents.first().map_or_else(
            || {
                let empty = self.repository.treebuilder(None).unwrap().write().unwrap();
                self.repository.find_tree(empty).unwrap()
            },
            |parent| parent.tree().unwrap(),
        );
        let blob = self.repository.blob(content.as_bytes()).unwrap();
        let tree = TreeUpdateBuilder::new()
            .upsert(path, blob, git2::FileMode::Blob)
            .create_updated(&self.repository, &base)
            .unwrap();
        let tree = self.repository.find_tree(tree).unwrap();
        let author = Signature::now(who, &format!("{who}@Example.org")).unwrap();
        let committer = Signature::now("promoted", "promoted@localhost").unwrap();
        let parents: Vec<_> = parents.iter().collect();
        self.repository.commit(None, &author, &committer, "x", &tree, &parents).unwrap()
    }

    fn says(mut self, who: &str, approvals: &[(char, &str)]) -> Self {
        self.head = self.commit(who, &[self.head], PATH, &record(approvals));
        self
    }

    /// The names of those who approved of `digit`.
    fn by(&self, digit: char) -> Vec<String> {
        let commit = self.repository.find_commit(self.head).unwrap();
        let files = Files::of(&self.repository, commit.tree().unwrap());
        let record = Record::parse(&files.file(PATH).unwrap().unwrap().content).unwrap();
        let found = of(&self.repository, self.head, PATH, &record, |_| false).unwrap();
        let people = found.get(&digest(digit)).cloned().unwrap_or_default();
        people.iter().map(|author| author.split(' ').next().unwrap().to_owned()).collect()
    }
}

#[test]
fn who_approved_is_the_author_of_the_commit_whatever_the_file_says() {
    let story = story().says("ann", &[('a', "Bob")]).says("bob", &[('a', "Bob"), ('a', "Eve")]);
    assert_eq!(story.by('a'), ["ann", "bob"]);
}

#[test]
fn one_person_is_one_however_often_and_in_whose_name() {
    let story = story()
        .says("ann", &[('a', "Ann"), ('a', "Bob")])
        .says("ann", &[('a', "Ann"), ('a', "Bob"), ('a', "Eve")]);
    assert_eq!(story.by('a'), ["ann"]);
    assert_eq!(person("Ann <ANN@example.org>"), person("A. Nn <ann@Example.org>"));
    assert_ne!(person("Ann <>"), person("Bob <>"));
}

#[test]
fn an_approval_counts_for_its_digest_alone_and_one_that_was_taken_out_for_none() {
    let story = story().says("ann", &[('a', "Ann"), ('b', "Ann")]).says("bob", &[('b', "Ann")]);
    assert_eq!((story.by('a'), story.by('b')), (vec![], vec!["ann".to_owned()]));
}

#[test]
fn who_rewrites_the_words_of_another_speaks_in_their_own_name() {
    let story = story().says("ann", &[('a', "Ann")]).says("bob", &[('a', "Bob")]);
    assert_eq!(story.by('a'), ["bob"]);
}

#[test]
fn an_approval_that_came_by_a_merge_is_its_authors_and_not_the_mergers() {
    let mut story = story();
    let main = story.head;
    let side = story.commit("ann", &[main], PATH, &record(&[('a', "Ann")]));
    let other = story.commit("bob", &[main], "README.md", "more");
    story.head = story.commit("carl", &[other, side], PATH, &record(&[('a', "Ann")]));
    assert_eq!(story.by('a'), ["ann"]);
}

#[test]
fn what_stands_already_is_not_looked_for() {
    let story = story().says("ann", &[('a', "Ann")]);
    let record = Record::parse(record(&[('a', "Ann")]).as_bytes()).unwrap();
    assert!(of(&story.repository, story.head, PATH, &record, |_| true).unwrap().is_empty());
}
