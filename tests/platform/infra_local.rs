//! `infra/local` and the modules that both clusters share: Terraform and its providers are real; k3d, kubectl and docker are
//! stand-ins that record how they are called. Charts are installed in `whole.rs` alone, where the API server is real, too.

pub mod bed;
pub mod charts;
mod kube;
mod readme;
mod refusals;
mod secrets;
pub mod site;
mod whole;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use serde_json::{Value, json};

use crate::command::{root, run, tools};
use crate::manifests::{self, word};
use crate::modules::folders;
use site::Site;
pub use site::on_path;

/// The modules that are shared and those of infra/local, from infra.
fn modules() -> Vec<String> {
    let infra = root().join("infra");
    let found = ["modules", "local/modules"].map(|top| folders(&infra.join(top))).concat();
    found.iter().map(|folder| folder.strip_prefix(&infra).unwrap().display().to_string()).collect()
}

#[test]
fn terraform_is_formatted() {
    let site = Site::new();
    site.terraform("", &["fmt", "-check", "-recursive", "-diff"]).passed();
}

#[test]
fn every_module_is_valid_for_the_real_providers_and_passes_its_tests() {
    let modules = modules();
    assert!(modules.len() >= 6, "modules were not found: {modules:?}");
    for folder in &modules {
        let site = Site::new();
        println!(
            "{folder}: providers are real, built here; answers of clusters are mocked; k3d, kubectl and docker are stand-ins"
        );
        let tests = site.terraform(folder, &["test"]).passed();
        assert!(tests.stdout.contains(", 0 failed."), "no test ran in {folder}:\n{}", tests.all());
    }
}

#[test]
fn a_misspelt_argument_is_refused() {
    for (file, argument) in
        [("modules/istio/main.tf", "create_namespace"), ("modules/flux/main.tf", "data_wo_revision")]
    {
        let site = Site::new();
        let path = site.path("repository/infra").join(file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replacen(argument, &format!("{argument}s"), 1)).unwrap();
        let folder = file.rsplit_once('/').unwrap().0;
        site.terraform(folder, &["validate"])
            .refused(&format!("An argument named \"{argument}s\" is not expected here"));
    }
}

#[test]
fn one_apply_makes_the_cluster_a_second_changes_nothing_and_destroy_leaves_nothing() {
    let site = Site::new();
    site.cluster(&["apply", "-auto-approve"], &[]).passed();
    assert_eq!(site.clusters(), ["promote"]);
    let kubeconfig = site.path("repository/infra/local/.local/kubeconfig");
    assert_eq!(
        fs::metadata(&kubeconfig).unwrap().permissions().mode() & 0o777,
        0o600,
        "it holds the cluster's keys"
    );

    let before = site.calls();
    // Exit code 2 would mean changes.
    site.cluster(&["plan", "-detailed-exitcode"], &[]).passed();
    site.cluster(&["apply", "-auto-approve"], &[]).passed();
    assert_eq!(site.calls(), before, "a second apply has nothing to do");

    site.cluster(&["destroy", "-auto-approve"], &[]).passed();
    assert!(site.clusters().is_empty());
    assert!(!kubeconfig.parent().unwrap().exists(), "the folder of the kubeconfig is gone, too");
    assert_eq!(fs::read_dir(site.path("home")).unwrap().count(), 0, "nothing was written to the home folder");
}

#[test]
fn every_call_names_its_cluster() {
    let site = Site::new();
    site.cluster(&["apply", "-auto-approve"], &[]).passed();
    site.cluster(&["destroy", "-auto-approve"], &[]).passed();
    for call in site.calls() {
        if call.starts_with("kubectl") {
            assert!(call.contains("--kubeconfig ./.local/kubeconfig"), "{call}");
            assert!(call.contains("--context k3d-promote") || call.contains("config get-contexts"), "{call}");
        }
        if call.starts_with("k3d cluster delete") || call.starts_with("k3d kubeconfig") {
            assert!(call.ends_with(" promote"), "{call}");
        }
    }
    assert_eq!(site.called("k3d cluster create --config"), 1, "{:?}", site.calls());
}

#[test]
fn the_whole_of_it_is_applied_twice_and_the_cluster_is_made_once() {
    let site = Site::new();
    site.terraform("local", &["get"]).passed();
    site.terraform("local", &["validate"]).passed();
    site.terraform("local", &["test"]).passed();
    assert_eq!(site.called("k3d cluster create"), 1, "{:?}", site.calls());
    assert_eq!(site.called("k3d cluster delete"), 1, "{:?}", site.calls());
    assert!(site.clusters().is_empty());
}

#[test]
fn the_cluster_has_the_nodes_the_ports_and_the_one_registry_that_are_documented() {
    let made = |variables: &[&str]| -> Value {
        let site = Site::new();
        site.alone(&["apply", "-auto-approve"], variables).passed();
        manifests::parse(&fs::read_to_string(site.path("recorded/config.yaml")).unwrap()).remove(0)
    };
    let ports = |config: &Value| -> Vec<String> {
        let ports = manifests::items(&config["ports"]);
        assert!(ports.iter().all(|port| port["nodeFilters"] == json!(["loadbalancer"])), "{config}");
        ports.iter().map(|port| word(&port["port"]).to_owned()).collect()
    };

    let usual = made(&[]);
    assert_eq!((usual["servers"].as_u64(), usual["agents"].as_u64()), (Some(1), Some(2)));
    assert_eq!(ports(&usual), ["127.0.0.1:8080:80", "127.0.0.1:8443:443"]);
    assert_eq!(usual["kubeAPI"]["hostIP"], "127.0.0.1");
    let registry = json!({"create": {"name": "k3d-registry", "host": "127.0.0.1", "hostPort": "5000"}});
    assert_eq!(usual["registries"], registry, "nodes and this machine reach it by one port");
    let arguments = json!([{"arg": "--disable=traefik", "nodeFilters": ["server:*"]}]);
    assert_eq!(usual["options"]["k3s"]["extraArgs"], arguments, "Traefik would hold ports 80 and 443");
    let kubeconfig = json!({"updateDefaultKubeconfig": false, "switchCurrentContext": false});
    assert_eq!(usual["options"]["kubeconfig"], kubeconfig);

    let other = made(&[
        "-var=servers=3",
        "-var=agents=0",
        "-var=bind_address=192.0.2.1",
        "-var=http_port=8081",
        "-var=https_port=8444",
        "-var=k3s_image=rancher/k3s:v1.35.4-k3s1",
    ]);
    assert_eq!((other["servers"].as_u64(), other["agents"].as_u64()), (Some(3), Some(0)));
    assert_eq!(ports(&other), ["192.0.2.1:8081:80", "192.0.2.1:8444:443"]);
    assert_eq!(other["image"], "rancher/k3s:v1.35.4-k3s1");
    assert_eq!(other["registries"], registry, "the registry stays on the loopback interface");
}

#[test]
fn k3d_itself_accepts_the_configuration() {
    let site = Site::new();
    site.cluster(&["apply", "-auto-approve"], &["-var=servers=3", "-var=http_port=8081"]).passed();
    let config = fs::read_to_string(site.path("recorded/config.yaml")).unwrap();
    assert!(!config.contains('$'), "k3d would replace it:\n{config}");
    let k3d = |config: &str| {
        fs::write(site.path("k3d.yaml"), config).unwrap();
        let mut command = Command::new(tools().join("bin/k3d"));
        command.args(["cluster", "create", "--config"]).arg(site.path("k3d.yaml"));
        // No engine is there, so nothing can be made: what k3d says of the configuration comes before that.
        command.env("DOCKER_HOST", format!("unix://{}", site.path("no-engine").display()));
        // It leaves the merged configuration there.
        command.env("TMPDIR", site.path("recorded"));
        run(&mut command, "run tests/platform/build.sh")
    };
    let accepted = k3d(&config).refused("Cannot connect to the Docker daemon").all();
    assert!(accepted.contains("Prep: Network"), "{accepted}");
    k3d(&config.replacen("agents:", "agent:", 1)).refused("Additional property agent is not allowed");
}

/// As in `infra/local`, the kubeconfig's path is known only once the cluster was made.
const BEFORE_THE_CLUSTER: &str = r#"
resource "terraform_data" "cluster" {
  input = "kubeconfig"
}
provider "helm" {
  kubernetes = {
    config_path    = terraform_data.cluster.output
    config_context = "k3d-promote"
  }
}
provider "kubernetes" {
  config_path = terraform_data.cluster.output
}
module "daemon" {
  source             = "../modules/daemon"
  image              = { repository = "k3d-registry:5000/promoted", tag = "0.1.0" }
  repo               = "https://git.example/team/gitops.git"
  environment        = "local"
  replicas           = 2
  git_authentication = "basic"
  git_credentials    = { username = "promoted", password = "token" }
  registry_endpoints = { "k3d-registry:5000" = "registry:5000" }
  egress             = [{ cidr = "0.0.0.0/0", except = ["169.254.0.0/16"], ports = [443] }, { namespace = "git", ports = [22] }]
  values             = [VALUES]
}
"#;

#[test]
fn the_daemons_chart_is_planned_and_its_values_are_checked_before_there_is_a_cluster() {
    let site = Site::new();
    symlink(root().join("charts"), site.path("repository/charts")).unwrap();
    fs::create_dir(site.path("repository/infra/daemon")).unwrap();
    let plan = |values: &str| {
        fs::write(site.path("repository/infra/daemon/main.tf"), BEFORE_THE_CLUSTER.replace("VALUES", values))
            .unwrap();
        site.terraform("daemon", &["get"]).passed();
        site.terraform("daemon", &["plan"])
    };
    plan("").passed();
    plan("\"replica: 2\"").refused("additional properties 'replica' not allowed");
}

#[test]
fn scripts_are_executable_and_the_shared_one_is_not_started() {
    for entry in fs::read_dir(root().join("infra/local/scripts")).unwrap() {
        let entry = entry.unwrap();
        let executable = entry.metadata().unwrap().permissions().mode() & 0o111 != 0;
        assert_eq!(executable, entry.file_name() != "owner.sh", "{:?}", entry.file_name());
    }
}
