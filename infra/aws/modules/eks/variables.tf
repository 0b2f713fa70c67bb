variable "name" {
  description = "Name of the cluster; the first part of the names of everything around it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,28}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 30 lower-case letters, digits and dashes, must begin with a letter and must not end with a dash; longer ones do not fit into the names that AWS derives."
  }
}

variable "kubernetes_version" {
  description = "Kubernetes version of the control plane and the nodes."
  type        = string
  default     = "1.35"

  validation {
    condition     = contains(["1.34", "1.35"], var.kubernetes_version)
    error_message = "kubernetes_version must be 1.34 or 1.35: the versions that Flux, Istio, cert-manager and Rancher as pinned here all support."
  }
}

variable "vpc_id" {
  description = "The network."
  type        = string

  validation {
    condition     = can(regex("^vpc-[0-9a-z]+$", var.vpc_id))
    error_message = "vpc_id must be the identifier of a VPC, vpc-…."
  }
}

variable "control_plane_subnet_ids" {
  description = "Subnets of the control plane's interfaces, in two zones at least."
  type        = list(string)

  validation {
    condition     = length(var.control_plane_subnet_ids) >= 2
    error_message = "control_plane_subnet_ids must name subnets in two zones at least."
  }
}

variable "node_subnet_ids" {
  description = "Subnets of the nodes and pods."
  type        = list(string)

  validation {
    condition     = length(var.node_subnet_ids) >= 2
    error_message = "node_subnet_ids must name subnets in two zones at least."
  }
}

variable "service_cidr" {
  description = "IPv4 range of Kubernetes services; must not overlap the network."
  type        = string
  default     = "172.20.0.0/16"

  validation {
    condition     = can(cidrhost(var.service_cidr, 0)) && can(regex("^(10|172|192)[.].*/(1[2-9]|2[0-4])$", var.service_cidr))
    error_message = "service_cidr must be a private IPv4 range with a prefix of /12 to /24."
  }
}

variable "public_access_cidrs" {
  description = "From where the API may be reached over the internet; empty for not at all. It is always reached from the network itself."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for range in var.public_access_cidrs : can(cidrhost(range, 0)) && try(tonumber(split("/", range)[1]) >= 8, false)])
    error_message = "public_access_cidrs must hold IPv4 ranges of /8 or smaller, such as 203.0.113.7/32: 0.0.0.0/0 is refused, since the API would be open to the whole internet."
  }
}

variable "access" {
  description = "People and pipelines that may use the API, by a name of your choice: an IAM principal and EKS access policies; without namespaces in the whole cluster."
  type = map(object({
    principal_arn = string
    policy        = optional(string, "AmazonEKSViewPolicy")
    namespaces    = optional(list(string), [])
  }))

  validation {
    condition     = anytrue([for entry in values(var.access) : entry.policy == "AmazonEKSClusterAdminPolicy"])
    error_message = "access must have at least one entry with AmazonEKSClusterAdminPolicy: who creates the cluster gets no right by that."
  }

  validation {
    condition     = alltrue([for entry in values(var.access) : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:(role|user)/.+", entry.principal_arn))])
    error_message = "access must name IAM roles or users by their ARN; an assumed role (arn:aws:sts::…) is not one: name the role itself."
  }

  validation {
    condition     = alltrue([for entry in values(var.access) : contains(["AmazonEKSClusterAdminPolicy", "AmazonEKSAdminPolicy", "AmazonEKSEditPolicy", "AmazonEKSViewPolicy"], entry.policy)])
    error_message = "access must use AmazonEKSClusterAdminPolicy, AmazonEKSAdminPolicy, AmazonEKSEditPolicy or AmazonEKSViewPolicy."
  }
}

variable "kms_key_arns" {
  description = "Keys for the cluster's Secrets, its log group and the nodes' disks."
  type = object({
    cluster = string
    logs    = string
    disks   = string
  })

  validation {
    condition     = alltrue([for arn in values(var.kms_key_arns) : can(regex("^arn:[a-z-]+:kms:", arn))])
    error_message = "kms_key_arns must hold ARNs of KMS keys."
  }
}

variable "log_retention_days" {
  description = "Days that the control plane's logs are kept."
  type        = number
  default     = 90

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days must be a number of days that CloudWatch knows, such as 7, 30, 90 or 365."
  }
}

variable "deletion_protection" {
  description = "Whether EKS refuses to delete the cluster."
  type        = bool
  default     = true
}

variable "irsa" {
  description = "Whether an IAM OIDC provider is made, for roles by web identity; Pod Identity needs none."
  type        = bool
  default     = false
}

variable "addon_versions" {
  description = "Exact versions of the add-ons. `aws eks describe-addon-versions --kubernetes-version 1.35 --addon-name NAME` lists what there is."
  type = object({
    vpc-cni                = string
    kube-proxy             = string
    eks-pod-identity-agent = string
    coredns                = string
    aws-ebs-csi-driver     = string
    metrics-server         = string
  })

  validation {
    condition     = alltrue([for version in values(var.addon_versions) : can(regex("^v[0-9]+[.][0-9]+[.][0-9]+-eksbuild[.][0-9]+$", version))])
    error_message = "addon_versions must be exact, such as v1.13.2-eksbuild.11."
  }
}

variable "node_groups" {
  description = "Groups of nodes by name. The size that is wanted is given at creation only; later a person changes it, or an autoscaler, which is not installed here. A taint's effect is NO_SCHEDULE, NO_EXECUTE or PREFER_NO_SCHEDULE."
  type = map(object({
    instance_types = list(string)
    capacity_type  = optional(string, "ON_DEMAND")
    ami_type       = optional(string, "AL2023_x86_64_STANDARD")
    size           = object({ min = number, max = number, desired = number })
    disk_gib       = optional(number, 50)
    labels         = optional(map(string), {})
    taints         = optional(map(object({ value = optional(string), effect = optional(string, "NO_SCHEDULE") })), {})
  }))

  # 38 characters are what a prefix may have.
  validation {
    condition     = length(var.node_groups) > 0 && alltrue([for group in keys(var.node_groups) : can(regex("^[a-z][a-z0-9-]*$", group)) && length("${var.name}-${group}-") <= 38])
    error_message = "node_groups must have at least one group, named in lower-case letters, digits and dashes, and short enough that NAME-GROUP- has at most 38 characters."
  }

  validation {
    condition     = alltrue([for group in values(var.node_groups) : contains(["ON_DEMAND", "SPOT"], group.capacity_type) && (group.capacity_type == "ON_DEMAND" ? length(group.instance_types) >= 1 : length(group.instance_types) >= 4)])
    error_message = "node_groups must be ON_DEMAND with an instance type, or SPOT with four or more: with fewer, one shortage takes all nodes."
  }

  validation {
    condition     = alltrue([for group in values(var.node_groups) : 0 <= group.size.min && group.size.min <= group.size.desired && group.size.desired <= group.size.max && group.size.max >= 1])
    error_message = "node_groups must have sizes with 0 <= min <= desired <= max."
  }

  validation {
    condition     = alltrue([for group in values(var.node_groups) : group.disk_gib >= 20 && group.disk_gib <= 1000])
    error_message = "node_groups must have disks of 20 to 1000 GiB."
  }

  validation {
    condition     = anytrue([for group in values(var.node_groups) : length(group.taints) == 0])
    error_message = "node_groups must have one group without taints: everything that tolerates none would wait for ever."
  }

  validation {
    condition     = alltrue(flatten([for group in values(var.node_groups) : [for taint in values(group.taints) : contains(["NO_SCHEDULE", "NO_EXECUTE", "PREFER_NO_SCHEDULE"], taint.effect)]]))
    error_message = "A taint's effect must be NO_SCHEDULE, NO_EXECUTE or PREFER_NO_SCHEDULE."
  }
}

variable "node_egress_ports" {
  description = "Further TCP ports to which nodes and pods may connect anywhere, such as that of a Git server; 443, 22 and 53 are always open."
  type        = set(number)
  default     = []

  validation {
    condition     = alltrue([for port in var.node_egress_ports : port >= 1 && port <= 65535 && floor(port) == port && !contains([22, 53, 443], port)])
    error_message = "node_egress_ports must be whole numbers from 1 to 65535 other than 22, 53 and 443, which are open anyway."
  }
}

variable "node_policies" {
  description = "Further policies of the nodes' role: JSON documents by name."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for document in values(var.node_policies) : can(jsondecode(document))])
    error_message = "node_policies must hold JSON documents."
  }
}

variable "tags" {
  description = "Tags of everything that belongs to the cluster."
  type        = map(string)
  default     = {}
}

variable "after" {
  description = "What must have been done before anything is made here; it is only waited for. (`depends_on` of the whole module would also put off what a plan looks up.)"
  type        = any
  default     = null
}
