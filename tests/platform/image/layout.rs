//! Reading an OCI image layout, with nothing taken on trust.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::command::run;

/// A layout in a folder.
pub struct Layout {
    folder: PathBuf,
}

/// One platform of an image.
#[derive(Clone)]
pub struct Image {
    /// As in `linux/amd64`.
    pub platform: String,
    /// `config` of the image's configuration: user, entry point, environment, labels.
    pub settings: Value,
    layer: PathBuf,
}

impl Layout {
    pub fn open(folder: &Path) -> Self {
        let layout = Self { folder: folder.to_owned() };
        assert_eq!(layout.json("oci-layout")["imageLayoutVersion"], "1.0.0");
        layout
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.folder.join(name)).unwrap()).unwrap()
    }

    /// The descriptor that `index.json` holds: one image, or the list of one image's platforms.
    pub fn top(&self) -> Value {
        let manifests = self.json("index.json")["manifests"].clone();
        assert_eq!(manifests.as_array().unwrap().len(), 1, "{manifests}");
        manifests[0].clone()
    }

    /// The file of a blob whose digest and size are as its descriptor says.
    #[track_caller]
    fn file(&self, descriptor: &Value) -> PathBuf {
        let digest = descriptor["digest"].as_str().unwrap();
        let file = self.folder.join("blobs").join(digest.replace(':', "/"));
        assert_eq!(digest_of("cat", &file), digest, "{}", file.display());
        let size = fs::metadata(&file).unwrap().len();
        assert_eq!(size, descriptor["size"].as_u64().unwrap(), "the size of {digest}");
        file
    }

    fn document(&self, descriptor: &Value) -> Value {
        serde_json::from_slice(&fs::read(self.file(descriptor)).unwrap()).unwrap()
    }

    /// Every platform, each with all its blobs checked.
    pub fn images(&self) -> Vec<Image> {
        let top = self.top();
        let manifests = match top["mediaType"].as_str().unwrap() {
            "application/vnd.oci.image.index.v1+json" => {
                self.document(&top)["manifests"].as_array().unwrap().clone()
            }
            "application/vnd.oci.image.manifest.v1+json" => vec![top],
            other => panic!("{other} is no image"),
        };
        manifests.iter().map(|descriptor| self.image(descriptor)).collect()
    }

    fn image(&self, descriptor: &Value) -> Image {
        let manifest = self.document(descriptor);
        let config = self.document(&manifest["config"]);
        let platform = |value: &Value| {
            format!("{}/{}", value["os"].as_str().unwrap(), value["architecture"].as_str().unwrap())
        };
        assert_eq!(platform(&descriptor["platform"]), platform(&config));
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 1);
        let layer = self.file(&layers[0]);
        let reader = match layers[0]["mediaType"].as_str().unwrap() {
            "application/vnd.oci.image.layer.v1.tar" => "cat",
            "application/vnd.oci.image.layer.v1.tar+gzip" => "gzip -dc",
            other => panic!("{other} is no layer"),
        };
        assert_eq!(config["rootfs"]["diff_ids"][0], *digest_of(reader, &layer));
        Image { platform: platform(&config), settings: config["config"].clone(), layer }
    }

    /// How many blobs there are, named or not.
    pub fn blobs(&self) -> usize {
        fs::read_dir(self.folder.join("blobs/sha256")).unwrap().count()
    }
}

impl Image {
    /// Everything inside as `MODE OWNER PATH`, in the layer's order.
    pub fn listing(&self) -> Vec<String> {
        let listed =
            run(tar().args(["--numeric-owner", "--full-time", "-tvf"]).arg(&self.layer), "tar is needed")
                .passed();
        // drwxr-xr-x 0/0   0 1970-01-01 00:00:00 etc/
        let columns = |line: &str| {
            let columns: Vec<_> = line.split_whitespace().collect();
            assert_eq!(columns[3..5], ["1970-01-01", "00:00:00"], "{line}");
            format!("{} {} {}", columns[0], columns[1], columns[5..].join(" "))
        };
        listed.stdout.lines().map(columns).collect()
    }

    /// The files in a folder of their own; owned by whoever runs this.
    pub fn unpack(&self) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        run(tar().args(["--no-same-owner", "-xf"]).arg(&self.layer).arg("-C").arg(root.path()), "").passed();
        root
    }
}

/// The digest of what `reader` makes of a file; coreutils is much faster than a test's own code.
#[track_caller]
fn digest_of(reader: &str, file: &Path) -> String {
    let script = format!("set -eu; exec <\"$1\"; {reader} | sha256sum");
    let ended =
        run(Command::new("sh").args(["-c", &script, "sh"]).arg(file), "coreutils and gzip are needed");
    format!("sha256:{}", ended.passed().stdout.split(' ').next().unwrap())
}

fn tar() -> Command {
    let mut command = Command::new("tar");
    command.env("TZ", "UTC");
    command
}
