variable "git_url" {
  description = "Repository that Flux follows: https:// or ssh://."
  type        = string

  validation {
    # A credential in the address would be in the state and in every log.
    condition     = can(regex("^(https://[^/@\\s]+/\\S+|ssh://([^/@:\\s]+@)?[^/@\\s]+/\\S+)$", var.git_url))
    error_message = "git_url must be https://HOST/PATH without a user or password, or ssh://USER@HOST/PATH."
  }
}

variable "git_branch" {
  description = "Branch that Flux follows."
  type        = string
  default     = "main"

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9._/-]*$", var.git_branch)) && !strcontains(var.git_branch, "..")
    error_message = "git_branch must be the plain name of a branch, such as main."
  }
}

variable "git_path" {
  description = "Folder in the repository that describes this cluster, such as ./deploy/flux/clusters/local."
  type        = string

  validation {
    condition     = can(regex("^\\./[A-Za-z0-9._/-]+$", var.git_path)) && !strcontains(var.git_path, "..")
    error_message = "git_path must begin with ./ and stay inside the repository."
  }
}

variable "git_authentication" {
  description = "How Flux logs in: none (a public repository), basic (username and password over https) or ssh (identity and known_hosts)."
  type        = string
  default     = "none"

  validation {
    condition     = contains(["none", "basic", "ssh"], var.git_authentication)
    error_message = "git_authentication must be none, basic or ssh."
  }
  validation {
    condition     = var.git_authentication == "none" || startswith(var.git_url, var.git_authentication == "ssh" ? "ssh://" : "https://")
    error_message = "git_authentication must fit git_url: basic for https://, ssh for ssh://."
  }
}

variable "git_credentials" {
  description = "Keys of Flux's Git Secret: username and password (a token), or identity (a private key) and known_hosts; ca_crt for a private authority. They reach the cluster alone: neither plan nor state has them."
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

  validation {
    condition     = var.git_authentication != "basic" || (var.git_credentials.username != null && var.git_credentials.password != null)
    error_message = "git_authentication = \"basic\" needs git_credentials.username and git_credentials.password."
  }
  validation {
    condition     = var.git_authentication != "ssh" || (var.git_credentials.identity != null && var.git_credentials.known_hosts != null)
    error_message = "git_authentication = \"ssh\" needs git_credentials.identity and git_credentials.known_hosts (ssh-keyscan HOST)."
  }
}

variable "sops_age_key" {
  description = "Private age key by which Flux decrypts what SOPS encrypted; empty where nothing is. It reaches the cluster alone."
  type        = string
  default     = ""
  nullable    = false
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = var.sops_age_key == "" || can(regex("AGE-SECRET-KEY-(PQ-)?1[A-Z0-9]{20,}", var.sops_age_key))
    error_message = "sops_age_key must hold a line AGE-SECRET-KEY-1…, as age-keygen writes it."
  }
}

variable "secrets_revision" {
  description = "Raise it to have changed git_credentials or a changed sops_age_key written: what is not stored cannot be compared."
  type        = number
  default     = 1

  validation {
    condition     = var.secrets_revision >= 1 && floor(var.secrets_revision) == var.secrets_revision
    error_message = "secrets_revision must be a whole number from 1."
  }
}

variable "cluster_variables" {
  description = "What differs between clusters, for substitution in Flux's Kustomizations: the ConfigMap flux-system/cluster-vars. No secret belongs there."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.cluster_variables) : can(regex("^[_A-Za-z][_A-Za-z0-9]*$", name))])
    error_message = "Names in cluster_variables may have letters, digits and underscores only: others cannot be substituted."
  }
}

variable "cluster_type" {
  description = "What the operator should know of the cluster: kubernetes or aws."
  type        = string
  default     = "kubernetes"

  validation {
    condition     = contains(["kubernetes", "aws"], var.cluster_type)
    error_message = "cluster_type must be kubernetes or aws."
  }
}

variable "flux_version" {
  description = "Version of Flux: MAJOR.MINOR.PATCH, or MAJOR.MINOR.x for the newest patch, which the operator then follows by itself."
  type        = string
  default     = "2.9.x"

  validation {
    condition     = can(regex("^2\\.[0-9]+\\.([0-9]+|x)$", var.flux_version))
    error_message = "flux_version must be like 2.9.4 or 2.9.x."
  }
}

variable "operator_version" {
  description = "Version of the charts flux-operator and flux-instance: MAJOR.MINOR.PATCH."
  type        = string
  default     = "0.58.1"

  validation {
    condition     = can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+$", var.operator_version))
    error_message = "operator_version must be one exact version, such as 0.58.1."
  }
}

variable "chart_repository" {
  description = "Where the charts flux-operator and flux-instance are: another address for a mirror. Null for the public one."
  type        = string
  default     = "oci://ghcr.io/controlplaneio-fluxcd/charts"
  nullable    = false

  validation {
    # A password in the address would be in the state.
    condition     = can(regex("^(https?|oci)://[^@\\s]*[^@\\s/]$", var.chart_repository))
    error_message = "chart_repository must be an address such as https://charts.example.org or oci://registry.example.org/charts: without a user or password, and without a slash at its end."
  }
}
