# No cluster: Helm's answers are invented, its schema is the real one.
mock_provider "helm" {}

run "definitions_come_with_the_release_and_stay" {
  assert {
    condition     = yamldecode(helm_release.cert_manager.values[0]).crds == { enabled = true, keep = true }
    error_message = "the definitions must be installed, and kept on uninstall"
  }
  assert {
    condition     = output.namespace == "cert-manager" && output.chart_version == helm_release.cert_manager.version
    error_message = "outputs must say what is installed"
  }
}

run "later_values_win" {
  command = plan

  variables {
    values = ["replicaCount: 3"]
  }
  assert {
    condition     = length(helm_release.cert_manager.values) == 2 && yamldecode(helm_release.cert_manager.values[1]).replicaCount == 3
    error_message = "a caller's values must come last"
  }
}

run "values_out_of_range_are_refused" {
  command = plan

  variables {
    chart_version = "latest"
    namespace     = "Cert_Manager"
    replicas      = 0
    values        = ["a: b: c"]
  }
  expect_failures = [var.chart_version, var.namespace, var.replicas, var.values]
}

run "charts_come_from_a_mirror_as_well" {
  command = plan

  variables {
    chart_repository = "oci://registry.example.org:5000/charts"
  }
  assert {
    condition     = helm_release.cert_manager.repository == "oci://registry.example.org:5000/charts"
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
