# Rules stand alone and not within the groups: the cloud controller adds rules for load balancers to the nodes' group, and they must stay.

locals {
  # What the API server calls on nodes and pods. A missing 15017 shows as "failed calling webhook" with a time-out when a pod with a sidecar starts.
  from_control_plane = {
    kubelet-and-cert-manager-webhook = 10250
    https                            = 443
    webhooks-6443                    = 6443
    webhooks-8443                    = 8443
    webhooks-9443                    = 9443
    metrics-server                   = 10251
    istiod-webhook                   = 15017
    istiod-discovery                 = 15012
  }
  node_egress = merge({
    https   = { protocol = "tcp", port = 443 }
    ssh-git = { protocol = "tcp", port = 22 }
    dns-udp = { protocol = "udp", port = 53 }
    dns-tcp = { protocol = "tcp", port = 53 }
    ntp     = { protocol = "udp", port = 123 }
  }, { for port in var.node_egress_ports : "tcp-${port}" => { protocol = "tcp", port = port } })
}

resource "aws_security_group" "cluster" {
  name_prefix = "${var.name}-cluster-"
  description = "Control plane of ${var.name}"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-cluster" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "node" {
  name_prefix = "${var.name}-node-"
  description = "Nodes of ${var.name}"
  vpc_id      = var.vpc_id
  # The tag tells the cloud controller where to open the ports of load balancers; exactly one group of a node may have it.
  tags = merge(var.tags, { Name = "${var.name}-node", "kubernetes.io/cluster/${var.name}" = "owned" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "cluster" {
  security_group_id            = aws_security_group.cluster.id
  description                  = "API server from nodes and pods"
  referenced_security_group_id = aws_security_group.node.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  tags                         = var.tags
}

resource "aws_vpc_security_group_egress_rule" "cluster" {
  for_each                     = local.from_control_plane
  security_group_id            = aws_security_group.cluster.id
  description                  = "${each.key} on nodes and pods"
  referenced_security_group_id = aws_security_group.node.id
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
  tags                         = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "node" {
  for_each                     = local.from_control_plane
  security_group_id            = aws_security_group.node.id
  description                  = "${each.key} from the control plane"
  referenced_security_group_id = aws_security_group.cluster.id
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
  tags                         = var.tags
}

# Pods use the nodes' interfaces, so what pods may say to each other is a matter of NetworkPolicies, not of this group.
resource "aws_vpc_security_group_ingress_rule" "node_to_node" {
  security_group_id            = aws_security_group.node.id
  description                  = "Nodes and pods among each other"
  referenced_security_group_id = aws_security_group.node.id
  ip_protocol                  = "-1"
  tags                         = var.tags
}

resource "aws_vpc_security_group_egress_rule" "node_to_node" {
  security_group_id            = aws_security_group.node.id
  description                  = "Nodes and pods among each other"
  referenced_security_group_id = aws_security_group.node.id
  ip_protocol                  = "-1"
  tags                         = var.tags
}

resource "aws_vpc_security_group_egress_rule" "node" {
  for_each          = local.node_egress
  security_group_id = aws_security_group.node.id
  description       = "${each.key} to anywhere"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = each.value.protocol
  from_port         = each.value.port
  to_port           = each.value.port
  tags              = var.tags
}
