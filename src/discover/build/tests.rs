//! An artifact is whole, or it is not there.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::model::Digest;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A layout below an allowed folder, by the names of its files.
struct Layout {
    folder: tempfile::TempDir,
    files: Vec<(String, Vec<u8>)>,
}

impl Layout {
    /// An index over one platform, as buildx writes it.
    fn new(identity: &str) -> Self {
        let mut layout = Self { folder: tempfile::tempdir().unwrap(), files: Vec::new() };
        let config = layout.blob("application/vnd.oci.image.config.v1+json", identity.as_bytes());
        let layer = layout.blob("application/vnd.oci.image.layer.v1.tar", &[7; 3000]);
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer.clone(), layer]});
        let manifest = layout.json(MANIFEST, &manifest);
        let image =
            layout.json(INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]}));
        layout.finish(&[image]);
        layout
    }

    fn blob(&mut self, media_type: &str, content: &[u8]) -> Value {
        let digest = Digest::of(content);
        let name = format!("blobs/{}", digest.as_str().replace(':', "/"));
        if self.files.iter().all(|(known, _)| *known != name) {
            self.files.push((name, content.to_owned()));
        }
        json!({"mediaType": media_type, "digest": digest, "size": content.len()})
    }

    fn json(&mut self, media_type: &str, content: &Value) -> Value {
        self.blob(media_type, content.to_string().as_bytes())
    }

    fn finish(&mut self, images: &[Value]) {
        self.files.retain(|(name, _)| name.starts_with("blobs/"));
        self.files.push(("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
        let index = json!({"schemaVersion": 2, "manifests": images}).to_string().into_bytes();
        self.files.push(("index.json".to_owned(), index));
    }

    fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join("image").join(name)
    }

    fn write(&self) -> &Self {
        for (name, content) in &self.files {
            std::fs::create_dir_all(self.place(name).parent().unwrap()).unwrap();
            std::fs::write(self.place(name), content).unwrap();
        }
        self
    }

    fn look(&self) -> Result<Option<Artifact>, BuildError> {
        Looker::default().look(&Root::open(self.folder.path()).unwrap(), "image")
    }

    fn said(&self) -> String {
        self.look().unwrap_err().to_string()
    }
}

#[test]
fn a_whole_layout_has_its_image_last_and_each_blob_once() {
    let layout = Layout::new("a");
    layout.write();
    let artifact = layout.look().unwrap().unwrap();
    assert!(artifact.image().is_index());
    assert_eq!(artifact.children().len(), 1);
    assert_eq!(artifact.blobs().count(), 2);
    let root = Root::open(layout.folder.path()).unwrap();
    for blob in artifact.blobs() {
        let mut content = Vec::new();
        let mut file = artifact.open(&root, &blob.digest).unwrap();
        std::io::Read::read_to_end(&mut file, &mut content).unwrap();
        assert_eq!(Digest::of(&content), blob.digest);
    }
}

#[test]
fn what_lacks_any_file_or_the_end_of_one_is_not_whole_and_becomes_so() {
    let layout = Layout::new("a");
    layout.write();
    for (name, content) in &layout.files {
        let halves: [&[u8]; 2] = [b"", &content[..content.len() / 2]];
        for half in halves {
            std::fs::write(layout.place(name), half).unwrap();
            assert!(
                matches!(layout.look(), Err(BuildError::Incomplete { .. })),
                "half of {name}: {:?}",
                layout.look()
            );
        }
        let mut other = content.clone();
        if name.starts_with("blobs/") {
            other[0] ^= 1;
            std::fs::write(layout.place(name), &other).unwrap();
            assert!(matches!(layout.look(), Err(BuildError::Incomplete { .. })), "another {name}");
        }
        std::fs::remove_file(layout.place(name)).unwrap();
        assert!(matches!(layout.look(), Err(BuildError::Incomplete { .. })), "no {name}");
        std::fs::write(layout.place(name), content).unwrap();
    }
    assert!(layout.look().is_ok());
    std::fs::remove_dir_all(layout.folder.path().join("image")).unwrap();
    assert!(layout.look().unwrap().is_none());
}

#[test]
fn a_file_that_changes_is_checked_again() {
    let layout = Layout::new("a");
    layout.write();
    let root = Root::open(layout.folder.path()).unwrap();
    let mut looker = Looker::default();
    std::thread::sleep(std::time::Duration::from_millis(80));
    looker.look(&root, "image").unwrap().unwrap();
    let (name, content) = &layout.files[1];
    let mut other = content.clone();
    other[0] ^= 1;
    std::fs::write(layout.place(name), other).unwrap();
    assert!(matches!(looker.look(&root, "image"), Err(BuildError::Incomplete { .. })));
}

#[test]
fn an_archive_is_read_where_it_lies() {
    let layout = Layout::new("a");
    layout.write();
    let folder = layout.look().unwrap().unwrap();
    let tar = layout.folder.path().join("image.tar");
    let packed = std::process::Command::new("tar")
        .args(["-cf".as_ref(), tar.as_os_str(), "-C".as_ref(), layout.place("").as_os_str(), ".".as_ref()])
        .status();
    assert!(packed.unwrap().success());
    let root = Root::open(layout.folder.path()).unwrap();
    let artifact = Looker::default().look(&root, "image.tar").unwrap().unwrap();
    assert_eq!(artifact.digest(), folder.digest());
    for blob in artifact.blobs() {
        let file = artifact.open(&root, &blob.digest).unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(file, blob.size), &mut content).unwrap();
        assert_eq!(Digest::of(&content), blob.digest);
    }
    let whole = std::fs::read(&tar).unwrap();
    std::fs::write(&tar, &whole[..whole.len() / 2]).unwrap();
    let half = Looker::default().look(&root, "image.tar");
    assert!(matches!(half, Err(BuildError::Incomplete { .. })), "{half:?}");
}

#[test]
fn nothing_is_read_out_of_the_allowed_folder() {
    let layout = Layout::new("a");
    layout.write();
    let outside = tempfile::tempdir().unwrap();
    let (name, content) = &layout.files[0];
    std::fs::write(outside.path().join("blob"), content).unwrap();
    std::fs::remove_file(layout.place(name)).unwrap();
    std::os::unix::fs::symlink(outside.path().join("blob"), layout.place(name)).unwrap();
    assert!(matches!(layout.look(), Err(BuildError::Outside { .. })), "{:?}", layout.look());
    let all = outside.path().join("all");
    std::fs::rename(layout.place(""), &all).unwrap();
    std::os::unix::fs::symlink(&all, layout.folder.path().join("image")).unwrap();
    assert!(matches!(layout.look(), Err(BuildError::Outside { .. })), "{:?}", layout.look());
}

#[test]
fn what_never_becomes_an_image_is_told() {
    let mut two = Layout::new("a");
    let other = two.json(MANIFEST, &json!({"schemaVersion": 2, "mediaType": MANIFEST}));
    let index = two.files.iter().find(|(name, _)| name == "index.json").unwrap();
    let first: Value = serde_json::from_slice(&index.1).unwrap();
    two.finish(&[first["manifests"][0].clone(), other.clone()]);
    assert!(two.write().said().contains("names 2 images"), "{}", two.said());
    // One image under two names is one image.
    two.finish(&[first["manifests"][0].clone(), first["manifests"][0].clone()]);
    assert!(two.write().look().is_ok());
    two.finish(&[other]);
    assert!(two.write().said().contains("is no image that can be pushed"), "{}", two.said());
    let mut schema1 = Layout::new("a");
    let media_type = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let image = schema1.json(media_type, &json!({"schemaVersion": 1}));
    schema1.finish(&[image]);
    assert!(schema1.write().said().contains("is no image manifest or index"), "{}", schema1.said());
    let mut large = Layout::new("a");
    large
        .finish(&[json!({"digest": Digest::of(b"x"), "size": 1, "annotations": {"x": "y".repeat(5 << 20)}})]);
    assert!(large.write().said().contains("more than 4 MiB"), "{}", large.said());
    let mut deep = Layout::new("a");
    let last = deep.files.len() - 1;
    deep.files[last].1 = "[".repeat(100_000).into_bytes();
    assert!(deep.write().look().is_err());
    let pipe = Layout::new("a");
    pipe.write();
    let (name, _) = &pipe.files[0];
    std::fs::remove_file(pipe.place(name)).unwrap();
    let made = std::process::Command::new("mkfifo").arg(pipe.place(name)).status();
    assert!(made.unwrap().success());
    assert!(pipe.said().contains("is no file"), "{}", pipe.said());
}

#[test]
fn an_image_without_any_manifest_yet_is_being_written() {
    let mut layout = Layout::new("a");
    layout.finish(&[]);
    layout.write();
    assert!(matches!(layout.look(), Err(BuildError::Incomplete { .. })));
}
