variable "name" {
  description = "Name of the cluster; k3d puts k3d- before it for the kubeconfig's context."
  type        = string
  default     = "promote"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}[a-z0-9]$", var.name))
    error_message = "name must have 2 to 32 lower case letters, digits and hyphens, a letter first: k3d refuses longer ones."
  }
}

variable "servers" {
  description = "Nodes that carry the control plane: 1, or an odd number, of which a majority must stay up."
  type        = number
  default     = 1

  validation {
    condition     = contains([1, 3, 5], var.servers)
    error_message = "servers must be 1, 3 or 5: an even number fails as soon as a smaller odd one."
  }
}

variable "agents" {
  description = "Nodes that carry apps alone."
  type        = number
  default     = 2

  validation {
    condition     = contains(range(0, 11), var.agents)
    error_message = "agents must be a whole number from 0 to 10."
  }
}

variable "k3s_image" {
  description = "Image of k3s, which is the version of Kubernetes. It must fit Rancher, too: 2.15 is for versions before 1.37."
  type        = string
  default     = "rancher/k3s:v1.35.5-k3s1"

  validation {
    condition     = can(regex("^[a-z0-9./-]+:v1\\.[0-9]+\\.[0-9]+-k3s[0-9]+(@sha256:[0-9a-f]{64})?$", var.k3s_image))
    error_message = "k3s_image must name one exact version, such as rancher/k3s:v1.35.5-k3s1."
  }
}

variable "bind_address" {
  description = "Address of this machine on which the ports are open. 127.0.0.1 keeps the cluster, Rancher among it, from the network."
  type        = string
  default     = "127.0.0.1"

  validation {
    condition     = can(cidrhost("${var.bind_address}/32", 0))
    error_message = "bind_address must be an IPv4 address, such as 127.0.0.1."
  }
}

variable "http_port" {
  description = "Port of this machine that leads to port 80 of the ingress gateway."
  type        = number
  default     = 8080

  validation {
    condition     = var.http_port >= 1 && var.http_port <= 65535 && floor(var.http_port) == var.http_port
    error_message = "http_port must be a whole number from 1 to 65535."
  }
}

variable "https_port" {
  description = "Port of this machine that leads to port 443 of the ingress gateway."
  type        = number
  default     = 8443

  validation {
    condition     = var.https_port >= 1 && var.https_port <= 65535 && floor(var.https_port) == var.https_port
    error_message = "https_port must be a whole number from 1 to 65535."
  }
  validation {
    condition     = length(distinct([var.http_port, var.https_port, 5000])) == 3
    error_message = "http_port and https_port must differ from each other and from 5000, the registry's."
  }
}

variable "kubeconfig" {
  description = "File that is written for this cluster alone, readable by its owner only. It must not be another cluster's."
  type        = string

  validation {
    condition     = abspath(pathexpand(var.kubeconfig)) != pathexpand("~/.kube/config")
    error_message = "kubeconfig must not be ~/.kube/config, which has other clusters: this file is deleted with the cluster."
  }
}

variable "wait" {
  description = "How long nodes may take to become ready, such as 180s; on a slow disk, longer."
  type        = string
  default     = "180s"

  validation {
    condition     = can(regex("^[1-9][0-9]{0,3}s$", var.wait))
    error_message = "wait must be in seconds, such as 180s."
  }
}
