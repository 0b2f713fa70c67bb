# What runs in the cluster.

variable "enable_platform" {
  description = "Istio, cert-manager, Rancher, Flux and the daemon. Off before the cluster is destroyed or replaced: its load balancer must be gone before its network."
  type        = bool
  default     = true
}

variable "domain" {
  description = "Domain of the apps: test.DOMAIN, wiki.DOMAIN, rancher.DOMAIN. Required with the platform."
  type        = string
  default     = null

  validation {
    condition     = var.domain == null ? !var.enable_platform : can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?[.])+[a-z]{2,}$", var.domain))
    error_message = "domain must be a domain of yours, such as dev.example.org; the platform needs one."
  }
}

variable "hosted_zone_id" {
  description = "The public Route 53 zone that the domain is in, or is itself. Required with the platform."
  type        = string
  default     = null

  validation {
    condition     = var.hosted_zone_id == null ? !var.enable_platform : can(regex("^Z[A-Z0-9]{1,31}$", var.hosted_zone_id))
    error_message = "hosted_zone_id must be the identifier of a Route 53 zone, Z…; the platform needs one."
  }
}

variable "acme_email" {
  description = "Where Let's Encrypt may write about certificates. Required with the platform."
  type        = string
  default     = null

  validation {
    condition     = var.acme_email == null ? !var.enable_platform : can(regex("^[^@ ]+@[^@ ]+[.][a-z]+$", var.acme_email))
    error_message = "acme_email must be an e-mail address; the platform needs one."
  }
}

variable "git_url" {
  description = "The GitOps repository: https://HOST/PATH or ssh://USER@HOST/PATH. Required with the platform."
  type        = string
  default     = null

  validation {
    condition     = var.git_url == null ? !var.enable_platform : can(regex("^(https://[^/@ ]+/[^ ]+|ssh://([^/@: ]+@)?[^/@ ]+/[^ ]+)$", var.git_url))
    error_message = "git_url must be https://HOST/PATH without a user or password, or ssh://USER@HOST/PATH; the platform needs one."
  }
}

variable "git_branch" {
  description = "Its branch."
  type        = string
  default     = "main"

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9._/-]*$", var.git_branch))
    error_message = "git_branch must be the name of a branch."
  }
}

variable "git_authentication" {
  description = "How Flux and the daemon log in to Git: none (a public repository, and no daemon), basic or ssh."
  type        = string
  default     = "none"

  validation {
    condition     = contains(["none", "basic", "ssh"], var.git_authentication)
    error_message = "git_authentication must be none, basic or ssh."
  }

  validation {
    condition     = !(var.enable_platform && var.enable_daemon) || var.git_authentication != "none"
    error_message = "The daemon pushes to Git, so it needs git_authentication basic or ssh."
  }
}

variable "git_credentials" {
  description = "Keys of Flux's Git Secret. They reach the cluster alone: neither plan nor state has them, so every apply needs them (TF_VAR_git_credentials)."
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

variable "secrets_revision" {
  description = "Raise it to have changed git_credentials or a changed rancher_bootstrap_password written: what is not stored cannot be compared."
  type        = number
  default     = 1

  validation {
    condition     = var.secrets_revision >= 1
    error_message = "secrets_revision must be a whole number from 1."
  }
}

variable "enable_rancher" {
  description = "Whether Rancher is installed."
  type        = bool
  default     = true
}

variable "rancher_bootstrap_password" {
  description = "First password of Rancher's admin, at least 12 characters (TF_VAR_rancher_bootstrap_password). In neither plan nor state."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = var.rancher_bootstrap_password == null ? !(var.enable_platform && var.enable_rancher) : length(var.rancher_bootstrap_password) >= 12
    error_message = "rancher_bootstrap_password must have at least 12 characters; Rancher needs one (enable_rancher = false leaves Rancher out)."
  }
}

variable "rancher_replicas" {
  description = "Pods of Rancher."
  type        = number
  default     = 1

  validation {
    condition     = contains([1, 2, 3], var.rancher_replicas)
    error_message = "rancher_replicas must be 1, 2 or 3."
  }
}

variable "enable_daemon" {
  description = "Whether the daemon is installed. Its image must be in the registry before: the first apply makes the registry."
  type        = bool
  default     = false
}

variable "daemon" {
  description = "The daemon: its image (by default `promoted` in this registry), which environment of promote.yaml this cluster is, Secrets of registry credentials in its namespace, and whether it may push into the repositories (a daemon that promotes into them, or writes evidence)."
  type = object({
    image            = optional(string)
    tag              = optional(string, "0.1.0")
    digest           = optional(string, "")
    environment      = optional(string, "aws")
    registry_secrets = optional(list(string), [])
    pushes           = optional(bool, false)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.daemon.image == null || can(regex("^[a-z0-9.-]+(:[0-9]+)?/[a-z0-9._/-]+$", var.daemon.image))
    error_message = "daemon.image must be a repository with its registry, such as ghcr.io/team/promoted."
  }
  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", var.daemon.tag)) && can(regex("^(sha256:[0-9a-f]{64})?$", var.daemon.digest))
    error_message = "daemon.tag must be a tag, such as 0.1.0, and daemon.digest sha256: and 64 hexadecimal digits, or empty."
  }
  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", var.daemon.environment))
    error_message = "daemon.environment must be the name of an environment in promote.yaml, such as aws."
  }
  validation {
    condition     = alltrue([for name in var.daemon.registry_secrets : can(regex("^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", name))])
    error_message = "Each of daemon.registry_secrets must be the name of a Secret."
  }
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
