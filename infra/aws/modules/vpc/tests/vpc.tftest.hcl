mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-west-1c", "eu-west-1a", "eu-west-1b"] }
  }
  mock_data "aws_region" {
    defaults = { region = "eu-west-1" }
  }
}

variables {
  name = "promote-dev"
  cidr = "10.20.0.0/16"
  tags = { environment = "dev" }
}

run "three_zones_and_one_nat_gateway" {
  assert {
    condition     = output.zones == tolist(["eu-west-1a", "eu-west-1b", "eu-west-1c"])
    error_message = "zones: ${join(",", output.zones)}"
  }
  assert {
    condition     = output.subnet_cidrs.private["eu-west-1a"] == "10.20.0.0/20" && output.subnet_cidrs.public["eu-west-1a"] == "10.20.240.0/24" && output.subnet_cidrs.intra["eu-west-1c"] == "10.20.250.0/24"
    error_message = "subnets are not where the README says"
  }
  # No range contains another's first address.
  assert {
    condition = alltrue(flatten([
      for a in flatten([for kind in values(output.subnet_cidrs) : values(kind)]) : [
        for b in flatten([for kind in values(output.subnet_cidrs) : values(kind)]) :
        a == b || cidrhost("${split("/", b)[0]}/${split("/", a)[1]}", 0) != split("/", a)[0]
      ]
    ]))
    error_message = "subnets overlap"
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route.private) == 3
    error_message = "one NAT gateway must serve three zones"
  }
  assert {
    condition     = length(aws_vpc_endpoint.interface) == 5 && aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway"
    error_message = "the endpoints are not all there"
  }
  assert {
    condition     = aws_default_security_group.this.vpc_id == aws_vpc.this.id && aws_default_security_group.this.ingress == null && aws_default_security_group.this.egress == null
    error_message = "the default security group must be ours and allow nothing"
  }
  assert {
    condition     = aws_subnet.public["eu-west-1a"].tags["kubernetes.io/role/elb"] == "1" && aws_subnet.private["eu-west-1a"].tags["kubernetes.io/role/internal-elb"] == "1"
    error_message = "load balancers find their subnets by these tags"
  }
  assert {
    condition     = aws_flow_log.this.traffic_type == "ALL" && aws_vpc.this.tags["environment"] == "dev"
    error_message = "flow logs or tags are missing"
  }
}

run "a_nat_gateway_per_zone" {
  variables {
    nat = "per-zone"
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 3
    error_message = "three zones need three NAT gateways"
  }
}

run "no_nat_and_no_endpoints" {
  variables {
    nat                 = "none"
    interface_endpoints = []
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 0 && length(aws_route.private) == 0 && length(aws_security_group.endpoints) == 0
    error_message = "nothing of NAT or endpoints must be left"
  }
}

run "a_region_without_enough_zones_is_refused" {
  command = plan
  variables {
    zone_count = 4
  }
  expect_failures = [aws_vpc.this]
}

run "an_overlap_is_refused" {
  command = plan
  variables {
    reserved_cidrs = { office = "10.20.128.0/20" }
  }
  expect_failures = [var.reserved_cidrs]
}

run "an_overlap_with_a_larger_range_is_refused" {
  command = plan
  variables {
    reserved_cidrs = { company = "10.0.0.0/8" }
  }
  expect_failures = [var.reserved_cidrs]
}

run "a_neighbour_is_no_overlap" {
  command = plan
  variables {
    reserved_cidrs = { staging = "10.21.0.0/16", services = "172.20.0.0/16" }
  }
}

run "a_range_that_is_too_small_is_refused" {
  command = plan
  variables {
    cidr = "10.20.0.0/20"
  }
  expect_failures = [var.cidr]
}

run "a_range_that_begins_in_the_middle_is_refused" {
  command = plan
  variables {
    cidr = "10.20.1.0/16"
  }
  expect_failures = [var.cidr]
}

run "a_public_range_is_refused" {
  command = plan
  variables {
    cidr = "8.8.0.0/16"
  }
  expect_failures = [var.cidr]
}

run "what_is_no_range_is_refused" {
  command = plan
  variables {
    reserved_cidrs = { office = "here" }
  }
  expect_failures = [var.reserved_cidrs]
}

run "a_name_that_is_too_long_is_refused" {
  command = plan
  variables {
    name = "a-name-that-is-much-too-long-for-what-is-made-of-it"
  }
  expect_failures = [var.name]
}

run "one_zone_is_refused" {
  command = plan
  variables {
    zone_count = 1
  }
  expect_failures = [var.zone_count]
}

run "an_unknown_kind_of_nat_is_refused" {
  command = plan
  variables {
    nat = "instance"
  }
  expect_failures = [var.nat]
}

run "a_second_s3_endpoint_is_refused" {
  command = plan
  variables {
    interface_endpoints = ["s3"]
  }
  expect_failures = [var.interface_endpoints]
}

run "a_retention_that_is_not_known_is_refused" {
  command = plan
  variables {
    flow_logs = { retention_days = 10 }
  }
  expect_failures = [var.flow_logs]
}
