# Plans only: nothing is made, and no program is started.
variables {
  kubeconfig = ".local/kubeconfig"
}

run "one_server_and_two_agents" {
  command = plan

  assert {
    condition     = local.settings.servers == 1 && local.settings.agents == 2 && local.settings.http_port == 8080 && local.settings.https_port == 8443
    error_message = "the defaults are those of the documents"
  }
  assert {
    condition     = output.registry == "k3d-registry:5000"
    error_message = "promote.yaml and the overlays name this registry"
  }
}

run "values_out_of_range_are_refused" {
  command = plan

  variables {
    name         = "Promote_1"
    servers      = 2
    agents       = -1
    k3s_image    = "rancher/k3s:latest"
    bind_address = "localhost"
    http_port    = 0
    kubeconfig   = "~/.kube/config"
    wait         = "3m"
  }
  expect_failures = [
    var.name, var.servers, var.agents, var.k3s_image, var.bind_address, var.http_port, var.kubeconfig, var.wait,
  ]
}

run "a_name_too_long_for_k3d_is_refused" {
  command = plan

  variables {
    name = "a23456789012345678901234567890123"
  }
  expect_failures = [var.name]
}

run "a_port_out_of_range_is_refused" {
  command = plan

  variables {
    https_port = 70000
  }
  expect_failures = [var.https_port]
}

run "one_port_for_two_purposes_is_refused" {
  command = plan

  variables {
    http_port  = 8443
    https_port = 8443
  }
  expect_failures = [var.https_port]
}

run "the_registrys_port_is_taken" {
  command = plan

  variables {
    http_port = 5000
  }
  expect_failures = [var.https_port]
}
