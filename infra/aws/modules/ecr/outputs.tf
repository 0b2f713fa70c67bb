output "registry" {
  description = "Host of the registry, as image names begin."
  value       = "${data.aws_caller_identity.current.account_id}.dkr.ecr.${data.aws_region.current.region}.${data.aws_partition.current.dns_suffix}"
}

output "repository_arns" {
  description = "ARNs of the repositories, by name."
  value       = { for name, repository in local.repositories : name => repository.arn }
}

output "repository_urls" {
  description = "Full names of the repositories, by name."
  value       = { for name, repository in local.repositories : name => repository.repository_url }
}

output "lifecycle_policy" {
  description = "The repositories' lifecycle policy, as JSON."
  value       = local.lifecycle_policy
}

output "pull_through_policy" {
  description = "Policy, as JSON, that nodes need to pull through the caches: to create a cached repository and to import into it. Null without caches."
  value = length(var.pull_through) == 0 ? null : jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"]
      Resource = [for prefix in keys(var.pull_through) : "${local.registry_arn}/${prefix}/*"]
    }]
  })
}
