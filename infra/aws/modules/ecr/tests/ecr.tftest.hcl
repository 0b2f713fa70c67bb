mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }
  mock_data "aws_region" {
    defaults = { region = "eu-west-1" }
  }
}

variables {
  repositories = ["test-app", "team/wiki"]
  kms_key_arn  = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"
}

run "tags_are_fixed_and_images_scanned_and_encrypted" {
  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : repository.image_tag_mutability == "IMMUTABLE" && repository.image_scanning_configuration[0].scan_on_push && repository.encryption_configuration[0].encryption_type == "KMS" && !repository.force_delete])
    error_message = "a repository is not as promised"
  }
  assert {
    condition     = output.registry == "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
    error_message = "registry: ${output.registry}"
  }
  assert {
    condition     = output.pull_through_policy == null
    error_message = "without caches nodes need no further right"
  }
}

run "versions_and_builds_are_protected_before_anything_is_deleted" {
  variables {
    disposable_tags = { pr- = 20 }
  }
  assert {
    condition     = [for rule in jsondecode(output.lifecycle_policy).rules : try(rule.selection.tagPatternList[0], rule.selection.tagPrefixList[0], rule.selection.tagStatus)] == ["*.*.*", "build-*", "sha256-*", "untagged", "pr-"]
    error_message = "the rules, in their order: ${output.lifecycle_policy}"
  }
  assert {
    condition     = alltrue([for rule in slice(jsondecode(output.lifecycle_policy).rules, 0, 3) : rule.selection.countNumber == 100000])
    error_message = "a protecting rule must never fire"
  }
  assert {
    condition     = alltrue([for rule in jsondecode(output.lifecycle_policy).rules : rule.selection.tagStatus != "any"])
    error_message = "a rule for any image would delete what overlays use"
  }
}

run "untagged_images_can_be_kept" {
  variables {
    untagged_days = null
  }
  assert {
    condition     = alltrue([for rule in jsondecode(output.lifecycle_policy).rules : rule.selection.tagStatus == "tagged"])
    error_message = "the rules are: ${output.lifecycle_policy}"
  }
}

run "signatures_can_be_mutable" {
  variables {
    mutable_tag_patterns = ["sha256-*"]
  }
  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : repository.image_tag_mutability == "IMMUTABLE_WITH_EXCLUSION" && repository.image_tag_mutability_exclusion_filter[0].filter == "sha256-*"])
    error_message = "the exclusion is missing"
  }
}

run "a_cache_and_the_right_to_fill_it" {
  variables {
    pull_through = { quay = { upstream = "quay.io" } }
  }
  assert {
    condition     = aws_ecr_pull_through_cache_rule.this["quay"].upstream_registry_url == "quay.io" && jsondecode(output.pull_through_policy).Statement[0].Resource == ["arn:aws:ecr:eu-west-1:111122223333:repository/quay/*"]
    error_message = "the cache or the nodes' right is wrong"
  }
}

run "the_daemons_builds_are_not_disposable" {
  command = plan
  variables {
    disposable_tags = { build- = 5 }
  }
  expect_failures = [var.disposable_tags]
}

run "versions_are_not_disposable" {
  command = plan
  variables {
    disposable_tags = { "1." = 5 }
  }
  expect_failures = [var.disposable_tags]
}

run "freeing_every_tag_is_refused" {
  command = plan
  variables {
    mutable_tag_patterns = ["*"]
  }
  expect_failures = [var.mutable_tag_patterns]
}

run "no_protection_is_refused" {
  command = plan
  variables {
    kept_tag_patterns = []
  }
  expect_failures = [var.kept_tag_patterns]
}

run "zero_days_are_refused" {
  command = plan
  variables {
    untagged_days = 0
  }
  expect_failures = [var.untagged_days]
}

run "a_bad_repository_name_is_refused" {
  command = plan
  variables {
    repositories = ["Test_App"]
  }
  expect_failures = [var.repositories]
}

run "no_repository_is_refused" {
  command = plan
  variables {
    repositories = []
  }
  expect_failures = [var.repositories]
}

run "an_upstream_that_is_no_host_is_refused" {
  command = plan
  variables {
    pull_through = { quay = { upstream = "https://quay.io/" } }
  }
  expect_failures = [var.pull_through]
}

run "a_bad_prefix_is_refused" {
  command = plan
  variables {
    pull_through = { "Quay/" = { upstream = "quay.io" } }
  }
  expect_failures = [var.pull_through]
}

run "what_is_no_key_is_refused" {
  command = plan
  variables {
    kms_key_arn = "alias/registry"
  }
  expect_failures = [var.kms_key_arn]
}
