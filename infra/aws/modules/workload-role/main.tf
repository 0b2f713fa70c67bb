locals {
  # The issuer without its scheme begins the names of the token's claims.
  issuer = var.oidc_provider == null ? "" : trimprefix(var.oidc_provider.issuer, "https://")

  pod_identity = {
    Effect    = "Allow"
    Action    = ["sts:AssumeRole", "sts:TagSession"]
    Principal = { Service = "pods.eks.amazonaws.com" }
  }
  web_identity = {
    Effect    = "Allow"
    Action    = ["sts:AssumeRoleWithWebIdentity"]
    Principal = { Federated = try(var.oidc_provider.arn, "") }
    Condition = {
      StringEquals = {
        "${local.issuer}:aud" = "sts.amazonaws.com"
        "${local.issuer}:sub" = "system:serviceaccount:${var.service_account.namespace}:${var.service_account.name}"
      }
    }
  }
}

resource "aws_iam_role" "this" {
  name = var.name
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [for statement in [local.pod_identity, local.web_identity] : statement if can(statement.Condition) == (var.oidc_provider != null)]
  })
  tags = var.tags

  depends_on = [var.after]
}

resource "aws_iam_role_policy" "this" {
  for_each = var.policies
  name     = each.key
  role     = aws_iam_role.this.id
  policy   = each.value
}

resource "aws_eks_pod_identity_association" "this" {
  count           = var.oidc_provider == null ? 1 : 0
  cluster_name    = var.cluster_name
  namespace       = var.service_account.namespace
  service_account = var.service_account.name
  role_arn        = aws_iam_role.this.arn
  tags            = var.tags
}
