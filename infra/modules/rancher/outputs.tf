output "url" {
  description = "Address of Rancher in a browser; known once it is installed."
  value       = var.server_url
  depends_on  = [helm_release.rancher]
}

output "namespace" {
  description = "Namespace of Rancher; known once it is installed."
  value       = helm_release.rancher.namespace
}

output "service" {
  description = "Service that a VirtualService routes to, on port 80 where TLS ends before it."
  value       = "${helm_release.rancher.name}.${helm_release.rancher.namespace}.svc.cluster.local"
}
