locals {
  # Image automation is promoted's work: two writers of the same images would undo each other's commits.
  components = ["source-controller", "kustomize-controller", "helm-controller", "notification-controller"]
}

resource "kubernetes_namespace_v1" "flux" {
  metadata {
    name = "flux-system"
  }

  lifecycle {
    # The operator labels it.
    ignore_changes = [metadata[0].labels, metadata[0].annotations]
  }
}

# The name that `flux bootstrap` gives it, too.
resource "kubernetes_secret_v1" "git" {
  count = var.git_authentication == "none" ? 0 : 1

  metadata {
    name      = "flux-system"
    namespace = kubernetes_namespace_v1.flux.metadata[0].name
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

# There even without a key: Flux knows no optional Secret for decryption, and needs none until something is encrypted.
resource "kubernetes_secret_v1" "sops" {
  metadata {
    name      = "sops-age"
    namespace = kubernetes_namespace_v1.flux.metadata[0].name
  }

  data_wo          = { for key, value in { "age.agekey" = var.sops_age_key } : key => value if value != "" }
  data_wo_revision = var.secrets_revision
}

resource "kubernetes_config_map_v1" "cluster" {
  metadata {
    name      = "cluster-vars"
    namespace = kubernetes_namespace_v1.flux.metadata[0].name
  }

  data = var.cluster_variables
}

resource "helm_release" "operator" {
  name       = "flux-operator"
  namespace  = kubernetes_namespace_v1.flux.metadata[0].name
  repository = var.chart_repository
  chart      = "flux-operator"
  version    = var.operator_version
}

# A FluxInstance as a release and not as a manifest: a manifest needs its definition at plan time, so two applies.
resource "helm_release" "instance" {
  name       = "flux"
  namespace  = kubernetes_namespace_v1.flux.metadata[0].name
  repository = var.chart_repository
  chart      = "flux-instance"
  version    = var.operator_version
  timeout    = 600

  values = [yamlencode({
    instance = {
      distribution = { version = var.flux_version }
      components   = local.components
      cluster      = { type = var.cluster_type }
      sync = {
        kind       = "GitRepository"
        url        = var.git_url
        ref        = "refs/heads/${var.git_branch}"
        path       = var.git_path
        pullSecret = one(kubernetes_secret_v1.git[*].metadata[0].name)
      }
    }
    # So that apply ends when Flux runs, and fails when it does not.
    healthcheck = { enabled = true, timeout = "5m" }
  })]

  # The operator also takes Flux away again, so on destroy it goes last.
  depends_on = [helm_release.operator, kubernetes_secret_v1.sops, kubernetes_config_map_v1.cluster]
}
