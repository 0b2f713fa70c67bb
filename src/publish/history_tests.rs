//! Histories told as commits: who set which version, newest last.

#![allow(clippy::unwrap_used)]

use git2::{Signature, build::TreeUpdateBuilder};

use super::*;

const PATH: &str = "apps/wiki/local/kustomization.yaml";

/// A bare repository with one overlay.
struct Story {
    repository: Repository,
    head: Option<Oid>,
    _folder: tempfile::TempDir,
}

fn story() -> Story {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::init_bare(folder.path()).unwrap();
    Story { repository, head: None, _folder: folder }
}

impl Story {
    fn commit(&mut self, path: &str, content: &str, message: &str) {
        let parent = self.head.map(|head| self.repository.find_commit(head).unwrap());
        let base = parent.as_ref().map_or_else(
            || {
                let empty = self.repository.treebuilder(None).unwrap().write().unwrap();
                self.repository.find_tree(empty).unwrap()
            },
            |parent| parent.tree().unwrap(),
        );
        let blob = self.repository.blob(content.as_bytes()).unwrap();
        let mut builder = TreeUpdateBuilder::new();
        builder.upsert(path, blob, git2::FileMode::Blob);
        let tree = builder.create_updated(&self.repository, &base).unwrap();
        let tree = self.repository.find_tree(tree).unwrap();
        let author = Signature::now("A Person", "person@example.org").unwrap();
        let parents: Vec<_> = parent.iter().collect();
        let id = self.repository.commit(None, &author, &author, message, &tree, &parents).unwrap();
        self.head = Some(id);
    }

    fn set(&mut self, tag: &str, message: &str) {
        self.commit(PATH, &format!("images:\n- name: wiki\n  newTag: \"{tag}\"\n"), message);
    }

    fn person(mut self, tag: &str) -> Self {
        self.set(tag, "by hand");
        self
    }

    fn elected(mut self, tag: &str) -> Self {
        self.set(tag, &message("registry"));
        self
    }

    fn rolled_back(mut self, tag: &str) -> Self {
        let taken_back = self.head.unwrap();
        self.set(tag, &message(&format!("rollback {taken_back}")));
        self
    }

    fn something_else(mut self, count: usize) -> Self {
        for number in 0..count {
            self.commit("README.md", &number.to_string(), "docs");
        }
        self
    }

    fn read(&self, before: &History, known: Option<Oid>) -> History {
        self.read_as(before, known, "false")
    }

    /// Reads with `markers` as promote.yaml has it.
    fn read_as(&self, before: &History, known: Option<Oid>, markers: &str) -> History {
        let config = format!(
            "version: 1\nenvironments: {{local: {{registry: 'r:1'}}}}\napps:\n  wiki: {{path: 'apps/wiki/{{environment}}', \
             markers: {markers}, images: {{wiki: {{policy: {{semver: {{range: '*'}}}}}}}}}}\n"
        );
        let config = crate::config::Config::parse("promote.yaml", config.as_bytes()).unwrap();
        let overlays = Overlays::new(Arc::new(config));
        let mut history = before.clone();
        let head = self.head.unwrap();
        history.extend(&self.repository, head, known, &overlays, &mut Memory::default()).unwrap();
        history
    }

    fn fresh(&self) -> History {
        self.read(&History::default(), None)
    }
}

fn message(source: &str) -> String {
    format!(
        "wiki: local\n\nPromote-App: wiki\nPromote-Environment: local\nPromote-Source: {source}\nPromote-Actor: promoted\n"
    )
}

fn events(history: &History) -> Arc<Vec<Event>> {
    history.of(0)
}

/// The tags after each event, newest first.
fn tags(history: &History) -> Vec<String> {
    let tag = |event: &Event| event.after.values().next().unwrap().new_tag.as_ref().unwrap().to_string();
    events(history).iter().map(tag).collect()
}

fn taken(history: &History) -> Vec<String> {
    barred(&events(history))
        .iter()
        .map(|barred| barred.version.new_tag.as_ref().unwrap().to_string())
        .collect()
}

#[test]
fn the_commit_that_brought_a_version_is_found_behind_others() {
    let story = story().person("1.0.0").elected("1.1.0").something_else(3);
    assert_eq!(tags(&story.fresh()), ["1.1.0"]);
    assert!(events(&story.fresh())[0].trailers.is_some());
}

#[test]
fn a_version_that_a_person_replaced_is_taken_away() {
    let story = story().elected("1.1.0").elected("1.2.0").person("1.1.0");
    assert_eq!(taken(&story.fresh()), ["1.2.0"]);
}

#[test]
fn a_version_whose_digest_a_person_removed_is_not_taken_away() {
    let mut story = story();
    let pinned = format!("images:\n- name: wiki\n  newTag: 1.1.0\n  digest: sha256:{}\n", "a".repeat(64));
    story.commit(PATH, &pinned, &message("registry"));
    assert!(taken(&story.person("1.1.0").fresh()).is_empty());
}

#[test]
fn what_a_person_took_away_stays_away_after_a_rollback() {
    let story =
        story().elected("1.0.0").elected("1.1.0").person("1.0.0").elected("1.2.0").rolled_back("1.0.0");
    assert_eq!(tags(&story.fresh()), ["1.0.0", "1.2.0", "1.0.0", "1.1.0", "1.0.0"]);
    assert_eq!(taken(&story.fresh()), ["1.1.0"]);
}

#[test]
fn a_version_elected_since_then_ends_the_search() {
    let story = story().elected("1.1.0").person("1.0.0").elected("1.2.0");
    assert!(taken(&story.fresh()).is_empty(), "1.1.0 is older than what stands");
}

#[test]
fn reading_on_from_a_known_head_tells_the_same_as_reading_all() {
    let mut told = story().person("1.0.0").elected("1.1.0").person("1.0.0");
    let mut history = told.fresh();
    let steps: [fn(Story) -> Story; 5] = [
        |told| told.elected("1.2.0"),
        |told| told.something_else(1),
        |told| told.rolled_back("1.0.0"),
        |told| told.person("1.3.0"),
        |told| told.elected("1.4.0"),
    ];
    for step in steps {
        let known = told.head;
        told = step(told);
        history = told.read(&history, known);
        assert_eq!(tags(&history)[0], tags(&told.fresh())[0]);
        assert_eq!(taken(&history), taken(&told.fresh()));
    }
}

#[test]
fn an_overlay_that_nobody_changed_has_one_event() {
    assert_eq!(tags(&story().person("1.0.0").something_else(2).fresh()), ["1.0.0"]);
}

#[test]
fn what_only_markers_hold_has_a_history_too() {
    let deployment = |tag: &str| {
        format!(
            "image: r:1/wiki:{tag}@sha256:{} # {{\"$imagepolicy\": \"flux-system:wiki\"}}\n",
            "a".repeat(64)
        )
    };
    let path = "apps/wiki/local/parts/deployment.yaml";
    let mut told = story();
    told.commit(path, &deployment("1.1.0"), &message("registry"));
    told.commit(path, &deployment("1.2.0"), &message("registry"));
    told.commit(path, &deployment("1.1.0"), "by hand");
    told.commit("apps/wiki/local/parts/service.yaml", "a: b\n", "something else in the folder");
    let history = told.read_as(&History::default(), None, "true");
    assert_eq!(tags(&history), ["1.1.0", "1.2.0", "1.1.0"]);
    assert_eq!(taken(&history), ["1.2.0"]);
    assert_eq!(events(&told.read_as(&History::default(), None, "false")).len(), 0);
}

#[test]
fn two_apps_that_share_a_folder_have_a_history_each() {
    let mut told = story();
    let both = |one: &str, two: &str| {
        format!("images:\n- {{name: one, newTag: '{one}'}}\n- {{name: two, newTag: '{two}'}}\n")
    };
    told.commit(PATH, &both("1.0.0", "1.0.0"), "by hand");
    let message = message("registry").replace("wiki", "one");
    told.commit(PATH, &both("1.1.0", "1.0.0"), &message);
    let config = "version: 1\nenvironments: {local: {registry: 'r:1'}}\napps:\n  one: {path: apps/wiki/local, images: {one: \
                  {policy: {semver: {range: '*'}}}}}\n  two: {path: apps/wiki/local, images: {two: {policy: {semver: {range: \
                  '*'}}}}}\n";
    let config = crate::config::Config::parse("promote.yaml", config.as_bytes()).unwrap();
    let overlays = Overlays::new(Arc::new(config));
    let mut history = History::default();
    history.extend(&told.repository, told.head.unwrap(), None, &overlays, &mut Memory::default()).unwrap();
    assert_eq!(history.of(0).len(), 1, "the newest one of ours that still stands ends the search");
    assert!(history.of(0)[0].trailers.is_some());
    assert!(!history.of(1).is_empty());
}
