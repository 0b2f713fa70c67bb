variable "chart" {
  description = "Folder of the daemon's chart; null for the one of this repository."
  type        = string
  default     = null
}

variable "namespace" {
  description = "Namespace of the daemon; made here."
  type        = string
  default     = "promoted"

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "namespace must be a Kubernetes name: lower case letters, digits and hyphens, at most 63."
  }
}

variable "image" {
  description = "The daemon's image; with a digest, exactly that one."
  type = object({
    repository = string
    tag        = string
    digest     = optional(string, "")
  })

  validation {
    condition     = can(regex("^[a-z0-9.-]+(:[0-9]+)?/[a-z0-9._/-]+$", var.image.repository)) && can(regex("^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", var.image.tag))
    error_message = "image needs a repository with its registry, such as k3d-registry:5000/promoted, and a tag."
  }
  validation {
    condition     = var.image.digest == "" || can(regex("^sha256:[0-9a-f]{64}$", var.image.digest))
    error_message = "image.digest must be sha256: and 64 hexadecimal digits."
  }
}

variable "repo" {
  description = "The GitOps repository that the daemon reads and pushes to: https:// or ssh://."
  type        = string

  validation {
    condition     = can(regex("^(https://[^/@\\s]+/\\S+|ssh://([^/@:\\s]+@)?[^/@\\s]+/\\S+)$", var.repo))
    error_message = "repo must be https://HOST/PATH without a user or password, or ssh://USER@HOST/PATH."
  }
}

variable "branch" {
  description = "Its branch."
  type        = string
  default     = "main"

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9._/-]*$", var.branch)) && !strcontains(var.branch, "..")
    error_message = "branch must be the plain name of a branch, such as main."
  }
}

variable "environment" {
  description = "The environment of promote.yaml that this cluster is."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", var.environment))
    error_message = "environment must be the name of an environment in promote.yaml, such as local."
  }
}

variable "replicas" {
  description = "Pods of the daemon: 1, or 2 with a Lease that says which one works."
  type        = number
  default     = 1

  validation {
    condition     = contains([1, 2], var.replicas)
    error_message = "replicas must be 1 or 2."
  }
}

variable "registry_endpoints" {
  description = "Where to connect for a registry whose name leads elsewhere from inside the cluster: HOST[:PORT] to HOST[:PORT]."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for pair in flatten([keys(var.registry_endpoints), values(var.registry_endpoints)]) : can(regex("^[A-Za-z0-9.-]+(:[0-9]{1,5})?$", pair))])
    error_message = "registry_endpoints must map HOST[:PORT] to HOST[:PORT], without a scheme."
  }
}

variable "service_account_annotations" {
  description = "Annotations of the daemon's service account, such as eks.amazonaws.com/role-arn."
  type        = map(string)
  default     = {}
}

variable "app_namespaces" {
  description = "Namespaces of the apps, for one Role each; they must exist already. Empty: the daemon may read workloads and pods everywhere, since Flux makes the namespaces later."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.app_namespaces : can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", name))])
    error_message = "Each of app_namespaces must be a Kubernetes name."
  }
}

variable "egress" {
  description = "Where the daemon may connect beside DNS: API server, Git remote, registries, by cidr (and except) or namespace, and ports. Null for the chart's own: any address on 443 and 6443 but link-local ones."
  type = list(object({
    cidr      = optional(string)
    except    = optional(list(string))
    namespace = optional(string)
    ports     = list(number)
  }))
  default = null

  validation {
    condition     = alltrue([for rule in coalesce(var.egress, []) : (rule.cidr == null) != (rule.namespace == null) && (rule.cidr == null || can(cidrhost(rule.cidr, 0)))])
    error_message = "Each rule of egress needs either a valid cidr or a namespace."
  }
  validation {
    condition     = alltrue([for port in flatten(coalesce(var.egress, [])[*].ports) : port >= 1 && port <= 65535])
    error_message = "Ports of egress must be between 1 and 65535."
  }
}

variable "git_authentication" {
  description = "How the daemon logs in: basic (username and password over https) or ssh (identity and known_hosts), by a Secret made here; none where git_secret names one that exists."
  type        = string
  default     = "none"

  validation {
    condition     = contains(["none", "basic", "ssh"], var.git_authentication)
    error_message = "git_authentication must be none, basic or ssh."
  }
  validation {
    condition     = (var.git_authentication == "none") != (var.git_secret == null)
    error_message = "The daemon pushes, so it needs credentials: either git_authentication with git_credentials, or git_secret, not both."
  }
}

variable "git_credentials" {
  description = "The same object as that of the module flux; the account must be allowed to push. It reaches the cluster alone: neither plan nor state has it."
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

variable "secrets_revision" {
  description = "Raise it to have changed git_credentials written: what is not stored cannot be compared."
  type        = number
  default     = 1

  validation {
    condition     = var.secrets_revision >= 1 && floor(var.secrets_revision) == var.secrets_revision
    error_message = "secrets_revision must be a whole number from 1."
  }
}

variable "git_secret" {
  description = "Name of a Secret in this namespace that exists, in Flux's Git form; null where git_credentials are given."
  type        = string
  default     = null

  validation {
    condition     = var.git_secret == null || can(regex("^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", var.git_secret))
    error_message = "git_secret must be the name of a Secret."
  }
}

variable "registry_secrets" {
  description = "Names of Secrets in this namespace of type kubernetes.io/dockerconfigjson."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.registry_secrets : can(regex("^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", name))])
    error_message = "Each of registry_secrets must be the name of a Secret."
  }
}

variable "named_secret" {
  description = "Name of a Secret in this namespace whose keys are the names that promote.yaml uses; null where it uses none."
  type        = string
  default     = null

  validation {
    condition     = var.named_secret == null || can(regex("^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", var.named_secret))
    error_message = "named_secret must be the name of a Secret."
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
