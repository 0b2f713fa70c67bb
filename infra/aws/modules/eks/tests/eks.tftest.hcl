mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_resource "aws_eks_cluster" {
    defaults = {
      endpoint              = "https://ABC.eks.example"
      certificate_authority = [{ data = "Y2VydGlmaWNhdGU=" }]
      identity              = [{ oidc = [{ issuer = "https://oidc.example/id/A" }] }]
    }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/mock" }
  }
}

variables {
  name                     = "promote-dev"
  vpc_id                   = "vpc-0a1b2c3d"
  control_plane_subnet_ids = ["subnet-0a", "subnet-0b", "subnet-0c"]
  node_subnet_ids          = ["subnet-1a", "subnet-1b", "subnet-1c"]
  access = {
    administrators = { principal_arn = "arn:aws:iam::111122223333:role/platform", policy = "AmazonEKSClusterAdminPolicy" }
    developers     = { principal_arn = "arn:aws:iam::111122223333:role/developers", namespaces = ["test-app"] }
  }
  kms_key_arns = {
    cluster = "arn:aws:kms:eu-west-1:111122223333:key/1"
    logs    = "arn:aws:kms:eu-west-1:111122223333:key/2"
    disks   = "arn:aws:kms:eu-west-1:111122223333:key/3"
  }
  addon_versions = {
    vpc-cni                = "v1.22.4-eksbuild.3"
    kube-proxy             = "v1.35.3-eksbuild.18"
    eks-pod-identity-agent = "v1.3.10-eksbuild.3"
    coredns                = "v1.13.2-eksbuild.11"
    aws-ebs-csi-driver     = "v1.64.0-eksbuild.1"
    metrics-server         = "v0.9.0-eksbuild.6"
  }
  node_groups = {
    system = { instance_types = ["t3.medium"], size = { min = 1, max = 2, desired = 1 }, taints = { CriticalAddonsOnly = { value = "true" } } }
    app    = { instance_types = ["t3.large"], size = { min = 1, max = 3, desired = 2 } }
    spot = {
      instance_types = ["t3.large", "t3a.large", "m6i.large", "m6a.large"], capacity_type = "SPOT"
      size           = { min = 0, max = 3, desired = 0 }, taints = { spot = { value = "true" } }
    }
  }
}

run "a_private_cluster_with_access_entries_only" {
  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_private_access && !aws_eks_cluster.this.vpc_config[0].endpoint_public_access
    error_message = "the API must be private unless ranges are named"
  }
  assert {
    condition     = aws_eks_cluster.this.access_config[0].authentication_mode == "API" && !aws_eks_cluster.this.access_config[0].bootstrap_cluster_creator_admin_permissions
    error_message = "access must be by entries only"
  }
  assert {
    condition     = length(aws_eks_cluster.this.enabled_cluster_log_types) == 5 && aws_cloudwatch_log_group.this.name == "/aws/eks/promote-dev/cluster" && aws_cloudwatch_log_group.this.kms_key_id == var.kms_key_arns.logs
    error_message = "all five kinds of logs are wanted, in our own encrypted group"
  }
  assert {
    condition     = contains(aws_eks_cluster.this.encryption_config[0].resources, "secrets") && aws_eks_cluster.this.upgrade_policy[0].support_type == "STANDARD" && aws_eks_cluster.this.deletion_protection
    error_message = "encryption, support or protection is wrong"
  }
  assert {
    condition     = aws_eks_access_policy_association.this["administrators"].access_scope[0].type == "cluster" && aws_eks_access_policy_association.this["developers"].access_scope[0].type == "namespace"
    error_message = "access scopes are wrong"
  }
  assert {
    condition     = output.oidc_provider == null
    error_message = "Pod Identity needs no OIDC provider"
  }
}

run "the_control_plane_reaches_webhooks" {
  assert {
    condition = toset([for rule in aws_vpc_security_group_ingress_rule.node : rule.from_port]) == toset([443, 6443, 8443, 9443, 10250, 10251, 15012, 15017]) && (
      toset([for rule in aws_vpc_security_group_ingress_rule.node : rule.from_port]) == toset([for rule in aws_vpc_security_group_egress_rule.cluster : rule.from_port])
    )
    error_message = "ports from the control plane to nodes: ${join(",", [for rule in aws_vpc_security_group_ingress_rule.node : rule.from_port])}"
  }
  assert {
    condition     = aws_security_group.node.tags["kubernetes.io/cluster/promote-dev"] == "owned"
    error_message = "load balancers find the nodes' group by this tag"
  }
}

run "nodes_open_no_port_but_the_named_ones" {
  variables {
    node_egress_ports = [7999]
  }
  assert {
    condition     = toset([for rule in aws_vpc_security_group_egress_rule.node : "${rule.ip_protocol} ${rule.from_port}"]) == toset(["tcp 22", "tcp 443", "tcp 53", "tcp 7999", "udp 123", "udp 53"])
    error_message = "nodes may connect to ${join(", ", [for rule in aws_vpc_security_group_egress_rule.node : rule.from_port])}"
  }
}

run "a_port_that_is_none_is_refused" {
  command = plan
  variables {
    node_egress_ports = [70000]
  }
  expect_failures = [var.node_egress_ports]
}

run "pods_cannot_reach_the_nodes_credentials" {
  assert {
    condition     = alltrue([for template in aws_launch_template.node : template.metadata_options[0].http_tokens == "required" && template.metadata_options[0].http_put_response_hop_limit == 1])
    error_message = "IMDSv2 with one hop is wanted"
  }
  assert {
    condition     = alltrue([for template in aws_launch_template.node : template.block_device_mappings[0].ebs[0].encrypted == "true" || template.block_device_mappings[0].ebs[0].encrypted == true])
    error_message = "disks must be encrypted"
  }
  assert {
    condition     = toset([for attachment in aws_iam_role_policy_attachment.node : reverse(split("/", attachment.policy_arn))[0]]) == toset(["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly"])
    error_message = "nodes have more rights than they need"
  }
}

run "groups_system_app_and_spot" {
  assert {
    condition     = aws_eks_node_group.this["spot"].capacity_type == "SPOT" && aws_eks_node_group.this["app"].capacity_type == "ON_DEMAND"
    error_message = "capacity types are wrong"
  }
  assert {
    condition     = one(aws_eks_node_group.this["system"].taint).key == "CriticalAddonsOnly" && one(aws_eks_node_group.this["spot"].taint).effect == "NO_SCHEDULE" && length(aws_eks_node_group.this["app"].taint) == 0
    error_message = "taints are wrong"
  }
}

run "addons_are_pinned" {
  assert {
    condition     = tomap({ for name, addon in merge(aws_eks_addon.before_nodes, aws_eks_addon.after_nodes) : name => addon.addon_version }) == tomap({ for name, version in var.addon_versions : name => version })
    error_message = "an add-on is missing or has another version"
  }
  assert {
    condition     = keys(aws_eks_addon.before_nodes) == ["eks-pod-identity-agent", "kube-proxy", "vpc-cni"]
    error_message = "network, proxy and Pod Identity agent must come before the nodes"
  }
  assert {
    condition     = one(aws_eks_addon.before_nodes["vpc-cni"].pod_identity_association).service_account == "aws-node"
    error_message = "the VPC CNI must have its own role"
  }
}

run "named_ranges_open_the_api_to_them_alone" {
  variables {
    public_access_cidrs = ["203.0.113.7/32"]
  }
  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_public_access && toset(aws_eks_cluster.this.vpc_config[0].public_access_cidrs) == toset(["203.0.113.7/32"])
    error_message = "the API is open to other ranges"
  }
}

run "web_identity_by_switch" {
  variables {
    irsa = true
  }
  assert {
    condition     = output.oidc_provider.issuer == "https://oidc.example/id/A"
    error_message = "the OIDC provider is missing"
  }
}

run "the_whole_internet_is_refused" {
  command = plan
  variables {
    public_access_cidrs = ["0.0.0.0/0"]
  }
  expect_failures = [var.public_access_cidrs]
}

run "half_of_the_internet_is_refused" {
  command = plan
  variables {
    public_access_cidrs = ["128.0.0.0/1"]
  }
  expect_failures = [var.public_access_cidrs]
}

run "a_version_outside_is_refused" {
  command = plan
  variables {
    kubernetes_version = "1.29"
  }
  expect_failures = [var.kubernetes_version]
}

run "a_name_that_is_too_long_is_refused" {
  command = plan
  variables {
    name = "a-name-that-is-too-long-for-aws"
  }
  expect_failures = [var.name]
}

run "a_group_name_that_is_too_long_is_refused" {
  command = plan
  variables {
    node_groups = { a-group-of-nodes-with-a-long-name = { instance_types = ["t3.large"], size = { min = 1, max = 1, desired = 1 } } }
  }
  expect_failures = [var.node_groups]
}

run "spot_with_one_type_is_refused" {
  command = plan
  variables {
    node_groups = {
      app  = { instance_types = ["t3.large"], size = { min = 1, max = 1, desired = 1 } }
      spot = { instance_types = ["t3.large"], capacity_type = "SPOT", size = { min = 0, max = 1, desired = 0 } }
    }
  }
  expect_failures = [var.node_groups]
}

run "sizes_that_contradict_are_refused" {
  command = plan
  variables {
    node_groups = { app = { instance_types = ["t3.large"], size = { min = 3, max = 2, desired = 1 } } }
  }
  expect_failures = [var.node_groups]
}

run "only_tainted_groups_are_refused" {
  command = plan
  variables {
    node_groups = { system = { instance_types = ["t3.large"], size = { min = 1, max = 2, desired = 1 }, taints = { CriticalAddonsOnly = {} } } }
  }
  expect_failures = [var.node_groups]
}

run "an_unknown_taint_effect_is_refused" {
  command = plan
  variables {
    node_groups = {
      app = { instance_types = ["t3.large"], size = { min = 1, max = 2, desired = 1 } }
      odd = { instance_types = ["t3.large"], size = { min = 1, max = 2, desired = 1 }, taints = { a = { effect = "NoSchedule" } } }
    }
  }
  expect_failures = [var.node_groups]
}

run "a_tiny_disk_is_refused" {
  command = plan
  variables {
    node_groups = { app = { instance_types = ["t3.large"], size = { min = 1, max = 2, desired = 1 }, disk_gib = 5 } }
  }
  expect_failures = [var.node_groups]
}

run "no_administrator_is_refused" {
  command = plan
  variables {
    access = { developers = { principal_arn = "arn:aws:iam::111122223333:role/developers" } }
  }
  expect_failures = [var.access]
}

run "an_assumed_role_is_refused" {
  command = plan
  variables {
    access = { me = { principal_arn = "arn:aws:sts::111122223333:assumed-role/platform/me", policy = "AmazonEKSClusterAdminPolicy" } }
  }
  expect_failures = [var.access]
}

run "an_unknown_policy_is_refused" {
  command = plan
  variables {
    access = {
      administrators = { principal_arn = "arn:aws:iam::111122223333:role/platform", policy = "AmazonEKSClusterAdminPolicy" }
      others         = { principal_arn = "arn:aws:iam::111122223333:role/others", policy = "Everything" }
    }
  }
  expect_failures = [var.access]
}

run "a_floating_addon_version_is_refused" {
  command = plan
  variables {
    addon_versions = {
      vpc-cni                = "latest"
      kube-proxy             = "v1.35.3-eksbuild.18"
      eks-pod-identity-agent = "v1.3.10-eksbuild.3"
      coredns                = "v1.13.2-eksbuild.11"
      aws-ebs-csi-driver     = "v1.64.0-eksbuild.1"
      metrics-server         = "v0.9.0-eksbuild.6"
    }
  }
  expect_failures = [var.addon_versions]
}

run "one_subnet_is_refused" {
  command = plan
  variables {
    control_plane_subnet_ids = ["subnet-0a"]
    node_subnet_ids          = ["subnet-1a"]
  }
  expect_failures = [var.control_plane_subnet_ids, var.node_subnet_ids]
}

run "what_is_no_network_is_refused" {
  command = plan
  variables {
    vpc_id = "promote-dev"
  }
  expect_failures = [var.vpc_id]
}

run "a_public_service_range_is_refused" {
  command = plan
  variables {
    service_cidr = "8.8.0.0/16"
  }
  expect_failures = [var.service_cidr]
}

run "what_are_no_keys_is_refused" {
  command = plan
  variables {
    kms_key_arns = { cluster = "a", logs = "b", disks = "c" }
  }
  expect_failures = [var.kms_key_arns]
}

run "a_retention_that_is_not_known_is_refused" {
  command = plan
  variables {
    log_retention_days = 10
  }
  expect_failures = [var.log_retention_days]
}

run "what_is_no_json_is_refused" {
  command = plan
  variables {
    node_policies = { pull-through = "allow" }
  }
  expect_failures = [var.node_policies]
}
