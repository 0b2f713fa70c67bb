//! What the chart's account is kept from, by its rights and by the admission policy.

use serde_json::{Value, json};

use super::{Release, site};
use crate::bed::{self, Site};

const REQUEST: &str = "reconcile.fluxcd.io/requestedAt";
const SOURCE: &str = "gitrepositories/deploy";
const KUSTOMIZATION: &str = "kustomizations/apps";

/// Merges changes into an object of Flux as the chart's account.
fn patch(site: &Site, release: &Release, object: &str, changes: &Value) -> Result<(), String> {
    site.ask_as(&release.account(), "PATCH", "local", object, changes)
}

/// Waits until the policy is in force for an object that the account may patch.
fn fenced(site: &Site, release: &Release, object: &str) {
    let mut hours = 1;
    let refused = || {
        // What changes nothing is not refused.
        hours += 1;
        let said = patch(site, release, object, &json!({"spec": {"interval": format!("{hours}h")}}));
        said.is_err_and(|said| said.contains("must not change the spec")).then_some(())
    };
    bed::until(refused).unwrap_or_else(|| site.give_up("the policy did not come into force"));
}

#[test]
fn of_fluxs_objects_the_account_can_change_nothing_but_the_request_to_look() {
    let site = site("fence", "");
    let release = Release::install(&site);
    let (namespace, account) = (site.namespace("local"), format!("--as={}", release.account()));
    fenced(&site, &release, SOURCE);
    let ask = json!({"metadata": {"annotations": {REQUEST: "now"}}});
    patch(&site, &release, SOURCE, &ask).unwrap();

    let ask = ask.to_string();
    for arguments in [
        vec!["patch", "kustomization", "apps", "--type=merge", "-p", &ask],
        vec!["delete", "gitrepository", "deploy"],
        vec!["get", "secrets"],
        vec!["create", "token", "default"],
        vec!["delete", "pods", "--all"],
        vec!["scale", "deployment/test-app", "--replicas=0"],
    ] {
        let said = site.try_kubectl(&[arguments.as_slice(), &["-n", &namespace, &account]].concat());
        assert!(said.as_ref().is_err_and(|said| said.contains("orbidden")), "{arguments:?}: {said:?}");
    }
    // Others are not fenced.
    site.kubectl(&["label", "gitrepository", "deploy", "-n", &namespace, "team=shop"]);
}

/// Somebody may grant more than the chart does. The policy stands all the same, before Kustomizations as before sources.
#[test]
fn with_all_rights_over_fluxs_objects_the_account_still_can_do_nothing_but_ask() {
    let site = site("fence-rights", "");
    let release = Release::install(&site);
    let namespace = site.namespace("local");
    site.apply(&more_rights(&release, &namespace), &["-n", &namespace]);

    for object in [SOURCE, KUSTOMIZATION] {
        fenced(&site, &release, object);
        let ask = |value: Value| json!({"metadata": {"annotations": {REQUEST: value}}});
        patch(&site, &release, object, &ask("now".into())).unwrap_or_else(|said| panic!("{object}: {said}"));

        let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "b"});
        for (changes, words) in [
            (json!({"spec": {"suspend": true}}), "must not change the spec"),
            (json!({"metadata": {"labels": {"a": "b"}}}), "must not change the labels"),
            (json!({"metadata": {"annotations": {"a": "b"}}}), "change no other"),
            (ask(Value::Null), "change no other"),
            (json!({"metadata": {"finalizers": []}}), "must not change the finalizers"),
            (json!({"metadata": {"ownerReferences": [owner]}}), "must not change the ownerReferences"),
        ] {
            let said = patch(&site, &release, object, &changes).expect_err(&format!("{object}: {changes}"));
            assert!(said.contains(words), "{object}: {changes}: {said}");
        }

        let before = existing(&site, object);
        let collection = object.split('/').next().unwrap();
        let mut other =
            json!({"apiVersion": before["apiVersion"], "kind": before["kind"], "spec": before["spec"]});
        other["metadata"] = json!({"name": "other"});
        let status = json!({"status": {"observedGeneration": 77}});
        for (method, path, body) in [
            ("POST", collection.to_owned(), other),
            ("PATCH", format!("{object}/status"), status),
            ("DELETE", object.to_owned(), json!({})),
            ("DELETE", collection.to_owned(), json!({})),
        ] {
            let said = site.ask_as(&release.account(), method, "local", &path, &body);
            let words = "promoted neither creates nor deletes objects of Flux, nor writes their status";
            assert!(said.as_ref().is_err_and(|said| said.contains(words)), "{method} {path}: {said:?}");
        }
        assert_eq!(existing(&site, object)["spec"], before["spec"]);
    }
}

fn existing(site: &Site, object: &str) -> Value {
    let found = if object == SOURCE { site.git_repository("local") } else { site.kustomization("local") };
    found.unwrap_or_else(|| panic!("there is no {object} any more"))
}

/// A Role for the account that lets it do everything with Flux's objects.
fn more_rights(release: &Release, namespace: &str) -> String {
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: more, namespace: {namespace}}}
rules:
- apiGroups: [kustomize.toolkit.fluxcd.io, source.toolkit.fluxcd.io]
  resources: [\"*\"]
  verbs: [\"*\"]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: more, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: more}}
subjects:
- {{kind: ServiceAccount, name: promoted, namespace: {}}}
",
        release.namespace
    )
}
