locals {
  # The token itself opens nothing: what it may do is said by the statements below. It can't be limited to a repository.
  login = {
    Sid      = "Login"
    Effect   = "Allow"
    Action   = ["ecr:GetAuthorizationToken"]
    Resource = ["*"]
  }
  read = {
    Sid    = "Read"
    Effect = "Allow"
    Action = [
      "ecr:BatchCheckLayerAvailability",
      "ecr:BatchGetImage",
      "ecr:DescribeImages",
      "ecr:DescribeRepositories",
      "ecr:GetDownloadUrlForLayer",
      "ecr:ListImages",
    ]
    Resource = sort(var.read_repository_arns)
  }
  # No right to create a repository, to delete an image or to change a policy.
  push = {
    Sid    = "Push"
    Effect = "Allow"
    Action = [
      "ecr:CompleteLayerUpload",
      "ecr:InitiateLayerUpload",
      "ecr:PutImage",
      "ecr:UploadLayerPart",
    ]
    Resource = sort(var.push_repository_arns)
  }

  # Built here and not by a data source, so that a plan shows the document and a test can read it.
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat([local.login, local.read], length(var.push_repository_arns) > 0 ? [local.push] : [])
  })
}

module "role" {
  source = "../workload-role"

  name            = var.name
  cluster_name    = var.cluster_name
  service_account = var.service_account
  oidc_provider   = var.oidc_provider
  policies        = { registry = local.policy }
  tags            = var.tags
  after           = var.after
}
