//! Of several replicas one works. The Lease saves work; that nothing is done twice is up to the push.

use std::time::{Duration, Instant};

use crate::bed::{self, Daemon, Pod, Site};

/// A site whose daemon runs in Pods of its own cluster.
fn site(name: &str) -> Site {
    let site = bed::site(name).environments(&["local"]).create();
    site.write_config(|text| text.replace("    cluster: {kubeconfig: kubeconfig}\n", ""));
    assert!(!site.read("promote.yaml").contains("cluster"), "{}", site.read("promote.yaml"));
    let namespace = site.namespace("local");
    site.kubectl(&["create", "serviceaccount", "promoted", "-n", &namespace]);
    let account = format!("{namespace}:promoted");
    site.kubectl(&[
        "create",
        "rolebinding",
        "promoted",
        "-n",
        &namespace,
        "--clusterrole=cluster-admin",
        "--serviceaccount",
        &account,
    ]);
    site
}

fn replica(site: &Site, name: &str, stop_at: &str) -> Daemon {
    let pod = Pod::new(site, name, &site.namespace("local"), "promoted");
    site.promoted().in_pod(pod).arg("--leader-election").env("PROMOTED_STOP_AT", stop_at).start()
}

fn leads(replica: &Daemon) -> bool {
    replica.get("/metrics").1.lines().any(|line| line == "promote_leader 1")
}

fn wait_until_it_leads(site: &Site, replica: &Daemon) -> Duration {
    let began = Instant::now();
    bed::until(|| leads(replica).then(|| began.elapsed()))
        .unwrap_or_else(|| site.give_up("the replica does not lead"))
}

#[test]
fn the_other_replica_takes_over_within_fifteen_seconds_when_the_leader_is_killed() {
    let site = site("takeover");
    let first = replica(&site, "one", "");
    wait_until_it_leads(&site, &first);
    let second = replica(&site, "two", "");
    second.wait_log("this replica waits");
    assert_eq!(
        second.get("/readyz").0,
        200,
        "one that waits is ready, so that a rollout of the daemon goes on"
    );
    site.wait_verdict("test-app", "local", "1.0.0");
    assert!(!leads(&second), "one works");

    first.kill();
    let took = wait_until_it_leads(&site, &second);
    assert!(took <= Duration::from_secs(15), "it took {took:?}");
    site.push_image("local", "test-app", "1.1.0");
    assert_eq!(site.wait_verdict("test-app", "local", "1.1.0")["verdict"], "verified");
    assert_eq!(site.moves().len(), 1);
    second.stop();
}

#[test]
fn a_leader_that_is_told_to_stop_hands_over_at_once() {
    let site = site("handover");
    let first = replica(&site, "one", "");
    wait_until_it_leads(&site, &first);
    let second = replica(&site, "two", "");
    second.wait_log("this replica waits");
    first.stop();
    let took = wait_until_it_leads(&site, &second);
    assert!(took <= Duration::from_secs(5), "it took {took:?}");
    second.stop();
}

#[test]
fn a_leader_that_was_stopped_before_its_push_and_goes_on_a_minute_later_commits_nothing_twice() {
    let site = site("stopped");
    let first = replica(&site, "one", "committed");
    wait_until_it_leads(&site, &first);
    site.wait_verdict("test-app", "local", "1.0.0");
    let second = replica(&site, "two", "");
    second.wait_log("this replica waits");
    site.push_image("local", "test-app", "1.1.0");
    let stopped = Instant::now();

    wait_until_it_leads(&site, &second);
    assert_eq!(site.wait_verdict("test-app", "local", "1.1.0")["verdict"], "verified");
    std::thread::sleep(Duration::from_mins(1).saturating_sub(stopped.elapsed()));
    first.signal("CONT");

    first.wait_log("this replica waits");
    assert!(!leads(&first) && leads(&second));
    assert_eq!(
        site.moves().len(),
        1,
        "the push of the one that went on was refused, and there was nothing left to do"
    );
    site.push_image("local", "test-app", "1.2.0");
    assert_eq!(site.wait_verdict("test-app", "local", "1.2.0")["verdict"], "verified");
    assert_eq!(site.moves().len(), 2);
    first.stop();
    second.stop();
}

#[test]
fn outside_of_a_pod_there_is_nothing_to_elect_a_leader_by() {
    let site = bed::site("no-pod").environments(&["local"]).create();
    let run = site.promoted().arg("--leader-election").run().expect_code(2);
    assert!(run.stderr.contains("--leader-election") && run.stderr.contains("needs a Pod"), "{}", run.stderr);
}
