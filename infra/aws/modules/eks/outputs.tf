output "name" {
  description = "Name of the cluster. Whoever uses it waits for nodes, add-ons and access."
  depends_on  = [aws_eks_access_policy_association.this, aws_eks_addon.after_nodes]
  value       = aws_eks_cluster.this.name
}

output "endpoint" {
  description = "Address of the API server."
  depends_on  = [aws_eks_access_policy_association.this]
  value       = aws_eks_cluster.this.endpoint
}

output "certificate_authority" {
  description = "Certificate authority of the API server, as PEM in base64."
  value       = aws_eks_cluster.this.certificate_authority[0].data
}

output "oidc_provider" {
  description = "The IAM OIDC provider, for roles by web identity; null without `irsa`."
  value = var.irsa ? {
    arn    = aws_iam_openid_connect_provider.this[0].arn
    issuer = aws_eks_cluster.this.identity[0].oidc[0].issuer
  } : null
}

output "node_role_name" {
  description = "Name of the nodes' role."
  value       = aws_iam_role.node.name
}

output "node_security_group_id" {
  description = "Security group of the nodes."
  value       = aws_security_group.node.id
}
