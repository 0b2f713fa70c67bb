data "aws_caller_identity" "current" {}

# An assumed role's session, as the role itself: that is what access entries name.
data "aws_iam_session_context" "current" {
  arn = data.aws_caller_identity.current.arn
}

# The providers of Helm and Kubernetes ask the AWS CLI for tokens, twenty minutes into the first apply. So it is looked for before
# anything is made: all modules come after this.
resource "terraform_data" "aws_cli" {
  provisioner "local-exec" {
    interpreter = ["bash", "-c"]
    command     = "\"$SCRIPTS/require-aws-cli.sh\""
    environment = { SCRIPTS = "${path.module}/scripts" }
  }
}

locals {
  name = "${var.name}-${var.environment}"
  tags = merge({ project = var.name, environment = var.environment, managed-by = "terraform" }, var.tags)

  # The Git server's own port, where its address names one.
  git_port = tonumber(try(regex("^[a-z]+://[^/]*:([0-9]+)/", var.git_url)[0], startswith(coalesce(var.git_url, "-"), "ssh://") ? 22 : 443))
}

module "kms" {
  source = "./modules/kms"

  name                 = local.name
  deletion_window_days = var.deletion_protection ? 30 : 7
  tags                 = local.tags
  after                = terraform_data.aws_cli.id
  keys = merge({
    cluster = { description = "Secrets in the cluster ${local.name}" }
    logs    = { description = "Log groups of ${local.name}", services = ["logs"] }
    disks   = { description = "Disks of the nodes of ${local.name}", via = ["ec2"] }
    sops    = { description = "Secrets in Git that ${local.name} decrypts" }
  }, var.create_repositories ? { registry = { description = "Images of ${local.name}" } } : {})
}

module "vpc" {
  source = "./modules/vpc"

  name                = local.name
  cidr                = var.vpc_cidr
  reserved_cidrs      = merge(var.reserved_cidrs, { services = var.service_cidr })
  zone_count          = var.zone_count
  nat                 = var.nat
  interface_endpoints = var.interface_endpoints
  subnet_tags         = { "kubernetes.io/cluster/${local.name}" = "shared" }
  flow_logs           = { retention_days = var.log_retention_days, kms_key_arn = module.kms.key_arns["logs"] }
  tags                = local.tags
  after               = terraform_data.aws_cli.id
}

module "ecr" {
  source = "./modules/ecr"

  repositories         = var.repositories
  create               = var.create_repositories
  owner                = local.name
  kms_key_arn          = var.create_repositories ? module.kms.key_arns["registry"] : null
  mutable_tag_patterns = var.mutable_tag_patterns
  untagged_days        = var.untagged_days
  disposable_tags      = var.disposable_tags
  pull_through         = var.pull_through
  tags                 = local.tags
  after                = terraform_data.aws_cli.id
}

module "eks" {
  source = "./modules/eks"

  name                     = local.name
  kubernetes_version       = var.kubernetes_version
  vpc_id                   = module.vpc.vpc_id
  control_plane_subnet_ids = module.vpc.intra_subnet_ids
  node_subnet_ids          = module.vpc.private_subnet_ids
  service_cidr             = var.service_cidr
  public_access_cidrs      = var.public_access_cidrs
  access                   = var.access
  kms_key_arns             = { for purpose in ["cluster", "logs", "disks"] : purpose => module.kms.key_arns[purpose] }
  log_retention_days       = var.log_retention_days
  deletion_protection      = var.deletion_protection
  irsa                     = var.irsa
  addon_versions           = var.addon_versions
  node_groups              = var.node_groups
  node_egress_ports        = setsubtract([local.git_port], [22, 443])
  node_policies            = length(var.pull_through) == 0 ? {} : { pull-through = module.ecr.pull_through_policy }
  tags                     = local.tags
  after                    = terraform_data.aws_cli.id
}

module "daemon_iam" {
  source = "./modules/daemon-iam"

  name                 = "${local.name}-promoted"
  cluster_name         = module.eks.name
  oidc_provider        = module.eks.oidc_provider
  read_repository_arns = values(module.ecr.repository_arns)
  push_repository_arns = var.daemon.pushes ? values(module.ecr.repository_arns) : []
  tags                 = local.tags
  after                = terraform_data.aws_cli.id
}

# Refused in the plan, and not after twenty minutes, when the first chart is installed.
resource "terraform_data" "rights" {
  input = data.aws_iam_session_context.current.issuer_arn

  lifecycle {
    precondition {
      condition = !var.enable_platform || contains(
        [for entry in values(var.access) : entry.principal_arn if entry.policy == "AmazonEKSClusterAdminPolicy"],
        data.aws_iam_session_context.current.issuer_arn,
      )
      error_message = "You run Terraform as ${data.aws_iam_session_context.current.issuer_arn}, which is no cluster administrator in `access`, so it could not install charts: add it there with AmazonEKSClusterAdminPolicy."
    }
  }
}
