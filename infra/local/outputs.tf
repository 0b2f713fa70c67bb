output "kubeconfig" {
  description = "The cluster's kubeconfig: export KUBECONFIG=$(terraform output -raw kubeconfig)."
  value       = abspath(module.cluster.kubeconfig)
}

output "context" {
  description = "The context in that kubeconfig."
  value       = module.cluster.context
}

output "config" {
  description = "The k3d configuration that the cluster was made from."
  value       = module.cluster.config
}

output "registry" {
  description = "The registry's name for nodes, pods and overlays; from this machine it is localhost:5000."
  value       = module.cluster.registry
}

output "urls" {
  description = "What to open in a browser, once Flux has deployed the apps."
  value = merge(
    { test-app = "http://test.localhost:${var.http_port}", graphwiki = "http://wiki.localhost:${var.http_port}" },
    { for rancher in module.rancher : "rancher" => rancher.url },
  )
}
