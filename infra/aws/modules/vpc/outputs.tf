output "vpc_id" {
  description = "Identifier of the network."
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "IPv4 range of the network."
  value       = var.cidr
}

output "zones" {
  description = "Names of the availability zones that are used."
  value       = local.zones
}

output "private_subnet_ids" {
  description = "Subnets of nodes and pods, one per zone, in the order of zones."
  # The way out is part of what makes these subnets usable: nodes must not start before it.
  depends_on = [aws_route.private, aws_route_table_association.private, aws_vpc_endpoint.interface, aws_vpc_endpoint.s3]
  value      = [for zone in local.zones : aws_subnet.private[zone].id]
}

output "public_subnet_ids" {
  description = "Subnets of load balancers, one per zone, in the order of zones."
  depends_on  = [aws_route.public, aws_route_table_association.public]
  value       = [for zone in local.zones : aws_subnet.public[zone].id]
}

output "intra_subnet_ids" {
  description = "Subnets without a way out, for the control plane's interfaces, one per zone, in the order of zones."
  value       = [for zone in local.zones : aws_subnet.intra[zone].id]
}

output "subnet_cidrs" {
  description = "IPv4 ranges of all subnets, by kind and zone."
  value       = { private = local.private, public = local.public, intra = local.intra }
}

output "nat_addresses" {
  description = "Public addresses by which private subnets reach the internet."
  value       = [for address in aws_eip.nat : address.public_ip]
}
