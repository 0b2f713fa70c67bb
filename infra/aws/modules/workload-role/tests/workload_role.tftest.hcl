mock_provider "aws" {
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/sops" }
  }
}

variables {
  name            = "promote-dev-sops"
  cluster_name    = "promote-dev"
  service_account = { namespace = "flux-system", name = "kustomize-controller" }
  policies        = { decrypt = "{}" }
}

run "by_pod_identity" {
  assert {
    condition     = length(aws_eks_pod_identity_association.this) == 1 && jsondecode(aws_iam_role.this.assume_role_policy).Statement == [{ Effect = "Allow", Action = ["sts:AssumeRole", "sts:TagSession"], Principal = { Service = "pods.eks.amazonaws.com" } }]
    error_message = "the role must be one for Pod Identity"
  }
  assert {
    condition     = length(output.service_account_annotations) == 0
    error_message = "Pod Identity needs no annotation"
  }
}

run "by_web_identity" {
  variables {
    oidc_provider = { arn = "arn:aws:iam::111122223333:oidc-provider/oidc.example/id/A", issuer = "https://oidc.example/id/A" }
  }
  assert {
    condition = length(aws_eks_pod_identity_association.this) == 0 && jsondecode(aws_iam_role.this.assume_role_policy).Statement[0].Condition.StringEquals == {
      "oidc.example/id/A:aud" = "sts.amazonaws.com"
      "oidc.example/id/A:sub" = "system:serviceaccount:flux-system:kustomize-controller"
    }
    error_message = "the role must be one for this ServiceAccount alone"
  }
  assert {
    condition     = output.service_account_annotations == tomap({ "eks.amazonaws.com/role-arn" = "arn:aws:iam::111122223333:role/sops" })
    error_message = "web identity needs the annotation"
  }
}

run "a_role_name_that_is_too_long_is_refused" {
  command = plan
  variables {
    name = "a-role-name-that-has-more-than-the-sixty-four-characters-that-iam-allows"
  }
  expect_failures = [var.name]
}

run "a_wildcard_for_the_service_account_is_refused" {
  command = plan
  variables {
    service_account = { namespace = "flux-system", name = "*" }
  }
  expect_failures = [var.service_account]
}

run "an_empty_cluster_is_refused" {
  command = plan
  variables {
    cluster_name = ""
  }
  expect_failures = [var.cluster_name]
}

run "an_issuer_without_https_is_refused" {
  command = plan
  variables {
    oidc_provider = { arn = "arn:aws:iam::111122223333:oidc-provider/x", issuer = "http://oidc.example" }
  }
  expect_failures = [var.oidc_provider]
}

run "what_is_no_json_is_refused" {
  command = plan
  variables {
    policies = { decrypt = "allow everything" }
  }
  expect_failures = [var.policies]
}
