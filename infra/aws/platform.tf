# What both clusters have, by the same modules as infra/local. Each waits for the cluster as a whole: nodes, add-ons and the right to use the API.

locals {
  count = var.enable_platform ? 1 : 0
}

# cert-manager proves by a DNS record that the domain is ours.
module "cert_manager_role" {
  source = "./modules/workload-role"
  count  = local.count

  name            = "${local.name}-cert-manager"
  cluster_name    = module.eks.name
  service_account = { namespace = "cert-manager", name = "cert-manager" }
  policies = {
    dns = jsonencode({
      Version = "2012-10-17"
      Statement = [
        { Effect = "Allow", Action = ["route53:GetChange"], Resource = ["arn:aws:route53:::change/*"] },
        { Effect = "Allow", Action = ["route53:ListHostedZonesByName"], Resource = ["*"] },
        {
          Effect   = "Allow"
          Action   = ["route53:ChangeResourceRecordSets", "route53:ListResourceRecordSets"]
          Resource = ["arn:aws:route53:::hostedzone/${var.hosted_zone_id}"]
          # Nothing but the records of the challenge: a stolen role cannot send the domain's traffic elsewhere.
          Condition = { "ForAllValues:StringEquals" = { "route53:ChangeResourceRecordSetsRecordTypes" = ["TXT"] } }
        },
      ]
    })
  }
  tags  = local.tags
  after = terraform_data.aws_cli.id
}

module "cert_manager" {
  source = "../modules/cert-manager"
  count  = local.count

  chart_repository = var.chart_repositories.cert_manager
  replicas         = 2
  depends_on       = [module.eks, module.cert_manager_role]
}

module "istio" {
  source = "../modules/istio"
  count  = local.count

  chart_repository  = var.chart_repositories.istio
  replicas          = 2
  autoscale         = true
  pilot_resources   = { cpu = "250m", memory = "1Gi" }
  gateway_resources = { cpu = "100m", memory = "128Mi" }
  # Made by the cluster's own cloud controller. Targets that are pods and not nodes would need the load balancer controller.
  gateway_annotations = {
    "service.beta.kubernetes.io/aws-load-balancer-type"                              = "nlb"
    "service.beta.kubernetes.io/aws-load-balancer-scheme"                            = "internet-facing"
    "service.beta.kubernetes.io/aws-load-balancer-cross-zone-load-balancing-enabled" = "true"
    "service.beta.kubernetes.io/aws-load-balancer-additional-resource-tags"          = join(",", [for key, value in local.tags : "${key}=${value}"])
  }
  depends_on = [module.eks]
}

data "kubernetes_service_v1" "gateway" {
  count = local.count

  metadata {
    name      = module.istio[0].gateway_service
    namespace = module.istio[0].gateway_namespace
  }

  # Else it would be read in the plan, when there is no cluster yet.
  depends_on = [module.istio]
}

# One record for all hosts; which app answers is the Gateway's matter.
resource "aws_route53_record" "wildcard" {
  count   = local.count
  zone_id = var.hosted_zone_id
  name    = "*.${var.domain}"
  type    = "CNAME"
  ttl     = 60
  records = [data.kubernetes_service_v1.gateway[0].status[0].load_balancer[0].ingress[0].hostname]
}

module "rancher" {
  source = "../modules/rancher"
  count  = var.enable_platform && var.enable_rancher ? 1 : 0

  chart_repository            = var.chart_repositories.rancher
  hostname                    = "rancher.${var.domain}"
  server_url                  = "https://rancher.${var.domain}"
  bootstrap_password          = var.rancher_bootstrap_password
  bootstrap_password_revision = var.secrets_revision
  replicas                    = var.rancher_replicas
  depends_on                  = [module.cert_manager, module.istio]
}

# Flux decrypts what SOPS encrypted with this key; no key of its own is kept in the cluster.
module "sops_role" {
  source = "./modules/workload-role"
  count  = local.count

  name            = "${local.name}-sops"
  cluster_name    = module.eks.name
  service_account = { namespace = "flux-system", name = "kustomize-controller" }
  policies = {
    decrypt = jsonencode({
      Version   = "2012-10-17"
      Statement = [{ Effect = "Allow", Action = ["kms:Decrypt"], Resource = [module.kms.key_arns["sops"]] }]
    })
  }
  tags  = local.tags
  after = terraform_data.aws_cli.id
}

module "flux" {
  source = "../modules/flux"
  count  = local.count

  chart_repository   = var.chart_repositories.flux
  git_url            = var.git_url
  git_branch         = var.git_branch
  git_path           = "./deploy/flux/clusters/aws"
  git_authentication = var.git_authentication
  git_credentials    = var.git_credentials
  secrets_revision   = var.secrets_revision
  cluster_type       = "aws"
  cluster_variables = {
    cluster    = "aws"
    domain     = var.domain
    region     = var.region
    acme_email = var.acme_email
  }
  # What Flux applies first needs the kinds of Istio and cert-manager.
  depends_on = [module.cert_manager, module.istio, module.sops_role]
}

module "daemon" {
  source = "../modules/daemon"
  count  = var.enable_platform && var.enable_daemon ? 1 : 0

  image                       = { repository = coalesce(var.daemon.image, "${module.ecr.registry}/promoted"), tag = var.daemon.tag, digest = var.daemon.digest }
  repo                        = var.git_url
  branch                      = var.git_branch
  environment                 = var.daemon.environment
  replicas                    = 2
  git_authentication          = var.git_authentication
  git_credentials             = var.git_credentials
  secrets_revision            = var.secrets_revision
  registry_secrets            = var.daemon.registry_secrets
  service_account_annotations = module.daemon_iam.service_account_annotations
  egress = concat(
    [{ cidr = "0.0.0.0/0", except = ["169.254.0.0/16"], ports = distinct([local.git_port, 443, 6443]) }],
    # The Pod Identity agent of the node, and nothing else that is link-local: not the node's own credentials.
    var.irsa ? [] : [{ cidr = "169.254.170.23/32", ports = [80] }],
  )
  depends_on = [module.daemon_iam, module.flux]
}
