//! What stands in a tree, and what is not read of it.
#![allow(clippy::unwrap_used)]

use git2::build::TreeUpdateBuilder;
use git2::{FileMode, Repository};

use super::*;
use crate::config::Config;

struct Ground {
    repository: Repository,
    folder: tempfile::TempDir,
}

fn ground() -> Ground {
    let folder = tempfile::tempdir().unwrap();
    Ground { repository: Repository::init_bare(folder.path()).unwrap(), folder }
}

impl Ground {
    fn tree(&self, base: Option<Oid>, files: &[(&str, &str)]) -> Oid {
        let objects: Vec<_> = files
            .iter()
            .map(|(path, text)| (*path, self.repository.blob(text.as_bytes()).unwrap(), FileMode::Blob))
            .collect();
        self.with(base, &objects)
    }

    fn with(&self, base: Option<Oid>, objects: &[(&str, Oid, FileMode)]) -> Oid {
        let empty = || self.repository.treebuilder(None).unwrap().write().unwrap();
        let base = self.repository.find_tree(base.unwrap_or_else(empty)).unwrap();
        let mut builder = TreeUpdateBuilder::new();
        for (path, id, mode) in objects {
            builder.upsert(*path, *id, *mode);
        }
        builder.create_updated(&self.repository, &base).unwrap()
    }

    fn read(&self, tree: Oid, markers: &str) -> Reading {
        let overlays = overlays(markers);
        let files = Files::of(&self.repository, self.repository.find_tree(tree).unwrap());
        read(&files, &mut Memory::default(), &overlays, &overlays.places[0])
    }

    /// An object that says to be a file of `size` bytes, and holds none.
    fn huge(&self, size: u64) -> Oid {
        let content = format!("blob {size}\0");
        let length = u16::try_from(content.len()).unwrap();
        let mut stored = vec![0x78, 0x01, 0x01];
        stored.extend(length.to_le_bytes());
        stored.extend((!length).to_le_bytes());
        stored.extend(content.bytes());
        let (mut low, mut high) = (1_u32, 0_u32);
        for byte in content.bytes() {
            low = (low + u32::from(byte)) % 65521;
            high = (high + low) % 65521;
        }
        stored.extend(((high << 16) | low).to_be_bytes());
        let id = "1".repeat(40);
        let folder = self.folder.path().join("objects/11");
        fs_err::create_dir_all(&folder).unwrap();
        fs_err::write(folder.join(&id[2..]), stored).unwrap();
        Oid::from_str(&id).unwrap()
    }
}

fn overlays(markers: &str) -> Overlays {
    let text = format!(
        "version: 1\nenvironments: {{local: {{registry: 'r:1'}}}}\napps:\n  wiki: {{path: 'apps/wiki/{{environment}}', markers: \
         {markers}, images: {{wiki: {{policy: {{semver: {{range: '*'}}}}}}}}}}\n  zoo: {{path: apps/zoo, images: {{zoo: \
         {{policy: {{semver: {{range: '*'}}}}}}}}}}\n"
    );
    Overlays::new(Arc::new(Config::parse("promote.yaml", text.as_bytes()).unwrap()))
}

fn marked(image: &str) -> String {
    format!("image: {image} # {{\"$imagepolicy\": \"ns:wiki\"}}\n")
}

const ENTRY: &str = "images: [{name: wiki, newTag: 1.0.0}]\n";
const PATH: &str = "apps/wiki/local/kustomization.yaml";

#[test]
fn an_entry_counts_and_a_marker_that_differs_is_remarked() {
    let ground = ground();
    let tree = ground.tree(None, &[(PATH, ENTRY), ("apps/wiki/local/a/b.yml", &marked("r:1/wiki:2.0.0"))]);
    let reading = ground.read(tree, "true");
    assert_eq!(reading.images.values().next().unwrap().new_tag.as_ref().unwrap().as_str(), "1.0.0");
    assert_eq!(reading.problem, None);
    assert!(
        reading.remarks[0]
            .starts_with("apps/wiki/local/a/b.yml:1: the marker of ns:wiki has \"r:1/wiki:2.0.0\"")
    );
    assert_eq!(ground.read(tree, "false").remarks, Vec::<String>::new());
}

#[test]
fn a_folder_of_plain_manifests_needs_no_kustomization_where_markers_hold_all_images() {
    let ground = ground();
    let tree = ground.tree(None, &[("apps/wiki/local/a.yaml", &marked("r:1/wiki:2.0.0"))]);
    let reading = ground.read(tree, "true");
    assert_eq!((reading.images.len(), reading.problem), (1, None));
    let without = ground.read(tree, "false").problem.unwrap();
    assert!(without.starts_with("apps/wiki/local has no kustomization.yaml"), "{without}");
    let nothing = ground.tree(None, &[("apps/wiki/local/a.yaml", "a: b\n")]);
    let problem = ground.read(nothing, "true").problem.unwrap();
    assert!(problem.ends_with("and no marker below it names wiki"), "{problem}");
}

#[test]
fn a_kustomization_that_cannot_be_read_is_a_problem_whatever_markers_say() {
    let ground = ground();
    let tree =
        ground.tree(None, &[(PATH, "images: [\n"), ("apps/wiki/local/a.yaml", &marked("r:1/wiki:2.0.0"))]);
    assert!(
        ground.read(tree, "true").problem.unwrap().starts_with("apps/wiki/local/kustomization.yaml: line ")
    );
}

#[test]
fn neither_links_nor_other_kinds_of_files_are_looked_at_for_markers() {
    let ground = ground();
    let text = ground.repository.blob(marked("r:1/wiki:2.0.0").as_bytes()).unwrap();
    let tree = ground.tree(None, &[(PATH, ENTRY)]);
    let others = [
        ("apps/wiki/local/link.yaml", text, FileMode::Link),
        ("apps/wiki/local/notes.txt", text, FileMode::Blob),
        ("apps/wiki/other.yaml", text, FileMode::Blob),
    ];
    assert_eq!(ground.read(ground.with(Some(tree), &others), "true").remarks, Vec::<String>::new());
}

#[test]
fn a_hostile_file_name_can_not_move_the_terminals_cursor() {
    let ground = ground();
    let hostile = "apps/wiki/local/\u{1b}[2J.yaml";
    let tree = ground.tree(None, &[(PATH, ENTRY), (hostile, &marked("r:1/wiki:2.0.0"))]);
    let remarks = ground.read(tree, "true").remarks;
    assert!(!remarks.is_empty() && remarks.iter().all(|remark| !remark.contains('\u{1b}')), "{remarks:?}");
    let only = ground.tree(None, &[(hostile, &marked("r:1/wiki:-"))]);
    assert!(!ground.read(only, "true").problem.unwrap().contains('\u{1b}'));
}

#[test]
fn a_huge_file_is_refused_by_its_header() {
    let ground = ground();
    let huge = ground.huge(5 * 1024 * 1024 * 1024);
    let tree = ground.with(None, &[(PATH, huge, FileMode::Blob)]);
    let words = "apps/wiki/local/kustomization.yaml has 5368709120 bytes; at most 1048576 are read";
    assert_eq!(ground.read(tree, "false").problem.as_deref(), Some(words));
    let beside = ground.with(
        Some(ground.tree(None, &[(PATH, ENTRY)])),
        &[("apps/wiki/local/big.yaml", huge, FileMode::Blob)],
    );
    let reading = ground.read(beside, "true");
    assert_eq!(reading.problem, None);
    assert_eq!(reading.remarks, [words.replace("kustomization", "big") + ", so its markers are not obeyed"]);
}

#[test]
fn a_tree_that_unfolds_without_end_is_left_with_a_word() {
    let ground = ground();
    let leaf = ground.repository.blob(b"a: b\n").unwrap();
    let mut level = leaf;
    for depth in 0..10 {
        let mut builder = ground.repository.treebuilder(None).unwrap();
        for number in 0..10 {
            let mode = if depth == 0 { FileMode::Blob } else { FileMode::Tree };
            builder.insert(format!("{number}.yaml"), level, mode.into()).unwrap();
        }
        level = builder.write().unwrap();
    }
    let base = ground.tree(None, &[(PATH, ENTRY)]);
    let bomb = ground.with(Some(base), &[("apps/wiki/local/bomb", level, FileMode::Tree)]);
    let began = std::time::Instant::now();
    let problem = ground.read(bomb, "true").problem.unwrap();
    assert!(
        problem.starts_with("there are more than 20000 files and folders below apps/wiki/local"),
        "{problem}"
    );
    let found = &ground.repository;
    let (old, new) = (found.find_tree(base).unwrap(), found.find_tree(bomb).unwrap());
    assert_eq!(overlays("true").changed(found, Some(&old), &new).unwrap(), BTreeSet::from([0]));
    assert!(began.elapsed().as_secs() < 10, "took {:?}", began.elapsed());
    assert_eq!(ground.read(bomb, "false").problem, None, "without markers nothing below is looked at");
}

/// Files that are put there, and the places that then differ.
type Case = (&'static [(&'static str, &'static str)], &'static [usize]);

#[test]
fn only_the_places_that_differ_are_found_changed() {
    let ground = ground();
    let one =
        ground.tree(None, &[(PATH, ENTRY), ("apps/zoo/kustomization.yaml", ENTRY), ("README.md", "a\n")]);
    let changed = |old: Option<Oid>, new: Oid| {
        let find = |id| ground.repository.find_tree(id).unwrap();
        overlays("false").changed(&ground.repository, old.map(find).as_ref(), &find(new)).unwrap()
    };
    let cases: [Case; 6] = [
        (&[], &[]),
        (&[("README.md", "b\n"), ("apps/README.md", "b\n")], &[]),
        (&[(PATH, "images: []\n")], &[0]),
        (&[("apps/zoo/x/y.yaml", "a: b\n")], &[1]),
        (&[(".promote/local/zoo.yaml", "hold: {}\n"), (".promote/local/other.yaml", "hold: {}\n")], &[1]),
        (&[(".promote/aws/zoo.yaml", "hold: {}\n"), ("a/b", "c")], &[]),
    ];
    for (files, places) in cases {
        let two = ground.tree(Some(one), files);
        assert_eq!(changed(Some(one), two), places.iter().copied().collect(), "{files:?}");
        assert_eq!(changed(Some(two), one), places.iter().copied().collect(), "back from {files:?}");
    }
    assert_eq!(changed(None, one), BTreeSet::from([0, 1]));
    let gone = ground.tree(None, &[("README.md", "a\n")]);
    assert_eq!(changed(Some(one), gone), BTreeSet::from([0, 1]));
    let file_instead = ground.tree(None, &[("apps", "a\n")]);
    assert_eq!(changed(Some(one), file_instead), BTreeSet::from([0, 1]));
}
