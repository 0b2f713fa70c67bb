//! An OCI image layout, as a folder or an archive (OCI Image Specification 1.1, "Image Layout"): whole, or not there.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jiff::Timestamp;

use super::archive::{self, Entry, Fault};
use super::{BuildError, Root};
use crate::discover::manifest::{self, Hash};
use crate::discover::{Descriptor, MANIFEST_LIMIT, MANIFEST_TYPES, Manifest};
use crate::model::Digest;

/// Manifests of one image, its index and its platforms' attestations included.
const MANIFEST_COUNT: usize = 500;
/// An index in an index in an index.
const DEPTH_LIMIT: usize = 4;
/// More bytes than this in all layers together are a mistake.
const BYTES_LIMIT: u64 = 64 * 1024 * 1024 * 1024;
const CHUNK: usize = 256 * 1024;

/// A whole image: every manifest and blob was there, and was what its digest says.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// What it is called in messages: its path below the allowed folder.
    pub path: String,
    image: Manifest,
    /// What is pointed to comes before what points to it.
    children: Vec<Manifest>,
    blobs: BTreeMap<Digest, Descriptor>,
    store: Store,
    /// When the file that names the image was written or put into its place.
    pub written: Timestamp,
}

/// Where the bytes are.
#[derive(Debug, Clone)]
enum Store {
    Folder,
    Archive(PathBuf, HashMap<String, Entry>),
}

/// A file as it was when its bytes were checked; any change of it changes this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
    modified: (i64, i64),
}

impl Stamp {
    /// The stamp of a file.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// When the file was last written or put into its place, whatever it says of its own time.
    pub fn time(&self) -> Timestamp {
        let nanoseconds = i32::try_from(self.changed.1).unwrap_or_default();
        Timestamp::new(self.changed.0, nanoseconds).unwrap_or_default()
    }

    /// Whether it is so fresh that another write could leave the same stamp; the clock of files ticks every few milliseconds.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now.duration_since(self.time()).as_millis() < 50
    }
}

impl Artifact {
    /// The image's digest.
    pub fn digest(&self) -> &Digest {
        &self.image.digest
    }

    /// The image itself: a manifest, or an index over platforms.
    pub fn image(&self) -> &Manifest {
        &self.image
    }

    /// The manifests that the image points to, directly or not; what is pointed to comes first.
    pub fn children(&self) -> &[Manifest] {
        &self.children
    }

    /// Every layer and configuration.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.blobs.values()
    }

    /// Opens a blob at its first byte; whoever reads it checks it again, since files can change.
    pub fn open(&self, root: &Root, digest: &Digest) -> Result<File, BuildError> {
        let (mut file, entry) = self.store.open(root, &self.path, &blob(digest))?;
        if entry.offset > 0 {
            let error = |error| BuildError::unreadable(&self.path, &error);
            file.seek(SeekFrom::Start(entry.offset)).map_err(error)?;
        }
        Ok(file)
    }
}

/// Looks at artifacts, and remembers which bytes it has checked.
#[derive(Debug, Default)]
pub struct Looker {
    checked: HashMap<Digest, (Stamp, u64)>,
}

impl Looker {
    /// What lies at `path` below `root`: a whole image, none if there is nothing, or why there is none yet. Blocks.
    pub fn look(&mut self, root: &Root, path: &str) -> Result<Option<Artifact>, BuildError> {
        let Some(place) = root.find(path)? else { return Ok(None) };
        let metadata = std::fs::metadata(&place).map_err(|error| BuildError::unreadable(path, &error))?;
        let (store, head) = if metadata.is_dir() {
            let Some(index) = root.find(&format!("{path}/index.json"))? else {
                return Err(BuildError::incomplete(path, "it has no index.json yet"));
            };
            let index = std::fs::metadata(index).map_err(|error| BuildError::unreadable(path, &error))?;
            (Store::Folder, index)
        } else if metadata.is_file() {
            (archive(path, &place)?, metadata)
        } else {
            return Err(BuildError::unusable(path, "it is neither a folder nor a file"));
        };
        let mut checked = HashMap::new();
        let artifact = self.read(root, path, store, Stamp::of(&head).time(), &mut checked);
        // What half an artifact had is not checked again when the rest has come.
        if artifact.is_ok() {
            self.checked = checked;
        } else {
            self.checked.extend(checked);
        }
        artifact.map(Some)
    }

    fn read(
        &self,
        root: &Root,
        path: &str,
        store: Store,
        written: Timestamp,
        checked: &mut HashMap<Digest, (Stamp, u64)>,
    ) -> Result<Artifact, BuildError> {
        let version = store.small(root, path, "oci-layout")?;
        let version: serde_json::Value = serde_json::from_slice(&version)
            .map_err(|_| BuildError::incomplete(path, "oci-layout is not JSON yet"))?;
        if version["imageLayoutVersion"].as_str().is_none_or(|version| !version.starts_with("1.")) {
            return Err(BuildError::unusable(path, "its oci-layout does not say version 1"));
        }
        let index = store.small(root, path, "index.json")?;
        if serde_json::from_slice::<serde::de::IgnoredAny>(&index).is_err() {
            return Err(BuildError::incomplete(path, "index.json is not JSON yet"));
        }
        let index = manifest::verify(index, None, Some(MANIFEST_TYPES[0]), None)
            .map_err(|reason| BuildError::unusable(path, format!("its index.json: {reason}")))?;
        let mut named: Vec<&Descriptor> = Vec::new();
        for descriptor in &index.contents.children {
            // One image under several names is one image.
            if named.iter().all(|known| known.digest != descriptor.digest) {
                named.push(descriptor);
            }
        }
        let image = match named[..] {
            [image] => image,
            [] => return Err(BuildError::incomplete(path, "index.json names no image yet")),
            _ => {
                let reason = format!(
                    "its index.json names {} images; write one into it, of which an index may list several platforms",
                    named.len()
                );
                return Err(BuildError::unusable(path, reason));
            }
        };
        let mut children = manifests(root, path, &store, image)?;
        let Some(image) = children.pop() else {
            return Err(BuildError::incomplete(path, "index.json names no image yet"));
        };
        let mut blobs = BTreeMap::new();
        let mut total = 0_u64;
        for descriptor in children.iter().chain([&image]).flat_map(Manifest::blobs) {
            if blobs.contains_key(&descriptor.digest) {
                continue;
            }
            total = total.saturating_add(descriptor.size);
            if total > BYTES_LIMIT {
                return Err(BuildError::unusable(
                    path,
                    format!("its layers have more than {BYTES_LIMIT} bytes"),
                ));
            }
            match self.check(root, path, &store, descriptor, checked) {
                // Registries need not hold such a layer, and builders leave it out.
                Err(BuildError::Incomplete { .. }) if descriptor.is_nondistributable() => continue,
                other => other?,
            }
            blobs.insert(descriptor.digest.clone(), descriptor.clone());
        }
        Ok(Artifact { path: path.to_owned(), image, children, blobs, store, written })
    }

    /// Makes sure that a blob is there and is what its digest says.
    fn check(
        &self,
        root: &Root,
        path: &str,
        store: &Store,
        descriptor: &Descriptor,
        checked: &mut HashMap<Digest, (Stamp, u64)>,
    ) -> Result<(), BuildError> {
        let digest = &descriptor.digest;
        let (mut file, entry) = store.open(root, path, &blob(digest))?;
        if entry.size != descriptor.size {
            let missing = format!("blob {} has {} of {} bytes", digest.short(), entry.size, descriptor.size);
            return Err(BuildError::incomplete(path, missing));
        }
        let unreadable = |error: std::io::Error| BuildError::unreadable(path, &error);
        let stamp = (Stamp::of(&file.metadata().map_err(unreadable)?), entry.offset);
        if self.checked.get(digest) != Some(&stamp) {
            file.seek(SeekFrom::Start(entry.offset)).map_err(unreadable)?;
            let mut hash = Hash::of(digest);
            let mut chunk = vec![0; CHUNK];
            let mut left = entry.size;
            while left > 0 {
                let most = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
                let read = match file.read(&mut chunk[..most]) {
                    Ok(0) => {
                        return Err(BuildError::incomplete(path, format!("blob {} was cut", digest.short())));
                    }
                    Ok(read) => read,
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) => return Err(unreadable(error)),
                };
                hash.update(&chunk[..read]);
                left -= read as u64;
            }
            let found = hash.finish();
            if found != digest.as_str() {
                let missing = format!("blob {} is not what its digest says yet", digest.short());
                return Err(BuildError::incomplete(path, missing));
            }
        }
        if !stamp.0.is_fresh(Timestamp::now()) {
            checked.insert(digest.clone(), stamp);
        }
        Ok(())
    }
}

fn blob(digest: &Digest) -> String {
    format!("blobs/{}", digest.as_str().replacen(':', "/", 1))
}

fn archive(path: &str, place: &Path) -> Result<Store, BuildError> {
    let unreadable = |error: std::io::Error| BuildError::unreadable(path, &error);
    let mut file = File::open(place).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let entries =
        archive::entries(&mut std::io::BufReader::new(&mut file), length).map_err(|fault| match fault {
            Fault::Short(missing) => BuildError::incomplete(path, missing),
            Fault::Unusable(reason) => BuildError::unusable(path, reason),
            Fault::Io(error) => unreadable(error),
        })?;
    if !entries.contains_key("index.json") && entries.contains_key("manifest.json") {
        return Err(BuildError::unusable(
            path,
            "it is an archive of `docker save` without an OCI layout; write one with `docker buildx build --output type=oci,dest=FILE`",
        ));
    }
    Ok(Store::Archive(place.to_owned(), entries))
}

impl Store {
    /// A file with its place; an artifact that lacks it is not whole.
    fn open(&self, root: &Root, path: &str, name: &str) -> Result<(File, Entry), BuildError> {
        let missing = || BuildError::incomplete(path, format!("it has no {name} yet"));
        let unreadable = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound => missing(),
            _ => BuildError::unreadable(&format!("{path}/{name}"), &error),
        };
        match self {
            Self::Folder => {
                let place = root.find(&format!("{path}/{name}"))?.ok_or_else(missing)?;
                // A pipe would keep us waiting for ever.
                if !std::fs::metadata(&place).map_err(unreadable)?.is_file() {
                    return Err(BuildError::unusable(path, format!("its {name} is no file")));
                }
                let file = File::open(&place).map_err(unreadable)?;
                let size = file.metadata().map_err(unreadable)?.len();
                Ok((file, Entry { offset: 0, size }))
            }
            Self::Archive(place, entries) => {
                let entry = *entries.get(name).ok_or_else(missing)?;
                Ok((File::open(place).map_err(unreadable)?, entry))
            }
        }
    }

    /// A small file as a whole.
    fn small(&self, root: &Root, path: &str, name: &str) -> Result<Bytes, BuildError> {
        let (mut file, entry) = self.open(root, path, name)?;
        if entry.size > MANIFEST_LIMIT as u64 {
            let reason = format!("its {name} has more than {} MiB", MANIFEST_LIMIT / 1024 / 1024);
            return Err(BuildError::unusable(path, reason));
        }
        let mut content = Vec::new();
        file.seek(SeekFrom::Start(entry.offset))
            .and_then(|_| file.take(entry.size).read_to_end(&mut content))
            .map_err(|error| BuildError::unreadable(path, &error))?;
        Ok(content.into())
    }
}

/// The image with all that it points to; what is pointed to comes first.
fn manifests(
    root: &Root,
    path: &str,
    store: &Store,
    image: &Descriptor,
) -> Result<Vec<Manifest>, BuildError> {
    let mut levels: Vec<Vec<Manifest>> = Vec::new();
    let mut level = vec![image.clone()];
    let mut known = std::collections::BTreeSet::from([image.digest.clone()]);
    while !level.is_empty() {
        if levels.len() == DEPTH_LIMIT || known.len() > MANIFEST_COUNT {
            return Err(BuildError::unusable(path, format!("it has more than {MANIFEST_COUNT} manifests")));
        }
        let mut read = Vec::new();
        for descriptor in &level {
            let name = blob(&descriptor.digest);
            let bytes = store.small(root, path, &name)?;
            if !manifest::has_digest(&bytes, &descriptor.digest) {
                let missing =
                    format!("manifest {} is not what its digest says yet", descriptor.digest.short());
                return Err(BuildError::incomplete(path, missing));
            }
            let media_type = Some(descriptor.media_type.as_str());
            let manifest =
                manifest::verify(bytes, Some(&descriptor.digest), media_type, None).map_err(|reason| {
                    BuildError::unusable(
                        path,
                        format!("its manifest {}: {reason}", descriptor.digest.short()),
                    )
                })?;
            read.push(manifest);
        }
        level = Vec::new();
        for child in read.iter().flat_map(|manifest| &manifest.contents.children) {
            if known.insert(child.digest.clone()) {
                level.push(child.clone());
            }
        }
        levels.push(read);
    }
    Ok(levels.into_iter().rev().flatten().collect())
}
