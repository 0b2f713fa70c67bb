output "role_arn" {
  description = "ARN of the role."
  value       = aws_iam_role.this.arn
}

output "role_name" {
  description = "Name of the role."
  value       = aws_iam_role.this.name
}

output "service_account_annotations" {
  description = "What the ServiceAccount must be annotated with: nothing with Pod Identity."
  value       = var.oidc_provider == null ? {} : { "eks.amazonaws.com/role-arn" = aws_iam_role.this.arn }
}

output "policies" {
  description = "Policies of the role as they are attached: JSON documents by name."
  value       = { for name, policy in aws_iam_role_policy.this : name => policy.policy }
}
