variable "repositories" {
  description = "Names of the repositories."
  type        = set(string)

  validation {
    condition     = length(var.repositories) > 0
    error_message = "repositories must name at least one repository."
  }

  validation {
    condition     = alltrue([for name in var.repositories : can(regex("^[a-z0-9]+([._/-][a-z0-9]+)*$", name)) && length(name) >= 2 && length(name) <= 256])
    error_message = "repositories must have names of 2 to 256 lower-case letters and digits, separated by single ., _, - or /."
  }
}

variable "create" {
  description = "Whether the repositories are made here. Off where another environment of the same account and region made them: they are only looked up, with all that belongs to them."
  type        = bool
  default     = true
}

variable "owner" {
  description = "Name of the environment that makes them, as in their tag `repositories-of`: repositories of another owner are refused and not taken over."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,38}[a-z0-9]$", var.owner))
    error_message = "owner must be 3 to 40 lower-case letters, digits and dashes, must begin with a letter and must not end with a dash."
  }
}

variable "kms_key_arn" {
  description = "The key that encrypts images; null where nothing is made."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null ? !var.create : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key, arn:aws:kms:…; null only where create = false."
  }
}

variable "mutable_tag_patterns" {
  description = "Tags that may be pushed again, as patterns with *: all others are fixed. `sha256-*` where signatures are kept under tags and get more signatures later."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.mutable_tag_patterns) <= 5 && alltrue([for pattern in var.mutable_tag_patterns : can(regex("^[A-Za-z0-9._*-]{1,128}$", pattern)) && can(regex("^[A-Za-z0-9]", pattern))])
    error_message = "mutable_tag_patterns must be at most 5 patterns that begin with a letter or digit: a pattern that begins with * would free every tag."
  }
}

variable "kept_tag_patterns" {
  description = "Tags that no rule may expire: each pattern becomes a rule before all others that never fires, and ECR lets no later rule touch what an earlier one matches."
  type        = list(string)
  default     = ["*.*.*", "build-*", "sha256-*"]

  validation {
    condition     = length(var.kept_tag_patterns) > 0 && length(var.kept_tag_patterns) <= 20 && alltrue([for pattern in var.kept_tag_patterns : can(regex("^[A-Za-z0-9._*-]{1,128}$", pattern)) && length(regexall("[*]", pattern)) <= 4])
    error_message = "kept_tag_patterns must be 1 to 20 patterns with at most four * each."
  }
}

variable "untagged_days" {
  description = "Days after which images without any tag are deleted; null keeps them. The images of a tagged multi-platform index are not deleted before the index."
  type        = number
  default     = 14

  validation {
    condition     = var.untagged_days == null || try(var.untagged_days >= 1, true)
    error_message = "untagged_days must be at least 1, or null."
  }
}

variable "disposable_tags" {
  description = "How many images are kept by prefix of their tags, for tags that no policy ever elects, such as `pr-`. Nothing else that is tagged is ever deleted."
  type        = map(number)
  default     = {}

  validation {
    condition     = alltrue([for prefix, count in var.disposable_tags : can(regex("^[a-z][a-z0-9]*-$", prefix)) && !contains(["v-", "build-"], prefix) && count >= 1])
    error_message = "disposable_tags must be prefixes of a word and a dash, such as pr-, with a number of at least 1. build- is what the daemon gives local builds: overlays use it."
  }
}

variable "pull_through" {
  description = "Upstream registries that are cached here, by prefix of the cached repositories; a credential is the ARN of a secret whose name begins with ecr-pullthroughcache/."
  type = map(object({
    upstream       = string
    credential_arn = optional(string)
  }))
  default = {}

  validation {
    condition     = alltrue([for prefix in keys(var.pull_through) : can(regex("^[a-z0-9]+([._-][a-z0-9]+)*$", prefix)) && length(prefix) >= 2 && length(prefix) <= 30])
    error_message = "pull_through must have prefixes of 2 to 30 lower-case letters and digits, separated by single ., _ or -."
  }

  validation {
    condition     = alltrue([for cache in values(var.pull_through) : can(regex("^[a-z0-9.-]+[.][a-z]+$", cache.upstream)) && (cache.credential_arn == null || can(regex(":secret:ecr-pullthroughcache/", cache.credential_arn)))])
    error_message = "pull_through must name upstreams by host, such as quay.io, and credentials by the ARN of a secret ecr-pullthroughcache/NAME."
  }
}

variable "tags" {
  description = "Tags of the repositories."
  type        = map(string)
  default     = {}
}

variable "after" {
  description = "What must have been done before anything is made here; it is only waited for. (`depends_on` of the whole module would also put off what a plan looks up.)"
  type        = any
  default     = null
}
