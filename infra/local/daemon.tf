locals {
  # The Git server's own port, where its address names one.
  git_port = tonumber(try(regex("^[a-z]+://[^/]*:([0-9]+)/", var.git_url)[0], startswith(var.git_url, "ssh://") ? 22 : 443))
}

module "daemon" {
  source = "../modules/daemon"
  count  = var.enable_daemon ? 1 : 0

  image              = { repository = "${module.cluster.registry}/promoted", tag = var.daemon_image_tag }
  repo               = var.git_url
  branch             = var.git_branch
  environment        = "local"
  git_authentication = var.git_authentication
  git_credentials    = var.git_credentials
  secrets_revision   = var.secrets_revision
  # The registry is on the node's network, at its own port.
  egress = [{
    cidr   = "0.0.0.0/0"
    except = ["169.254.0.0/16"]
    ports  = distinct([local.git_port, 443, 5000, 6443])
  }]

  # Its Roles are in Flux's namespace.
  depends_on = [module.flux]
}
