output "role_arn" {
  description = "ARN of the daemon's role."
  value       = module.role.role_arn
}

output "policy" {
  description = "The role's policy, as JSON."
  value       = local.policy
}

output "service_account_annotations" {
  description = "What the daemon's ServiceAccount must be annotated with: nothing with Pod Identity."
  value       = module.role.service_account_annotations
}
