//! Secrets go to the cluster and nowhere else. The Kubernetes provider is the real one, the API a stand-in.

use std::fs;

use super::kube::Kube;
use super::site::Site;

/// Variables of the root below, and what they must not tell.
const SECRETS: [(&str, &str); 4] = [
    ("TF_VAR_identity", "canary-git-identity"),
    ("TF_VAR_token", "canary-git-token"),
    ("TF_VAR_age", "AGE-SECRET-KEY-1CANARYAGECANARYAGECANARYAGE"),
    ("TF_VAR_rancher", "canary-rancher-password"),
];

/// Calls the modules as both roots do, with ephemeral variables.
const ROOT: &str = r#"
variable "identity" {
  type      = string
  ephemeral = true
}
variable "token" {
  type      = string
  ephemeral = true
}
variable "age" {
  type      = string
  ephemeral = true
}
variable "rancher" {
  type      = string
  ephemeral = true
}
module "flux" {
  source             = "../modules/flux"
  git_url            = "ssh://git@git.example/team/gitops.git"
  git_path           = "./deploy/flux/clusters/local"
  git_authentication = "ssh"
  git_credentials    = { identity = var.identity, known_hosts = "git.example ssh-ed25519 AAAA" }
  sops_age_key       = var.age
}
module "daemon" {
  source             = "../modules/daemon"
  image              = { repository = "k3d-registry:5000/promoted", tag = "0.1.0" }
  repo               = "https://git.example/team/gitops.git"
  environment        = "local"
  git_authentication = "basic"
  git_credentials    = { username = "promoted", password = var.token }
}
module "rancher" {
  source             = "../modules/rancher"
  hostname           = "rancher.localhost"
  server_url         = "https://rancher.localhost:8443"
  bootstrap_password = var.rancher
}
"#;

#[test]
fn secrets_reach_the_cluster_and_neither_plan_nor_state() {
    let site = SECRETS.iter().fold(Site::new(), |site, (variable, secret)| site.with(variable, secret));
    let kube = Kube::start();
    let folder = site.path("repository/infra/secrets");
    fs::create_dir(&folder).unwrap();
    let provider = format!("provider \"kubernetes\" {{\n  host = \"{}\"\n}}\n", kube.address);
    fs::write(folder.join("main.tf"), format!("{provider}{ROOT}")).unwrap();
    site.terraform("secrets", &["get"]).passed();

    // The Secrets alone: charts would be downloaded.
    let targets = [
        "-target=module.flux.kubernetes_secret_v1.git",
        "-target=module.flux.kubernetes_secret_v1.sops",
        "-target=module.daemon.kubernetes_secret_v1.git",
        "-target=module.rancher.kubernetes_secret_v1.bootstrap",
    ];
    let plan = [&["plan", "-out=plan"][..], &targets].concat();
    let mut seen = site.terraform("secrets", &plan).passed().all();
    seen += &site.terraform("secrets", &["show", "-json", "plan"]).passed().all();
    seen += &site.terraform("secrets", &["apply", "plan"]).passed().all();
    seen += &fs::read_to_string(folder.join("terraform.tfstate")).unwrap();
    assert!(
        seen.contains("\"bootstrap-secret\"") && seen.contains("\"sops-age\""),
        "the state has the Secrets' names"
    );

    let holds = kube.holds();
    for (_, secret) in SECRETS {
        assert!(holds.contains(secret), "{secret} did not reach the cluster: {holds}");
        assert!(!seen.contains(secret), "{secret} was told");
    }

    // What is not stored cannot differ: a second apply has nothing to do, and says so.
    let again = [&["plan", "-detailed-exitcode"][..], &targets].concat();
    site.terraform("secrets", &again).passed();
}
