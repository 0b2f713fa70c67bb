mock_provider "aws" {
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/promoted" }
  }
}

variables {
  name                 = "promote-dev-promoted"
  cluster_name         = "promote-dev"
  read_repository_arns = ["arn:aws:ecr:eu-west-1:111122223333:repository/test-app", "arn:aws:ecr:eu-west-1:111122223333:repository/team/wiki"]
}

# The whole list of rights: whoever adds one changes it here, too.
run "it_reads_named_repositories_and_nothing_else" {
  assert {
    condition = jsondecode(output.policy).Statement == [
      { Sid = "Login", Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = ["*"] },
      {
        Sid    = "Read"
        Effect = "Allow"
        Action = [
          "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:DescribeImages", "ecr:DescribeRepositories",
          "ecr:GetDownloadUrlForLayer", "ecr:ListImages",
        ]
        Resource = ["arn:aws:ecr:eu-west-1:111122223333:repository/team/wiki", "arn:aws:ecr:eu-west-1:111122223333:repository/test-app"]
      },
    ]
    error_message = "the daemon's rights are: ${output.policy}"
  }
  assert {
    condition     = length(output.service_account_annotations) == 0
    error_message = "Pod Identity needs no annotation"
  }
}

run "it_pushes_where_that_was_asked_for" {
  variables {
    push_repository_arns = ["arn:aws:ecr:eu-west-1:111122223333:repository/test-app"]
  }
  assert {
    condition = jsondecode(output.policy).Statement[2] == {
      Sid      = "Push"
      Effect   = "Allow"
      Action   = ["ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"]
      Resource = ["arn:aws:ecr:eu-west-1:111122223333:repository/test-app"]
    }
    error_message = "the daemon's rights are: ${output.policy}"
  }
}

run "by_web_identity_the_service_account_is_annotated" {
  variables {
    oidc_provider = { arn = "arn:aws:iam::111122223333:oidc-provider/oidc.example/id/A", issuer = "https://oidc.example/id/A" }
  }
  assert {
    condition     = output.service_account_annotations == tomap({ "eks.amazonaws.com/role-arn" = "arn:aws:iam::111122223333:role/promoted" })
    error_message = "web identity needs the annotation"
  }
}

run "a_wildcard_is_refused" {
  command = plan
  variables {
    read_repository_arns = ["arn:aws:ecr:eu-west-1:111122223333:repository/*"]
  }
  expect_failures = [var.read_repository_arns]
}

run "no_repository_is_refused" {
  command = plan
  variables {
    read_repository_arns = []
  }
  expect_failures = [var.read_repository_arns]
}

run "pushing_where_it_cannot_read_is_refused" {
  command = plan
  variables {
    push_repository_arns = ["arn:aws:ecr:eu-west-1:111122223333:repository/other"]
  }
  expect_failures = [var.push_repository_arns]
}

run "a_role_name_that_is_too_long_is_refused" {
  command = plan
  variables {
    name = "a-role-name-that-has-more-than-the-sixty-four-characters-that-iam-allows"
  }
  expect_failures = [var.name]
}

run "an_empty_cluster_is_refused" {
  command = plan
  variables {
    cluster_name = ""
  }
  expect_failures = [var.cluster_name]
}
