mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { region = "eu-west-1" }
  }
}

variables {
  name = "promote-dev"
  keys = {
    cluster = { description = "Secrets" }
    logs    = { description = "Log groups", services = ["logs"] }
    disks   = { description = "Disks", via = ["ec2"] }
  }
}

run "one_rotated_key_per_purpose" {
  assert {
    condition     = length(aws_kms_key.this) == 3 && alltrue([for key in aws_kms_key.this : key.enable_key_rotation])
    error_message = "each purpose needs a key that is rotated"
  }
  assert {
    condition     = output.aliases["logs"] == "alias/promote-dev/logs"
    error_message = "alias: ${output.aliases["logs"]}"
  }
  assert {
    condition     = [for statement in jsondecode(aws_kms_key.this["cluster"].policy).Statement : statement.Sid] == ["Account"]
    error_message = "a key without services must be open to the account's IAM policies alone"
  }
  assert {
    condition     = jsondecode(aws_kms_key.this["logs"].policy).Statement[1].Condition.ArnLike["kms:EncryptionContext:aws:logs:arn"] == "arn:aws:logs:eu-west-1:111122223333:log-group:*"
    error_message = "CloudWatch must be held to this account's log groups"
  }
  assert {
    condition     = jsondecode(aws_kms_key.this["disks"].policy).Statement[1].Condition.StringEquals == { "kms:ViaService" = "ec2.eu-west-1.amazonaws.com", "kms:CallerAccount" = "111122223333" }
    error_message = "use by way of EC2 must be held to this account"
  }
}

run "no_key_is_refused" {
  command = plan
  variables {
    keys = {}
  }
  expect_failures = [var.keys]
}

run "a_full_service_name_is_refused" {
  command = plan
  variables {
    keys = { logs = { description = "x", services = ["logs.amazonaws.com"] } }
  }
  expect_failures = [var.keys]
}

run "a_short_deletion_window_is_refused" {
  command = plan
  variables {
    deletion_window_days = 1
  }
  expect_failures = [var.deletion_window_days]
}

run "a_bad_name_is_refused" {
  command = plan
  variables {
    name = "Promote_Dev"
  }
  expect_failures = [var.name]
}
