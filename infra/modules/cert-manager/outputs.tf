output "namespace" {
  description = "Namespace of cert-manager; known once it is installed, so that what needs it can wait for it."
  value       = helm_release.cert_manager.namespace
}

output "chart_version" {
  description = "Version that is installed."
  value       = helm_release.cert_manager.version
}
