# No cluster: the providers' answers are invented, their schemas are the real ones.
mock_provider "helm" {}
mock_provider "kubernetes" {}

variables {
  git_url  = "https://git.example/team/gitops.git"
  git_path = "./deploy/flux/clusters/local"
  # `terraform test` forgets the defaults of ephemeral variables between plan and apply.
  git_credentials = {}
  sops_age_key    = ""
}

run "follows_the_branch_without_image_controllers" {
  variables {
    git_branch        = "release/1"
    cluster_variables = { cluster = "local" }
  }
  assert {
    condition     = yamldecode(helm_release.instance.values[0]).instance.components == ["source-controller", "kustomize-controller", "helm-controller", "notification-controller"]
    error_message = "promoted alone writes images"
  }
  assert {
    condition     = yamldecode(helm_release.instance.values[0]).instance.sync.ref == "refs/heads/release/1" && yamldecode(helm_release.instance.values[0]).instance.sync.path == "./deploy/flux/clusters/local"
    error_message = "Flux must follow the branch and the folder that were named"
  }
  assert {
    condition     = kubernetes_config_map_v1.cluster.metadata[0].name == "cluster-vars" && kubernetes_config_map_v1.cluster.data["cluster"] == "local"
    error_message = "the substitutions of deploy/flux come from cluster-vars"
  }
}

run "a_public_repository_needs_no_secret" {
  assert {
    condition     = length(kubernetes_secret_v1.git) == 0 && output.git_secret == null && yamldecode(helm_release.instance.values[0]).instance.sync.pullSecret == null
    error_message = "no credentials, no Secret"
  }
  assert {
    condition     = kubernetes_secret_v1.sops.metadata[0].name == "sops-age"
    error_message = "Flux knows no optional Secret for decryption"
  }
}

run "credentials_are_write_only" {
  variables {
    git_url            = "ssh://git@git.example/team/gitops.git"
    git_authentication = "ssh"
    git_credentials    = { identity = "canary-identity", known_hosts = "git.example ssh-ed25519 AAAA" }
    sops_age_key       = "AGE-SECRET-KEY-1CANARYCANARYCANARYCANARYCANARY"
    secrets_revision   = 3
  }
  assert {
    condition     = kubernetes_secret_v1.git[0].data_wo == null && kubernetes_secret_v1.sops.data_wo == null
    error_message = "the Secrets' content must be write-only"
  }
  assert {
    condition     = kubernetes_secret_v1.git[0].data_wo_revision == 3 && kubernetes_secret_v1.sops.data_wo_revision == 3
    error_message = "one revision writes both again"
  }
  assert {
    condition     = yamldecode(helm_release.instance.values[0]).instance.sync.pullSecret == "flux-system" && output.git_secret == "flux-system"
    error_message = "Flux must be told where the credentials are"
  }
}

run "values_out_of_range_are_refused" {
  command = plan

  variables {
    git_url           = "https://user:password@git.example/team/gitops.git"
    git_branch        = "-x"
    git_path          = "./../elsewhere"
    sops_age_key      = "age1publickey"
    secrets_revision  = 0.5
    cluster_variables = { "with-hyphen" = "x" }
    cluster_type      = "k3s"
    flux_version      = "latest"
    operator_version  = "0.58"
  }
  expect_failures = [
    var.git_url, var.git_branch, var.git_path, var.sops_age_key, var.secrets_revision, var.cluster_variables,
    var.cluster_type, var.flux_version, var.operator_version,
  ]
}

run "credentials_must_be_whole" {
  command = plan

  variables {
    git_authentication = "basic"
    git_credentials    = { username = "promoted" }
  }
  expect_failures = [var.git_credentials]
}

run "an_identity_without_known_hosts_is_refused" {
  command = plan

  variables {
    git_url            = "ssh://git@git.example/team/gitops.git"
    git_authentication = "ssh"
    git_credentials    = { identity = "canary-identity" }
  }
  expect_failures = [var.git_credentials]
}

run "authentication_must_fit_the_address" {
  command = plan

  variables {
    git_authentication = "ssh"
    git_credentials    = { identity = "canary-identity", known_hosts = "git.example ssh-ed25519 AAAA" }
  }
  expect_failures = [var.git_authentication]
}

run "an_unknown_login_is_refused" {
  command = plan

  variables {
    git_authentication = "token"
  }
  expect_failures = [var.git_authentication]
}

run "charts_come_from_a_mirror_as_well" {
  command = plan

  variables {
    chart_repository = "oci://registry.example.org:5000/charts"
  }
  assert {
    condition     = distinct([helm_release.operator.repository, helm_release.instance.repository]) == tolist(["oci://registry.example.org:5000/charts"])
    error_message = "the mirror was not asked"
  }
}

run "a_password_in_the_mirrors_address_is_refused" {
  command = plan

  variables {
    chart_repository = "https://user:password@charts.example.org"
  }
  expect_failures = [var.chart_repository]
}
