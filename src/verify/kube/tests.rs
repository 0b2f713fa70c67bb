//! Objects as clusters have them, and as they should never be.

#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

const IMAGE: &str =
    "registry/web:1.0.0@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn repositories() -> [Repository; 1] {
    ["registry/web".parse().unwrap()]
}

fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn template(image: &str) -> Value {
    json!({"spec": {"containers": [{"name": "web", "image": image}]}})
}

fn replica_set(name: &str, owner: &str, revision: &str, image: &str) -> Arc<ReplicaSet> {
    Arc::new(object(json!({
        "metadata": {"name": name, "uid": format!("uid-{name}"),
            "annotations": {"deployment.kubernetes.io/revision": revision},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": owner,
                "controller": true}]},
        "spec": {"selector": {}, "template": template(image)}})))
}

fn id(kind: WorkloadKind) -> WorkloadId {
    WorkloadId { kind, namespace: "shop".to_owned(), name: "web".to_owned() }
}

#[test]
fn the_new_pods_of_a_deployment_are_those_of_its_newest_replica_set_with_its_present_images() {
    let deployment: Deployment = object(
        json!({"metadata": {"name": "web", "uid": "u1"}, "spec": {"selector": {}, "template": template(IMAGE)}}),
    );
    let newest =
        |sets: &[Arc<ReplicaSet>]| workloads::newest(&deployment, sets.iter()).map(|set| set.name_any());
    let ours = replica_set("ours", "u1", "3", IMAGE);
    let older = replica_set("older", "u1", "2", IMAGE);
    let foreign = replica_set("foreign", "u2", "9", IMAGE);
    let other = replica_set("other", "u1", "12", "registry/web:0.9.0");
    assert_eq!(newest(&[older.clone(), ours.clone(), foreign, other.clone()]).unwrap(), "ours");
    assert_eq!(newest(&[other]), None, "the watch of ReplicaSets is a moment behind");
    let odd = replica_set("odd", "u1", "many", IMAGE);
    assert_eq!(newest(&[odd, older]).unwrap(), "older");
}

#[test]
fn a_stateful_set_whose_status_is_of_an_older_generation_has_no_new_pods() {
    let with = |observed: i64| {
        let found: StatefulSet = object(json!({
            "metadata": {"name": "web", "uid": "u1", "generation": 5},
            "spec": {"selector": {}, "serviceName": "web", "template": template(IMAGE)},
            "status": {"replicas": 2, "observedGeneration": observed, "updateRevision": "web-1"}}));
        workloads::stateful_set(&id(WorkloadKind::StatefulSet), &found, &repositories()).unwrap().owner
    };
    assert!(matches!(with(5), Owner::Revision(uid, revision) if uid == "u1" && revision == "web-1"));
    assert!(matches!(with(4), Owner::Uid(None)));
}

#[test]
fn objects_with_nothing_in_them_are_taken_for_what_they_are() {
    let none = repositories();
    assert!(workloads::deployment(&id(WorkloadKind::Deployment), &Deployment::default(), &none).is_none());
    assert!(
        workloads::stateful_set(&id(WorkloadKind::StatefulSet), &StatefulSet::default(), &none).is_none()
    );
    assert!(workloads::daemon_set(&id(WorkloadKind::DaemonSet), &DaemonSet::default(), &none).is_none());
    assert!(workloads::job(&id(WorkloadKind::Job), &Job::default(), &none).is_none());
    assert!(workloads::cron_job(&id(WorkloadKind::CronJob), &CronJob::default(), [].iter(), &none).is_none());
    let pod = reduce_pod(&KubePod::default(), &none);
    assert!(!pod.ready && !pod.ending && pod.containers.is_empty());
    let empty: Deployment =
        object(json!({"metadata": {"generation": i64::MAX}, "spec": {"selector": {}, "template": {}}}));
    assert!(workloads::deployment(&id(WorkloadKind::Deployment), &empty, &none).is_none());
    let bare: Deployment = object(
        json!({"metadata": {"generation": i64::MAX}, "spec": {"selector": {}, "template": template(IMAGE)}}),
    );
    let reduced = workloads::deployment(&id(WorkloadKind::Deployment), &bare, &none).unwrap();
    assert_eq!((reduced.workload.generation, reduced.workload.observed), (i64::MAX, Some(0)));
}

#[test]
fn numbers_at_their_ends_do_no_harm() {
    let found: StatefulSet = object(json!({
        "metadata": {"generation": i64::MAX},
        "spec": {"replicas": i32::MIN, "selector": {}, "serviceName": "web", "template": template(IMAGE),
            "updateStrategy": {"rollingUpdate": {"partition": i32::MAX}}},
        "status": {"replicas": i32::MAX, "observedGeneration": i64::MAX, "updatedReplicas": i32::MAX}}));
    let reduced = workloads::stateful_set(&id(WorkloadKind::StatefulSet), &found, &repositories()).unwrap();
    let State::Replicas(replicas) = reduced.workload.state else { panic!("a StatefulSet has replicas") };
    assert_eq!(replicas.wanted_updated, 0);
}

#[test]
fn what_people_read_is_bounded_and_cleaned() {
    let long = format!("\u{1b}[31m{}", "x".repeat(100_000));
    let found: KubePod = object(json!({
        "metadata": {"name": "web-1"}, "spec": {"containers": [{"name": "web", "image": IMAGE}]},
        "status": {"containerStatuses": [{"name": "web", "image": IMAGE, "imageID": long, "ready": false,
            "restartCount": 1, "state": {"waiting": {"reason": long, "message": long}},
            "lastState": {"terminated": {"exitCode": 1, "reason": long, "message": long}}}]}}));
    let pod = reduce_pod(&found, &repositories());
    let container = &pod.containers[0];
    let (reason, message) = container.waiting.clone().unwrap();
    let end = container.last_end.clone().unwrap();
    for text in [&container.image_id, &reason, &message, &end.reason, &end.message] {
        assert!(text.chars().count() <= 320 && !text.chars().any(char::is_control), "{text}");
    }
}

#[test]
fn a_kind_of_others_may_have_fields_of_any_form() {
    let custom = CustomId {
        group: "example.org".to_owned(),
        version: "v1".to_owned(),
        kind: "Widget".to_owned(),
        namespace: "shop".to_owned(),
        name: "w".to_owned(),
    };
    for odd in [
        json!({"metadata": {}}),
        json!({"metadata": {}, "spec": null, "status": 7}),
        json!({"metadata": {}, "spec": ["registry/webs:1"], "status": {"conditions": {"type": "Ready"}}}),
        json!({"metadata": {}, "spec": {}, "status": {"observedGeneration": "3", "conditions": [null, {"type": 1}]}}),
    ] {
        let reduced = workloads::custom(&custom, &object(odd.clone()), &repositories());
        assert!(reduced.images.is_empty(), "{odd}");
        assert_eq!(reduced.workload.observed, None, "{odd}");
        assert_eq!(
            reduced.workload.state,
            State::Custom(super::super::workload::Conditions::default()),
            "{odd}"
        );
    }
    let good = json!({"metadata": {"generation": 2}, "spec": {"deep": [{"image": IMAGE}], "again": IMAGE},
        "status": {"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "True", "message": "yes"}]}});
    let reduced = workloads::custom(&custom, &object(good), &repositories());
    assert_eq!(reduced.images, [IMAGE]);
    assert_eq!(reduced.workload.observed, Some(2));
}
