//! What the mesh layer keeps between two looks, and which parts of the cluster it looks at.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::config::Mesh as Mode;
use crate::deliver::cluster::{Cluster, Unseen};
use crate::verify::kube::Seen;
use crate::verify::kube::mesh::{Around, GATEWAY_API, ISTIO, Served, Watches};
use crate::verify::mesh::injection::Expected;
use crate::verify::mesh::{self, Before, Snapshot};
use crate::verify::{Answer, Finding, Judgement, Layer};

/// The mesh around one rollout.
#[derive(Debug, Default)]
pub(super) struct Mesh {
    served: Option<Served>,
    expected: BTreeMap<String, Expected>,
    watches: Watches,
    before: Option<Before>,
    seen: mesh::Seen,
}

impl Mesh {
    /// Remembers how it is before the change, once: later looks may see a part of the change already.
    pub(super) async fn remember(&mut self, cluster: &Cluster, seen: &[Seen], mode: Mode) {
        if self.before.is_none()
            && mode != Mode::None
            && let Ok(Some(snapshot)) = self.snapshot(cluster, seen).await
        {
            self.before = Some(Before::of(&snapshot));
        }
    }

    /// One look.
    pub(super) async fn look(
        &mut self,
        cluster: &Cluster,
        seen: &[Seen],
        mode: Mode,
    ) -> Result<Finding, Unseen> {
        if mode == Mode::None {
            return Ok(Finding::left_out(Layer::Mesh, "promote.yaml says `mesh: none`"));
        }
        Ok(match self.snapshot(cluster, seen).await {
            Ok(Some(snapshot)) => {
                let answer = mesh::judge(&snapshot, self.before.as_ref(), &mut self.seen, Timestamp::now());
                asked(mode, answer)
            }
            Ok(None) => {
                let words = format!("the cluster has no Istio: it does not serve {ISTIO}");
                asked(mode, Answer::LeftOut(words))
            }
            Err(Unseen::Listing) => {
                Finding::judged(Layer::Mesh, Judgement::wait("the routes have not been listed yet"))
            }
            Err(unseen) => return Err(unseen),
        })
    }

    /// What the cluster shows; `None` where it has no Istio. An error is the API server's silence.
    async fn snapshot(&mut self, cluster: &Cluster, seen: &[Seen]) -> Result<Option<Snapshot>, Unseen> {
        let served = if let Some(known) = self.served {
            known
        } else {
            let has = |name| async move {
                cluster.serves(name).await.map_err(|error| Unseen::Silent(error.to_string()))
            };
            let known = Served { istio: has(ISTIO).await?, gateway_api: has(GATEWAY_API).await? };
            *self.served.insert(known)
        };
        if !served.istio {
            return Ok(None);
        }
        let around = self.watches.look(cluster, seen, served)?;
        let Around { pods, old, routing, mut unseen } = around;
        let mut expected = Expected::No;
        for seen in seen {
            let namespace = &seen.namespace;
            if !self.expected.contains_key(namespace) {
                let told = match cluster.namespace_labels(namespace).await {
                    Ok(labels) => Expected::by_labels(namespace, &labels),
                    Err(error) => Expected::Unknown(error.to_string()),
                };
                self.expected.insert(namespace.clone(), told);
            }
            // Workloads of one app in two namespaces are rare, and the one that asks for the mesh counts.
            match self.expected.get(namespace) {
                Some(Expected::Unknown(why)) => unseen.push(why.clone()),
                Some(told) if *told != Expected::No => expected = told.clone(),
                _ => {}
            }
        }
        Ok(Some(Snapshot { pods, old, expected, routing, unseen }))
    }
}

/// The answer, where promote.yaml may demand one.
fn asked(mode: Mode, answer: Answer) -> Finding {
    let answer = match answer {
        Answer::LeftOut(why) if mode == Mode::Istio => {
            Answer::Judged(Judgement::Unknown(format!("promote.yaml says `mesh: istio`, but {why}")))
        }
        other => other,
    };
    Finding { layer: Layer::Mesh, answer }
}
