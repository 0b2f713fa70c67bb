//! Reading Kubernetes manifests: what is in them, and what a pod still lacks.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde_json::Value;

/// The documents of a YAML text; empty ones are left out.
#[track_caller]
pub fn parse(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).unwrap_or_else(|error| panic!("{error} in:\n{text}")))
        .filter(|document| !document.is_null())
        .collect()
}

/// All manifests of a kind.
pub fn of<'m>(manifests: &'m [Value], kind: &str) -> Vec<&'m Value> {
    manifests.iter().filter(|manifest| manifest["kind"] == kind).collect()
}

/// The only manifest of a kind.
#[track_caller]
pub fn the<'m>(manifests: &'m [Value], kind: &str) -> &'m Value {
    match of(manifests, kind)[..] {
        [one] => one,
        ref found => panic!("{} of kind {kind}, not one", found.len()),
    }
}

/// `Kind NAMESPACE/NAME`, for messages.
pub fn id(manifest: &Value) -> String {
    format!("{} {}/{}", word(&manifest["kind"]), namespace(manifest), name(manifest))
}

/// A text, or nothing.
pub fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `metadata.name`.
pub fn name(manifest: &Value) -> &str {
    word(&manifest["metadata"]["name"])
}

/// `metadata.namespace`.
pub fn namespace(manifest: &Value) -> &str {
    word(&manifest["metadata"]["namespace"])
}

/// The items of a list; none if there is no list.
pub fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The texts of a list.
pub fn words(value: &Value) -> Vec<&str> {
    items(value).iter().map(word).collect()
}

/// A mapping of texts, such as labels.
pub fn map(value: &Value) -> BTreeMap<&str, &str> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), word(value))).collect()
}

/// The pod templates of all workloads, with what they belong to.
pub fn templates(manifests: &[Value]) -> Vec<(String, &Value)> {
    let workloads = manifests.iter().filter(|manifest| {
        matches!(word(&manifest["kind"]), "Deployment" | "StatefulSet" | "DaemonSet" | "Job")
    });
    workloads.map(|workload| (id(workload), &workload["spec"]["template"])).collect()
}

/// The containers of a pod, those of its start included.
pub fn containers(template: &Value) -> Vec<&Value> {
    let spec = &template["spec"];
    items(&spec["initContainers"]).iter().chain(items(&spec["containers"])).collect()
}

/// Whether the labels of some pod template of the same namespace have all that a selector asks for.
pub fn selects_a_pod(manifests: &[Value], namespace: &str, labels: &Value) -> bool {
    let wanted = map(labels);
    let pods = manifests.iter().filter(|manifest| self::namespace(manifest) == namespace);
    !wanted.is_empty()
        && pods
            .map(|pod| map(&pod["spec"]["template"]["metadata"]["labels"]))
            .any(|labels| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
}

/// What keeps a pod from the Pod Security profile "restricted", and from a root file system that can't be written to.
pub fn unrestricted(template: &Value) -> Vec<String> {
    let spec = &template["spec"];
    let mut problems = Vec::new();
    let mut expect = |met: bool, what: &str| {
        if !met {
            problems.push(what.to_owned());
        }
    };
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        expect(spec[field].is_null(), field);
    }
    let context = &spec["securityContext"];
    expect(context["runAsNonRoot"] == true, "runAsNonRoot");
    expect(context["runAsUser"].as_u64().is_some_and(|user| user > 0), "runAsUser");
    expect(context["seccompProfile"]["type"] == "RuntimeDefault", "seccompProfile");
    for volume in items(&spec["volumes"]) {
        let allowed = ["configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"];
        expect(allowed.iter().any(|kind| !volume[kind].is_null()), "a volume of the host");
        expect(volume["emptyDir"].is_null() || !volume["emptyDir"]["sizeLimit"].is_null(), "sizeLimit");
    }
    for container in containers(template) {
        let context = &container["securityContext"];
        expect(context["allowPrivilegeEscalation"] == false, "allowPrivilegeEscalation");
        expect(context["privileged"].is_null(), "privileged");
        expect(context["readOnlyRootFilesystem"] == true, "readOnlyRootFilesystem");
        expect(words(&context["capabilities"]["drop"]) == ["ALL"], "capabilities.drop");
        expect(context["capabilities"]["add"].is_null(), "capabilities.add");
        expect(items(&container["ports"]).iter().all(|port| port["hostPort"].is_null()), "hostPort");
    }
    problems
}

/// What a pod's containers lack of probes, requests, limits and named ports.
pub fn unbounded(template: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for container in items(&template["spec"]["containers"]) {
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            if container[probe].is_null() {
                problems.push(probe.to_owned());
            }
        }
        for bound in ["requests", "limits"] {
            for resource in ["cpu", "memory"] {
                if container["resources"][bound][resource].is_null() {
                    problems.push(format!("{bound}.{resource}"));
                }
            }
        }
        if items(&container["ports"]).iter().any(|port| port["name"].is_null()) {
            problems.push("a port's name".to_owned());
        }
    }
    problems
}
