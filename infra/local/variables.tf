variable "git_url" {
  description = "Repository that Flux follows and promoted pushes to, your fork of this one: https:// or ssh://."
  type        = string

  validation {
    condition     = can(regex("^(https://[^/@\\s]+/\\S+|ssh://([^/@:\\s]+@)?[^/@\\s]+/\\S+)$", var.git_url))
    error_message = "git_url must be https://HOST/PATH without a user or password, or ssh://USER@HOST/PATH."
  }
}

variable "git_branch" {
  description = "Its branch."
  type        = string
  default     = "main"

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9._/-]*$", var.git_branch))
    error_message = "git_branch must be the plain name of a branch, such as main."
  }
}

variable "git_authentication" {
  description = "How Flux and promoted log in: none (a public repository, and no daemon), basic (a token over https) or ssh."
  type        = string
  default     = "none"

  validation {
    condition     = contains(["none", "basic", "ssh"], var.git_authentication)
    error_message = "git_authentication must be none, basic or ssh."
  }
}

variable "git_credentials" {
  description = "username and password (a token), or identity (a private key) and known_hosts. They reach the cluster alone: neither plan nor state has them."
  type = object({
    username    = optional(string)
    password    = optional(string)
    identity    = optional(string)
    known_hosts = optional(string)
    ca_crt      = optional(string)
  })
  default   = {}
  nullable  = false
  sensitive = true
  ephemeral = true
}

variable "sops_age_key" {
  description = "Private age key by which Flux decrypts what SOPS encrypted; empty where nothing is. It reaches the cluster alone."
  type        = string
  default     = ""
  nullable    = false
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = var.sops_age_key == "" || strcontains(var.sops_age_key, "AGE-SECRET-KEY-")
    error_message = "sops_age_key must be a private age key, AGE-SECRET-KEY-1…."
  }
}

variable "secrets_revision" {
  description = "Raise it to have a changed token, key or password written: what is not stored cannot be compared."
  type        = number
  default     = 1

  validation {
    condition     = var.secrets_revision >= 1
    error_message = "secrets_revision must be a whole number from 1."
  }
}

variable "enable_rancher" {
  description = "Whether Rancher is installed: the heaviest part by far, about 2 GB of memory."
  type        = bool
  default     = true
}

variable "rancher_bootstrap_password" {
  description = "First password of Rancher's user admin, at least 12 characters; needed unless enable_rancher is false. It reaches the cluster alone."
  type        = string
  default     = ""
  nullable    = false
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = !var.enable_rancher || length(var.rancher_bootstrap_password) >= 12
    error_message = "rancher_bootstrap_password needs at least 12 characters (or set enable_rancher = false)."
  }
}

variable "enable_daemon" {
  description = "Whether promoted runs in the cluster. Its image must be in the cluster's registry first, so not with the first apply."
  type        = bool
  default     = false

  validation {
    condition     = !var.enable_daemon || var.git_authentication != "none"
    error_message = "enable_daemon needs git_authentication: promoted pushes to git_url."
  }
}

variable "daemon_image_tag" {
  description = "Tag of promoted's image in the cluster's registry."
  type        = string
  default     = "0.1.0"

  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", var.daemon_image_tag))
    error_message = "daemon_image_tag must be a tag, such as 0.1.0."
  }
}

variable "cluster_name" {
  description = "Name of the cluster; k3d puts k3d- before it for the kubeconfig's context."
  type        = string
  default     = "promote"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}[a-z0-9]$", var.cluster_name))
    error_message = "cluster_name must have 2 to 32 lower case letters, digits and hyphens, a letter first: k3d refuses longer ones."
  }
}

variable "servers" {
  description = "Nodes that carry the control plane: 1, 3 or 5."
  type        = number
  default     = 1

  validation {
    condition     = contains([1, 3, 5], var.servers)
    error_message = "servers must be 1, 3 or 5: an even number fails as soon as a smaller odd one."
  }
}

variable "agents" {
  description = "Nodes that carry apps alone, 0 to 10."
  type        = number
  default     = 2

  validation {
    condition     = contains(range(0, 11), var.agents)
    error_message = "agents must be a whole number from 0 to 10."
  }
}

variable "k3s_image" {
  description = "Image of k3s, which is the version of Kubernetes."
  type        = string
  default     = "rancher/k3s:v1.35.5-k3s1"

  validation {
    condition     = can(regex(":v1\\.[0-9]+\\.[0-9]+-k3s[0-9]+", var.k3s_image))
    error_message = "k3s_image must name one exact version, such as rancher/k3s:v1.35.5-k3s1."
  }
}

variable "bind_address" {
  description = "Address of this machine on which the ports are open."
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
    condition     = var.http_port >= 1 && var.http_port <= 65535
    error_message = "http_port must be from 1 to 65535."
  }
}

variable "https_port" {
  description = "Port of this machine that leads to port 443 of the ingress gateway."
  type        = number
  default     = 8443

  validation {
    condition     = var.https_port >= 1 && var.https_port <= 65535
    error_message = "https_port must be from 1 to 65535."
  }
  validation {
    condition     = length(distinct([var.http_port, var.https_port, 5000])) == 3
    error_message = "http_port and https_port must differ from each other and from 5000, the registry's."
  }
}

variable "kubeconfig" {
  description = "File for this cluster's kubeconfig; null for .local/kubeconfig beside this configuration."
  type        = string
  default     = null
}

variable "chart_repositories" {
  description = "Mirrors of the public chart repositories, https:// or oci://, for who cannot or may not reach those; what is left out stays public."
  type = object({
    cert_manager = optional(string)
    flux         = optional(string)
    istio        = optional(string)
    rancher      = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for address in values(var.chart_repositories) : address == null || can(regex("^(https?|oci)://[^@\\s]*[^@\\s/]$", address))])
    error_message = "Each of chart_repositories must be an address such as https://charts.example.org or oci://registry.example.org/charts: without a user or password, and without a slash at its end."
  }
}
