resource "kubernetes_namespace_v1" "daemon" {
  metadata {
    name = var.namespace
    labels = {
      "pod-security.kubernetes.io/enforce" = "restricted"
    }
  }
}

# Flux's own form, so that the same object of credentials serves both.
resource "kubernetes_secret_v1" "git" {
  count = var.git_authentication == "none" ? 0 : 1

  metadata {
    name      = "promoted-git"
    namespace = kubernetes_namespace_v1.daemon.metadata[0].name
  }

  data_wo = { for key, value in {
    "username"    = var.git_credentials.username
    "password"    = var.git_credentials.password
    "identity"    = var.git_credentials.identity
    "known_hosts" = var.git_credentials.known_hosts
    "ca.crt"      = var.git_credentials.ca_crt
  } : key => value if value != null }
  data_wo_revision = var.secrets_revision
}

resource "helm_release" "daemon" {
  name      = "promoted"
  namespace = kubernetes_namespace_v1.daemon.metadata[0].name
  chart     = coalesce(var.chart, "${path.module}/../../../charts/promoted")
  # A value that the chart does not know is refused in the plan, not half-way through an apply.
  lint = true

  values = concat([yamlencode(merge({
    repo                = var.repo
    branch              = var.branch
    environments        = [var.environment]
    replicas            = var.replicas
    image               = var.image
    registryEndpoints   = var.registry_endpoints
    gitCredentials      = { secretName = coalesce(var.git_secret, one(kubernetes_secret_v1.git[*].metadata[0].name)) }
    registryCredentials = { secretNames = var.registry_secrets }
    secrets             = { secretName = var.named_secret == null ? "" : var.named_secret }
    serviceAccount      = { annotations = var.service_account_annotations }
    rbac = {
      appNamespaces = var.app_namespaces
      allNamespaces = length(var.app_namespaces) == 0
    }
    }, var.egress == null ? {} : {
    networkPolicy = { egress = [for rule in var.egress : { for key, value in rule : key => value if value != null }] }
  }))], var.values)
}
