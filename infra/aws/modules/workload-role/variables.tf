variable "name" {
  description = "Name of the IAM role."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9+=,.@_-]{1,64}$", var.name))
    error_message = "name must be 1 to 64 characters that IAM allows in a role's name; this one has ${length(var.name)}."
  }
}

variable "cluster_name" {
  description = "Name of the EKS cluster."
  type        = string

  validation {
    condition     = length(var.cluster_name) > 0
    error_message = "cluster_name must not be empty."
  }
}

variable "service_account" {
  description = "The Kubernetes ServiceAccount whose pods get the role, and no other."
  type = object({
    namespace = string
    name      = string
  })

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", var.service_account.namespace)) && can(regex("^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", var.service_account.name))
    error_message = "service_account must name one namespace and one ServiceAccount; wildcards are refused, since they would give the role to others."
  }
}

variable "oidc_provider" {
  description = "The cluster's IAM OIDC provider. Set: the role is assumed by web identity (IRSA), and the ServiceAccount needs the annotation of the output. Null: by EKS Pod Identity."
  type = object({
    arn    = string
    issuer = string
  })
  default = null

  validation {
    condition     = var.oidc_provider == null || try(startswith(var.oidc_provider.issuer, "https://"), true)
    error_message = "oidc_provider.issuer must be the issuer's https address."
  }
}

variable "policies" {
  description = "Policies of the role: JSON documents by name."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for document in values(var.policies) : can(jsondecode(document))])
    error_message = "policies must hold JSON documents."
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
