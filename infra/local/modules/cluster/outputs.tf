output "kubeconfig" {
  description = "The cluster's kubeconfig; known once its nodes are ready."
  value       = terraform_data.cluster.output.kubeconfig
}

output "context" {
  description = "The context in that kubeconfig; known once its nodes are ready."
  value       = terraform_data.cluster.output.context
}

output "config" {
  description = "The k3d configuration that the cluster was made from."
  value       = terraform_data.cluster.output.config
}

output "registry" {
  description = "The registry's name for nodes, pods and overlays; on this machine it is localhost with the same port."
  value       = "k3d-registry:${local.settings.registry_port}"
}
