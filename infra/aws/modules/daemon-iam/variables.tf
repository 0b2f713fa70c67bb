variable "name" {
  description = "Name of the daemon's IAM role."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9+=,.@_-]{1,64}$", var.name))
    error_message = "name must be 1 to 64 characters that IAM allows in a role's name; this one has ${length(var.name)}."
  }
}

variable "cluster_name" {
  description = "Name of the EKS cluster that the daemon runs in."
  type        = string

  validation {
    condition     = length(var.cluster_name) > 0
    error_message = "cluster_name must not be empty."
  }
}

variable "service_account" {
  description = "The daemon's ServiceAccount."
  type = object({
    namespace = optional(string, "promoted")
    name      = optional(string, "promoted")
  })
  default = {}
  # A wildcard is refused by the role's own module.
}

variable "oidc_provider" {
  description = "The cluster's IAM OIDC provider, for IRSA in place of Pod Identity; null for Pod Identity."
  type = object({
    arn    = string
    issuer = string
  })
  default = null
}

variable "read_repository_arns" {
  description = "ECR repositories whose versions the daemon lists and reads."
  type        = list(string)

  validation {
    condition     = length(var.read_repository_arns) > 0 && alltrue([for arn in var.read_repository_arns : can(regex("^arn:[a-z-]+:ecr:[a-z0-9-]+:[0-9]{12}:repository/[a-z0-9][a-z0-9._/-]*$", arn))])
    error_message = "read_repository_arns must name at least one repository by its full ARN; wildcards are refused."
  }
}

variable "push_repository_arns" {
  description = "ECR repositories that the daemon copies images and evidence into; each must also be readable. Empty for a daemon that only commits and verifies."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.push_repository_arns : contains(var.read_repository_arns, arn)])
    error_message = "push_repository_arns must be among read_repository_arns: what was pushed is read back before a commit names it."
  }
}

variable "tags" {
  description = "Tags of the role."
  type        = map(string)
  default     = {}
}

variable "after" {
  description = "What must have been done before anything is made here; it is only waited for. (`depends_on` of the whole module would also put off what a plan looks up.)"
  type        = any
  default     = null
}
