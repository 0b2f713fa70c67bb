//! What is kept of an object that is watched: only what a judgement reads. A namespace may have ten thousand pods, and most
//! of a pod is how it is to be run.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The annotations that tell what a mesh has made of a pod, by the end of their prefix.
const MESHES: [&str; 2] = ["istio.io", "linkerd.io"];
/// The annotation of a `ReplicaSet` that counts the versions of its Deployment.
pub(crate) const REVISION: &str = "deployment.kubernetes.io/revision";

pub(super) fn pod(pod: &mut Pod) {
    metadata(&mut pod.metadata);
    if let Some(spec) = &mut pod.spec {
        specification(spec);
    }
}

pub(super) fn deployment(found: &mut Deployment) {
    metadata(&mut found.metadata);
    if let Some(spec) = &mut found.spec {
        template(&mut spec.template);
    }
}

pub(super) fn replica_set(found: &mut ReplicaSet) {
    metadata(&mut found.metadata);
    if let Some(of_set) = found.spec.as_mut().and_then(|spec| spec.template.as_mut()) {
        template(of_set);
    }
}

pub(super) fn stateful_set(found: &mut StatefulSet) {
    metadata(&mut found.metadata);
    if let Some(spec) = &mut found.spec {
        spec.volume_claim_templates = None;
        template(&mut spec.template);
    }
}

pub(super) fn daemon_set(found: &mut DaemonSet) {
    metadata(&mut found.metadata);
    if let Some(spec) = &mut found.spec {
        template(&mut spec.template);
    }
}

pub(super) fn job(found: &mut Job) {
    metadata(&mut found.metadata);
    if let Some(spec) = &mut found.spec {
        template(&mut spec.template);
    }
}

pub(super) fn cron_job(found: &mut CronJob) {
    metadata(&mut found.metadata);
    if let Some(spec) = &mut found.spec
        && let Some(spec) = &mut spec.job_template.spec
    {
        template(&mut spec.template);
    }
}

fn template(template: &mut PodTemplateSpec) {
    if let Some(spec) = &mut template.spec {
        specification(spec);
    }
}

fn metadata(meta: &mut ObjectMeta) {
    if let Some(annotations) = &mut meta.annotations {
        annotations.retain(|name, _| {
            let prefix = name.split('/').next().unwrap_or_default();
            name == REVISION || MESHES.iter().any(|mesh| prefix.ends_with(mesh))
        });
    }
}

fn specification(spec: &mut PodSpec) {
    *spec = PodSpec {
        containers: spec.containers.drain(..).map(container).collect(),
        init_containers: spec.init_containers.take().map(|all| all.into_iter().map(container).collect()),
        host_network: spec.host_network,
        node_name: spec.node_name.take(),
        service_account_name: spec.service_account_name.take(),
        ..PodSpec::default()
    };
}

fn container(container: Container) -> Container {
    Container {
        name: container.name,
        image: container.image,
        ports: container.ports,
        restart_policy: container.restart_policy,
        ..Container::default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn of_a_pod_stays_what_tells_whose_it_is_what_it_runs_and_how_it_fares() {
        let mut slimmed: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web-1", "labels": {"pod-template-hash": "abc"}, "annotations": {
                "sidecar.istio.io/status": "{}", "checksum/config": "123"}},
            "spec": {"nodeName": "node-1", "volumes": [{"name": "data", "emptyDir": {}}],
                "containers": [{"name": "web", "image": "web:1", "env": [{"name": "A", "value": "B"}],
                    "resources": {"limits": {"cpu": "1"}}}],
                "initContainers": [{"name": "istio-proxy", "image": "proxy:1", "restartPolicy": "Always"}]},
            "status": {"phase": "Running"}}))
        .unwrap();
        pod(&mut slimmed);
        assert_eq!(
            serde_json::to_value(&slimmed).unwrap(),
            json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "web-1", "labels": {"pod-template-hash": "abc"},
                    "annotations": {"sidecar.istio.io/status": "{}"}},
                "spec": {"nodeName": "node-1", "containers": [{"name": "web", "image": "web:1"}],
                    "initContainers": [{"name": "istio-proxy", "image": "proxy:1", "restartPolicy": "Always"}]},
                "status": {"phase": "Running"}})
        );
    }
}
