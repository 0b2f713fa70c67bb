# Rancher insists on this namespace.
resource "kubernetes_namespace_v1" "rancher" {
  metadata {
    name = "cattle-system"
  }

  lifecycle {
    # Rancher marks its namespaces as its own.
    ignore_changes = [metadata[0].labels, metadata[0].annotations]
  }
}

# The chart takes the password from this Secret where it exists. As a value of the chart it would be in Terraform's state.
resource "kubernetes_secret_v1" "bootstrap" {
  metadata {
    name      = "bootstrap-secret"
    namespace = kubernetes_namespace_v1.rancher.metadata[0].name
  }

  data_wo          = { bootstrapPassword = var.bootstrap_password }
  data_wo_revision = var.bootstrap_password_revision

  lifecycle {
    # The chart makes it again as a hook, with the same content and marks of its own.
    ignore_changes = [metadata[0].labels, metadata[0].annotations]
  }
}

resource "helm_release" "rancher" {
  name       = "rancher"
  namespace  = kubernetes_namespace_v1.rancher.metadata[0].name
  repository = var.chart_repository
  chart      = "rancher"
  version    = var.chart_version
  # Its images are about 2 GB, and the first start installs what Rancher brings along.
  timeout = 1200

  values = concat([yamlencode({
    hostname = var.hostname
    replicas = var.replicas
    tls      = var.tls
    # The way in is the Istio gateway; its VirtualService is in deploy/flux. Older charts know only the second of these words.
    networkExposure = var.tls == "external" ? { type = "none" } : {}
    ingress         = { enabled = var.tls == "ingress" }
    # Rancher would otherwise leave out the port.
    extraEnv = [{ name = "CATTLE_SERVER_URL", value = var.server_url }]
  })], var.values)

  depends_on = [kubernetes_secret_v1.bootstrap]
}
