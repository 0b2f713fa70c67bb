//! Scanners over infra and over all scripts, with exceptions that each have a reason and are each still needed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::command::{Ended, root, run, tools};

/// checkov over a folder, without any request to the outside.
fn checkov(folder: &Path, arguments: &[&str]) -> Ended {
    run(
        Command::new(tools().join("venv/bin/checkov"))
            .arg("--directory")
            .arg(folder)
            .args(["--framework", "terraform", "--skip-download", "--quiet", "--compact"])
            .args(["--download-external-modules", "false"])
            .args(arguments)
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
fn exceptions() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("infra/.checkov.yaml")).unwrap();
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

#[test]
fn checkov_finds_nothing_but_the_exceptions_and_each_of_those() {
    // A copy without the exceptions, which checkov would take by itself.
    let copy = TempDir::new().unwrap();
    let infra = root().join("infra");
    run(
        Command::new("cp").args(["--recursive", "--dereference"]).arg(&infra).arg(copy.path()),
        "cp is needed",
    )
    .passed();
    fs::remove_file(copy.path().join("infra/.checkov.yaml")).unwrap();

    let found = failed(&checkov(copy.path(), &["--output", "json"]));
    let ids: BTreeSet<_> = found.iter().map(|(id, _)| id.clone()).collect();
    let exceptions = exceptions();
    let new: Vec<_> = found.iter().filter(|(id, _)| !exceptions.contains(id)).collect();
    assert!(new.is_empty(), "checkov found: {new:#?}");
    let unneeded: Vec<_> = exceptions.difference(&ids).collect();
    assert!(unneeded.is_empty(), "these exceptions are no longer needed: {unneeded:?}");
}

#[test]
fn checkov_fails_where_something_is_open() {
    let folder = TempDir::new().unwrap();
    let open = "resource \"aws_ecr_repository\" \"open\" {\n  name = \"open\"\n  image_tag_mutability = \"MUTABLE\"\n}\n";
    fs::write(folder.path().join("main.tf"), open).unwrap();
    let found = failed(&checkov(folder.path(), &["--output", "json"]));
    assert!(found.iter().any(|(id, _)| id == "CKV_AWS_51"), "a mutable repository was not found: {found:?}");
}

/// Scripts of the repository; what is built or fetched is not ours.
fn scripts() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![root().to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                todo.push(path);
            } else if path.extension().is_some_and(|extension| extension == "sh") {
                found.push(path);
            }
        }
    }
    found
}

fn shellcheck(scripts: &[PathBuf]) -> Ended {
    let program = tools().join("venv/bin/shellcheck");
    run(Command::new(program).arg("--").args(scripts), "run tests/platform/build.sh")
}

#[test]
fn shellcheck_finds_nothing_in_any_script() {
    let scripts = scripts();
    assert!(!scripts.is_empty());
    shellcheck(&scripts).passed();
}

#[test]
fn shellcheck_fails_where_a_variable_is_not_quoted() {
    let folder = TempDir::new().unwrap();
    let script = folder.path().join("broken.sh");
    fs::write(&script, "#!/bin/sh\nrm $1\n").unwrap();
    shellcheck(&[script]).refused("SC2086");
}
