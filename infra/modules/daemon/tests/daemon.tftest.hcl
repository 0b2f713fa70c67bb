# No cluster: the providers' answers are invented, their schemas are the real ones.
mock_provider "helm" {}
mock_provider "kubernetes" {}

variables {
  image              = { repository = "k3d-registry:5000/promoted", tag = "0.1.0" }
  repo               = "https://git.example/team/gitops.git"
  environment        = "local"
  git_authentication = "basic"
  git_credentials    = { username = "promoted", password = "canary-token" }
}

run "serves_the_environment_of_its_cluster" {
  assert {
    condition     = yamldecode(helm_release.daemon.values[0]).environments == ["local"] && yamldecode(helm_release.daemon.values[0]).repo == "https://git.example/team/gitops.git"
    error_message = "one daemon per cluster serves that cluster's environment"
  }
  assert {
    condition     = yamldecode(helm_release.daemon.values[0]).rbac.allNamespaces == true
    error_message = "without namespaces by name it reads all of them"
  }
  assert {
    condition     = !can(yamldecode(helm_release.daemon.values[0]).networkPolicy)
    error_message = "without egress the chart's own rules hold"
  }
}

run "the_token_is_in_a_secret_alone" {
  assert {
    condition     = !strcontains(jsonencode(helm_release.daemon.values), "canary") && kubernetes_secret_v1.git[0].data_wo == null
    error_message = "the token must be neither a value of the chart nor in the state"
  }
  assert {
    condition     = yamldecode(helm_release.daemon.values[0]).gitCredentials.secretName == "promoted-git"
    error_message = "the chart must be told where the credentials are"
  }
}

run "names_narrow_its_rights_and_ways" {
  variables {
    app_namespaces = ["test-app"]
    egress         = [{ cidr = "10.0.0.0/8", ports = [443, 5000] }, { namespace = "git", ports = [22] }]
  }
  assert {
    condition     = yamldecode(helm_release.daemon.values[0]).rbac == { appNamespaces = ["test-app"], allNamespaces = false }
    error_message = "named namespaces mean Roles there alone"
  }
  assert {
    condition     = yamldecode(helm_release.daemon.values[0]).networkPolicy.egress == [{ cidr = "10.0.0.0/8", ports = [443, 5000] }, { namespace = "git", ports = [22] }]
    error_message = "the rules must reach the chart without empty keys, which its schema refuses"
  }
}

run "a_secret_that_exists" {
  variables {
    git_authentication = "none"
    git_credentials    = {}
    git_secret         = "from-external-secrets"
    named_secret       = "keys"
  }
  assert {
    condition     = length(kubernetes_secret_v1.git) == 0 && yamldecode(helm_release.daemon.values[0]).gitCredentials.secretName == "from-external-secrets"
    error_message = "a named Secret is used as it is"
  }
  assert {
    condition     = yamldecode(helm_release.daemon.values[0]).secrets.secretName == "keys"
    error_message = "promote.yaml's secrets come from the named Secret"
  }
}

run "values_out_of_range_are_refused" {
  command = plan

  variables {
    namespace          = "Promoted"
    image              = { repository = "promoted", tag = "0.1.0", digest = "sha256:12" }
    repo               = "git@git.example:team/gitops.git"
    branch             = "a b"
    environment        = "Local"
    replicas           = 3
    registry_endpoints = { "http://localhost:5000" = "k3d-registry:5000" }
    app_namespaces     = ["*"]
    egress             = [{ ports = [0] }]
    secrets_revision   = 0
    registry_secrets   = ["Registry"]
    named_secret       = "the keys"
    values             = ["a: b: c"]
  }
  expect_failures = [
    var.namespace, var.image, var.repo, var.branch, var.environment, var.replicas, var.registry_endpoints,
    var.app_namespaces, var.egress, var.secrets_revision, var.registry_secrets, var.named_secret, var.values,
  ]
}

run "credentials_must_be_whole" {
  command = plan

  variables {
    git_credentials = { username = "promoted" }
  }
  expect_failures = [var.git_credentials]
}

run "no_credentials_are_refused" {
  command = plan

  variables {
    git_authentication = "none"
    git_credentials    = {}
  }
  expect_failures = [var.git_authentication]
}

run "an_identity_without_known_hosts_is_refused" {
  command = plan

  variables {
    git_authentication = "ssh"
    git_credentials    = { identity = "canary-identity" }
  }
  expect_failures = [var.git_credentials]
}

run "an_unknown_login_is_refused" {
  command = plan

  variables {
    git_authentication = "token"
  }
  expect_failures = [var.git_authentication]
}

run "what_is_no_secrets_name_is_refused" {
  command = plan

  variables {
    git_authentication = "none"
    git_credentials    = {}
    git_secret         = "The Secret"
  }
  expect_failures = [var.git_secret]
}
