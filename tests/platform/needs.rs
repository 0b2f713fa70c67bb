//! What the platform's tests lack is said before the long builds begin.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use tempfile::TempDir;

use crate::command::{Ended, root, run};
use crate::infra_local::on_path;

/// A machine with these programs, each as a shell script.
fn needs(programs: &[(&str, &str)]) -> Ended {
    let bin = TempDir::new().unwrap();
    for program in ["bash", "sed", "sort", "head"] {
        symlink(on_path(program), bin.path().join(program)).unwrap();
    }
    for (program, script) in programs {
        let file = bin.path().join(program);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script = root().join("tests/platform/needs.sh");
    run(Command::new("/bin/bash").arg(script).env("PATH", bin.path()), "bash is needed")
}

const PYTHON: (&str, &str) = ("python3", "exit 0");

#[test]
fn what_is_missing_or_too_old_is_said_at_once() {
    needs(&[])
        .refused("terraform was not found: install Terraform 1.11")
        .refused("Python 3.9 or newer with venv is needed");
    needs(&[("terraform", "echo Terraform v1.9.8"), PYTHON]).refused("Terraform 1.9.8 is older than 1.11.0");
    needs(&[("terraform", "exit 1"), PYTHON]).refused("`terraform version` names no version");
    needs(&[("terraform", "echo Terraform v1.11.0"), ("python3", "exit 1")])
        .refused("apt-get install python3-venv");
    needs(&[("terraform", "echo Terraform v1.14.2"), PYTHON]).passed();
}

#[test]
fn make_test_begins_with_it() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let test = makefile.lines().find(|line| line.starts_with("test:")).unwrap();
    assert!(test.starts_with("test: needs "), "{test}");
    assert!(makefile.contains("\nneeds:\n\t@tests/platform/needs.sh\n"));
}

#[test]
fn make_lint_fails_where_licences_cannot_be_checked() {
    let bin = TempDir::new().unwrap();
    let cargo = bin.path().join("cargo");
    let path = format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap());
    let lint = |script: &str| {
        fs::write(&cargo, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
        let mut make = Command::new("make");
        make.arg("lint").current_dir(root()).env("PATH", &path).env_remove("MAKEFLAGS");
        run(&mut make, "make is needed")
    };
    // Clippy and rustfmt find nothing; there is no `cargo deny`.
    lint("test \"$1\" != deny").refused("run `cargo install --locked cargo-deny`");
    lint("exit 0").passed();
}

#[test]
fn clones_share_a_target_folder_and_each_runs_its_own_code() {
    let folder = TempDir::new().unwrap();
    let target = folder.path().join("target");
    let own = |clone: &str| {
        let clone = folder.path().join(clone);
        let mut make = Command::new("make");
        make.args(["own", "-f"]).arg(root().join("Makefile")).current_dir(&clone);
        run(make.env("CARGO_TARGET_DIR", &target).env_remove("MAKEFLAGS"), "make is needed").passed();
        let mut cargo = Command::new("cargo");
        cargo.args(["run", "--quiet", "--offline"]).current_dir(&clone).env("CARGO_TARGET_DIR", &target);
        run(&mut cargo, "cargo is needed").passed().stdout
    };
    for clone in ["elder", "younger"] {
        let source = folder.path().join(clone).join("src");
        fs::create_dir_all(&source).unwrap();
        fs::write(
            source.join("../Cargo.toml"),
            "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n",
        )
        .unwrap();
        fs::write(source.join("lib.rs"), format!("pub const CLONE: &str = {clone:?};\n")).unwrap();
        fs::write(source.join("main.rs"), "fn main() { print!(\"{}\", app::CLONE) }\n").unwrap();
        assert_eq!(own(clone), clone);
    }

    assert_eq!(own("elder"), "elder");
    assert_eq!(own("younger"), "younger");
}
