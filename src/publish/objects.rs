//! Reading Git's objects within limits, and finding those that a new tree adds.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use git2::{FileMode, ObjectType, Oid, Repository, Tree, TreeWalkMode, TreeWalkResult};

/// Files of interest are configuration and manifests; anything larger is an accident or an attack.
pub(super) const LARGEST_FILE: usize = 1024 * 1024;

/// Folders with more entries than this are kept once they were read: libgit2 itself keeps small ones only.
const WIDE: usize = 64;

/// What is looked at below one folder, at most.
const MOST_ENTRIES: usize = 20_000;
const DEEPEST: usize = 32;

/// A file as a tree holds it.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) id: Oid,
    pub(super) executable: bool,
    pub(super) content: Vec<u8>,
}

impl File {
    fn listed(&self, path: &str) -> Listed {
        Listed { path: path.to_owned(), id: self.id, executable: self.executable }
    }
}

/// A file that is listed and not read yet.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) path: String,
    pub(super) id: Oid,
    pub(super) executable: bool,
}

/// The files of one tree, by path.
pub(super) struct Files<'r> {
    repository: &'r Repository,
    root: Tree<'r>,
    wide: RefCell<HashMap<String, Tree<'r>>>,
    /// Files that stand there instead of those of the tree; none where one is gone.
    put: BTreeMap<String, Option<File>>,
}

impl<'r> Files<'r> {
    pub(super) fn of(repository: &'r Repository, root: Tree<'r>) -> Self {
        Self { repository, root, wide: RefCell::default(), put: BTreeMap::new() }
    }

    /// Puts a file there, which the repository need not have.
    pub(super) fn put(&mut self, path: String, file: File) {
        self.put.insert(path, Some(file));
    }

    /// Takes a file of the tree away.
    pub(super) fn remove(&mut self, path: String) {
        self.put.insert(path, None);
    }

    /// All files that were put there or taken away, by path.
    pub(super) fn into_put(self) -> BTreeMap<String, Option<File>> {
        self.put
    }

    /// The folder at `path`: none where there is nothing, an error in words where it is something else.
    fn folder(&self, path: &str) -> Result<Option<Tree<'r>>, String> {
        let mut tree = self.root.clone();
        let mut end = 0;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            end = path[end..].find(part).map_or(end, |at| end + at + part.len());
            let walked = &path[..end];
            if let Some(known) = self.wide.borrow().get(walked) {
                tree = known.clone();
                continue;
            }
            let entry = tree.get_name(part).map(|entry| (entry.kind(), entry.filemode(), entry.id()));
            let Some((kind, mode, id)) = entry else { return Ok(None) };
            if mode == i32::from(FileMode::Link) {
                return Err(linked(walked));
            }
            if kind != Some(ObjectType::Tree) {
                return Err(format!("{walked} is not a folder"));
            }
            let below = self.repository.find_tree(id);
            let below = below.map_err(|error| format!("{walked}: {}", error.message()))?;
            if below.len() > WIDE {
                self.wide.borrow_mut().insert(walked.to_owned(), below.clone());
            }
            tree = below;
        }
        Ok(Some(tree))
    }

    /// The regular file at `path`: `Ok(None)` when there is none, an error in words when it is something else.
    pub(super) fn file(&self, path: &str) -> Result<Option<File>, String> {
        match self.listed(path)? {
            Some(listed) => self.read(&listed).map(Some),
            None => Ok(None),
        }
    }

    /// The same, without its content.
    pub(super) fn listed(&self, path: &str) -> Result<Option<Listed>, String> {
        if let Some(put) = self.put.get(path) {
            return Ok(put.as_ref().map(|put| put.listed(path)));
        }
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(folder) = self.folder(folder)? else { return Ok(None) };
        let Some(entry) = folder.get_name(name) else { return Ok(None) };
        if entry.filemode() == i32::from(FileMode::Link) {
            return Err(linked(path));
        }
        if entry.kind() != Some(ObjectType::Blob) {
            return Err(format!("{path} is not a file"));
        }
        let executable = entry.filemode() == i32::from(FileMode::BlobExecutable);
        Ok(Some(Listed { path: path.to_owned(), id: entry.id(), executable }))
    }

    /// The content of a file.
    pub(super) fn read(&self, Listed { path, id, executable }: &Listed) -> Result<File, String> {
        if let Some(Some(put)) = self.put.get(path)
            && put.id == *id
        {
            return Ok(put.clone());
        }
        let failed = |error: git2::Error| format!("{path}: {}", error.message());
        // The header tells the size before a huge blob is in memory.
        let size = self.repository.odb().and_then(|odb| odb.read_header(*id)).map_err(failed)?.0;
        if size > LARGEST_FILE {
            return Err(format!("{path} has {size} bytes; at most {LARGEST_FILE} are read"));
        }
        let blob = self.repository.find_blob(*id).map_err(failed)?;
        Ok(File { id: *id, executable: *executable, content: blob.content().to_vec() })
    }

    /// The path of the kustomization in `folder`, or in words why there is none.
    pub(super) fn kustomization(&self, folder: &str) -> Result<String, String> {
        let Some(tree) = self.folder(folder)? else {
            return Err(format!(
                "the folder {folder} does not exist on the branch; create it or correct `path`"
            ));
        };
        KUSTOMIZATION_NAMES
            .iter()
            .find(|name| tree.get_name(name).is_some())
            .map(|name| format!("{folder}/{name}"))
            .ok_or_else(|| {
                format!("{folder} has no kustomization.yaml (nor kustomization.yml, nor Kustomization)")
            })
    }

    /// The YAML files below `folder`, in the order of their paths: regular files whose name ends in `.yaml` or `.yml`,
    /// or is `Kustomization`. Symbolic links and submodules are not followed.
    pub(super) fn yaml_files(&self, folder: &str) -> Result<Vec<Listed>, String> {
        let Some(tree) = self.folder(folder)? else { return Ok(Vec::new()) };
        let (mut open, mut found, mut seen) = (vec![(folder.to_owned(), tree)], Vec::new(), 0);
        while let Some((path, tree)) = open.pop() {
            for entry in &tree {
                seen += 1;
                if seen > MOST_ENTRIES {
                    return Err(format!(
                        "there are more than {MOST_ENTRIES} files and folders below {folder}, too many to look for \
                         markers in; move `path` further down"
                    ));
                }
                let Ok(name) = entry.name() else { continue };
                let path = format!("{path}/{name}");
                match entry.kind() {
                    Some(ObjectType::Tree) if path.matches('/').count() < DEEPEST => {
                        let below = self.repository.find_tree(entry.id());
                        open.push((
                            path.clone(),
                            below.map_err(|error| format!("{path}: {}", error.message()))?,
                        ));
                    }
                    Some(ObjectType::Blob)
                        if entry.filemode() != i32::from(FileMode::Link) && is_yaml(name) =>
                    {
                        let executable = entry.filemode() == i32::from(FileMode::BlobExecutable);
                        let listed = Listed { path, id: entry.id(), executable };
                        match self.put.get(&listed.path) {
                            Some(put) => found.extend(put.as_ref().map(|put| put.listed(&listed.path))),
                            None => found.push(listed),
                        }
                    }
                    _ => {}
                }
            }
        }
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }
}

/// As Flux's image automation chooses files.
fn is_yaml(name: &str) -> bool {
    let extension = std::path::Path::new(name).extension();
    name == "Kustomization" || extension.is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// The names that kustomize looks for, in its order.
pub(super) const KUSTOMIZATION_NAMES: [&str; 3] =
    ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// The objects that `new` has and `old` does not, trees and files, looking only where they differ.
pub(super) fn added(
    repository: &Repository,
    old: Option<&Tree<'_>>,
    new: &Tree<'_>,
) -> Result<Vec<Oid>, git2::Error> {
    let mut found = vec![new.id()];
    for entry in new {
        let before = old.and_then(|old| old.get_name_bytes(entry.name_bytes()).map(|entry| entry.to_owned()));
        if before.as_ref().is_some_and(|before| before.id() == entry.id()) {
            continue;
        }
        match entry.kind() {
            Some(ObjectType::Tree) => {
                let before = before
                    .filter(|before| before.kind() == Some(ObjectType::Tree))
                    .and_then(|before| repository.find_tree(before.id()).ok());
                found.extend(added(repository, before.as_ref(), &repository.find_tree(entry.id())?)?);
            }
            Some(ObjectType::Blob) => found.push(entry.id()),
            _ => {}
        }
    }
    Ok(found)
}

/// Every file of a tree by path; for the notes, whose tree holds nothing else.
pub(super) fn files(tree: &Tree<'_>) -> Result<Vec<(String, Oid)>, git2::Error> {
    let mut found = Vec::new();
    tree.walk(TreeWalkMode::PreOrder, |folder, entry| {
        if entry.kind() == Some(ObjectType::Blob)
            && let (Ok(folder), Ok(name)) = (std::str::from_utf8(folder.as_ref()), entry.name())
        {
            found.push((format!("{folder}{name}"), entry.id()));
        }
        TreeWalkResult::Ok
    })?;
    Ok(found)
}

fn linked(path: &str) -> String {
    format!("{path} is a symbolic link, which is not followed; put what it leads to there")
}
