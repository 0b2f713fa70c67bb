#![allow(clippy::unwrap_used)]
use std::process::Command;

use proptest::prelude::*;

use super::*;

fn repository() -> (tempfile::TempDir, Repository) {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::init_bare(folder.path()).unwrap();
    (folder, repository)
}

fn file(content: &str, executable: bool) -> File {
    let content = content.as_bytes().to_vec();
    File { id: Oid::hash_object(ObjectType::Blob, &content).unwrap(), executable, content }
}

/// Names that Git orders in its own way: `a-b` stands before the folder `a`, and `a.b` too.
fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{1,2}", "a[-.0]b", Just("a".to_owned())]
}

fn files(most: usize) -> impl Strategy<Value = BTreeMap<String, Option<File>>> {
    let path = prop::collection::vec(name(), 1..4).prop_map(|parts| parts.join("/"));
    let one =
        (path, ".{0,40}", any::<bool>()).prop_map(|(path, text, executable)| (path, file(&text, executable)));
    prop::collection::vec(one, 0..most).prop_map(|all| {
        let mut kept: BTreeMap<String, Option<File>> = BTreeMap::new();
        for (path, file) in all {
            // A file is no folder.
            let apart = |other: &String| {
                !other.starts_with(&format!("{path}/")) && !path.starts_with(&format!("{other}/"))
            };
            if kept.keys().all(apart) {
                kept.insert(path, Some(file));
            }
        }
        kept
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_pack_holds_the_same_tree_as_single_files(before in files(12), after in files(12)) {
        let (_folder, repository) = repository();
        let empty = repository.treebuilder(None).unwrap().write().unwrap();
        let base = write_singly(&repository, &repository.find_tree(empty).unwrap(), &before).unwrap();
        let base = repository.find_tree(base).unwrap();
        let packed = write_packed(&repository, &base, &after).ok();
        let singly = write_singly(&repository, &base, &after).ok();
        prop_assert_eq!(packed, singly);
    }
}

#[test]
fn git_finds_nothing_wrong_with_a_pack() {
    let (folder, repository) = repository();
    let empty = repository.treebuilder(None).unwrap().write().unwrap();
    let text = |number: usize| format!("{number}\n").repeat(number * 40);
    let files: BTreeMap<String, Option<File>> = (0..MANY * 2)
        .map(|number| (format!("a/{}/{number}.yaml", number % 7), Some(file(&text(number), false))))
        .collect();
    let tree = write(&repository, &repository.find_tree(empty).unwrap(), &files).unwrap();

    let signature = git2::Signature::now("A", "a@example.org").unwrap();
    let tree = repository.find_tree(tree).unwrap();
    repository.commit(Some("refs/heads/main"), &signature, &signature, "All", &tree, &[]).unwrap();
    let git = |arguments: &[&str]| {
        let done = Command::new("git").arg("-C").arg(folder.path()).args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    git(&["fsck", "--strict", "--full"]);
    assert_eq!(git(&["show", "main:a/3/94.yaml"]), text(94));
    let counted = git(&["count-objects", "-v"]);
    // The empty tree and the commit are in files of their own.
    assert!(counted.contains("packs: 1\n") && counted.contains("count: 2\n"), "{counted}");
}

#[test]
fn a_file_that_goes_takes_the_folders_with_it_that_hold_nothing_else() {
    let (_folder, repository) = repository();
    let empty = repository.find_tree(repository.treebuilder(None).unwrap().write().unwrap()).unwrap();
    let there = |paths: &[&str]| -> BTreeMap<String, Option<File>> {
        paths.iter().map(|path| ((*path).to_owned(), Some(file(path, false)))).collect()
    };
    let tree = |base: &git2::Tree<'_>, files: &BTreeMap<String, Option<File>>| {
        repository.find_tree(write(&repository, base, files).unwrap()).unwrap()
    };
    let all = tree(&empty, &there(&[".p/aws/a", ".p/aws/b", ".p/local/a", "x"]));
    let gone = |paths: &[&str]| paths.iter().map(|path| ((*path).to_owned(), None)).collect();
    assert_eq!(
        tree(&all, &gone(&[".p/aws/a"])).id(),
        tree(&empty, &there(&[".p/aws/b", ".p/local/a", "x"])).id()
    );
    assert_eq!(
        tree(&all, &gone(&[".p/aws/a", ".p/aws/b"])).id(),
        tree(&empty, &there(&[".p/local/a", "x"])).id()
    );
    let rest = gone(&[".p/aws/a", ".p/aws/b", ".p/local/a", "never/there"]);
    assert_eq!(tree(&all, &rest).id(), tree(&empty, &there(&["x"])).id());
    let mut both: BTreeMap<_, _> = gone(&[".p/aws/a", ".p/aws/b"]);
    both.extend(there(&[".p/aws/c"]));
    assert_eq!(tree(&all, &both).id(), tree(&empty, &there(&[".p/aws/c", ".p/local/a", "x"])).id());
}
