//! Flux follows `deploy/flux/clusters/aws` as `infra/aws` points it there: the module's call is that of its platform.tf, the
//! API server and Flux are real. Nothing of AWS is there, so no volume, no certificate and no load balancer is made.

use std::fs;

use hcl::structure::Structure;
use hcl::{Block, Body};

use crate::command::{Ended, root};
use crate::infra_local::bed::Bed;
use crate::infra_local::charts::Charts;
use crate::infra_local::site::Site;
use crate::modules::{blocks, body, name};

/// The call of the module flux, without what it waits for: that would be a cluster of EKS.
fn call() -> String {
    let platform = body(&root().join("infra/aws"));
    let found = blocks(&platform, "module").find(|block| name(block) == "flux").unwrap();
    let kept = found.body().clone().into_iter().filter(|structure| match structure {
        Structure::Attribute(attribute) => !["count", "depends_on"].contains(&attribute.key()),
        Structure::Block(_) => true,
    });
    let call =
        Block { identifier: found.identifier.clone(), labels: found.labels.clone(), body: kept.collect() };
    hcl::to_string(&Body::builder().add_block(call).build()).unwrap()
}

/// Applies that call to the bed, with the variables of the environment dev.
fn apply(bed: &Bed, charts: &Charts) -> Ended {
    let repo = bed.publish(|_| {});
    let site = Site::new()
        .with("TF_VAR_account_id", "111122223333")
        .with("TF_VAR_access", "{}")
        .with("TF_VAR_domain", "dev.example.org")
        .with("TF_VAR_hosted_zone_id", "Z0123456789ABC")
        .with("TF_VAR_acme_email", "platform@example.org")
        .with("TF_VAR_enable_rancher", "false")
        .with("TF_VAR_git_url", &repo)
        .with("TF_VAR_git_authentication", "ssh")
        .with("TF_VAR_git_credentials", &bed.credentials())
        .with("TF_VAR_chart_repositories", &charts.mirrors());
    let folder = site.path("repository/infra/tree");
    fs::create_dir(&folder).unwrap();
    for file in ["variables.tf", "variables_platform.tf", "env/dev.tfvars"] {
        let to = folder.join(file.rsplit('/').next().unwrap());
        fs::copy(root().join("infra/aws").join(file), to).unwrap();
    }
    let cluster = format!("config_path = \"{}\"", bed.place("kubeconfig"));
    let providers = format!(
        "provider \"kubernetes\" {{\n  {cluster}\n}}\nprovider \"helm\" {{\n  kubernetes = {{ {cluster} }}\n}}\n"
    );
    fs::write(folder.join("main.tf"), providers + &call()).unwrap();
    site.terraform("tree", &["get"]).passed();
    site.terraform("tree", &["apply", "-auto-approve", "-var-file=dev.tfvars"])
}

#[test]
fn flux_brings_up_the_tree_of_the_aws_cluster_when_infra_aws_points_it_there() {
    let (bed, charts) = (Bed::start(), Charts::serve());
    let kinds = crate::command::tools().join("crds");
    bed.kubectl(&["apply", "--server-side", "--filename", kinds.to_str().unwrap()]).passed();
    bed.kubectl(&["delete", "namespace", "flux-system"]).passed();

    apply(&bed, &charts).passed();

    for kustomization in ["flux-system", "infrastructure", "configuration", "apps"] {
        bed.wait("flux-system", "kustomization", kustomization, "Ready");
    }
    let hosts = |namespace, name| bed.object(namespace, "virtualservice", name)["spec"]["hosts"][0].clone();
    assert_eq!(hosts("test-app", "test-app"), "test.dev.example.org");
    assert_eq!(hosts("graphwiki", "graphwiki"), "wiki.dev.example.org");
    assert_eq!(hosts("istio-ingress", "rancher"), "rancher.dev.example.org");
    let certificate = &bed.object("istio-ingress", "certificate", "shared")["spec"];
    assert_eq!(certificate["dnsNames"][0], "*.dev.example.org");
    let acme = &bed.object("", "clusterissuer", "default")["spec"]["acme"];
    assert_eq!(acme["email"], "platform@example.org");
    assert_eq!(acme["solvers"][0]["dns01"]["route53"]["region"], "eu-west-1");
    assert_eq!(bed.object("", "storageclass", "gp3")["provisioner"], "ebs.csi.aws.com");
    assert_eq!(
        bed.object("graphwiki", "persistentvolumeclaim", "graphwiki")["spec"]["storageClassName"],
        "gp3"
    );

    // The autoscaler owns the number of pods, which Flux leaves alone.
    bed.until("test-app", "deployment", "test-app", |app| app["status"]["availableReplicas"] == 3);
    let image = &bed.object("test-app", "deployment", "test-app")["spec"]["template"]["spec"]["containers"]
        [0]["image"];
    assert!(
        image
            .as_str()
            .unwrap()
            .starts_with("111122223333.dkr.ecr.eu-west-1.amazonaws.com/test-app:1.0.0@sha256:"),
        "{image}"
    );
}
