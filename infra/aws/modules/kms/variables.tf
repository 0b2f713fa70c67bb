variable "name" {
  description = "First part of the aliases: a key's alias is alias/NAME/PURPOSE."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,38}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 40 lower-case letters, digits and dashes, must begin with a letter and must not end with a dash."
  }
}

variable "keys" {
  description = "Keys by purpose. `services` are AWS services that use the key by themselves (logs); `via` are services that use it for any identity of this account that may use the service (ec2)."
  type = map(object({
    description = string
    services    = optional(list(string), [])
    via         = optional(list(string), [])
  }))

  validation {
    condition     = length(var.keys) > 0 && alltrue([for purpose in keys(var.keys) : can(regex("^[a-z][a-z0-9-]{1,30}$", purpose))])
    error_message = "keys must name at least one purpose, in 2 to 31 lower-case letters, digits and dashes."
  }

  validation {
    condition     = alltrue(flatten([for key in values(var.keys) : [for service in concat(key.services, key.via) : can(regex("^[a-z0-9-]+$", service))]]))
    error_message = "services and via must hold the first label of a service's name, such as logs or ec2."
  }
}

variable "deletion_window_days" {
  description = "Days between the order to delete a key and its end; until then it can be taken back."
  type        = number
  default     = 30

  validation {
    condition     = var.deletion_window_days >= 7 && var.deletion_window_days <= 30
    error_message = "deletion_window_days must be 7 to 30."
  }
}

variable "tags" {
  description = "Tags of the keys."
  type        = map(string)
  default     = {}
}

variable "after" {
  description = "What must have been done before anything is made here; it is only waited for. (`depends_on` of the whole module would also put off what a plan looks up.)"
  type        = any
  default     = null
}
