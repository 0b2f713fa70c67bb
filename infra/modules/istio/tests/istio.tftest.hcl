# No cluster: Helm's answers are invented, its schema is the real one.
mock_provider "helm" {}

run "one_version_for_all_three_charts" {
  variables {
    chart_version = "1.30.2"
  }
  assert {
    condition     = distinct([helm_release.base.version, helm_release.istiod.version, helm_release.gateway.version]) == tolist(["1.30.2"])
    error_message = "definitions, control plane and gateway must have the same version"
  }
  assert {
    condition     = output.gateway_selector == { istio = "ingressgateway" } && output.gateway_namespace == "istio-ingress"
    error_message = "the shared Gateway of deploy/flux selects istio: ingressgateway in istio-ingress"
  }
}

run "istiod_has_nothing_to_flip" {
  assert {
    condition     = yamldecode(helm_release.base.values[0]).base.validationFailurePolicy == "Fail" && yamldecode(helm_release.istiod.values[0]).base.validationFailurePolicy == "Fail"
    error_message = "istiod sets its webhooks to Fail, and an upgrade must not set them back"
  }
  assert {
    condition     = yamldecode(helm_release.base.values[0]).base.enableCRDTemplates
    error_message = "an upgrade of Istio must upgrade its definitions"
  }
}

run "sized_for_a_laptop" {
  assert {
    condition     = local.istiod.resources.requests.memory == "256Mi" && local.istiod.autoscaleEnabled == false && local.istiod.replicaCount == 1
    error_message = "one small istiod is the default"
  }
  assert {
    condition     = yamldecode(helm_release.gateway.values[0]).autoscaling.enabled == false
    error_message = "the gateway does not scale by default"
  }
}

run "a_cloud_differs_by_variables_alone" {
  variables {
    gateway_annotations = { "service.beta.kubernetes.io/aws-load-balancer-type" = "external" }
    gateway_ports       = [{ name = "https", port = 443, target_port = 8443 }]
    pilot_resources     = { cpu = "500m", memory = "2Gi" }
    autoscale           = true
    replicas            = 2
  }
  assert {
    condition     = yamldecode(helm_release.gateway.values[0]).service.ports == [{ name = "https", port = 443, protocol = "TCP", targetPort = 8443 }]
    error_message = "the Service has the ports that were asked for"
  }
  assert {
    condition     = yamldecode(helm_release.gateway.values[0]).service.annotations["service.beta.kubernetes.io/aws-load-balancer-type"] == "external"
    error_message = "the Service carries the annotations"
  }
  assert {
    condition     = yamldecode(helm_release.istiod.values[0]).autoscaleMin == 2 && yamldecode(helm_release.gateway.values[0]).autoscaling.minReplicas == 2
    error_message = "both grow from the same number of replicas"
  }
}

run "values_out_of_range_are_refused" {
  command = plan

  variables {
    chart_version        = "1.30"
    gateway_service_type = "Loadbalancer"
    gateway_ports        = [{ name = "https", port = 70000, target_port = 443 }]
    pilot_resources      = { cpu = "half", memory = "256Mi" }
    gateway_resources    = { cpu = "50m", memory = "64" }
    replicas             = 1.5
  }
  expect_failures = [
    var.chart_version, var.gateway_service_type, var.gateway_ports, var.pilot_resources, var.gateway_resources, var.replicas,
  ]
}

run "a_port_twice_is_refused" {
  command = plan

  variables {
    gateway_ports = [{ name = "http", port = 80, target_port = 80 }, { name = "web", port = 80, target_port = 8080 }]
  }
  expect_failures = [var.gateway_ports]
}

run "charts_come_from_a_mirror_as_well" {
  command = plan

  variables {
    chart_repository = "oci://registry.example.org:5000/charts"
  }
  assert {
    condition     = distinct([helm_release.base.repository, helm_release.istiod.repository, helm_release.gateway.repository]) == tolist(["oci://registry.example.org:5000/charts"])
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
