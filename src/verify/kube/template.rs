//! Which images a workload asks for, and which pods are its own by their labels.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use serde_json::Value;

use crate::model::{Repository, printable};

/// How many texts of an object are looked at for images.
const TEXTS: usize = 10_000;

/// Whether an image reference is of one of the repositories.
pub(super) fn is_judged(image: &str, repositories: &[Repository]) -> bool {
    let name = image.split('@').next().unwrap_or_default();
    let tag_of = |repository: &Repository| {
        name.strip_prefix(repository.host().as_str())?.strip_prefix('/')?.strip_prefix(repository.path())
    };
    repositories.iter().filter_map(tag_of).any(|tag| tag.is_empty() || tag.starts_with(':'))
}

fn containers(template: &PodTemplateSpec) -> impl Iterator<Item = &Container> {
    let spec = template.spec.iter();
    spec.flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers))
}

/// The images of the template that are under judgement.
pub(super) fn judged_images(template: &PodTemplateSpec, repositories: &[Repository]) -> Vec<String> {
    containers(template)
        .filter_map(|container| container.image.as_deref())
        .filter(|image| is_judged(image, repositories))
        .map(|image| printable(image, 400))
        .collect()
}

/// The images under judgement anywhere in an object of a kind that nobody here knows.
pub(super) fn judged_texts(object: &Value, repositories: &[Repository]) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![object];
    for _ in 0..TEXTS {
        match open.pop() {
            None => break,
            Some(Value::String(text)) if is_judged(text, repositories) && !found.contains(text) => {
                found.push(printable(text, 400));
            }
            Some(Value::Array(items)) => open.extend(items),
            Some(Value::Object(fields)) => open.extend(fields.values()),
            Some(_) => {}
        }
    }
    found
}

/// Whether two templates ask for the same images.
pub(super) fn same_template(one: &PodTemplateSpec, other: &PodTemplateSpec) -> bool {
    let images = |template| containers(template).map(|container| (&container.name, &container.image));
    images(one).eq(images(other))
}

/// Whether a pod is of the template's version: each container of the template has the same image in the pod.
///
/// A pod may have more containers, which something injected.
pub(super) fn same_images(pod: &Pod, template: &PodTemplateSpec) -> bool {
    let Some(spec) = &pod.spec else { return false };
    containers(template).all(|wanted| {
        spec.init_containers
            .iter()
            .flatten()
            .chain(&spec.containers)
            .any(|container| container.name == wanted.name && container.image == wanted.image)
    })
}

/// Whether labels are selected; an empty selector selects nothing here, since it would claim foreign pods.
pub(super) fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let exact = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let expressions = selector.match_expressions.iter().flatten();
    let mut count = selector.match_labels.as_ref().map_or(0, BTreeMap::len);
    let met = expressions.inspect(|_| count += 1).all(|requirement| meets(requirement, labels));
    exact && met && count > 0
}

fn meets(requirement: &LabelSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(&requirement.key);
    let among = || value.is_some_and(|value| requirement.values.iter().flatten().any(|known| known == value));
    match requirement.operator.as_str() {
        "In" => among(),
        "NotIn" => !among(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}
