variable "name" {
  description = "Name of the project; with the environment it is the first part of every name in AWS."
  type        = string
  default     = "promote"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,16}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 18 lower-case letters, digits and dashes, must begin with a letter and must not end with a dash: with the environment and what AWS adds, longer ones do not fit."
  }
}

variable "environment" {
  description = "The environment: dev, staging or production."
  type        = string

  validation {
    condition     = contains(["dev", "staging", "production"], var.environment)
    error_message = "environment must be dev, staging or production; each has its file in env/."
  }
}

variable "region" {
  description = "AWS region."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be the name of an AWS region, such as eu-west-1."
  }
}

variable "account_id" {
  description = "The AWS account that this environment lives in; credentials of another one are refused."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must have 12 digits: `aws sts get-caller-identity --query Account --output text` prints yours."
  }
}

variable "tags" {
  description = "Further tags of everything."
  type        = map(string)
  default     = {}
}

# --- network ---

variable "vpc_cidr" {
  description = "IPv4 range of the network, /16 to /18, private."
  type        = string

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0)) && can(regex("/(16|17|18)$", var.vpc_cidr))
    error_message = "vpc_cidr must be an IPv4 range with a prefix of /16, /17 or /18, such as 10.20.0.0/16."
  }
}

variable "reserved_cidrs" {
  description = "IPv4 ranges that the network must not overlap, by name: other environments, VPN, offices."
  type        = map(string)
  default     = {}
}

variable "service_cidr" {
  description = "IPv4 range of Kubernetes services; must not overlap the network."
  type        = string
  default     = "172.20.0.0/16"

  validation {
    condition     = can(cidrhost(var.service_cidr, 0))
    error_message = "service_cidr must be an IPv4 range such as 172.20.0.0/16."
  }
}

variable "zone_count" {
  description = "Number of availability zones."
  type        = number
  default     = 3

  validation {
    condition     = contains([2, 3, 4], var.zone_count)
    error_message = "zone_count must be 2, 3 or 4."
  }
}

variable "nat" {
  description = "NAT gateways: single, per-zone or none."
  type        = string
  default     = "single"

  validation {
    condition     = contains(["single", "per-zone", "none"], var.nat)
    error_message = "nat must be single, per-zone or none."
  }
}

variable "interface_endpoints" {
  description = "AWS services that are reached without NAT; each costs per zone and hour."
  type        = set(string)
  default     = ["ecr.api", "ecr.dkr", "sts", "logs", "eks-auth"]
}

# --- cluster ---

variable "kubernetes_version" {
  description = "Kubernetes version."
  type        = string
  default     = "1.35"

  validation {
    condition     = contains(["1.34", "1.35"], var.kubernetes_version)
    error_message = "kubernetes_version must be 1.34 or 1.35: the versions that Flux, Istio, cert-manager and Rancher as pinned here all support."
  }
}

variable "addon_versions" {
  description = "Exact versions of the add-ons, for Kubernetes 1.35."
  type = object({
    vpc-cni                = string
    kube-proxy             = string
    eks-pod-identity-agent = string
    coredns                = string
    aws-ebs-csi-driver     = string
    metrics-server         = string
  })
  default = {
    vpc-cni                = "v1.22.4-eksbuild.3"
    kube-proxy             = "v1.35.3-eksbuild.18"
    eks-pod-identity-agent = "v1.3.10-eksbuild.3"
    coredns                = "v1.13.2-eksbuild.11"
    aws-ebs-csi-driver     = "v1.64.0-eksbuild.1"
    metrics-server         = "v0.9.0-eksbuild.6"
  }

  # kube-proxy must not be newer than the control plane, and its version tells which one it is for.
  validation {
    condition     = startswith(var.addon_versions.kube-proxy, "v${var.kubernetes_version}.")
    error_message = "addon_versions.kube-proxy (${var.addon_versions.kube-proxy}) must be one for Kubernetes ${var.kubernetes_version}."
  }
}

variable "public_access_cidrs" {
  description = "From where the API is reached over the internet. Terraform itself needs the API: without a range here it must run inside the network or over a VPN."
  type        = list(string)
  default     = []
}

variable "access" {
  description = "Who may use the cluster's API, by a name of your choice: IAM principal, EKS access policy, namespaces. One must be an administrator: yourself, where `enable_platform`."
  type = map(object({
    principal_arn = string
    policy        = optional(string, "AmazonEKSViewPolicy")
    namespaces    = optional(list(string), [])
  }))
}

variable "node_groups" {
  description = "Groups of nodes: system for the cluster's own Deployments, app for everything, spot for what tolerates its taint."
  type = map(object({
    instance_types = list(string)
    capacity_type  = optional(string, "ON_DEMAND")
    ami_type       = optional(string, "AL2023_x86_64_STANDARD")
    size           = object({ min = number, max = number, desired = number })
    disk_gib       = optional(number, 50)
    labels         = optional(map(string), {})
    taints         = optional(map(object({ value = optional(string), effect = optional(string, "NO_SCHEDULE") })), {})
  }))
  default = {
    system = {
      instance_types = ["m7i-flex.large"]
      size           = { min = 2, max = 3, desired = 2 }
      taints         = { CriticalAddonsOnly = { value = "true" } }
    }
    app = {
      instance_types = ["m7i.large"]
      size           = { min = 2, max = 6, desired = 3 }
    }
    spot = {
      instance_types = ["m7i.large", "m7a.large", "m6i.large", "m6a.large"]
      capacity_type  = "SPOT"
      size           = { min = 0, max = 6, desired = 0 }
      taints         = { spot = { value = "true" } }
    }
  }
}

variable "deletion_protection" {
  description = "Whether EKS refuses to delete the cluster. Off also shortens the time until deleted keys are gone to a week."
  type        = bool
  default     = true
}

variable "log_retention_days" {
  description = "Days that logs of the control plane and of the network are kept."
  type        = number
  default     = 90

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days must be a number of days that CloudWatch knows, such as 7, 30, 90 or 365."
  }
}

variable "irsa" {
  description = "Whether the daemon gets its role by web identity in place of Pod Identity, as Fargate needs."
  type        = bool
  default     = false
}

# --- registry ---

variable "repositories" {
  description = "Repositories of the registry: the apps of promote.yaml, and the daemon's own image."
  type        = set(string)
  default     = ["test-app", "graphwiki", "promoted"]
}

variable "create_repositories" {
  description = "Whether this environment makes the repositories. They belong to an account and a region: a second environment of the same ones sets this to false and shares those of the first."
  type        = bool
  default     = true
}

variable "mutable_tag_patterns" {
  description = "Tags that may be pushed again, as patterns with *, such as `sha256-*` where signatures are kept under tags; all others are fixed."
  type        = list(string)
  default     = []
}

variable "untagged_days" {
  description = "Days after which images without any tag are deleted; null keeps them."
  type        = number
  default     = 14

  validation {
    condition     = var.untagged_days == null || try(var.untagged_days >= 1, true)
    error_message = "untagged_days must be at least 1, or null."
  }
}

variable "disposable_tags" {
  description = "How many images are kept by prefix of tags that no policy elects, such as { pr- = 20 }."
  type        = map(number)
  default     = {}
}

variable "pull_through" {
  description = "Upstream registries that are cached in this one, by prefix."
  type = map(object({
    upstream       = string
    credential_arn = optional(string)
  }))
  default = {}
}
