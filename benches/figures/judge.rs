//! What a judgement costs: one look at a rollout of a hundred pods, and the daemon's memory beside ten thousand pods of others.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use promote::model::{Digest, Repository};
use promote::verify::kube::{Seen, View, reduce_pod};
use promote::verify::rollouts::{self, Memory, Version};
use promote::verify::workload::{Replicas, State, Workload};
use serde_json::{Value, json};

use crate::bed::{Site, bed, request, site};
use crate::process::peak;
use crate::report::{Report, Sample};

const PODS: usize = 100;
const ROUNDS: usize = 200;
const CROWD: usize = 10_000;
const HANDS: usize = 8;

pub(crate) fn answer(report: &mut Report) {
    let mut sample = Sample::default();
    let repository: Repository = "registry.example.org/shop/web".parse().unwrap();
    let digest: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
    let pods: Vec<Pod> = (0..PODS)
        .map(|number| {
            serde_json::from_value(pod("shop", &format!("web-{number}"), &repository, &digest)).unwrap()
        })
        .collect();
    let expected = BTreeSet::from([digest.clone()]);
    let (now, mut memory) = (Timestamp::now(), Memory::default());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let repositories = std::slice::from_ref(&repository);
        let reduced = pods.iter().map(|pod| reduce_pod(pod, repositories)).collect();
        let seen = seen(reduced, &repository, &digest);
        let view = View { seen: vec![seen], hidden: Vec::new() };
        let version = Version { written: &expected, expected: &expected, doubt: None, begun: now };
        black_box(rollouts::judge(&view, version, &mut memory, now));
        sample.add(began.elapsed());
    }
    let figure = format!("one judgement of a rollout of {PODS} pods");
    report.limit(&figure, &sample, "", Duration::from_millis(1));

    let site = site("crowd").environments(&["local"]).create();
    crowd(&site, &repository, &digest);
    site.push_image("local", "test-app", "1.1.0");
    let daemon = site.promoted().start();
    site.wait_verdict("test-app", "local", "1.1.0");
    let figure = format!("peak of resident memory, verifying beside {CROWD} pods in the namespace");
    report.number(&figure, peak(&daemon), "MiB", "", Some(150.0));
    daemon.stop();
    let pods = format!("{}/api/v1/namespaces/{}/pods", bed().api, site.namespace("local"));
    _ = request("DELETE", &format!("{pods}?gracePeriodSeconds=0"), &[], b"");
}

fn seen(pods: Vec<promote::verify::pods::Pod>, repository: &Repository, digest: &Digest) -> Seen {
    let count = i32::try_from(pods.len()).unwrap();
    let replicas = Replicas {
        wanted: count,
        total: count,
        updated: count,
        ready: count,
        available: count,
        wanted_updated: count,
        ..Replicas::default()
    };
    Seen {
        workload: Workload {
            name: "Deployment shop/web".to_owned(),
            generation: 1,
            observed: Some(1),
            state: State::Replicas(replicas),
        },
        namespace: "shop".to_owned(),
        told_by: vec!["web".to_owned()],
        pods,
        others: Vec::new(),
        images: vec![format!("{repository}:1.0.0@{digest}")],
    }
}

/// A pod of the size that pods have in a cluster.
fn pod(namespace: &str, name: &str, repository: &Repository, digest: &Digest) -> Value {
    let variables: Vec<Value> = (0..30)
        .map(|number| json!({"name": format!("SETTING_{number}"), "value": format!("value {number} of some length")}))
        .collect();
    let reference = format!("{repository}:1.0.0@{digest}");
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": "other", "pod-template-hash": "abc"},
            "annotations": {"checksum/config": "0".repeat(64)}},
        // Neither scheduled nor run by anybody.
        "spec": {"schedulerName": "none", "volumes": [{"name": "data", "emptyDir": {}}], "containers": [
            {"name": "app", "image": reference, "env": variables, "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [
            {"name": "app", "image": reference, "imageID": format!("{repository}@{digest}"), "ready": true,
                "restartCount": 0, "state": {"running": {}}}]},
    })
}

/// Fills the site's namespace with pods of others.
fn crowd(site: &Site, repository: &Repository, digest: &Digest) {
    let namespace = site.namespace("local");
    let url = format!("{}/api/v1/namespaces/{namespace}/pods", bed().api);
    let (url, namespace) = (&url, &namespace);
    std::thread::scope(|hands| {
        for hand in 0..HANDS {
            hands.spawn(move || {
                for number in (hand..CROWD).step_by(HANDS) {
                    let pod = pod(namespace, &format!("other-{number}"), repository, digest).to_string();
                    let headers = [("Content-Type", "application/json")];
                    let answer = request("POST", url, &headers, pod.as_bytes()).unwrap();
                    assert_eq!(answer.status, 201, "{}", answer.text());
                }
            });
        }
    });
}
