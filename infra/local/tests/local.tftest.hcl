# The cluster's commands are started for real, so k3d, kubectl and docker must be the stand-ins of tests/platform/stand-ins; what
# is installed on the cluster is invented by mocks of the real providers. tests/platform/infra_local.rs runs it so.
mock_provider "helm" {}
mock_provider "kubernetes" {}

variables {
  git_url = "https://git.example/team/gitops.git"
  # `terraform test` forgets the defaults of ephemeral variables between plan and apply.
  git_credentials            = { username = "promoted", password = "canary-git-token" }
  sops_age_key               = "AGE-SECRET-KEY-1CANARYAGECANARYAGECANARYAGE"
  rancher_bootstrap_password = "canary-rancher-password"
}

run "one_apply" {
  assert {
    condition     = output.context == "k3d-promote" && endswith(output.kubeconfig, "/.local/kubeconfig")
    error_message = "the cluster has a kubeconfig of its own"
  }
  assert {
    condition     = output.urls == { test-app = "http://test.localhost:8080", graphwiki = "http://wiki.localhost:8080", rancher = "https://rancher.localhost:8443" }
    error_message = "the addresses are those of the documents"
  }
  assert {
    condition     = length(module.daemon) == 0
    error_message = "the daemon's image is in no registry yet"
  }
  assert {
    condition     = local.git_port == 443
    error_message = "https is at 443"
  }
}

run "a_git_server_at_a_port_of_its_own" {
  command = plan

  variables {
    git_url = "ssh://git@git.example:7999/team/gitops.git"
  }
  assert {
    condition     = local.git_port == 7999
    error_message = "the daemon's NetworkPolicy must let it through: ${local.git_port}"
  }
}

run "git_by_ssh" {
  command = plan

  variables {
    git_url = "ssh://git@git.example/team/gitops.git"
  }
  assert {
    condition     = local.git_port == 22
    error_message = "ssh is at 22"
  }
}

run "a_token_in_the_address_is_refused" {
  command = plan

  variables {
    git_url = "https://user:token@git.example/team/gitops.git"
  }
  expect_failures = [var.git_url]
}

# What Rust's side of the test counts: the cluster is not made again.
run "again_with_the_daemon" {
  variables {
    git_authentication = "basic"
    enable_daemon      = true
  }
  assert {
    condition     = module.cluster.config == run.one_apply.config
    error_message = "the cluster is the same as before"
  }
  assert {
    condition     = yamldecode(module.daemon[0].values[0]).networkPolicy.egress == [{ cidr = "0.0.0.0/0", except = ["169.254.0.0/16"], ports = [443, 5000, 6443] }]
    error_message = "the registry is at port 5000: ${module.daemon[0].values[0]}"
  }
  assert {
    condition     = module.daemon[0].namespace == "promoted" && module.flux.git_secret == "flux-system"
    error_message = "one set of credentials serves Flux and the daemon"
  }
}

run "rancher_is_a_switch" {
  variables {
    enable_rancher             = false
    rancher_bootstrap_password = ""
  }
  assert {
    condition     = length(module.rancher) == 0 && !can(output.urls.rancher)
    error_message = "without the switch there is no Rancher, and no password is asked for"
  }
}

run "what_belongs_together_is_refused_apart" {
  command = plan

  variables {
    git_authentication         = "password"
    rancher_bootstrap_password = "short"
  }
  expect_failures = [var.git_authentication, var.rancher_bootstrap_password]
}

run "values_out_of_range_are_refused" {
  command = plan

  variables {
    git_url          = "git@git.example:team/gitops.git"
    git_branch       = "-x"
    sops_age_key     = "age1publickey"
    secrets_revision = 0
    daemon_image_tag = "a b"
    cluster_name     = "Promote"
    servers          = 2
    agents           = 11
    k3s_image        = "rancher/k3s:latest"
    bind_address     = "localhost"
    http_port        = 0
    chart_repositories = {
      istio = "charts.example.org"
    }
  }
  expect_failures = [
    var.git_url, var.git_branch, var.sops_age_key, var.secrets_revision, var.daemon_image_tag, var.cluster_name, var.servers,
    var.agents, var.k3s_image, var.bind_address, var.http_port, var.chart_repositories,
  ]
}

run "one_port_for_two_purposes_is_refused" {
  command = plan

  variables {
    https_port = 8080
  }
  expect_failures = [var.https_port]
}

run "a_port_out_of_range_is_refused" {
  command = plan

  variables {
    https_port = 70000
  }
  expect_failures = [var.https_port]
}

run "a_daemon_without_credentials_is_refused" {
  command = plan

  variables {
    enable_daemon = true
  }
  expect_failures = [var.enable_daemon]
}
