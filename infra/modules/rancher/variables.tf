variable "hostname" {
  description = "Host name by which browsers reach Rancher; the gateway routes it here."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+$", var.hostname))
    error_message = "hostname must be a full host name without a scheme or port, such as rancher.localhost."
  }
}

variable "server_url" {
  description = "Address that Rancher hands to browsers and agents: https, the hostname, and the port where it is not 443."
  type        = string

  validation {
    condition     = can(regex("^https://[a-z0-9.-]+(:[0-9]{1,5})?$", var.server_url))
    error_message = "server_url must be like https://rancher.localhost:8443, without a path."
  }
  validation {
    # The gateway routes by the host: under another name, browsers and agents would not find Rancher.
    condition     = can(regex("^[a-z]+://${replace(var.hostname, ".", "[.]")}(:|$)", var.server_url))
    error_message = "server_url must name the same host as hostname."
  }
}

variable "bootstrap_password" {
  description = "First password of the user admin, who must change it. It reaches the cluster alone: neither plan nor state has it."
  type        = string
  sensitive   = true
  ephemeral   = true
  nullable    = false

  validation {
    condition     = length(var.bootstrap_password) >= 12
    error_message = "bootstrap_password must have at least 12 characters, which Rancher demands of passwords."
  }
}

variable "bootstrap_password_revision" {
  description = "Raise it to have a changed bootstrap_password written: what is not stored cannot be compared."
  type        = number
  default     = 1

  validation {
    condition     = var.bootstrap_password_revision >= 1 && floor(var.bootstrap_password_revision) == var.bootstrap_password_revision
    error_message = "bootstrap_password_revision must be a whole number from 1."
  }
}

variable "replicas" {
  description = "Pods of Rancher: 1 on a laptop, 3 where it must stay up."
  type        = number
  default     = 1

  validation {
    condition     = contains([1, 2, 3], var.replicas)
    error_message = "replicas must be 1, 2 or 3."
  }
}

variable "tls" {
  description = "Who ends TLS: external, the gateway in front of Rancher; ingress, an ingress controller."
  type        = string
  default     = "external"

  validation {
    condition     = contains(["external", "ingress"], var.tls)
    error_message = "tls must be external or ingress."
  }
}

variable "chart_version" {
  description = "Version of Rancher's chart, which is the version of Rancher. Each is for certain versions of Kubernetes: 2.15 for those before 1.37."
  type        = string
  default     = "2.15.0"

  validation {
    condition     = can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+$", var.chart_version))
    error_message = "chart_version must be one exact version, such as 2.15.0."
  }
}

variable "values" {
  description = "More values for the chart, as YAML documents; later ones win. They are in the state, so no secret belongs there."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for document in var.values : can(yamldecode(document))])
    error_message = "Each of values must be a YAML document."
  }
}

variable "chart_repository" {
  description = "Where Rancher's chart is: another address for a mirror. Null for the public one."
  type        = string
  default     = "https://releases.rancher.com/server-charts/stable"
  nullable    = false

  validation {
    # A password in the address would be in the state.
    condition     = can(regex("^(https?|oci)://[^@\\s]*[^@\\s/]$", var.chart_repository))
    error_message = "chart_repository must be an address such as https://charts.example.org or oci://registry.example.org/charts: without a user or password, and without a slash at its end."
  }
}
