output "namespace" {
  description = "Namespace of the daemon; known once it is installed."
  value       = helm_release.daemon.namespace
}

output "release" {
  description = "Name of the Helm release, and of the Deployment."
  value       = helm_release.daemon.name
}
