output "system_namespace" {
  description = "Namespace of istiod; known once istiod answers."
  value       = helm_release.istiod.namespace
}

output "gateway_namespace" {
  description = "Namespace of the ingress gateway, and of the Gateway that all apps share; known once it is installed."
  value       = helm_release.gateway.namespace
}

output "gateway_service" {
  description = "Name of the gateway's Service."
  value       = helm_release.gateway.name
}

output "gateway_selector" {
  description = "Labels of the gateway's pods, for `spec.selector` of a Gateway."
  value       = { istio = trimprefix(helm_release.gateway.name, "istio-") }
}

output "chart_version" {
  description = "Version that is installed."
  value       = helm_release.istiod.version
}
