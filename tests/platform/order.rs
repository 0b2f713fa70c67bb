//! What Terraform makes before what: read from its own graph.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::infra_aws::{copy, ended};

/// What each thing of a folder waits for, itself.
pub struct Graph(BTreeMap<String, BTreeSet<String>>);

impl Graph {
    /// Of a copy of a folder of infra: where the state is does not matter here, and so is left out.
    #[track_caller]
    pub fn of(folder: &Path) -> Self {
        let backend = folder.join("backend.tf");
        if backend.exists() {
            fs::remove_file(backend).unwrap();
        }
        let graph = ended(folder, &["graph"]).passed().stdout;
        let quoted =
            |line: &str| -> Vec<String> { line.split('"').skip(1).step_by(2).map(str::to_owned).collect() };
        let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for line in graph.lines() {
            match &quoted(line)[..] {
                [from, to] if line.contains("->") => {
                    _ = needs.entry(from.clone()).or_default().insert(to.clone());
                }
                [one, _] if line.contains("[label") => _ = needs.entry(one.clone()).or_default(),
                _ => {}
            }
        }
        Self(needs)
    }

    /// Everything that is made or looked up.
    pub fn all(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// Whether `one` is made only when `other` is there, whatever stands between them.
    #[track_caller]
    pub fn waits(&self, one: &str, other: &str) -> bool {
        for name in [one, other] {
            assert!(self.0.contains_key(name), "{name} is not in the graph: {:?}", self.0.keys());
        }
        let (mut open, mut seen) = (vec![one], BTreeSet::new());
        while let Some(next) = open.pop() {
            if seen.insert(next) {
                open.extend(self.0.get(next).into_iter().flatten().map(String::as_str));
            }
        }
        seen.contains(other)
    }
}

/// An order that a cluster needs: in a folder of infra, what waits, for what, and the words of which file say so.
struct Order {
    root: &'static str,
    later: &'static str,
    earlier: &'static str,
    file: &'static str,
    said: &'static str,
    unsaid: &'static str,
}

const ORDERS: [Order; 8] = [
    // Nodes without a network never become ready.
    Order {
        root: "aws",
        later: "module.eks.aws_eks_node_group.this",
        earlier: "module.eks.aws_eks_addon.before_nodes",
        file: "aws/modules/eks/nodes.tf",
        said: "    aws_eks_addon.before_nodes,\n",
        unsaid: "",
    },
    // Deployments without nodes count as degraded.
    Order {
        root: "aws",
        later: "module.eks.aws_eks_addon.after_nodes",
        earlier: "module.eks.aws_eks_node_group.this",
        file: "aws/modules/eks/addons.tf",
        said: "[aws_eks_node_group.this, aws_iam_role_policy_attachment.addon]",
        unsaid: "[aws_iam_role_policy_attachment.addon]",
    },
    Order {
        root: "local",
        later: "module.istio.helm_release.istiod",
        earlier: "module.istio.helm_release.base",
        file: "modules/istio/main.tf",
        said: "= helm_release.base.namespace",
        unsaid: "= \"istio-system\"",
    },
    Order {
        root: "local",
        later: "module.istio.helm_release.gateway",
        earlier: "module.istio.helm_release.istiod",
        file: "modules/istio/main.tf",
        said: "  depends_on = [helm_release.istiod]\n",
        unsaid: "",
    },
    // Flux applies objects of Istio's and cert-manager's kinds first.
    Order {
        root: "local",
        later: "module.flux.helm_release.instance",
        earlier: "module.istio.helm_release.gateway",
        file: "local/main.tf",
        said: "[module.cert_manager, module.istio]\n}",
        unsaid: "[module.cert_manager]\n}",
    },
    Order {
        root: "local",
        later: "module.flux.helm_release.instance",
        earlier: "module.cert_manager.helm_release.cert_manager",
        file: "local/main.tf",
        said: "[module.cert_manager]\n}",
        unsaid: "[module.cluster]\n}",
    },
    Order {
        root: "aws",
        later: "module.flux.helm_release.instance",
        earlier: "module.istio.helm_release.gateway",
        file: "aws/platform.tf",
        said: "[module.cert_manager, module.istio, module.sops_role]",
        unsaid: "[module.cert_manager, module.sops_role]",
    },
    Order {
        root: "aws",
        later: "module.flux.helm_release.instance",
        earlier: "module.cert_manager.helm_release.cert_manager",
        file: "aws/platform.tf",
        said: "[module.cert_manager, module.sops_role]",
        unsaid: "[module.sops_role]",
    },
];

fn graphs(infra: &Path) -> BTreeMap<&'static str, Graph> {
    ["aws", "local"].map(|root| (root, Graph::of(&infra.join(root)))).into()
}

#[test]
fn what_a_cluster_needs_first_is_made_first() {
    let copy = copy();
    let graphs = graphs(&copy.path().join("infra"));
    for Order { root, later, earlier, .. } in ORDERS {
        assert!(graphs[root].waits(later, earlier), "infra/{root}: {later} may be made before {earlier}");
    }
}

#[test]
fn a_forgotten_order_is_found() {
    let copy = copy();
    let infra = copy.path().join("infra");
    for Order { file, said, unsaid, .. } in ORDERS {
        let path = infra.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches(said).count(), 1, "{file}: {said}");
        fs::write(&path, text.replace(said, unsaid)).unwrap();
    }
    let graphs = graphs(&infra);
    for Order { root, later, earlier, .. } in ORDERS {
        assert!(!graphs[root].waits(later, earlier), "infra/{root}: {later} waits for {earlier} unasked");
    }
}
