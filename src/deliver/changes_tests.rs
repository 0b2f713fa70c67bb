#![allow(clippy::unwrap_used)]

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use tokio::time::timeout;

use super::*;

/// Who looks at the workload `web`.
fn of_web(told: &Arc<Told>) -> Changes {
    let mut changes = Changes::default();
    changes.add("shop", || told.clone());
    changes.only(BTreeSet::from(["web".to_owned()]));
    changes
}

async fn hears(changes: &mut Changes) -> bool {
    timeout(Duration::from_millis(1), changes.next()).await.is_ok()
}

fn object(name: &str, owner: Option<(&str, &str)>) -> ObjectMeta {
    let reference = |(kind, name): (&str, &str)| OwnerReference {
        kind: kind.into(),
        name: name.into(),
        ..OwnerReference::default()
    };
    ObjectMeta {
        name: Some(name.into()),
        owner_references: owner.map(|owner| vec![reference(owner)]),
        ..ObjectMeta::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_told_to_those_whom_it_concerns() {
    let told = Arc::new(Told::default());
    let mut web = of_web(&told);
    told.those(vec!["other".to_owned()]);
    assert!(!hears(&mut web).await);
    told.those(vec!["web".to_owned()]);
    assert!(hears(&mut web).await);

    let mut web = of_web(&told);
    assert!(!hears(&mut web).await, "what was before is known");
    told.everybody();
    assert!(hears(&mut web).await);
}

#[tokio::test(start_paused = true)]
async fn whoever_names_nobody_hears_everything() {
    let told = Arc::new(Told::default());
    let mut all = Changes::default();
    all.add("shop", || told.clone());
    told.those(vec!["other".to_owned()]);
    assert!(hears(&mut all).await);
}

#[tokio::test(start_paused = true)]
async fn a_change_between_two_of_others_is_not_missed() {
    let told = Arc::new(Told::default());
    let mut web = of_web(&told);
    for name in ["other", "web", "another"] {
        told.those(vec![name.to_owned()]);
    }
    assert!(hears(&mut web).await);
}

#[tokio::test(start_paused = true)]
async fn names_without_end_are_not_kept_for_ever() {
    let told = Arc::new(Told::default());
    for number in 0..2 * NAMES {
        told.those(vec![format!("job-{number}")]);
    }
    assert!(told.latest.lock().unwrap().of.len() <= NAMES + 1);
    let mut web = of_web(&told);
    told.those(vec!["web".to_owned()]);
    assert!(hears(&mut web).await);
}

#[test]
fn an_object_tells_of_the_workload_that_it_belongs_to() {
    assert_eq!(workloads(&object("web", None)), ["web"]);
    assert_eq!(workloads(&object("web-7d9f", Some(("Deployment", "web")))), ["web"]);
    assert_eq!(workloads(&object("web-7d9f-x2x4z", Some(("ReplicaSet", "web-7d9f")))), ["web", "web-7d9f"]);
    assert_eq!(workloads(&object("db-0", Some(("StatefulSet", "db")))), ["db"]);
    assert_eq!(workloads(&object("tidy-29-abc", Some(("Job", "tidy-29")))), ["tidy", "tidy-29"]);
}
