locals {
  settings = {
    name         = var.name
    servers      = var.servers
    agents       = var.agents
    k3s_image    = var.k3s_image
    bind_address = var.bind_address
    http_port    = var.http_port
    https_port   = var.https_port
    # Not a variable: promote.yaml and the overlays name it, and until k3d 5.9 pods reached no other.
    registry_port = 5000
    kubeconfig    = pathexpand(var.kubeconfig)
  }
  scripts = "${path.module}/../../scripts"
}

# By whom the cluster was made: a cluster of the same name that bears another mark is somebody else's.
resource "terraform_data" "owner" {
  input = uuid()

  lifecycle {
    ignore_changes = [input]
  }
}

resource "terraform_data" "cluster" {
  # A destroy provisioner sees nothing but `self`, so all that it needs is kept here.
  input = {
    name       = var.name
    context    = "k3d-${var.name}"
    kubeconfig = local.settings.kubeconfig
    owner      = terraform_data.owner.output
    scripts    = local.scripts
    settings   = local.settings
    config     = templatefile("${path.module}/templates/k3d.yaml.tftpl", merge(local.settings, { owner = terraform_data.owner.output }))
  }

  provisioner "local-exec" {
    # Not as its last word, or the shell would become the script: on Ctrl-C Terraform kills what it started, at once, and
    # the script needs some seconds to take back what it made.
    command     = "\"$SCRIPTS/create.sh\"; exit $?"
    interpreter = ["bash", "-c"]
    environment = {
      SCRIPTS            = self.input.scripts
      CLUSTER            = self.input.name
      CLUSTER_KUBECONFIG = self.input.kubeconfig
      OWNER              = self.input.owner
      CONFIG             = self.input.config
      PORTS              = "${var.bind_address}:${var.http_port} ${var.bind_address}:${var.https_port} 127.0.0.1:${local.settings.registry_port}"
      WAIT               = var.wait
    }
  }

  provisioner "local-exec" {
    when        = destroy
    command     = "\"$SCRIPTS/destroy.sh\""
    interpreter = ["bash", "-c"]
    environment = {
      SCRIPTS            = self.input.scripts
      CLUSTER            = self.input.name
      CLUSTER_KUBECONFIG = self.input.kubeconfig
      OWNER              = self.input.owner
    }
  }

  lifecycle {
    # Everything that was installed is inside the cluster: after a replacement, Terraform would believe that it is still there.
    # So what the cluster was made with is kept, and other settings are refused.
    ignore_changes = [input]

    postcondition {
      condition     = self.output.settings == local.settings
      error_message = "The cluster was made with other settings. They cannot change while it runs: \"terraform destroy\", then \"terraform apply\"."
    }
  }
}
