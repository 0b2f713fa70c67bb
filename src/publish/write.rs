//! Edited files written into the repository, with the folders above them.
//!
//! A few become an object in a file each, as libgit2 writes them. Many become one pack, since a file for each costs more
//! than all else of a large change, and slows down every look at the repository from then on. So does what takes files
//! away: folders that hold nothing any more go with them, which libgit2 would leave there.

use std::collections::BTreeMap;

use git2::build::TreeUpdateBuilder;
use git2::{FileMode, ObjectType, Oid, Repository, Tree};

use super::objects::File;
use super::pack::Pack;

/// From so many files on they become a pack.
const MANY: usize = 50;

/// The tree that is `base` with `files`, by path, in place of what it has there; none is a file that goes.
pub(super) fn write(
    repository: &Repository,
    base: &Tree<'_>,
    files: &BTreeMap<String, Option<File>>,
) -> Result<Oid, git2::Error> {
    if files.len() < MANY && files.values().all(Option::is_some) {
        return write_singly(repository, base, files);
    }
    write_packed(repository, base, files)
}

fn write_packed(
    repository: &Repository,
    base: &Tree<'_>,
    files: &BTreeMap<String, Option<File>>,
) -> Result<Oid, git2::Error> {
    let mut packing = Packing { repository, pack: Pack::new() };
    let files: Vec<_> = files.iter().map(|(path, file)| (path.as_str(), file.as_ref())).collect();
    let tree = packing.folder(Some(base.id()), &files)?;
    let tree = match tree {
        Some(tree) => tree,
        None => packing.pack.add(ObjectType::Tree, &[])?,
    };
    packing.pack.keep_in(repository)?;
    Ok(tree)
}

fn write_singly(
    repository: &Repository,
    base: &Tree<'_>,
    files: &BTreeMap<String, Option<File>>,
) -> Result<Oid, git2::Error> {
    let mut builder = TreeUpdateBuilder::new();
    for (path, file) in files {
        if let Some(file) = file {
            builder.upsert(path.as_str(), repository.blob(&file.content)?, mode(file));
        }
    }
    builder.create_updated(repository, base)
}

fn mode(file: &File) -> FileMode {
    if file.executable { FileMode::BlobExecutable } else { FileMode::Blob }
}

struct Packing<'r> {
    repository: &'r Repository,
    pack: Pack,
}

impl Packing<'_> {
    /// The folder that is `old` with `files`, by their paths below it and in the order of these; none if nothing is in it.
    fn folder(
        &mut self,
        old: Option<Oid>,
        files: &[(&str, Option<&File>)],
    ) -> Result<Option<Oid>, git2::Error> {
        let mut folder = Folder::default();
        if let Some(old) = old {
            folder.read(self.repository.odb()?.read(old)?.data())?;
        }
        let mut rest = files;
        while let Some(&(path, file)) = rest.first() {
            let Some((name, _)) = path.split_once('/') else {
                match file {
                    Some(file) => {
                        let id = self.pack.add(ObjectType::Blob, &file.content)?;
                        folder.put(path, mode(file), id)?;
                    }
                    None => folder.remove(path, false),
                }
                rest = &rest[1..];
                continue;
            };
            // What lies below one folder stands together in the order of the paths.
            let below = |path: &str| path.strip_prefix(name).is_some_and(|path| path.starts_with('/'));
            let end = rest.iter().position(|(path, _)| !below(path)).unwrap_or(rest.len());
            let inner: Vec<_> =
                rest[..end].iter().map(|(path, file)| (&path[name.len() + 1..], *file)).collect();
            match self.folder(folder.folder(name), &inner)? {
                Some(id) => folder.put(name, FileMode::Tree, id)?,
                None => folder.remove(name, true),
            }
            rest = &rest[end..];
        }
        if folder.entries.is_empty() {
            return Ok(None);
        }
        self.pack.add(ObjectType::Tree, &folder.bytes()).map(Some)
    }
}

/// The entries of a folder in Git's order: by name, where a folder's name counts as ending in a slash.
#[derive(Default)]
struct Folder {
    entries: BTreeMap<Vec<u8>, (Vec<u8>, Oid)>,
}

impl Folder {
    /// Takes over the entries of a tree object: mode, space, name, NUL, identifier, one after the other.
    fn read(&mut self, mut tree: &[u8]) -> Result<(), git2::Error> {
        let broken = || git2::Error::from_str("a tree object is damaged");
        while !tree.is_empty() {
            let space = memchr::memchr(b' ', tree).ok_or_else(broken)?;
            let end = memchr::memchr(0, tree).filter(|end| *end > space).ok_or_else(broken)?;
            let id = tree.get(end + 1..end + 1 + ID).ok_or_else(broken)?;
            let (mode, name) = (&tree[..space], &tree[space + 1..end]);
            self.entries.insert(key(name, mode == FOLDER), (mode.to_vec(), Oid::from_bytes(id)?));
            tree = &tree[end + 1 + ID..];
        }
        Ok(())
    }

    fn folder(&self, name: &str) -> Option<Oid> {
        self.entries.get(&key(name.as_bytes(), true)).map(|(_, id)| *id)
    }

    fn remove(&mut self, name: &str, is_folder: bool) {
        self.entries.remove(&key(name.as_bytes(), is_folder));
    }

    /// Fails, as libgit2 does, where a file would take the place of a folder, or a folder that of a file.
    fn put(&mut self, name: &str, mode: FileMode, id: Oid) -> Result<(), git2::Error> {
        let is_folder = mode == FileMode::Tree;
        if self.entries.contains_key(&key(name.as_bytes(), !is_folder)) {
            return Err(git2::Error::from_str(&format!("{name} is a file and a folder")));
        }
        let mode = format!("{:o}", i32::from(mode)).into_bytes();
        self.entries.insert(key(name.as_bytes(), is_folder), (mode, id));
        Ok(())
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, (mode, id)) in &self.entries {
            let name = key.strip_suffix(b"/").unwrap_or(key);
            bytes.extend([mode, b" ".as_slice(), name, b"\0", id.as_bytes()].concat());
        }
        bytes
    }
}

/// The mode of a folder in a tree object.
const FOLDER: &[u8] = b"40000";
/// The bytes of an identifier.
const ID: usize = 20;

fn key(name: &[u8], is_folder: bool) -> Vec<u8> {
    let end: &[u8] = if is_folder { b"/" } else { b"" };
    [name, end].concat()
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
