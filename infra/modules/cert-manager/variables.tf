variable "chart_version" {
  description = "Version of cert-manager's chart, which is the version of cert-manager: vMAJOR.MINOR.PATCH."
  type        = string
  default     = "v1.21.2"

  validation {
    condition     = can(regex("^v[0-9]+\\.[0-9]+\\.[0-9]+$", var.chart_version))
    error_message = "chart_version must be one exact version, such as v1.21.2."
  }
}

variable "namespace" {
  description = "Namespace of cert-manager; made where it does not exist."
  type        = string
  default     = "cert-manager"

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "namespace must be a Kubernetes name: lower case letters, digits and hyphens, at most 63."
  }
}

variable "replicas" {
  description = "Pods of the controller and of the webhook: 1 on a laptop, 2 where a node may go away."
  type        = number
  default     = 1

  validation {
    condition     = contains([1, 2, 3], var.replicas)
    error_message = "replicas must be 1, 2 or 3."
  }
}

variable "values" {
  description = "More values for the chart, as YAML documents; later ones win."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for document in var.values : can(yamldecode(document))])
    error_message = "Each of values must be a YAML document."
  }
}

variable "chart_repository" {
  description = "Where cert-manager's chart is: another address for a mirror. Null for the public one."
  type        = string
  default     = "https://charts.jetstack.io"
  nullable    = false

  validation {
    # A password in the address would be in the state.
    condition     = can(regex("^(https?|oci)://[^@\\s]*[^@\\s/]$", var.chart_repository))
    error_message = "chart_repository must be an address such as https://charts.example.org or oci://registry.example.org/charts: without a user or password, and without a slash at its end."
  }
}
