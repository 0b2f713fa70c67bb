//! Whatever the values: the API server takes what is rendered, and the program understands its arguments.

#[path = "../../platform/charts/values.rs"]
mod values;

use self::values::{ALL, MINIMAL, NONE, TWO};
use super::{arguments, mounts, parse, render};
use crate::bed::{self, Pod};

#[test]
fn the_api_server_takes_what_is_rendered_with_every_switch() {
    let site = bed::site("switches").create();
    let kinds = bed::tools().join("crds");
    site.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", kinds.to_str().unwrap()]);
    site.kubectl(&[
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "crd/servicemonitors.monitoring.coreos.com",
    ]);
    // What lies in a namespace can be tried only in one that is there.
    let (local, aws) = (site.namespace("local"), site.namespace("aws"));
    for values in [MINIMAL, TWO, ALL, NONE] {
        let there = [
            format!("rbac.fluxNamespaces={{{local},{aws}}}"),
            format!("rbac.appNamespaces={{{local},{aws}}}"),
        ];
        let rendered = render(&local, &[values, &there.each_ref().map(String::as_str)].concat());
        let taken = site.apply(&rendered, &["--server-side", "--dry-run=server", "--validate=strict"]);
        assert_eq!(taken.lines().count(), parse(&rendered).len(), "{taken}");
    }
}

#[test]
fn the_program_understands_its_arguments_as_they_are_rendered() {
    let site = bed::site("arguments").environments(&["local"]).create();
    let registries = site.folder().join("registries");
    std::fs::create_dir(&registries).unwrap();
    std::fs::write(registries.join(".dockerconfigjson"), "{\"auths\": {}}").unwrap();
    for (name, values) in [("minimal", MINIMAL), ("two", TWO), ("all", ALL), ("none", NONE)] {
        let rendered = parse(&render("gitops", values));
        let deployment = rendered.iter().find(|object| object["kind"] == "Deployment").unwrap();
        let template = &deployment["spec"]["template"]["spec"];
        let mut pod = Pod::new(&site, name, &site.namespace("local"), "default").alone();
        for (path, _) in mounts(template) {
            pod = pod.with_mount(path.contains("/registries/").then(|| registries.clone()), &path);
        }
        let daemon = site.promoted().in_pod(pod).rendered(&arguments(template)).start();
        let line = daemon.wait_log("serving /metrics, /healthz, /readyz and /webhooks");
        assert!(line.contains("0.0.0.0:9797"), "{line}");
        daemon.stop();
    }
}
