//! Reading Git's objects within limits, and finding those that a new tree adds.

use git2::{FileMode, ObjectType, Oid, Repository, Tree, TreeWalkMode, TreeWalkResult};

/// Files of interest are configuration and manifests; anything larger is an accident or an attack.
pub(super) const LARGEST_FILE: usize = 1024 * 1024;

/// A file as a tree holds it.
pub(super) struct File {
    pub(super) id: Oid,
    pub(super) executable: bool,
    pub(super) content: Vec<u8>,
}

/// The regular file at `path`: `Ok(None)` when there is none, an error in words when it is something else.
pub(super) fn file(repository: &Repository, tree: &Tree<'_>, path: &str) -> Result<Option<File>, String> {
    let Ok(entry) = tree.get_path(std::path::Path::new(path)) else { return Ok(None) };
    let mode = entry.filemode();
    if mode == i32::from(FileMode::Link) {
        return Err(format!("{path} is a symbolic link, which is not followed; put the file itself there"));
    }
    if entry.kind() != Some(ObjectType::Blob) {
        return Err(format!("{path} is not a file"));
    }
    // The header tells the size before a huge blob is in memory.
    let size = repository
        .odb()
        .and_then(|odb| odb.read_header(entry.id()))
        .map_err(|error| format!("{path}: {}", error.message()))?
        .0;
    if size > LARGEST_FILE {
        return Err(format!("{path} has {size} bytes; at most {LARGEST_FILE} are read"));
    }
    let blob = repository.find_blob(entry.id()).map_err(|error| format!("{path}: {}", error.message()))?;
    let executable = mode == i32::from(FileMode::BlobExecutable);
    Ok(Some(File { id: entry.id(), executable, content: blob.content().to_vec() }))
}

/// The names that kustomize looks for, in its order.
const KUSTOMIZATION_NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// The path of the kustomization in `folder`, or in words why there is none.
pub(super) fn kustomization(tree: &Tree<'_>, folder: &str) -> Result<String, String> {
    let entry = tree.get_path(std::path::Path::new(folder)).map_err(|_| {
        format!("the folder {folder} does not exist on the branch; create it or correct `path`")
    })?;
    if entry.kind() != Some(ObjectType::Tree) {
        return Err(format!("{folder} is not a folder"));
    }
    KUSTOMIZATION_NAMES
        .iter()
        .map(|name| format!("{folder}/{name}"))
        .find(|path| tree.get_path(std::path::Path::new(path)).is_ok())
        .ok_or_else(|| {
            format!("{folder} has no kustomization.yaml (nor kustomization.yml, nor Kustomization)")
        })
}

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
