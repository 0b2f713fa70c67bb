#![allow(clippy::unwrap_used)]
use super::*;

const OLD: &str = "main@sha1:1111111111111111111111111111111111111111";
const NEW: &str = "main@sha1:2222222222222222222222222222222222222222";

fn target() -> FluxTarget {
    FluxTarget { namespace: "flux-system".to_owned(), name: "apps".to_owned() }
}

fn judged(spec: &str, status: &str) -> Delivery {
    let json = format!("{{\"spec\": {spec}, \"status\": {status}}}").replace("OLD", OLD).replace("NEW", NEW);
    let kustomization: Kustomization = serde_json::from_str(&json).unwrap();
    judge(&target(), &kustomization, ("flux-system", "git"), Some(&GitRepository::default()))
}

fn is(commit: Option<&crate::model::CommitId>, revision: &str) -> bool {
    commit.cloned() == revision::commit(revision)
}

#[test]
fn a_revision_is_applied_once_the_field_says_so() {
    let delivery = judged("{}", r#"{"lastAppliedRevision": "NEW", "lastAttemptedRevision": "NEW"}"#);
    assert!(is(delivery.applied.as_ref(), NEW));
}

#[test]
fn a_revision_whose_health_is_awaited_is_applied() {
    let delivery = judged(
        "{}",
        r#"{"lastAppliedRevision": "OLD", "lastAttemptedRevision": "NEW", "conditions": [
            {"type": "Ready", "status": "Unknown", "reason": "Progressing"},
            {"type": "Healthy", "status": "Unknown", "message": "Running health checks for revision NEW with a timeout"}]}"#,
    );
    assert!(is(delivery.applied.as_ref(), NEW));
    assert!(delivery.doing.contains("waits for the health of 2222222"), "{}", delivery.doing);
}

#[test]
fn health_of_the_former_revision_does_not_count() {
    let delivery = judged(
        "{}",
        r#"{"lastAppliedRevision": "OLD", "lastAttemptedRevision": "NEW", "conditions": [
            {"type": "Ready", "status": "Unknown", "reason": "Progressing"},
            {"type": "Healthy", "status": "True", "message": "Health check passed for OLD"}]}"#,
    );
    assert!(is(delivery.applied.as_ref(), OLD));
    assert_eq!(delivery.refused, None);
}

#[test]
fn a_revision_that_cannot_be_applied_is_refused_with_the_reason() {
    let delivery = judged(
        "{}",
        r#"{"lastAppliedRevision": "OLD", "lastAttemptedRevision": "NEW", "conditions": [
            {"type": "Ready", "status": "False", "reason": "ReconciliationFailed", "message": "dry-run failed"},
            {"type": "Healthy", "status": "True"}]}"#,
    );
    let (commit, words) = delivery.refused.unwrap();
    assert!(is(Some(&commit), NEW));
    assert_eq!(words, "ReconciliationFailed: dry-run failed");
}

#[test]
fn manifests_that_cannot_be_built_are_waited_for() {
    let delivery = judged(
        "{}",
        r#"{"lastAppliedRevision": "OLD", "lastAttemptedRevision": "NEW", "conditions": [
            {"type": "Ready", "status": "False", "reason": "BuildFailed", "message": "accumulating resources"}]}"#,
    );
    assert_eq!(delivery.refused, None);
    assert_eq!(delivery.broken.unwrap(), "BuildFailed: accumulating resources");
}

#[test]
fn failed_health_checks_mean_applied_and_leave_the_verdict_to_the_workloads() {
    let delivery = judged(
        "{}",
        r#"{"lastAppliedRevision": "OLD", "lastAttemptedRevision": "NEW", "conditions": [
            {"type": "Ready", "status": "False", "reason": "HealthCheckFailed", "message": "timeout"}]}"#,
    );
    assert!(is(delivery.applied.as_ref(), NEW));
    assert_eq!(delivery.refused, None);
}

#[test]
fn a_suspended_kustomization_is_told_with_the_way_to_go_on() {
    let delivery = judged(r#"{"suspend": true}"#, r#"{"lastAppliedRevision": "OLD"}"#);
    assert_eq!(
        delivery.suspended.unwrap(),
        "Kustomization flux-system/apps is suspended; `flux resume kustomization apps -n flux-system` lets it go on"
    );
}

#[test]
fn workloads_come_from_the_inventory() {
    let delivery = judged(
        "{}",
        r#"{"inventory": {"entries": [{"id": "shop_web_apps_Deployment", "v": "v1"}, {"id": "shop_web__Service"},
            {"id": "_shop__Namespace"}, {"id": "odd"}, {"id": "shop_nightly_batch_CronJob", "v": "v1"},
            {"id": "shop_db_postgresql.cnpg.io_Cluster", "v": "v1"}, {"id": "_all_example.org_Widget", "v": "v1"},
            {"id": "shop_web_networking.istio.io_VirtualService", "v": "v1"}]}}"#,
    );
    let names: Vec<_> = delivery.workloads.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["Deployment shop/web", "CronJob shop/nightly"]);
    let others: Vec<_> = delivery.others.iter().map(ToString::to_string).collect();
    assert_eq!(others, ["Cluster shop/db"], "what is in no namespace or only routes runs nothing");
}

#[test]
fn odd_objects_are_as_if_nothing_had_happened_yet() {
    let object: Kustomization = serde_json::from_str("{}").unwrap();
    let delivery = judge(&target(), &object, ("flux-system", "git"), None);
    assert_eq!(delivery.doing, "GitRepository flux-system/git does not exist");
    assert_eq!(delivery.applied, None);
}
