#![allow(clippy::unwrap_used)]
use std::fmt::Write as _;
use std::slice;
use std::sync::Arc;

use git2::Repository;

use super::super::apply::apply;
use super::*;
use crate::config::Config;
use crate::edit::Written;
use crate::model::{Digest, Source};

/// Two apps share each kustomization.
const APPS: usize = 120;

fn written(tag: &str) -> Written {
    Written {
        new_name: Some("registry.example/base".to_owned()),
        new_tag: Some(tag.parse().unwrap()),
        digest: Some(Digest::of(tag.as_bytes())),
    }
}

fn change(number: usize) -> Change {
    Change {
        app: format!("app-{number}").parse().unwrap(),
        environment: "local".parse().unwrap(),
        moves: vec![Move {
            image: format!("image-{number}").parse().unwrap(),
            from: written("1.0.0"),
            to: written("1.1.0"),
        }],
        source: Source::Registry,
        actor: None,
        reason: None,
        amendments: Vec::new(),
    }
}

fn overlays() -> Overlays {
    let mut text = "version: 1\nenvironments: {local: {registry: registry.example}}\napps:\n".to_owned();
    for number in 0..APPS {
        let image = format!("image-{number}: {{policy: {{semver: {{range: '*'}}}}}}");
        writeln!(text, "  app-{number}: {{path: 'deploy/{}', images: {{{image}}}}}", number / 2).unwrap();
    }
    Overlays::new(Arc::new(Config::parse("promote.yaml", text.as_bytes()).unwrap()))
}

fn kustomization(folder: usize) -> String {
    let Written { new_name, new_tag, digest } = written("1.0.0");
    let (name, tag, digest) = (new_name.unwrap(), new_tag.unwrap(), digest.unwrap());
    let entry = |number: usize| {
        format!("- name: image-{number}\n  newName: {name}\n  newTag: \"{tag}\"\n  digest: {digest}\n")
    };
    format!("images:\n{}{}", entry(2 * folder), entry(2 * folder + 1))
}

#[test]
fn many_changes_leave_the_tree_that_they_leave_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::init_bare(folder.path()).unwrap();
    let mut builder = git2::build::TreeUpdateBuilder::new();
    for folder in 0..APPS / 2 {
        let id = repository.blob(kustomization(folder).as_bytes()).unwrap();
        builder.upsert(format!("deploy/{folder}/kustomization.yaml"), id, git2::FileMode::Blob);
    }
    let empty = repository.treebuilder(None).unwrap().write().unwrap();
    let base = builder.create_updated(&repository, &repository.find_tree(empty).unwrap()).unwrap();
    let overlays = overlays();
    let changes: Vec<Change> = (0..APPS).map(change).collect();
    let made = |base: Oid, changes: &[Change]| {
        let base = repository.find_tree(base).unwrap();
        let applied = apply(&repository, &mut Memory::default(), &base, &overlays, changes, true).unwrap();
        assert_eq!(applied.made.len(), changes.len(), "{:?}", applied.others);
        applied.tree
    };

    let one_by_one = changes.iter().fold(base, |tree, change| made(tree, slice::from_ref(change)));

    assert_eq!(made(base, &changes), one_by_one);
}
