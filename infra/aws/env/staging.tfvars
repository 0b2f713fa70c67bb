# As production, with one NAT gateway and shorter memory.
environment = "staging"
region      = "eu-west-1"

vpc_cidr       = "10.21.0.0/16"
reserved_cidrs = { dev = "10.20.0.0/16", production = "10.22.0.0/16" }
nat            = "single"

deletion_protection = true
log_retention_days  = 30

disposable_tags = { pr- = 20 }
