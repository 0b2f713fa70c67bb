//! The chart of the daemon, rendered by real Helm.

mod documents;
mod fences;
mod rendering;
pub mod values;

use std::process::Command;

use serde_json::Value;

use crate::command::{self, Ended, root, tools};
use crate::manifests::{self, the};
use values::{ALL, MINIMAL, NONE, REPO, TWO};

/// The cluster's version, which Helm asks for where there is no cluster: that of the test bed.
pub const KUBERNETES: &str = "1.36.3";
fn helm(command: &str, values: &[&str]) -> Ended {
    let chart = root().join("charts/promoted");
    let mut helm = Command::new(tools().join("bin/helm"));
    helm.arg(command);
    if command == "template" {
        helm.arg("promoted");
    }
    helm.arg(chart).args(["--namespace", "gitops", "--kube-version", KUBERNETES]);
    for value in values {
        helm.args(["--set", value]);
    }
    command::run(&mut helm, "run tests/platform/build.sh")
}

pub fn rendered(values: &[&str]) -> Vec<Value> {
    manifests::parse(&helm("template", values).passed().stdout)
}

fn container(values: &[&str]) -> Value {
    the(&rendered(values), "Deployment")["spec"]["template"]["spec"]["containers"][0].clone()
}
