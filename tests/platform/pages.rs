//! The commands of the pages that need a cluster, followed as far as that goes without one: kubectl and Helm are the real ones
//! and change nothing, what builds, pushes, installs Flux or encrypts is only recorded.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::charts::KUBERNETES;
use crate::command::{root, run, tools};
use crate::deploy::kubectl;
use crate::manifests::{self, the};

/// The blocks of a language in a page, in order.
pub fn blocks(page: &str, language: &str) -> Vec<String> {
    let start = format!("```{language}\n");
    page.split(&start).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Runs a page's shell blocks at the top of a clone; the folder and the calls that were recorded.
fn followed(page: &str) -> (TempDir, Vec<String>) {
    let place = TempDir::new().unwrap();
    let stand_ins = root().join("tests/platform/stand-ins");
    let bin = place.path().join("bin");
    fs::create_dir(&bin).unwrap();
    for program in ["kubectl", "helm"] {
        symlink(stand_ins.join("dry").join(program), bin.join(program)).unwrap();
    }
    for program in ["flux", "sops", "make", "skopeo"] {
        symlink(stand_ins.join("recorded"), bin.join(program)).unwrap();
    }
    let clone = place.path().join("clone");
    fs::create_dir(&clone).unwrap();
    for folder in ["charts", "deploy"] {
        symlink(root().join(folder), clone.join(folder)).unwrap();
    }
    fs::write(clone.join("token.txt"), "a-token").unwrap();

    let text = fs::read_to_string(root().join(page)).unwrap();
    let script = format!("set -euo pipefail\n{}", blocks(&text, "sh").concat());
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).current_dir(&clone);
    bash.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    bash.env("STAND_INS", place.path()).env("KUBERNETES", KUBERNETES);
    bash.env("REAL_KUBECTL", kubectl()).env("REAL_HELM", tools().join("bin/helm"));
    // No cluster of the person who runs the tests.
    bash.env("KUBECONFIG", place.path().join("none"));
    run(&mut bash, "bash is needed").passed();
    let calls = fs::read_to_string(place.path().join("calls")).unwrap();
    (place, calls.lines().map(str::to_owned).collect())
}

#[test]
fn the_charts_page_installs_an_image_that_was_pushed() {
    let (place, calls) = followed("charts/promoted/README.md");
    let rendered = fs::read_to_string(place.path().join("clone/rendered.yaml")).unwrap();
    let rendered = manifests::parse(&rendered);
    let image = &the(&rendered, "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"];
    let image = manifests::word(image);
    assert!(calls.contains(&format!("make image REF={image}")), "{image} is made nowhere: {calls:?}");
    let pushed = calls
        .iter()
        .any(|call| call.starts_with("skopeo copy ") && call.ends_with(&format!("docker://{image}")));
    assert!(pushed, "{image} is pushed nowhere: {calls:?}");
    assert!(calls.iter().any(|call| call.contains("create secret generic git ")), "{calls:?}");
}

#[test]
fn the_images_page_pushes_the_image_that_it_makes() {
    let (_place, calls) = followed("deploy/image/README.md");
    let reference =
        calls.iter().find_map(|call| call.strip_prefix("make image REF=")).expect("nothing is made");
    let (_, tag) = reference.rsplit_once(':').unwrap();
    let pushed = format!("skopeo copy oci:target/image-oci:{tag} docker://{reference}");
    assert!(calls.contains(&pushed), "{pushed} is not among {calls:?}");
}

#[test]
fn the_first_promote_yaml_of_the_readme_is_valid() {
    let page = fs::read_to_string(root().join("README.md")).unwrap();
    let files = blocks(&page, "yaml");
    let [first] = &files[..] else { panic!("{} files", files.len()) };
    assert!(first.lines().count() <= 15, "it is to be short:\n{first}");
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("promote.yaml");
    let validate = || {
        let mut promote = Command::new(env!("CARGO_BIN_EXE_promote"));
        promote.arg("validate").arg(&file);
        run(&mut promote, "run `cargo build`")
    };
    fs::write(&file, first).unwrap();
    validate().passed();
    fs::write(&file, first.replacen("registry:", "registri:", 1)).unwrap();
    validate().refused("registri");
}

#[test]
fn the_way_in_by_hand_installs_flux_without_its_image_controllers_and_applies_files_that_exist() {
    let (_place, calls) = followed("deploy/README.md");
    let install = calls.iter().find(|call| call.starts_with("flux install ")).expect("Flux is not installed");
    assert!(install.contains("--components=") && !install.contains("image-"), "{install}");
    assert!(calls.iter().any(|call| call.starts_with("kubectl apply -f deploy/flux/")), "{calls:?}");
    let encrypted =
        calls.iter().find(|call| call.starts_with("sops encrypt ")).expect("nothing is encrypted");
    let file = Path::new(encrypted.rsplit(' ').next().unwrap());
    assert!(root().join(file.parent().unwrap()).join("kustomization.yaml").exists(), "{encrypted}");
}
