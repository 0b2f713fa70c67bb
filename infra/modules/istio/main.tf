locals {
  # istiod turns Ignore, the charts' own word, into Fail once it answers, and every upgrade would turn it back: so Fail is what is
  # said from the start. Until istiod answers, objects of Istio's kinds are refused; what makes them waits for this module.
  validation = { validationFailurePolicy = "Fail" }
  # Each setting stands once in its chart's own words: the gateway's nest what istiod's have flat.
  istiod = {
    base             = local.validation
    autoscaleEnabled = var.autoscale
    autoscaleMin     = var.replicas
    autoscaleMax     = 5
    replicaCount     = var.replicas
    resources        = { requests = var.pilot_resources }
    meshConfig = {
      # An app starts only once its proxy can carry its first request.
      defaultConfig = { holdApplicationUntilProxyStarts = true }
    }
    # A budget of one pod at least would keep the only pod's node from being drained.
    global = { defaultPodDisruptionBudget = { enabled = var.replicas > 1 } }
  }
  gateway = {
    replicaCount = var.replicas
    autoscaling  = { enabled = var.autoscale, minReplicas = var.replicas, maxReplicas = 5 }
    resources    = { requests = var.gateway_resources }
    service = {
      type        = var.gateway_service_type
      annotations = var.gateway_annotations
      ports = [for p in var.gateway_ports : {
        name       = p.name
        port       = p.port
        protocol   = "TCP"
        targetPort = p.target_port
      }]
    }
  }
}

resource "helm_release" "base" {
  name             = "istio-base"
  namespace        = "istio-system"
  create_namespace = true
  repository       = var.chart_repository
  chart            = "base"
  version          = var.chart_version

  values = [yamlencode({
    defaultRevision = "default"
    # As templates, so that an upgrade of Istio upgrades the definitions, which Helm does not do for a crds folder.
    base = merge(local.validation, { enableCRDTemplates = true })
  })]
}

resource "helm_release" "istiod" {
  name       = "istiod"
  namespace  = helm_release.base.namespace
  repository = var.chart_repository
  chart      = "istiod"
  version    = var.chart_version
  timeout    = 600
  values     = [yamlencode(local.istiod)]
}

# The release's name makes the label `istio: ingressgateway`, by which Gateways find these pods.
resource "helm_release" "gateway" {
  name             = "istio-ingressgateway"
  namespace        = "istio-ingress"
  create_namespace = true
  repository       = var.chart_repository
  chart            = "gateway"
  version          = var.chart_version
  timeout          = 600
  values           = [yamlencode(local.gateway)]

  # The gateway's container is the one that istiod injects: without istiod its pods never start.
  depends_on = [helm_release.istiod]
}
