//! The `GitOps` tree, built as Flux builds it.

mod apps;
mod clusters;
mod versions;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::command::{self, root};
use crate::manifests;

pub const CLUSTERS: [&str; 2] = ["local", "aws"];

/// The test bed's kubectl, whose kustomize is the one that Flux has.
pub fn kubectl() -> PathBuf {
    let mut find = Command::new(root().join("tests/testbed/build.sh"));
    let folder = command::run(find.arg("--find"), "bash is needed").passed().stdout;
    Path::new(folder.trim()).join("bin/kubectl")
}

/// What a folder of the repository renders to.
#[track_caller]
pub fn built(folder: &str) -> Vec<Value> {
    let mut build = Command::new(kubectl());
    build.args(["kustomize", "--load-restrictor=LoadRestrictionsNone"]).arg(root().join(folder));
    let ended = command::run(&mut build, "run `make bed`").passed();
    assert_eq!(ended.stderr, "", "{folder}: kustomize has something to say");
    manifests::parse(&ended.stdout)
}

/// One YAML file of the repository.
#[track_caller]
fn read(path: &str) -> Value {
    let text = std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    manifests::parse(&text).remove(0)
}

/// The folders below `deploy` that have a kustomization.yaml, from the top of the repository.
fn folders() -> Vec<String> {
    let mut folders = Vec::new();
    let mut open = vec![root().join("deploy")];
    while let Some(folder) = open.pop() {
        if folder.join("kustomization.yaml").exists() {
            folders.push(folder.strip_prefix(root()).unwrap().display().to_string());
        }
        let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        open.extend(entries.filter(|path| path.is_dir()));
    }
    folders.sort();
    folders
}
