# No cluster: the providers' answers are invented, their schemas are the real ones.
mock_provider "helm" {}
mock_provider "kubernetes" {}

variables {
  hostname           = "rancher.localhost"
  server_url         = "https://rancher.localhost:8443"
  bootstrap_password = "canary-correct-horse"
}

run "behind_the_gateway" {
  assert {
    condition     = yamldecode(helm_release.rancher.values[0]).tls == "external" && yamldecode(helm_release.rancher.values[0]).ingress.enabled == false
    error_message = "TLS ends at the gateway, and there is no ingress controller"
  }
  assert {
    condition     = yamldecode(helm_release.rancher.values[0]).extraEnv[0].value == "https://rancher.localhost:8443" && output.url == "https://rancher.localhost:8443"
    error_message = "Rancher must know the port by which it is reached"
  }
  assert {
    condition     = output.service == "rancher.cattle-system.svc.cluster.local"
    error_message = "the VirtualService of deploy/flux routes to this Service"
  }
}

run "the_password_is_no_value_of_the_chart" {
  assert {
    condition     = !strcontains(jsonencode(helm_release.rancher.values), "canary")
    error_message = "what is a value of the chart is in the state"
  }
  assert {
    condition     = kubernetes_secret_v1.bootstrap.data_wo == null && kubernetes_secret_v1.bootstrap.data_wo_revision == 1
    error_message = "the Secret's content must be write-only"
  }
}

run "values_out_of_range_are_refused" {
  command = plan

  variables {
    hostname                    = "https://rancher.localhost"
    bootstrap_password          = "short"
    bootstrap_password_revision = 0
    replicas                    = 7
    tls                         = "none"
    chart_version               = "stable"
    values                      = ["a: b: c"]
  }
  expect_failures = [
    var.hostname, var.bootstrap_password, var.bootstrap_password_revision, var.replicas, var.tls, var.chart_version, var.values,
  ]
}

# By itself: Terraform holds the address against the host only where the host is valid.
run "an_address_without_tls_is_refused" {
  command = plan

  variables {
    server_url = "http://rancher.localhost"
  }
  expect_failures = [var.server_url]
}

run "an_address_that_leads_elsewhere_is_refused" {
  command = plan

  variables {
    server_url = "https://rancher.example.org:8443"
  }
  expect_failures = [var.server_url]
}

run "charts_come_from_a_mirror_as_well" {
  command = plan

  variables {
    chart_repository = "oci://registry.example.org:5000/charts"
  }
  assert {
    condition     = helm_release.rancher.repository == "oci://registry.example.org:5000/charts"
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
