variable "chart_version" {
  description = "Version of Istio's charts, one for definitions, control plane and gateway: MAJOR.MINOR.PATCH."
  type        = string
  default     = "1.30.4"

  validation {
    condition     = can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+$", var.chart_version))
    error_message = "chart_version must be one exact version, such as 1.30.4."
  }
}

variable "gateway_service_type" {
  description = "Type of the gateway's Service."
  type        = string
  default     = "LoadBalancer"

  validation {
    condition     = contains(["LoadBalancer", "NodePort", "ClusterIP"], var.gateway_service_type)
    error_message = "gateway_service_type must be LoadBalancer, NodePort or ClusterIP."
  }
}

variable "gateway_annotations" {
  description = "Annotations of the gateway's Service; a cloud reads from them which load balancer to make."
  type        = map(string)
  default     = {}
}

variable "gateway_ports" {
  description = "Ports of the gateway's Service. 15021 answers health checks."
  type = list(object({
    name        = string
    port        = number
    target_port = number
  }))
  default = [
    { name = "status-port", port = 15021, target_port = 15021 },
    { name = "http2", port = 80, target_port = 80 },
    { name = "https", port = 443, target_port = 443 },
  ]

  validation {
    condition     = length(var.gateway_ports) > 0 && alltrue([for p in var.gateway_ports : min(p.port, p.target_port) >= 1 && max(p.port, p.target_port) <= 65535])
    error_message = "gateway_ports needs at least one port, each between 1 and 65535."
  }
  validation {
    condition     = length(distinct(var.gateway_ports[*].name)) == length(var.gateway_ports) && length(distinct(var.gateway_ports[*].port)) == length(var.gateway_ports)
    error_message = "gateway_ports must not repeat a name or a port."
  }
}

variable "pilot_resources" {
  description = "What istiod asks for. Istio's own default, 500m and 2Gi, is more than a laptop has to give."
  type = object({
    cpu    = string
    memory = string
  })
  default = { cpu = "100m", memory = "256Mi" }

  validation {
    condition     = can(regex("^[0-9]+m?$", var.pilot_resources.cpu)) && can(regex("^[0-9]+(Mi|Gi)$", var.pilot_resources.memory))
    error_message = "pilot_resources must be like { cpu = \"100m\", memory = \"256Mi\" }."
  }
}

variable "gateway_resources" {
  description = "What each gateway pod asks for."
  type = object({
    cpu    = string
    memory = string
  })
  default = { cpu = "50m", memory = "64Mi" }

  validation {
    condition     = can(regex("^[0-9]+m?$", var.gateway_resources.cpu)) && can(regex("^[0-9]+(Mi|Gi)$", var.gateway_resources.memory))
    error_message = "gateway_resources must be like { cpu = \"50m\", memory = \"64Mi\" }."
  }
}

variable "autoscale" {
  description = "Whether istiod and the gateway grow under load, from `replicas` to five; needs metrics-server."
  type        = bool
  default     = false
}

variable "replicas" {
  description = "Pods of istiod and of the gateway; with `autoscale`, the fewest."
  type        = number
  default     = 1

  validation {
    condition     = contains([1, 2, 3, 4, 5], var.replicas)
    error_message = "replicas must be a whole number from 1 to 5."
  }
}

variable "chart_repository" {
  description = "Where Istio's charts are: another address for a mirror. Null for the public one."
  type        = string
  default     = "https://istio-release.storage.googleapis.com/charts"
  nullable    = false

  validation {
    # A password in the address would be in the state.
    condition     = can(regex("^(https?|oci)://[^@\\s]*[^@\\s/]$", var.chart_repository))
    error_message = "chart_repository must be an address such as https://charts.example.org or oci://registry.example.org/charts: without a user or password, and without a slash at its end."
  }
}
