module "rancher" {
  source = "../modules/rancher"
  count  = var.enable_rancher ? 1 : 0

  chart_repository            = var.chart_repositories.rancher
  hostname                    = local.rancher_host
  server_url                  = "https://${local.rancher_host}:${var.https_port}"
  bootstrap_password          = var.rancher_bootstrap_password
  bootstrap_password_revision = var.secrets_revision

  # Rancher makes certificates by cert-manager; the gateway ends TLS for it.
  depends_on = [module.cert_manager, module.istio]
}
