//! One environment.

use std::time::Duration;

use super::keys::{APPROVALS, CLUSTER, DEPLOY, ENVIRONMENT, FLUX, GATES, PUBLISH, VERIFY};
use super::names;
use super::problem::Findings;
use super::read::{Fields, NOT_YET, Value};
use super::traffic;
use super::{Cluster, Environment, FluxTarget, Gates, Jump, Mesh, OnFailure, Update, Verify};

/// The most names in one `after`.
const MOST_AFTER: usize = 100;

/// An environment whose `after` has not been looked up yet.
pub(super) struct Draft<'t> {
    /// With an empty `after`; none where the file does not say enough.
    pub(super) environment: Option<Environment>,
    pub(super) after: Vec<(&'t str, Value<'t>)>,
    /// `gates.maxJump`, which only fits some policies.
    pub(super) max_jump: Option<Value<'t>>,
}

pub(super) fn environment<'t>(value: &Value<'t>, findings: &mut Findings) -> Draft<'t> {
    let Some(fields) = value.fields(&ENVIRONMENT, findings) else {
        return Draft { environment: None, after: Vec::new(), max_jump: None };
    };
    let registry = fields
        .required("registry", "HOST[:PORT][/PATH]", findings)
        .and_then(|registry| registry.legal(names::registry_base, findings));
    let cluster_value = fields.get("cluster");
    let cluster = cluster_value.as_ref().and_then(|cluster| self::cluster(cluster, findings));
    let deploy_value = fields.get("deploy");
    let deploy = deploy_value.as_ref().and_then(|deploy| self::deploy(deploy, findings));
    match (&cluster, &cluster_value, &deploy_value) {
        (Some(Cluster::None), _, Some(deploy)) => deploy.problem(
            findings,
            "can't be watched with `cluster: none`; write `cluster: {context: NAME}` or remove `deploy`",
        ),
        (Some(Cluster::Context(_) | Cluster::Kubeconfig(_) | Cluster::InCluster), Some(cluster), None) => {
            cluster.problem(
                findings,
                "nothing says what is deployed there; add `deploy: {flux: {kustomization: NAMESPACE/NAME}}`",
            );
        }
        _ => {}
    }
    if let Some(publish) = fields.get("publish") {
        self::publish(&publish, findings);
    }
    let after = fields.get("after").map(|after| self::after(&after, findings)).unwrap_or_default();
    let default = if after.is_empty() { Update::Auto } else { Update::Manual };
    let update = fields
        .get("update")
        .and_then(|update| update.word(&[("auto", Update::Auto), ("manual", Update::Manual)], findings));
    let (gates, max_jump) = gates(fields.get("gates").as_ref(), findings);
    let verify = verify(fields.get("verify").as_ref(), findings);
    let environment = registry.map(|registry| Environment {
        registry,
        cluster,
        deploy,
        update: update.unwrap_or(default),
        gates,
        verify,
        after: Vec::new(),
    });
    Draft { environment, after, max_jump }
}

fn gates<'t>(value: Option<&Value<'t>>, findings: &mut Findings) -> (Gates, Option<Value<'t>>) {
    let Some(fields) = value.and_then(|value| value.fields(&GATES, findings)) else {
        return (Gates::default(), None);
    };
    let min_age = fields.get("minAge").and_then(|age| age.duration(Duration::from_secs(1), findings));
    let max_jump = fields.get("maxJump");
    let words = [("major", Jump::Major), ("minor", Jump::Minor), ("patch", Jump::Patch)];
    let jump = max_jump.as_ref().and_then(|jump| jump.word(&words, findings));
    let approvals = fields.get("approvals").and_then(|approvals| self::approvals(&approvals, findings));
    (Gates { min_age, max_jump: jump, approvals }, max_jump)
}

/// How many people must approve: the number alone, or as `count`.
fn approvals(value: &Value<'_>, findings: &mut Findings) -> Option<u32> {
    let count = if value.is_mapping() {
        value.fields(&APPROVALS, findings)?.required("count", "2", findings)?
    } else {
        value.clone()
    };
    count.legal(|text| traffic::whole(text, 1, 100, "how many people must approve, like 2"), findings)
}

fn cluster(value: &Value<'_>, findings: &mut Findings) -> Option<Cluster> {
    match value.scalar() {
        Some("none") => return Some(Cluster::None),
        Some("inCluster") => return Some(Cluster::InCluster),
        _ => {}
    }
    let fields = value.fields(&CLUSTER, findings)?;
    match (fields.get("context"), fields.get("kubeconfig")) {
        (Some(context), None) => Some(Cluster::Context(context.legal(names::context, findings)?)),
        (None, Some(file)) => Some(Cluster::Kubeconfig(file.legal(names::secret, findings)?)),
        (None, None) if fields.has_any(CLUSTER.not_yet) => None,
        _ => {
            value.problem(findings, "expected one of context and kubeconfig; write `{context: NAME}`");
            None
        }
    }
}

fn deploy(value: &Value<'_>, findings: &mut Findings) -> Option<FluxTarget> {
    let fields = value.fields(&DEPLOY, findings)?;
    let Some(flux) = fields.get("flux") else {
        if !fields.has_any(DEPLOY.not_yet) {
            value.problem(findings, "`flux` is missing; add `flux: {kustomization: NAMESPACE/NAME}`");
        }
        return None;
    };
    let flux: Fields<'_> = flux.fields(&FLUX, findings)?;
    flux.required("kustomization", "NAMESPACE/NAME", findings)?.legal(names::kustomization, findings)
}

fn publish(value: &Value<'_>, findings: &mut Findings) {
    if !value.is_mapping() {
        value.word(&[("push", ())], findings);
    } else if let Some(fields) = value.fields(&PUBLISH, findings)
        && !fields.has_any(PUBLISH.not_yet)
    {
        value.problem(findings, "expected text, got a mapping; write push");
    }
}

/// The names as they were written; whether they lead somewhere shows once all environments are known.
fn after<'t>(value: &Value<'t>, findings: &mut Findings) -> Vec<(&'t str, Value<'t>)> {
    let items = value.items(findings).unwrap_or_default();
    if items.len() > MOST_AFTER {
        value.problem(findings, format!("more than {MOST_AFTER} names (got {}); remove some", items.len()));
        return Vec::new();
    }
    items.into_iter().filter_map(|item| item.text(findings).map(|name| (name, item))).collect()
}

fn verify(value: Option<&Value<'_>>, findings: &mut Findings) -> Verify {
    let mut verify = Verify {
        timeout: Duration::from_mins(10),
        stable_for: Duration::from_secs(30),
        on_failure: OnFailure::Rollback,
        traffic: None,
        probe: None,
        mesh: Mesh::Auto,
    };
    let Some(fields) = value.and_then(|value| value.fields(&VERIFY, findings)) else { return verify };
    let mut duration = |key, minimum, target: &mut Duration| {
        if let Some(duration) = fields.get(key).and_then(|value: Value<'_>| value.duration(minimum, findings))
        {
            *target = duration;
        }
    };
    duration("timeout", Duration::from_secs(1), &mut verify.timeout);
    duration("stableFor", Duration::ZERO, &mut verify.stable_for);
    let words = [("rollback", OnFailure::Rollback), ("hold", OnFailure::Hold)];
    if let Some(on_failure) = fields.get("onFailure").and_then(|value| value.word(&words, findings)) {
        verify.on_failure = on_failure;
    }
    if let Some(mesh) = fields.get("mesh") {
        let words = [("auto", Mesh::Auto), ("istio", Mesh::Istio), ("none", Mesh::None)];
        match mesh.scalar() {
            Some("linkerd") => mesh.problem(findings, NOT_YET),
            _ => verify.mesh = mesh.word(&words, findings).unwrap_or_default(),
        }
    }
    verify.traffic = traffic::traffic(&fields, findings);
    verify.probe = traffic::probe(&fields, findings);
    verify
}
