variable "name" {
  description = "Name of the network; the first part of the names of everything in it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,38}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 40 lower-case letters, digits and dashes, must begin with a letter and must not end with a dash."
  }
}

variable "cidr" {
  description = "IPv4 range of the network: /16 to /18, private, written with its first address."
  type        = string

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && can(regex("/(16|17|18)$", var.cidr))
    error_message = "cidr must be an IPv4 range with a prefix of /16, /17 or /18, such as 10.20.0.0/16."
  }

  validation {
    condition     = try(cidrhost(var.cidr, 0) == split("/", var.cidr)[0], true)
    error_message = "cidr must be written with its first address: bits behind the prefix are set."
  }

  validation {
    condition = anytrue([
      for private, prefix in { "10.0.0.0" = 8, "172.16.0.0" = 12, "192.168.0.0" = 16 } :
      try(cidrhost("${split("/", var.cidr)[0]}/${prefix}", 0) == private, false)
    ])
    error_message = "cidr must lie in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16."
  }
}

variable "reserved_cidrs" {
  description = "IPv4 ranges that the network must not overlap: Kubernetes services, peered networks, VPN, offices. By name, which the refusal repeats."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for range in values(var.reserved_cidrs) : can(cidrhost(range, 0)) && can(regex("^[0-9.]+/[0-9]+$", range))])
    error_message = "reserved_cidrs must hold IPv4 ranges such as 172.20.0.0/16."
  }

  # Two ranges overlap exactly when they agree in the shorter of their prefixes.
  validation {
    condition = alltrue([
      for range in values(var.reserved_cidrs) : try(
        cidrhost("${split("/", range)[0]}/${min(split("/", range)[1], split("/", var.cidr)[1])}", 0) !=
        cidrhost("${split("/", var.cidr)[0]}/${min(split("/", range)[1], split("/", var.cidr)[1])}", 0),
      true)
    ])
    error_message = "cidr ${var.cidr} overlaps one of reserved_cidrs (${join(", ", [for name, range in var.reserved_cidrs : "${name} ${range}"])}): choose another range."
  }
}

variable "zone_count" {
  description = "Number of availability zones that are used."
  type        = number
  default     = 3

  validation {
    condition     = contains([2, 3, 4], var.zone_count)
    error_message = "zone_count must be 2, 3 or 4: EKS needs two zones at least."
  }
}

variable "nat" {
  description = "How private subnets reach the internet: `single` (one NAT gateway; its zone is a single point of failure), `per-zone`, or `none`."
  type        = string
  default     = "single"

  validation {
    condition     = contains(["single", "per-zone", "none"], var.nat)
    error_message = "nat must be single, per-zone or none."
  }
}

variable "interface_endpoints" {
  description = "AWS services that private subnets reach without NAT, by the last part of their endpoint's name. Each costs per zone and hour. S3 is always there, as a gateway that costs nothing."
  type        = set(string)
  default     = ["ecr.api", "ecr.dkr", "sts", "logs", "eks-auth"]

  validation {
    condition     = alltrue([for service in var.interface_endpoints : can(regex("^[a-z0-9][a-z0-9.-]+$", service)) && service != "s3"])
    error_message = "interface_endpoints must hold service names such as ecr.api or sts; s3 is a gateway and always there."
  }
}

variable "subnet_tags" {
  description = "Further tags of the public and private subnets, such as `kubernetes.io/cluster/NAME = shared`, by which a cluster's cloud controller finds them."
  type        = map(string)
  default     = {}
}

variable "flow_logs" {
  description = "How long flow logs are kept, and the key that encrypts them."
  type = object({
    retention_days = optional(number, 90)
    kms_key_arn    = optional(string)
  })
  default = {}

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.flow_logs.retention_days)
    error_message = "flow_logs.retention_days must be a number of days that CloudWatch knows, such as 7, 30, 90 or 365."
  }
}

variable "tags" {
  description = "Tags of everything in the network."
  type        = map(string)
  default     = {}
}

variable "after" {
  description = "What must have been done before anything is made here; it is only waited for. (`depends_on` of the whole module would also put off what a plan looks up.)"
  type        = any
  default     = null
}
