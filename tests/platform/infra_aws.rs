//! infra/aws without an account: names and types against a schema stand-in of the AWS provider, logic with mocks, the state
//! on an S3 emulator. What AWS itself does with it is not shown here.

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::command::{Ended, root, run, tools};
use crate::modules::folders;
use crate::order::Graph;

/// What Terraform is started with: the stand-in for AWS, the real providers of Helm and Kubernetes.
struct Providers {
    folder: TempDir,
}

static PROVIDERS: LazyLock<Providers> = LazyLock::new(|| {
    let folder = TempDir::new().unwrap();
    let (bin, python) = (tools().join("bin"), tools().join("venv/bin/python"));
    let stand_in = root().join("tests/platform/aws_provider.py");
    let (aws, schema) = (folder.path().join("terraform-provider-aws"), folder.path().join("schema"));

    let read =
        Command::new(&python).arg(&stand_in).arg("schema").arg(root().join("infra/aws")).output().unwrap();
    assert!(read.status.success(), "the schema was not read: {}", String::from_utf8_lossy(&read.stderr));
    fs::write(&schema, read.stdout).unwrap();
    let [python, stand_in, schema] = [&python, &stand_in, &schema].map(|path| path.display().to_string());
    fs::write(&aws, format!("#!/bin/sh\nexec '{python}' '{stand_in}' serve '{schema}'\n")).unwrap();
    make_executable(&aws);

    let overrides: String = [("aws", folder.path()), ("helm", &bin), ("kubernetes", &bin)]
        .map(|(name, path)| format!("    \"hashicorp/{name}\" = \"{}\"\n", path.display()))
        .concat();
    let config = format!("provider_installation {{\n  dev_overrides {{\n{overrides}  }}\n}}\n");
    fs::write(folder.path().join("config"), config).unwrap();
    // Past what the test harness captures: whoever reads the run shall know.
    let said =
        b"infra/aws: AWS is a schema stand-in here (hashicorp/aws 6.25.0, names and types only), and mocks\n";
    std::io::stderr().write_all(said).unwrap();
    Providers { folder }
});

fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn terraform(folder: &Path, data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("terraform");
    // Before any other `aws` of the machine that runs the tests.
    let path =
        format!("{}:{}", root().join("tests/platform/stand-ins/aws").display(), env::var("PATH").unwrap());
    command
        .current_dir(folder)
        .args(arguments)
        .arg("-no-color")
        .env("PATH", path)
        .env("TF_CLI_CONFIG_FILE", PROVIDERS.folder.path().join("config"))
        .env("TF_DATA_DIR", data)
        .env("TF_IN_AUTOMATION", "true")
        .env("CHECKPOINT_DISABLE", "true")
        // The stand-in speaks without TLS, over a socket that only this user can open.
        .env("TF_DISABLE_PLUGIN_TLS", "true");
    command
}

/// Runs Terraform where its modules were fetched.
#[track_caller]
pub fn ended(folder: &Path, arguments: &[&str]) -> Ended {
    const INSTALL: &str = "install Terraform 1.11 or newer";
    let data = TempDir::new().unwrap();
    run(&mut terraform(folder, data.path(), &["get"]), INSTALL).passed();
    run(&mut terraform(folder, data.path(), arguments), INSTALL)
}

fn aws(folder: &str) -> PathBuf {
    root().join("infra/aws").join(folder)
}

/// A copy of infra, to break something in.
pub fn copy() -> TempDir {
    let copy = TempDir::new().unwrap();
    run(
        Command::new("cp").args(["--recursive", "--dereference"]).arg(root().join("infra")).arg(copy.path()),
        "cp is needed",
    )
    .passed();
    copy
}

/// The head of a file of tests (mocks and variables), and its tests by name.
pub fn split(tests: &str) -> (&str, Vec<&str>) {
    let mut parts = tests.split("\nrun \"");
    (parts.next().unwrap(), parts.collect())
}

#[test]
fn every_module_is_valid_for_the_schema_and_passes_its_tests() {
    let folders = folders(&aws(""));
    // The root has a test of its own.
    for folder in folders.iter().filter(|folder| **folder != aws("")) {
        ended(folder, &["validate"]).passed();
        let tests = ended(folder, &["test"]).passed();
        assert!(tests.stdout.contains(", 0 failed."), "no test ran in {}", folder.display());
    }
}

#[test]
fn one_apply_makes_cluster_and_platform_and_shows_no_secret() {
    ended(&aws(""), &["validate"]).passed();
    // With all that is planned and all that is in the state.
    let shown = ended(&aws(""), &["test", "-verbose"]).passed().all();
    let tests = fs::read_to_string(aws("tests/root.tftest.hcl")).unwrap();
    let canary = "only-for-this-test";
    assert!(tests.contains(canary) && shown.contains("https://test.dev.example.org"));
    assert!(!shown.contains(canary), "a secret is in the plan or in the state");
}

#[test]
fn a_misspelt_argument_is_refused() {
    let copy = copy();
    let file = copy.path().join("infra/aws/modules/vpc/main.tf");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("enable_dns_support ", "enable_dns_suport ")).unwrap();
    ended(file.parent().unwrap(), &["validate"])
        .refused("An argument named \"enable_dns_suport\" is not expected here");
}

#[test]
fn without_the_aws_cli_nothing_is_made() {
    // Everything waits for the one that looks for it.
    let copy = copy();
    let graph = Graph::of(&copy.path().join("infra/aws"));
    let makes = |one: &&String| !one.contains("data.") && !one.starts_with("terraform_data.");
    let made: Vec<&String> = graph.all().filter(makes).collect();
    assert!(made.len() > 60, "the graph was not read: {made:?}");
    for one in made {
        assert!(graph.waits(one, "terraform_data.aws_cli"), "{one} may be made without the AWS CLI");
    }

    // And it refuses: a machine without the program, with one that fails, and with an old one.
    let script = aws("scripts/require-aws-cli.sh");
    let bin = TempDir::new().unwrap();
    let check = || run(Command::new("/bin/bash").arg(&script).env("PATH", bin.path()), "bash is needed");
    check().refused("infra/aws: aws was not found: install the AWS CLI 2");
    for (program, words) in [
        ("echo aws-cli/1.45.11 Python/3.11", "`aws --version` says aws-cli/1.45.11: install the AWS CLI 2"),
        ("exit 1", "`aws --version` fails: install"),
    ] {
        fs::write(bin.path().join("aws"), format!("#!/bin/sh\n{program}\n")).unwrap();
        make_executable(&bin.path().join("aws"));
        check().refused(words);
    }
    fs::write(bin.path().join("aws"), "#!/bin/sh\necho aws-cli/2.31.5 Python/3.13\n").unwrap();
    check().passed();
}

#[test]
fn an_environment_applies_with_its_own_file() {
    let copy = copy();
    let folder = copy.path().join("infra/aws");
    let file = folder.join("tests/root.tftest.hcl");
    let text = fs::read_to_string(&file).unwrap();
    // What stands in a file of tests would win over the environment's own file.
    let own = ["environment ", "region ", "vpc_cidr "];
    let head: Vec<_> = split(&text)
        .0
        .lines()
        .filter(|line| !own.iter().any(|name| line.starts_with(&format!("  {name}"))))
        .collect();
    fs::write(&file, format!("{}\nrun \"it_applies\" {{}}\n", head.join("\n"))).unwrap();
    for environment in ["dev", "staging", "production"] {
        ended(&folder, &["test", &format!("-var-file=env/{environment}.tfvars")]).passed();
    }
}

fn environment(name: &str) -> hcl::Body {
    hcl::parse(&fs::read_to_string(aws(&format!("env/{name}.tfvars"))).unwrap()).unwrap()
}

fn value<'a>(body: &'a hcl::Body, name: &str) -> Option<&'a hcl::Expression> {
    body.attributes().find(|attribute| attribute.key() == name).map(hcl::Attribute::expr)
}

#[test]
fn each_environment_keeps_clear_of_the_others_networks() {
    let environments = ["dev", "staging", "production"];
    for name in environments {
        let reserved = value(&environment(name), "reserved_cidrs").unwrap().to_string();
        for other in environments.into_iter().filter(|other| *other != name) {
            let range = value(&environment(other), "vpc_cidr").unwrap().to_string();
            assert!(reserved.contains(&range), "env/{name}.tfvars does not reserve {range} of {other}");
        }
    }
}

#[test]
fn no_tag_of_an_overlay_is_disposable_and_each_has_its_repository() {
    let repositories = fs::read_to_string(aws("variables.tf")).unwrap();
    let mut seen = 0;
    for app in fs::read_dir(root().join("deploy/apps")).unwrap() {
        let file = app.unwrap().path().join("overlays/aws/kustomization.yaml");
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let overlay: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
        for image in overlay["images"].as_sequence().into_iter().flatten() {
            seen += 1;
            let name = image["newName"].as_str().unwrap().rsplit('/').next().unwrap();
            assert!(
                repositories.contains(&format!("\"{name}\"")),
                "{name} is not among the default repositories"
            );
            let tag = image["newTag"].as_str().unwrap();
            for environment in ["dev", "staging", "production"].map(environment) {
                let Some(hcl::Expression::Object(prefixes)) = value(&environment, "disposable_tags") else {
                    continue;
                };
                for prefix in prefixes.keys() {
                    let prefix = prefix.to_string();
                    assert!(!tag.starts_with(prefix.trim_matches('"')), "{tag} of {name} would be deleted");
                }
            }
        }
    }
    assert!(seen > 0, "no overlay of aws has an image");
}

/// The actions of a statement of the daemon's policy, as its page and as the module have them.
fn actions(page: &str, module: &str, statement: &str) -> [Vec<String>; 2] {
    let row = page.lines().find(|line| line.starts_with(&format!("| {statement} |"))).unwrap();
    let told = row.split('|').nth(2).unwrap().split(',').map(|action| format!("ecr:{}", action.trim()));
    let (_, block) = module
        .split_once(&format!("Sid    = \"{statement}\""))
        .or_else(|| module.split_once(&format!("Sid      = \"{statement}\"")))
        .unwrap();
    let block = block.split("Resource").next().unwrap();
    let given = block.split('"').filter(|word| word.starts_with("ecr:")).map(str::to_owned);
    [told.collect(), given.collect()]
}

#[test]
fn the_daemons_rights_are_those_of_its_page() {
    let read = |file| fs::read_to_string(aws("modules/daemon-iam").join(file)).unwrap();
    let (page, module) = (read("README.md"), read("main.tf"));
    for statement in ["Login", "Read", "Push"] {
        let [told, given] = actions(&page, &module, statement);
        assert_eq!(told, given, "{statement}");
    }
    assert_eq!(module.matches("\"ecr:").count(), 11, "each statement is on the page");
}
