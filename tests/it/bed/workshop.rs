//! A folder where a person builds: sources, scripts, and images as OCI layouts.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Site, request};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Builds `src/app` into the layout `image`, and notes in `runs` that it did. It is as quick as a script can be.
const BUILD: &str = "set -eu
echo run >> runs
if [ -e wait ]; then sleep 300 & echo $! > child; wait; fi
if [ -e fail ]; then echo 'src/app is wrong' >&2; exit 3; fi
rm -rf image.new && mkdir -p image.new/blobs/sha256
put() {
  digest=$(sha256sum part | cut -d' ' -f1)
  size=$(wc -c < part)
  mv part image.new/blobs/sha256/$digest
}
cp src/app part && put
layer=\"{\\\"mediaType\\\":\\\"application/vnd.oci.image.layer.v1.tar\\\",\\\"digest\\\":\\\"sha256:$digest\\\",\\\"size\\\":$size}\"
printf '{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:%s\"]}}' $digest > part && put
config=\"{\\\"mediaType\\\":\\\"application/vnd.oci.image.config.v1+json\\\",\\\"digest\\\":\\\"sha256:$digest\\\",\\\"size\\\":$size}\"
type=application/vnd.oci.image.manifest.v1+json
printf '{\"schemaVersion\":2,\"mediaType\":\"%s\",\"config\":%s,\"layers\":[%s]}' $type \"$config\" \"$layer\" > part && put
printf '{\"imageLayoutVersion\":\"1.0.0\"}' > image.new/oci-layout
printf '{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"%s\",\"digest\":\"sha256:%s\",\"size\":%s}]}' $type $digest $size > image.new/index.json
rm -rf image && mv image.new image
";

/// Pushes an image that says what `src/app` says to the reference that it is given.
const PUSH: &str = "import json, sys, urllib.request
name, _, tag = sys.argv[1].rpartition(':')
host, _, path = name.partition('/')
index = 'application/vnd.oci.image.index.v1+json'
content = {'schemaVersion': 2, 'mediaType': index, 'manifests': [], 'annotations': {'says': open('src/app').read()}}
url = f'http://{host}/v2/{path}/manifests/{tag}'
request = urllib.request.Request(url, json.dumps(content).encode(), {'Content-Type': index}, method='PUT')
urllib.request.urlopen(request)
open('runs', 'a').write('run\\n')
";

/// A folder that a daemon may be allowed to build in.
pub(crate) struct Workshop(PathBuf);

impl Workshop {
    /// An empty one in the site's folder, with the scripts `build.sh` and `push.py`.
    pub(crate) fn new(site: &Site) -> Self {
        let workshop = Self(site.folder().join("workshop"));
        workshop.write("build.sh", BUILD);
        workshop.write("push.py", PUSH);
        workshop
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Saves a file.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let place = self.0.join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, content).unwrap();
    }

    /// Removes a file.
    pub(crate) fn remove(&self, path: &str) {
        std::fs::remove_file(self.0.join(path)).unwrap();
    }

    /// A file's text; empty if there is none.
    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.0.join(path)).unwrap_or_default()
    }

    /// How often a script has run.
    pub(crate) fn runs(&self) -> usize {
        self.read("runs").lines().count()
    }

    /// Whether the child that a waiting `build.sh` has started is still there.
    pub(crate) fn child_lives(&self) -> bool {
        let child = self.read("child");
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.trim()));
        !child.is_empty() && stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    /// The files of a layout with one image that differs from every other of another `identity`: first its layer, its index
    /// last. Also the image's digest.
    pub(crate) fn layout(identity: &str) -> (Vec<(String, Vec<u8>)>, String) {
        Self::layout_of(identity.repeat(100).into_bytes())
    }

    /// The same, with these bytes as its layer.
    pub(crate) fn layout_of(layer: Vec<u8>) -> (Vec<(String, Vec<u8>)>, String) {
        let mut files = Vec::new();
        let mut blob = |media_type: &str, content: Vec<u8>| {
            let digest = hex::encode(Sha256::digest(&content));
            let descriptor =
                json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": content.len()});
            files.push((format!("blobs/sha256/{digest}"), content));
            descriptor
        };
        let layer = blob("application/vnd.oci.image.layer.v1.tar", layer);
        let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}});
        let config = blob("application/vnd.oci.image.config.v1+json", config.to_string().into_bytes());
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        let image = blob(MANIFEST, manifest.to_string().into_bytes());
        let digest = image["digest"].as_str().unwrap().to_owned();
        files.push(("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
        let index: Value = json!({"schemaVersion": 2, "manifests": [image]});
        files.push(("index.json".to_owned(), index.to_string().into_bytes()));
        (files, digest)
    }

    /// Writes such a layout as a builder does, its index last; returns the image's digest.
    pub(crate) fn write_layout(&self, path: &str, identity: &str) -> String {
        let (files, digest) = Self::layout(identity);
        for (name, content) in files {
            self.write(&format!("{path}/{name}"), content);
        }
        digest
    }
}

impl Site {
    /// The tags of local builds that a registry has.
    pub(crate) fn build_tags(&self, registry: &str, repository: &str) -> Vec<String> {
        let base = self.registry(registry);
        let (host, name) = base.split_once('/').unwrap();
        let answer = request("GET", &format!("http://{host}/v2/{name}/{repository}/tags/list"), &[], b"");
        let list: Value =
            serde_json::from_slice(&answer.expect("the registry answers").body).unwrap_or_default();
        let tags = list["tags"].as_array().cloned().unwrap_or_default();
        let tags = tags.iter().filter_map(|tag| tag.as_str().map(str::to_owned));
        tags.filter(|tag| tag.starts_with("build-")).collect()
    }

    /// Gives the image of the app `test-app` a `build`, in YAML's flow style; returns the commit.
    pub(crate) fn write_build(&self, build: &str) -> String {
        self.write_config(|text| text.replace("}}}\n", &format!("}}}}, build: {build}}}\n")))
    }
}
