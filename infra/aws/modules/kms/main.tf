data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region
  use       = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
}

resource "aws_kms_key" "this" {
  for_each                = var.keys
  description             = each.value.description
  enable_key_rotation     = true
  deletion_window_in_days = var.deletion_window_days

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      # Who may use the key is said by IAM policies of this account; without this statement a key can be lost for good.
      [{
        Sid       = "Account"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
        Action    = ["kms:*"]
        Resource  = ["*"]
      }],
      # CloudWatch names the log group in the context, so the key serves no other account's logs.
      [for service in each.value.services : {
        Sid       = "Service${replace(title(service), "-", "")}"
        Effect    = "Allow"
        Principal = { Service = "${service}.${local.region}.amazonaws.com" }
        Action    = local.use
        Resource  = ["*"]
        Condition = {
          (service == "logs" ? "ArnLike" : "StringEquals") = service == "logs" ? {
            "kms:EncryptionContext:aws:logs:arn" = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:*"
          } : { "aws:SourceAccount" = local.account }
        }
      }],
      # As in the policy of AWS's own EBS key: the service-linked role of auto scaling starts nodes, has no KMS right of its own, and
      # may not exist yet in a new account, so it cannot be named.
      [for service in each.value.via : {
        Sid       = "Via${replace(title(service), "-", "")}"
        Effect    = "Allow"
        Principal = { AWS = "*" }
        Action    = concat(local.use, ["kms:CreateGrant"])
        Resource  = ["*"]
        Condition = {
          StringEquals = {
            "kms:ViaService"    = "${service}.${local.region}.amazonaws.com"
            "kms:CallerAccount" = local.account
          }
        }
      }],
    )
  })

  tags = merge(var.tags, { Name = "${var.name}-${each.key}" })

  depends_on = [var.after]
}

resource "aws_kms_alias" "this" {
  for_each      = var.keys
  name          = "alias/${var.name}/${each.key}"
  target_key_id = aws_kms_key.this[each.key].key_id
}
