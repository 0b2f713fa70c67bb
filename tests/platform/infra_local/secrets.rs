//! Secrets go to the cluster and nowhere else. The Kubernetes provider is the real one, the API a stand-in.

use std::fs;

use super::kube::Kube;
use super::site::Site;

const SECRETS: [&str; 4] = [
    "canary-git-identity",
    "canary-git-password",
    "AGE-SECRET-KEY-1CANARYAGECANARYAGECANARYAGE",
    "canary-rancher-password",
];

/// What calls the modules, as both roots do.
fn root(address: &str) -> String {
    format!(
        r#"
provider "kubernetes" {{
  host = "{address}"
}}
variable "rancher" {{
  type      = string
  ephemeral = true
}}
module "flux" {{
  source             = "../modules/flux"
  git_url            = "ssh://git@git.example/team/gitops.git"
  git_path           = "./deploy/flux/clusters/local"
  git_authentication = "ssh"
  git_credentials    = {{ identity = "{}", known_hosts = "git.example ssh-ed25519 AAAA" }}
  sops_age_key       = "{}"
}}
module "daemon" {{
  source             = "../modules/daemon"
  image              = {{ repository = "k3d-registry:5000/promoted", tag = "0.1.0" }}
  repo               = "https://git.example/team/gitops.git"
  environment        = "local"
  git_authentication = "basic"
  git_credentials    = {{ username = "promoted", password = "{}" }}
}}
module "rancher" {{
  source             = "../modules/rancher"
  hostname           = "rancher.localhost"
  server_url         = "https://rancher.localhost:8443"
  bootstrap_password = var.rancher
}}
"#,
        SECRETS[0], SECRETS[2], SECRETS[1]
    )
}

#[test]
fn secrets_reach_the_cluster_and_neither_plan_nor_state() {
    let site = Site::new().with("TF_VAR_rancher", SECRETS[3]);
    let kube = Kube::start();
    let folder = site.path("repository/infra/secrets");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("main.tf"), root(&kube.address)).unwrap();
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
    for secret in SECRETS {
        assert!(holds.contains(secret), "{secret} did not reach the cluster: {holds}");
        // The plan's JSON repeats the configuration, where this test itself wrote all but one of them.
        let told = seen.replace(&format!("\"constant_value\":\"{secret}\""), "");
        assert!(!told.contains(secret), "{secret} was told");
    }

    // What is not stored cannot differ: a second apply has nothing to do, and says so.
    let again = [&["plan", "-detailed-exitcode"][..], &targets].concat();
    site.terraform("secrets", &again).passed();
}
