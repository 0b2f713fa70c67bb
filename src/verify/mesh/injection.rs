//! Should new pods have a proxy, do they have one, and is it ready?

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::verify::Judgement;

/// A pod, reduced to what the mesh is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod {
    /// `NAMESPACE/NAME`.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Since when it is ready; none while it is not.
    pub ready: Option<Timestamp>,
    /// It uses its node's network, where no proxy can be put before it.
    pub host_network: bool,
    /// What it says itself about injection.
    pub wish: Option<bool>,
    /// Its sidecar; none without one.
    pub proxy: Option<Proxy>,
    /// Its node's proxy of the ambient mode takes its traffic.
    pub ambient: bool,
}

/// A sidecar.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxy {
    /// It is started and ready.
    pub ready: bool,
    /// The revision of the control plane that injected it; empty where the injector names none.
    pub revision: String,
}

/// What is to be expected of the pods of a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Expected {
    /// The namespace does not ask for the mesh; a pod may.
    #[default]
    No,
    /// Sidecars, and who asks for them.
    Sidecars(String),
    /// The ambient mode.
    Ambient,
    /// The namespace's labels may not be read, and why; only pods tell.
    Unknown(String),
}

impl Expected {
    /// What a namespace's labels ask for.
    pub fn by_labels(namespace: &str, labels: &BTreeMap<String, String>) -> Self {
        let label = |name: &str| labels.get(name).map(String::as_str);
        match (label("istio-injection"), label("istio.io/rev"), label("istio.io/dataplane-mode")) {
            (Some("enabled"), _, _) => Self::Sidecars(format!("{namespace} has istio-injection: enabled")),
            (Some("disabled"), _, _) => Self::No,
            (_, _, Some("ambient")) => Self::Ambient,
            (_, Some(revision), _) => Self::Sidecars(format!("{namespace} has istio.io/rev: {revision}")),
            _ => Self::No,
        }
    }
}

/// What a pod lacks, in words; `None` for one that has all it should have.
enum State {
    Outside,
    Good,
    NotReady(String),
    Missing(String),
}

fn state(pod: &Pod, expected: &Expected) -> State {
    let name = &pod.name;
    if let Some(proxy) = &pod.proxy {
        return if proxy.ready {
            State::Good
        } else {
            State::NotReady(format!("the proxy of pod {name} is not ready"))
        };
    }
    if pod.host_network || pod.wish == Some(false) {
        return State::Outside;
    }
    match (pod.wish, expected) {
        (_, Expected::Ambient) if pod.ambient => State::Good,
        (_, Expected::Ambient) => {
            State::Missing(format!("the traffic of pod {name} is not taken by its node's proxy"))
        }
        (Some(true), _) => State::Missing(format!("pod {name} asks for a sidecar and has none")),
        (_, Expected::Sidecars(who)) => State::Missing(format!("pod {name} has no sidecar, and {who}")),
        (None, Expected::No | Expected::Unknown(_)) => {
            if pod.ambient {
                State::Good
            } else {
                State::Outside
            }
        }
        (Some(false), _) => State::Outside,
    }
}

/// Whether the new pods have the proxies that they should have; `None` where they are to have none.
///
/// Where the pods before had proxies, one that lacks its own is a failure: nothing else has changed. Where they are the
/// first, the injector may be at fault, which says nothing about the version.
pub fn judge(pods: &[Pod], expected: &Expected, had_proxies: bool) -> Option<Judgement> {
    let states: Vec<State> = pods.iter().map(|pod| state(pod, expected)).collect();
    // Whether there must be pods is for other layers to say: those of a schedule come and go.
    if states.is_empty() {
        return None;
    }
    let outside = states.iter().filter(|state| matches!(state, State::Outside)).count();
    let silent = pods.iter().all(|pod| pod.wish != Some(false) && !pod.host_network);
    if outside == states.len() && had_proxies && silent {
        let words = format!("pod {} has no proxy (IST0103), and the pods before it had one", pods[0].name);
        return Some(match expected {
            // A person may have taken the namespace out of the mesh.
            Expected::No => Judgement::Unknown(format!("{words}, but the namespace does not ask for it")),
            _ => Judgement::Fail(words),
        });
    }
    let judgements = states.into_iter().filter_map(|state| match state {
        State::Outside => None,
        State::Good => Some(Judgement::Pass(String::new())),
        State::NotReady(words) => Some(Judgement::wait(words)),
        State::Missing(words) if had_proxies => {
            Some(Judgement::Fail(format!("{words} (IST0103); the pods before it had one")))
        }
        State::Missing(words) => Some(Judgement::Unknown(format!(
            "{words} (IST0103); whether that is the version's fault or the injector's can't be told"
        ))),
    });
    let inside = pods.len() - outside;
    Judgement::all(judgements).map(|worst| match worst {
        Judgement::Pass(_) => Judgement::Pass(format!("{inside} pods have their proxies, which are ready")),
        other => other,
    })
}
