mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-west-1a", "eu-west-1b", "eu-west-1c"] }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333", arn = "arn:aws:sts::111122223333:assumed-role/platform/me" }
  }
  mock_data "aws_iam_session_context" {
    defaults = { issuer_arn = "arn:aws:iam::111122223333:role/platform" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }
  mock_data "aws_region" {
    defaults = { region = "eu-west-1" }
  }
  mock_resource "aws_vpc" {
    defaults = { id = "vpc-0a1b2c3d" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/mock" }
  }
  mock_resource "aws_ecr_repository" {
    defaults = { arn = "arn:aws:ecr:eu-west-1:111122223333:repository/mock" }
  }
  mock_resource "aws_eks_cluster" {
    defaults = {
      endpoint              = "https://ABC.eks.example"
      certificate_authority = [{ data = "Y2VydGlmaWNhdGU=" }]
      identity              = [{ oidc = [{ issuer = "https://oidc.example/id/A" }] }]
    }
  }
}

mock_provider "helm" {}

mock_provider "kubernetes" {
  mock_data "kubernetes_service_v1" {
    defaults = { status = [{ load_balancer = [{ ingress = [{ hostname = "gateway.elb.example", ip = "" }] }] }] }
  }
}

variables {
  environment = "dev"
  region      = "eu-west-1"
  account_id  = "111122223333"
  vpc_cidr    = "10.20.0.0/16"
  access = {
    administrators = { principal_arn = "arn:aws:iam::111122223333:role/platform", policy = "AmazonEKSClusterAdminPolicy" }
  }
  domain         = "dev.example.org"
  hosted_zone_id = "Z0123456789ABC"
  acme_email     = "platform@example.org"
  git_url        = "https://git.example.org/team/gitops.git"
  # Given although it has a default: an apply within a test insists on every ephemeral variable.
  git_credentials            = {}
  rancher_bootstrap_password = "only-for-this-test"
}

run "one_apply_makes_cluster_and_platform" {
  assert {
    condition     = output.cluster_name == "promote-dev" && output.registry == "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
    error_message = "names are wrong"
  }
  assert {
    condition     = length(module.flux) == 1 && length(module.istio) == 1 && length(module.cert_manager) == 1 && length(module.rancher) == 1 && length(module.daemon) == 0
    error_message = "the platform is not as the switches say"
  }
  assert {
    condition     = output.gateway_hostname == "gateway.elb.example" && aws_route53_record.wildcard[0].name == "*.dev.example.org"
    error_message = "the domain does not point at the gateway"
  }
  assert {
    condition = [for statement in jsondecode(module.cert_manager_role[0].policies.dns).Statement : statement if contains(statement.Action, "route53:ChangeResourceRecordSets")] == [{
      Effect    = "Allow"
      Action    = ["route53:ChangeResourceRecordSets", "route53:ListResourceRecordSets"]
      Resource  = ["arn:aws:route53:::hostedzone/Z0123456789ABC"]
      Condition = { "ForAllValues:StringEquals" = { "route53:ChangeResourceRecordSetsRecordTypes" = ["TXT"] } }
    }]
    error_message = "cert-manager may change the challenge's records of this zone alone: ${module.cert_manager_role[0].policies.dns}"
  }
  assert {
    condition     = length(jsondecode(module.cert_manager_role[0].policies.dns).Statement) == 3 && toset(flatten(jsondecode(module.cert_manager_role[0].policies.dns).Statement[*].Action)) == toset(["route53:GetChange", "route53:ListHostedZonesByName", "route53:ChangeResourceRecordSets", "route53:ListResourceRecordSets"])
    error_message = "cert-manager has another right: ${module.cert_manager_role[0].policies.dns}"
  }
  assert {
    condition     = length(module.sops_role[0].policies) == 1 && jsondecode(module.sops_role[0].policies.decrypt).Statement == [{ Effect = "Allow", Action = ["kms:Decrypt"], Resource = [module.kms.key_arns["sops"]] }]
    error_message = "Flux may decrypt by the key for Git's secrets, and nothing else: ${jsonencode(module.sops_role[0].policies)}"
  }
  assert {
    condition     = [for statement in jsondecode(module.daemon_iam.policy).Statement : statement.Sid] == ["Login", "Read"]
    error_message = "a daemon that was not told to push may not: ${module.daemon_iam.policy}"
  }
  assert {
    condition     = output.urls == tomap({ test = "https://test.dev.example.org", wiki = "https://wiki.dev.example.org", rancher = "https://rancher.dev.example.org" })
    error_message = "urls are wrong"
  }
}

run "the_daemon_by_switch_with_its_role" {
  variables {
    enable_daemon      = true
    git_authentication = "basic"
    git_credentials    = { username = "promoted", password = "only-for-this-test" }
  }
  assert {
    condition     = length(module.daemon) == 1
    error_message = "the daemon is missing"
  }
  assert {
    condition = yamldecode(module.daemon[0].values[0]).networkPolicy.egress == [
      { cidr = "0.0.0.0/0", except = ["169.254.0.0/16"], ports = [443, 6443] },
      { cidr = "169.254.170.23/32", ports = [80] },
    ]
    error_message = "of what is link-local it reaches the Pod Identity agent alone: ${module.daemon[0].values[0]}"
  }
  assert {
    condition     = length(yamldecode(module.daemon[0].values[0]).serviceAccount.annotations) == 0
    error_message = "Pod Identity needs no annotation: ${module.daemon[0].values[0]}"
  }
}

run "a_daemon_that_promotes_into_the_repositories_may_push_to_them" {
  variables {
    daemon = { pushes = true }
  }
  assert {
    condition     = jsonencode([for statement in jsondecode(module.daemon_iam.policy).Statement : statement.Resource if statement.Sid == "Push"]) == jsonencode([sort(values(module.ecr.repository_arns))])
    error_message = "it may push elsewhere or nowhere: ${module.daemon_iam.policy}"
  }
}

run "a_git_server_at_a_port_of_its_own_is_reached" {
  command = plan
  variables {
    git_url = "https://git.example.org:8443/team/gitops.git"
  }
  assert {
    condition     = local.git_port == 8443
    error_message = "the daemon and Flux must reach it: ${local.git_port}"
  }
}

run "repositories_of_another_environment_are_shared" {
  variables {
    create_repositories  = false
    mutable_tag_patterns = ["sha256-*"]
  }
  override_data {
    target = module.ecr.data.aws_ecr_repositories.all
    values = { names = ["test-app", "graphwiki", "promoted"] }
  }
  override_data {
    target = module.ecr.data.aws_ecr_repository.present
    values = { arn = "arn:aws:ecr:eu-west-1:111122223333:repository/shared", repository_url = "shared", tags = { repositories-of = "promote-staging" } }
  }
  assert {
    condition     = length(output.repository_urls) == 3 && !contains(keys(module.kms.key_arns), "registry")
    error_message = "what is shared is made again: ${join(", ", keys(output.repository_urls))}"
  }
}

run "web_identity_in_place_of_pod_identity" {
  variables {
    irsa               = true
    enable_daemon      = true
    git_authentication = "basic"
    git_credentials    = { username = "promoted", password = "only-for-this-test" }
  }
  assert {
    condition     = yamldecode(module.daemon[0].values[0]).serviceAccount.annotations == { "eks.amazonaws.com/role-arn" = "arn:aws:iam::111122223333:role/mock" }
    error_message = "the daemon's account must name its role: ${module.daemon[0].values[0]}"
  }
  assert {
    condition     = yamldecode(module.daemon[0].values[0]).networkPolicy.egress == [{ cidr = "0.0.0.0/0", except = ["169.254.0.0/16"], ports = [443, 6443] }]
    error_message = "without Pod Identity nothing link-local is reached: ${module.daemon[0].values[0]}"
  }
}

run "without_the_platform_the_load_balancer_goes_first" {
  variables {
    enable_platform = false
    domain          = null
    hosted_zone_id  = null
    acme_email      = null
    git_url         = null
  }
  assert {
    condition     = length(module.istio) == 0 && length(aws_route53_record.wildcard) == 0 && length(output.urls) == 0 && output.gateway_hostname == null
    error_message = "something of the platform is left"
  }
  assert {
    condition     = output.cluster_name == "promote-dev"
    error_message = "the cluster must stay"
  }
}

run "what_is_no_name_no_place_and_no_network_is_refused" {
  command = plan
  variables {
    environment        = "test"
    name               = "a-name-that-is-too-long"
    region             = "Ireland"
    account_id         = "me"
    vpc_cidr           = "10.20.0.0/24"
    service_cidr       = "services"
    nat                = "instance"
    zone_count         = 1
    kubernetes_version = "1.36"
  }
  expect_failures = [
    var.environment, var.name, var.region, var.account_id, var.vpc_cidr, var.service_cidr, var.nat, var.zone_count,
    var.kubernetes_version,
  ]
}

run "a_proxy_of_another_version_is_refused" {
  command = plan
  variables {
    kubernetes_version = "1.34"
  }
  expect_failures = [var.addon_versions]
}

run "who_is_no_administrator_is_refused" {
  command = plan
  variables {
    access = {
      administrators = { principal_arn = "arn:aws:iam::111122223333:role/others", policy = "AmazonEKSClusterAdminPolicy" }
    }
  }
  expect_failures = [terraform_data.rights]
}

run "a_platform_without_domain_zone_mail_repository_and_password_is_refused" {
  command = plan
  variables {
    domain                     = null
    hosted_zone_id             = null
    acme_email                 = null
    git_url                    = null
    rancher_bootstrap_password = null
  }
  expect_failures = [var.domain, var.hosted_zone_id, var.acme_email, var.git_url, var.rancher_bootstrap_password]
}

run "secrets_in_addresses_and_numbers_out_of_range_are_refused" {
  command = plan
  variables {
    git_url                    = "https://user:token@git.example.org/team/gitops.git"
    rancher_bootstrap_password = "short"
    git_branch                 = "a branch"
    git_authentication         = "token"
    secrets_revision           = 0
    log_retention_days         = 10
    untagged_days              = 0
    rancher_replicas           = 9
    chart_repositories         = { rancher = "https://user:password@charts.example.org" }
  }
  expect_failures = [
    var.git_url, var.rancher_bootstrap_password, var.git_branch, var.git_authentication, var.secrets_revision,
    var.log_retention_days, var.untagged_days, var.rancher_replicas, var.chart_repositories,
  ]
}

run "a_daemon_of_no_image_no_environment_and_no_secrets_is_refused" {
  command = plan
  variables {
    daemon = { image = "promoted", tag = "a b", environment = "Dev", registry_secrets = ["The Secret"] }
  }
  expect_failures = [var.daemon]
}

run "a_daemon_that_cannot_push_is_refused" {
  command = plan
  variables {
    enable_daemon = true
  }
  expect_failures = [var.git_authentication]
}
