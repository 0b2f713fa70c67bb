output "namespace" {
  description = "Namespace of the daemon; known once it is installed."
  value       = helm_release.daemon.namespace
}

output "release" {
  description = "Name of the Helm release, and of the Deployment."
  value       = helm_release.daemon.name
}

output "values" {
  description = "What the chart is installed with: YAML documents, later ones win. No secret is among them."
  value       = helm_release.daemon.values
}
