# Issuers and certificates are custom resources, which need their definitions at plan time; they come from Git, by Flux.
resource "helm_release" "cert_manager" {
  name             = "cert-manager"
  namespace        = var.namespace
  create_namespace = true
  repository       = var.chart_repository
  chart            = "cert-manager"
  version          = var.chart_version
  timeout          = 600

  values = concat([yamlencode({
    # Kept on uninstall: deleting the definitions would delete every certificate of the cluster with them.
    crds         = { enabled = true, keep = true }
    replicaCount = var.replicas
    webhook      = { replicaCount = var.replicas }
    global       = { leaderElection = { namespace = var.namespace } }
  })], var.values)
}
