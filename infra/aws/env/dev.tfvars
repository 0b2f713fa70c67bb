# Cheap, and gone when it is not needed.
environment = "dev"
region      = "eu-west-1"

vpc_cidr       = "10.20.0.0/16"
reserved_cidrs = { staging = "10.21.0.0/16", production = "10.22.0.0/16" }
nat            = "single"
# Over NAT instead: five endpoints in three zones cost more than the NAT gateway.
interface_endpoints = []

deletion_protection = false
log_retention_days  = 14

node_groups = {
  system = {
    instance_types = ["t3.medium"]
    size           = { min = 1, max = 2, desired = 1 }
    taints         = { CriticalAddonsOnly = { value = "true" } }
  }
  app = {
    instance_types = ["t3.xlarge"]
    size           = { min = 1, max = 4, desired = 2 }
  }
  spot = {
    instance_types = ["t3.large", "t3a.large", "m6i.large", "m6a.large"]
    capacity_type  = "SPOT"
    size           = { min = 0, max = 4, desired = 0 }
    taints         = { spot = { value = "true" } }
  }
}

disposable_tags = { pr- = 20 }
