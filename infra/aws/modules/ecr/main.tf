data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  # By this tag a later plan knows whose repositories these are.
  mark = "repositories-of"
  repositories = {
    for name, repository in merge(data.aws_ecr_repository.present, aws_ecr_repository.this) : name => {
      arn            = repository.arn
      repository_url = repository.repository_url
    }
  }
  # What is shared brings its caches along.
  caches = var.create ? var.pull_through : {}

  # More than a repository can hold, so that a rule with this count protects what it matches and never deletes.
  never = 100000

  rules = concat(
    [for pattern in var.kept_tag_patterns : {
      description = "Keeps ${pattern}"
      selection   = { tagStatus = "tagged", tagPatternList = [pattern], countType = "imageCountMoreThan", countNumber = local.never }
    }],
    [for days in compact([var.untagged_days]) : {
      description = "Deletes what has had no tag for ${days} days"
      selection   = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = tonumber(days) }
    }],
    [for prefix, count in var.disposable_tags : {
      description = "Keeps the last ${count} of ${prefix}"
      selection   = { tagStatus = "tagged", tagPrefixList = [prefix], countType = "imageCountMoreThan", countNumber = count }
    }],
  )
  lifecycle_policy = jsonencode({
    rules = [for index, rule in local.rules : merge(rule, { rulePriority = index + 1, action = { type = "expire" } })]
  })

  registry_arn = "arn:${data.aws_partition.current.partition}:ecr:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:repository"
}

# Repositories belong to an account and a region, not to an environment: what is there already is looked at in the plan.
data "aws_ecr_repositories" "all" {
  lifecycle {
    postcondition {
      condition     = var.create || length(setsubtract(var.repositories, self.names)) == 0
      error_message = "There is no repository ${join(", ", setsubtract(var.repositories, self.names))} in ${data.aws_region.current.region} of account ${data.aws_caller_identity.current.account_id}: apply the environment that makes them first (create_repositories = true), or name others."
    }
  }
}

data "aws_ecr_repository" "present" {
  for_each = setintersection(var.repositories, data.aws_ecr_repositories.all.names)
  name     = each.key

  lifecycle {
    postcondition {
      condition     = !var.create || try(self.tags[local.mark], "") == var.owner
      error_message = "The repository ${each.key} exists already in ${data.aws_region.current.region} of this account, and was made by ${try(self.tags[local.mark], "somebody else")}, not by ${var.owner}: share it with create_repositories = false, or use an account of its own for this environment."
    }
  }
}

resource "aws_ecr_repository" "this" {
  for_each             = var.create ? var.repositories : []
  name                 = each.key
  image_tag_mutability = length(var.mutable_tag_patterns) == 0 ? "IMMUTABLE" : "IMMUTABLE_WITH_EXCLUSION"
  # A repository with images is the history that a rollback needs.
  force_delete = false
  tags         = merge(var.tags, { (local.mark) = var.owner })

  dynamic "image_tag_mutability_exclusion_filter" {
    for_each = var.mutable_tag_patterns
    content {
      filter      = image_tag_mutability_exclusion_filter.value
      filter_type = "WILDCARD"
    }
  }

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = var.kms_key_arn
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  for_each   = aws_ecr_repository.this
  repository = each.value.name
  policy     = local.lifecycle_policy
}

resource "aws_ecr_pull_through_cache_rule" "this" {
  for_each              = local.caches
  ecr_repository_prefix = each.key
  upstream_registry_url = each.value.upstream
  credential_arn        = each.value.credential_arn
  # Else the first pull could make a repository without the template.
  depends_on = [aws_ecr_repository_creation_template.this]
}

# Cached repositories are made by ECR at the first pull. Their tags follow the upstream, so they are not immutable.
resource "aws_ecr_repository_creation_template" "this" {
  for_each             = local.caches
  prefix               = each.key
  description          = "Images cached from ${each.value.upstream}"
  applied_for          = ["PULL_THROUGH_CACHE"]
  image_tag_mutability = "MUTABLE"
  custom_role_arn      = aws_iam_role.creation[0].arn
  resource_tags        = var.tags

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = var.kms_key_arn
  }

  lifecycle_policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "Deletes cached images after 90 days; they are fetched again"
      selection    = { tagStatus = "any", countType = "sinceImagePushed", countUnit = "days", countNumber = 90 }
      action       = { type = "expire" }
    }]
  })
}

# ECR tags and encrypts what it creates by this role.
resource "aws_iam_role" "creation" {
  count       = length(local.caches) > 0 ? 1 : 0
  name_prefix = "ecr-repository-creation-"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ecr.amazonaws.com" }
    }]
  })
  tags = var.tags

  depends_on = [var.after]
}

resource "aws_iam_role_policy" "creation" {
  count = length(local.caches) > 0 ? 1 : 0
  name  = "create"
  role  = aws_iam_role.creation[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["ecr:CreateRepository", "ecr:ReplicateImage", "ecr:TagResource"]
        Resource = [for prefix in keys(var.pull_through) : "${local.registry_arn}/${prefix}/*"]
      },
      {
        Effect   = "Allow"
        Action   = ["kms:CreateGrant", "kms:RetireGrant", "kms:DescribeKey"]
        Resource = [var.kms_key_arn]
      },
    ]
  })
}
