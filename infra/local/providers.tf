# Both are told the file and the context by the cluster that was just made, so neither can reach another one. A kubeconfig or
# KUBE_CONFIG_PATH of the person's own is not looked at.
provider "helm" {
  kubernetes = {
    config_path    = module.cluster.kubeconfig
    config_context = module.cluster.context
  }
}

provider "kubernetes" {
  config_path    = module.cluster.kubeconfig
  config_context = module.cluster.context
}
