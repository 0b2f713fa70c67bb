locals {
  rancher_host = "rancher.localhost"
}

module "cluster" {
  source = "./modules/cluster"

  name         = var.cluster_name
  servers      = var.servers
  agents       = var.agents
  k3s_image    = var.k3s_image
  bind_address = var.bind_address
  http_port    = var.http_port
  https_port   = var.https_port
  kubeconfig   = coalesce(var.kubeconfig, "${path.root}/.local/kubeconfig")
}

module "cert_manager" {
  source = "../modules/cert-manager"

  chart_repository = var.chart_repositories.cert_manager

  depends_on = [module.cluster]
}

module "istio" {
  source = "../modules/istio"

  chart_repository = var.chart_repositories.istio

  depends_on = [module.cluster]
}

module "flux" {
  source = "../modules/flux"

  chart_repository   = var.chart_repositories.flux
  git_url            = var.git_url
  git_branch         = var.git_branch
  git_path           = "./deploy/flux/clusters/local"
  git_authentication = var.git_authentication
  git_credentials    = var.git_credentials
  sops_age_key       = var.sops_age_key
  secrets_revision   = var.secrets_revision
  cluster_variables = {
    cluster       = "local"
    domain        = "localhost"
    registry      = module.cluster.registry
    storage_class = "local-path"
    https_port    = tostring(var.https_port)
  }

  # What Flux applies first needs the kinds of Istio and cert-manager.
  depends_on = [module.cert_manager, module.istio]
}
