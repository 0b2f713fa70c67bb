//! Scanners over infra, over the manifests of deploy/ and of the chart, and over all scripts, with exceptions that each have
//! a reason and are each still needed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::command::{Ended, root, run, tools};
use crate::{charts, deploy};

/// checkov over a folder, without any request to the outside.
fn checkov(folder: &Path, framework: &str) -> Ended {
    run(
        Command::new(tools().join("venv/bin/checkov"))
            .arg("--directory")
            .arg(folder)
            .args(["--framework", framework, "--skip-download", "--quiet", "--compact", "--output", "json"])
            .args(["--download-external-modules", "false"])
            .env("LOG_LEVEL", "ERROR")
            .env("ANSI_COLORS_DISABLED", "1"),
        "run tests/platform/build.sh",
    )
}

/// The checks that fail, with where.
fn failed(ended: &Ended) -> Vec<(String, String)> {
    let report: Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.all()));
    let checks = &report["results"]["failed_checks"];
    checks
        .as_array()
        .unwrap_or_else(|| panic!("no results: {report}"))
        .iter()
        .map(|check| {
            (
                check["check_id"].as_str().unwrap().to_owned(),
                format!("{} {}", check["file_path"], check["resource"]),
            )
        })
        .collect()
}

/// The exceptions: each on a line of its own with its reason behind it.
fn exceptions(file: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join(file)).unwrap();
    let file: Value = serde_yaml::from_str(&text).unwrap();
    let listed: BTreeSet<String> =
        file["skip-check"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    for id in &listed {
        let line = text.lines().find(|line| line.contains(id)).unwrap();
        assert!(
            line.split_once('#').is_some_and(|(_, reason)| reason.trim().len() > 20),
            "{id} has no reason"
        );
    }
    listed
}

/// Expects the exceptions of a file, all of them and nothing else.
#[track_caller]
fn nothing_but(exceptions: &BTreeSet<String>, found: &[(String, String)]) {
    let new: Vec<_> = found.iter().filter(|(id, _)| !exceptions.contains(id)).collect();
    assert!(new.is_empty(), "checkov found: {new:#?}");
    let ids: BTreeSet<_> = found.iter().map(|(id, _)| id.clone()).collect();
    let unneeded: Vec<_> = exceptions.difference(&ids).collect();
    assert!(unneeded.is_empty(), "these exceptions are no longer needed: {unneeded:?}");
}

#[test]
fn checkov_finds_nothing_in_infra_but_the_exceptions_and_each_of_those() {
    // A copy without the exceptions, which checkov would take by itself.
    let copy = TempDir::new().unwrap();
    let infra = root().join("infra");
    run(
        Command::new("cp").args(["--recursive", "--dereference"]).arg(&infra).arg(copy.path()),
        "cp is needed",
    )
    .passed();
    fs::remove_file(copy.path().join("infra/.checkov.yaml")).unwrap();

    nothing_but(&exceptions("infra/.checkov.yaml"), &failed(&checkov(copy.path(), "terraform")));
}

/// A folder for manifests: of hidden ones checkov reads none.
fn manifests() -> TempDir {
    tempfile::Builder::new().prefix("manifests").tempdir().unwrap()
}

#[test]
fn checkov_finds_nothing_in_what_clusters_are_given_but_the_exceptions_and_each_of_those() {
    let folder = manifests();
    let write = |name: &str, manifests: &[Value]| {
        let documents: Vec<_> =
            manifests.iter().map(|manifest| serde_yaml::to_string(manifest).unwrap()).collect();
        fs::write(folder.path().join(name), documents.join("---\n")).unwrap();
    };
    write("chart.yaml", &charts::rendered(charts::values::TWO));
    for cluster in deploy::CLUSTERS {
        for part in ["apps/overlays", "flux/infrastructure", "flux/configuration"] {
            let name = format!("{}-{cluster}.yaml", part.replace('/', "-"));
            write(&name, &deploy::built(&format!("deploy/{part}/{cluster}")));
        }
    }
    nothing_but(&exceptions("deploy/.checkov.yaml"), &failed(&checkov(folder.path(), "kubernetes")));
}

#[test]
fn checkov_fails_where_a_pod_is_privileged() {
    let folder = manifests();
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: n}\nspec:\n  containers:\n  \
               - {name: c, image: 'i:1', securityContext: {privileged: true}}\n";
    fs::write(folder.path().join("pod.yaml"), pod).unwrap();
    let found = failed(&checkov(folder.path(), "kubernetes"));
    assert!(found.iter().any(|(id, _)| id == "CKV_K8S_16"), "a privileged pod was not found: {found:?}");
}

#[test]
fn checkov_fails_where_something_is_open() {
    let folder = TempDir::new().unwrap();
    let open = "resource \"aws_ecr_repository\" \"open\" {\n  name = \"open\"\n  image_tag_mutability = \"MUTABLE\"\n}\n";
    fs::write(folder.path().join("main.tf"), open).unwrap();
    let found = failed(&checkov(folder.path(), "terraform"));
    assert!(found.iter().any(|(id, _)| id == "CKV_AWS_51"), "a mutable repository was not found: {found:?}");
}

/// The shell scripts of the repository, by their first line or their name: those that are committed, and those that would be.
fn scripts() -> Vec<PathBuf> {
    let listed = run(
        Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(root()),
        "git is needed",
    );
    let files = listed.passed().stdout;
    let files = files.lines().map(|file| root().join(file)).filter(|file| file.is_file());
    files.filter(|file| is_shell(file)).collect()
}

fn is_shell(file: &Path) -> bool {
    let content = fs::read(file).unwrap();
    let first = String::from_utf8_lossy(content.split(|byte| *byte == b'\n').next().unwrap_or_default());
    let started = first.strip_prefix("#!").unwrap_or_default();
    started.split(['/', ' ']).any(|word| ["sh", "bash", "dash"].contains(&word))
        || file.extension().is_some_and(|extension| extension == "sh")
}

fn shellcheck(scripts: &[PathBuf]) -> Ended {
    let program = tools().join("venv/bin/shellcheck");
    run(Command::new(program).arg("--").args(scripts), "run tests/platform/build.sh")
}

#[test]
fn shellcheck_finds_nothing_in_any_script() {
    let scripts = scripts();
    for known in [".ci/run", "infra/local/scripts/owner.sh", "tests/platform/stand-ins/kubectl"] {
        assert!(
            scripts.contains(&root().join(known)),
            "{known} was not found among the scripts: {scripts:?}"
        );
    }
    shellcheck(&scripts).passed();
}

#[test]
fn shellcheck_fails_where_a_variable_is_not_quoted() {
    let folder = TempDir::new().unwrap();
    let script = folder.path().join("broken.sh");
    fs::write(&script, "#!/bin/sh\nrm $1\n").unwrap();
    shellcheck(&[script]).refused("SC2086");
}
