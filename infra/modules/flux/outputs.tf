output "namespace" {
  description = "Namespace of Flux; known once Flux runs."
  value       = helm_release.instance.namespace
}

output "kustomization" {
  description = "The Kustomization that applies the cluster's folder, as NAMESPACE/NAME; its source has the same name."
  value       = "${helm_release.instance.namespace}/flux-system"
}

output "git_secret" {
  description = "Name of the Secret by which Flux logs in to Git, or null for a public repository."
  value       = one(kubernetes_secret_v1.git[*].metadata[0].name)
}
