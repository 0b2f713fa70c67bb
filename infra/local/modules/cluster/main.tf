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
    kubeconfig    = var.kubeconfig
  }
  scripts = "${path.module}/../../scripts"
}

# Who made the cluster, and how: written once. A cluster that bears another name here is somebody else's.
resource "terraform_data" "made" {
  input = merge(local.settings, { owner = uuid() })

  lifecycle {
    ignore_changes = [input]
  }
}

resource "terraform_data" "cluster" {
  # A destroy provisioner sees nothing but `self`, so all that it needs is kept here.
  input = {
    name       = var.name
    context    = "k3d-${var.name}"
    kubeconfig = var.kubeconfig
    owner      = terraform_data.made.output.owner
    scripts    = local.scripts
    config     = templatefile("${path.module}/templates/k3d.yaml.tftpl", terraform_data.made.output)
  }

  provisioner "local-exec" {
    command     = "\"$SCRIPTS/create.sh\""
    interpreter = ["bash", "-c"]
    environment = {
      SCRIPTS    = local.scripts
      CLUSTER    = self.input.name
      KUBECONFIG = self.input.kubeconfig
      OWNER      = self.input.owner
      CONFIG     = self.input.config
      ADDRESS    = var.bind_address
      PORTS      = join(" ", [var.http_port, var.https_port, local.settings.registry_port])
      WAIT       = var.wait
    }
  }

  provisioner "local-exec" {
    when        = destroy
    command     = "\"$SCRIPTS/destroy.sh\""
    interpreter = ["bash", "-c"]
    environment = {
      SCRIPTS    = self.input.scripts
      CLUSTER    = self.input.name
      KUBECONFIG = self.input.kubeconfig
      OWNER      = self.input.owner
    }
  }

  lifecycle {
    # Everything that was installed is inside the cluster: Terraform would believe it is still there after a replacement.
    precondition {
      condition     = { for key, value in terraform_data.made.output : key => value if key != "owner" } == local.settings
      error_message = "The cluster was made with other settings. They cannot change while it runs: \"terraform destroy\", then \"terraform apply\"."
    }
  }
}
