provider "aws" {
  region = var.region
  # Credentials of another account are refused before anything is read.
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = local.tags
  }
}

locals {
  # A token is asked for at each use: one from a data source ends after 15 minutes, in the middle of a long apply.
  login = {
    api_version = "client.authentication.k8s.io/v1beta1"
    command     = "aws"
    args        = ["eks", "get-token", "--cluster-name", local.name, "--region", var.region, "--output", "json"]
  }
}

provider "helm" {
  kubernetes = {
    host                   = module.eks.endpoint
    cluster_ca_certificate = base64decode(module.eks.certificate_authority)
    exec                   = local.login
  }
}

provider "kubernetes" {
  host                   = module.eks.endpoint
  cluster_ca_certificate = base64decode(module.eks.certificate_authority)

  exec {
    api_version = local.login.api_version
    command     = local.login.command
    args        = local.login.args
  }
}
