//! The commands of infra/aws/README.md, run to the letter against stand-ins: nothing of AWS is behind them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::Command;

use tempfile::TempDir;

use crate::command::{root, run};

/// The blocks of a language, in order.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let start = format!("```{language}\n");
    page.split(&start).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

fn page() -> String {
    fs::read_to_string(root().join("infra/aws/README.md")).unwrap()
}

#[test]
fn its_commands_lead_through_files_variables_and_outputs_that_exist() {
    let place = TempDir::new().unwrap();
    let bin = place.path().join("bin");
    let clone = place.path().join("clone");
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(&clone).unwrap();
    for program in ["terraform", "aws", "kubectl", "docker", "promote", "git"] {
        symlink(root().join("tests/platform/stand-ins/aws-page"), bin.join(program)).unwrap();
    }
    let copied = ["infra", "deploy", "promote.yaml"].map(|path| root().join(path));
    run(Command::new("cp").args(["--recursive", "--dereference"]).args(&copied).arg(&clone), "cp is needed")
        .passed();
    fs::write(clone.join("infra/aws/mine.tfvars"), blocks(&page(), "hcl").concat()).unwrap();

    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let script = format!("set -euo pipefail\n{}", blocks(&page(), "sh").concat());
    let said = b"infra/aws/README.md: terraform, aws, kubectl, docker, git and promote are stand-ins here\n";
    std::io::stderr().write_all(said).unwrap();
    run(
        Command::new("bash")
            .args(["-c", &script])
            .current_dir(&clone)
            .env("PATH", path)
            .env("STAND_INS", place.path()),
        "bash is needed",
    )
    .passed();

    let calls = fs::read_to_string(place.path().join("calls")).unwrap();
    let position =
        |words: &str| calls.find(words).unwrap_or_else(|| panic!("\"{words}\" was not called:\n{calls}"));
    assert!(position("infra/aws/bootstrap apply") < position("infra/aws apply"));
    // The load balancer before the network.
    assert!(position("-var=enable_platform=false") < position("infra/aws destroy"));
    let overlay = clone.join("deploy/apps/test-app/overlays/aws/kustomization.yaml");
    for named in [overlay, clone.join("promote.yaml")] {
        let text = fs::read_to_string(&named).unwrap();
        assert!(
            text.contains("444455556666.dkr.ecr.eu-west-1"),
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
    ] {
        assert!(words(file).contains(said), "{file} does not say \"{said}\"");
        assert!(page().contains(said), "the troubleshooting table does not have \"{said}\"");
    }
}
