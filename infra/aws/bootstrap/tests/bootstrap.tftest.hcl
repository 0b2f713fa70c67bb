mock_provider "aws" {
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::promote-terraform-state" }
  }
}

variables {
  region     = "eu-west-1"
  account_id = "111122223333"
}

# A plan: what must not be destroyed could not be cleaned up after an apply.
run "a_versioned_encrypted_private_bucket" {
  command = plan
  assert {
    condition     = aws_s3_bucket.state.bucket == "promote-terraform-state-111122223333-eu-west-1" && length(aws_s3_bucket.state.bucket) <= 63
    error_message = "bucket: ${aws_s3_bucket.state.bucket}"
  }
  assert {
    condition     = aws_s3_bucket_versioning.state.versioning_configuration[0].status == "Enabled" && !aws_s3_bucket.state.force_destroy
    error_message = "former versions must be kept"
  }
  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.state.rule).apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms" && aws_kms_key.state.enable_key_rotation
    error_message = "the states must be encrypted with a key of our own"
  }
  assert {
    condition     = alltrue([aws_s3_bucket_public_access_block.state.block_public_acls, aws_s3_bucket_public_access_block.state.block_public_policy, aws_s3_bucket_public_access_block.state.ignore_public_acls, aws_s3_bucket_public_access_block.state.restrict_public_buckets])
    error_message = "the bucket must be private"
  }
}

run "only_over_tls" {
  command = plan
  override_resource {
    target          = aws_s3_bucket.state
    override_during = plan
    values          = { arn = "arn:aws:s3:::state" }
  }
  assert {
    condition     = [for statement in jsondecode(aws_s3_bucket_policy.state.policy).Statement : "${statement.Effect} ${keys(statement.Condition)[0]}"] == ["Deny Bool", "Deny NumericLessThan"]
    error_message = "policy: ${aws_s3_bucket_policy.state.policy}"
  }
}

run "a_name_that_is_too_long_is_refused" {
  command = plan
  variables {
    name = "a-name-that-is-too-long"
  }
  expect_failures = [var.name]
}

run "what_is_no_region_is_refused" {
  command = plan
  variables {
    region = "Ireland"
  }
  expect_failures = [var.region]
}

run "what_is_no_account_is_refused" {
  command = plan
  variables {
    account_id = "1234"
  }
  expect_failures = [var.account_id]
}

run "a_short_memory_is_refused" {
  command = plan
  variables {
    noncurrent_days = 1
  }
  expect_failures = [var.noncurrent_days]
}
