//! The commands of infra/aws/README.md, run to the letter against stand-ins: nothing of AWS is behind them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use tempfile::TempDir;

use crate::command::{root, run};
use crate::pages::blocks;

fn page() -> String {
    fs::read_to_string(root().join("infra/aws/README.md")).unwrap()
}

/// Runs a page's shell blocks at the top of a copy of the repository, `clone` in the folder that is returned; with what was
/// called, in order.
fn followed(page: &str) -> (TempDir, String) {
    let place = TempDir::new().unwrap();
    let bin = place.path().join("bin");
    let clone = place.path().join("clone");
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(&clone).unwrap();
    for program in ["terraform", "aws", "kubectl", "promote", "git", "cargo", "make", "skopeo"] {
        symlink(root().join("tests/platform/stand-ins/aws-page"), bin.join(program)).unwrap();
    }
    let copied = ["infra", "deploy", "promote.yaml"].map(|path| root().join(path));
    run(Command::new("cp").args(["--recursive", "--dereference"]).args(&copied).arg(&clone), "cp is needed")
        .passed();
    fs::write(clone.join("infra/aws/mine.tfvars"), blocks(&self::page(), "hcl").concat()).unwrap();

    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let script = format!("set -euo pipefail\n{}", blocks(page, "sh").concat());
    let said = b"infra/aws/README.md: terraform, aws, kubectl, git, cargo, make and skopeo are stand-ins here; promote reads its words\n";
    std::io::stderr().write_all(said).unwrap();
    run(
        Command::new("bash")
            .args(["-c", &script])
            .current_dir(&clone)
            .env("PATH", path)
            .env("STAND_INS", place.path())
            .env("REAL_PROMOTE", env!("CARGO_BIN_EXE_promote")),
        "bash is needed",
    )
    .passed();

    let calls = fs::read_to_string(place.path().join("calls")).unwrap();
    (place, calls)
}

#[test]
fn the_states_bucket_is_made_by_its_own_page() {
    let page = fs::read_to_string(root().join("infra/aws/bootstrap/README.md")).unwrap();
    let (place, calls) = followed(&page);
    assert!(calls.contains("terraform -chdir=infra/aws/bootstrap apply"), "{calls}");
    let backend = fs::read_to_string(place.path().join("clone/infra/aws/backend.s3.tfbackend")).unwrap();
    assert_eq!(backend, "the backend_config\n");
}

#[test]
fn its_commands_lead_through_files_variables_and_outputs_that_exist() {
    let (place, calls) = followed(&page());
    let clone = place.path().join("clone");
    let position =
        |words: &str| calls.find(words).unwrap_or_else(|| panic!("\"{words}\" was not called:\n{calls}"));
    assert!(position("infra/aws/bootstrap apply") < position("infra/aws apply"));
    // The load balancer before the network.
    assert!(position("-var=enable_platform=false") < position("infra/aws destroy"));
    // Who applies the others is stopped first, in a way that Flux does not take back.
    let stop =
        calls.lines().find(|call| call.contains(" patch kustomization ")).expect("Flux is not stopped");
    assert!(
        stop.contains("kustomization flux-system apps") && stop.ends_with("--field-manager flux"),
        "{stop}"
    );
    assert!(position(" patch kustomization ") < position(" delete namespace "));

    // What promote logs in by, and nobody else may read.
    let file = clone.join("infra/aws/registry.json");
    let login: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(login, serde_json::json!({"auths": {"the registry": {"auth": "QVdTOmEtdG9rZW4="}}}));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "it holds a token");
    let ignored = fs::read_to_string(root().join("infra/aws/.gitignore")).unwrap();
    for name in ["registry.json", "mine.tfvars", "backend.s3.tfbackend"] {
        assert!(ignored.lines().any(|line| line == name), "{name} would be committed");
    }

    let overlay = clone.join("deploy/apps/test-app/overlays/aws/kustomization.yaml");
    for named in [overlay, clone.join("promote.yaml")] {
        let text = fs::read_to_string(&named).unwrap();
        assert!(
            text.contains("444455556666.dkr.ecr.eu-west-1") && !text.contains("111122223333.dkr"),
            "{} has not the own registry",
            named.display()
        );
    }
}

#[test]
fn the_settings_it_asks_for_are_variables() {
    let read = |file| fs::read_to_string(root().join("infra/aws").join(file)).unwrap();
    let variables = read("variables.tf") + &read("variables_platform.tf");
    let settings = hcl::parse(&blocks(&page(), "hcl").concat()).unwrap();
    for setting in settings.attributes() {
        assert!(
            variables.contains(&format!("variable \"{}\"", setting.key())),
            "{} is no variable",
            setting.key()
        );
    }
}

#[test]
fn the_page_tells_what_the_refusals_say() {
    let folder = root().join("infra/aws");
    let words = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
    for (file, said) in [
        ("main.tf", "which is no cluster administrator"),
        ("modules/vpc/variables.tf", "overlaps one of reserved_cidrs"),
        ("modules/vpc/main.tf", "are wanted"),
        ("modules/ecr/main.tf", "There is no repository"),
        ("scripts/require-aws-cli.sh", "install the AWS CLI 2"),
    ] {
        assert!(words(file).contains(said), "{file} does not say \"{said}\"");
        assert!(page().contains(said), "the troubleshooting table does not have \"{said}\"");
    }
}
