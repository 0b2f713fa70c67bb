output "cluster_name" {
  description = "Name of the cluster."
  value       = module.eks.name
}

output "kubeconfig_command" {
  description = "Command that adds the cluster to your kubeconfig, under a name of its own."
  value       = "aws eks update-kubeconfig --name ${local.name} --alias ${local.name} --region ${var.region}"
}

output "registry" {
  description = "Host of the registry: `environments.aws.registry` in promote.yaml, and the beginning of the names in the aws overlays."
  value       = module.ecr.registry
}

output "repository_urls" {
  description = "Full names of the repositories, by name."
  value       = module.ecr.repository_urls
}

output "daemon_role_arn" {
  description = "ARN of the daemon's role."
  value       = module.daemon_iam.role_arn
}

output "sops_key_arn" {
  description = "ARN of the key for `sops encrypt --kms`."
  value       = module.kms.key_arns["sops"]
}

output "nat_addresses" {
  description = "Public addresses that the cluster's connections come from, for allow lists elsewhere."
  value       = module.vpc.nat_addresses
}

output "gateway_hostname" {
  description = "Host name of the gateway's load balancer, which *.DOMAIN points to; null without the platform."
  value       = one(flatten([for record in aws_route53_record.wildcard : tolist(record.records)]))
}

output "urls" {
  description = "Where the apps and Rancher are in a browser, once Flux has applied them; empty without the platform."
  value = var.enable_platform ? merge(
    { for app in ["test", "wiki"] : app => "https://${app}.${var.domain}" },
    var.enable_rancher ? { rancher = "https://rancher.${var.domain}" } : {},
  ) : {}
}
