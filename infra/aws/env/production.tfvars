# Survives the loss of a zone.
environment = "production"
region      = "eu-west-1"

vpc_cidr       = "10.22.0.0/16"
reserved_cidrs = { dev = "10.20.0.0/16", staging = "10.21.0.0/16" }
nat            = "per-zone"

deletion_protection = true
log_retention_days  = 365
rancher_replicas    = 3

node_groups = {
  system = {
    instance_types = ["m7i-flex.large"]
    size           = { min = 3, max = 4, desired = 3 }
    taints         = { CriticalAddonsOnly = { value = "true" } }
  }
  app = {
    instance_types = ["m7i.xlarge"]
    size           = { min = 3, max = 9, desired = 3 }
  }
  spot = {
    instance_types = ["m7i.large", "m7a.large", "m6i.large", "m6a.large"]
    capacity_type  = "SPOT"
    size           = { min = 0, max = 6, desired = 0 }
    taints         = { spot = { value = "true" } }
  }
}

# Signatures and attestations have no tag, and here they count as evidence.
untagged_days = null
