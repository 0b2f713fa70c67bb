variable "name" {
  description = "Name of the project: the first part of the bucket's name."
  type        = string
  default     = "promote"

  # Bucket names have at most 63 characters; the account and the longest region take the rest.
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,16}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 18 lower-case letters, digits and dashes, must begin with a letter and must not end with a dash."
  }
}

variable "region" {
  description = "AWS region of the state."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be the name of an AWS region, such as eu-west-1."
  }
}

variable "account_id" {
  description = "The AWS account that keeps the state; credentials of another one are refused."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must have 12 digits: `aws sts get-caller-identity --query Account --output text` prints yours."
  }
}

variable "noncurrent_days" {
  description = "Days that former versions of a state are kept."
  type        = number
  default     = 365

  validation {
    condition     = var.noncurrent_days >= 30
    error_message = "noncurrent_days must be at least 30: a former version is the way back after a broken apply."
  }
}

variable "tags" {
  description = "Further tags of the bucket and its key."
  type        = map(string)
  default     = {}
}
