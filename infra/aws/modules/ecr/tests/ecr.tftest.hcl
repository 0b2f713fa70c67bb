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
  owner        = "promote-dev"
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

run "what_this_environment_made_stays_its_own" {
  command = plan
  override_data {
    target = data.aws_ecr_repositories.all
    values = { names = ["test-app", "of-others"] }
  }
  override_data {
    target = data.aws_ecr_repository.present
    values = { tags = { repositories-of = "promote-dev" } }
  }
  assert {
    condition     = keys(aws_ecr_repository.this) == ["team/wiki", "test-app"] && aws_ecr_repository.this["test-app"].tags["repositories-of"] == "promote-dev"
    error_message = "the repositories are no longer in the plan"
  }
}

run "a_repository_of_another_environment_is_refused" {
  command = plan
  override_data {
    target = data.aws_ecr_repositories.all
    values = { names = ["test-app"] }
  }
  override_data {
    target = data.aws_ecr_repository.present
    values = { tags = { repositories-of = "promote-staging" } }
  }
  expect_failures = [data.aws_ecr_repository.present]
}

run "a_repository_that_somebody_made_by_hand_is_refused" {
  command = plan
  override_data {
    target = data.aws_ecr_repositories.all
    values = { names = ["test-app"] }
  }
  override_data {
    target = data.aws_ecr_repository.present
    values = { tags = {} }
  }
  expect_failures = [data.aws_ecr_repository.present]
}

run "repositories_of_another_environment_are_shared_when_asked_for" {
  variables {
    create       = false
    kms_key_arn  = null
    pull_through = { quay = { upstream = "quay.io" } }
  }
  override_data {
    target = data.aws_ecr_repositories.all
    values = { names = ["test-app", "team/wiki", "of-others"] }
  }
  override_data {
    target = data.aws_ecr_repository.present
    values = { arn = "arn:aws:ecr:eu-west-1:111122223333:repository/shared", repository_url = "shared", tags = { repositories-of = "promote-staging" } }
  }
  assert {
    condition     = length(aws_ecr_repository.this) == 0 && length(aws_ecr_lifecycle_policy.this) == 0 && length(aws_ecr_pull_through_cache_rule.this) == 0
    error_message = "what is shared must be changed by its owner alone"
  }
  assert {
    condition     = output.repository_arns == { test-app = "arn:aws:ecr:eu-west-1:111122223333:repository/shared", "team/wiki" = "arn:aws:ecr:eu-west-1:111122223333:repository/shared" }
    error_message = "the repositories are not looked up"
  }
  assert {
    condition     = output.pull_through_policy != null
    error_message = "nodes need the right to use the shared caches"
  }
}

run "a_shared_repository_that_is_not_there_is_refused" {
  command = plan
  variables {
    create      = false
    kms_key_arn = null
  }
  override_data {
    target = data.aws_ecr_repositories.all
    values = { names = ["test-app"] }
  }
  expect_failures = [data.aws_ecr_repositories.all]
}

run "an_owner_that_is_no_name_is_refused" {
  command = plan
  variables {
    owner = "Promote Dev"
  }
  expect_failures = [var.owner]
}

run "images_without_a_key_are_refused" {
  command = plan
  variables {
    kms_key_arn = null
  }
  expect_failures = [var.kms_key_arn]
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
