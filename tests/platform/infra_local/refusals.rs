//! What is refused before anything is changed, and what to do is said.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::site::{Site, on_path};
use crate::command::{root, run};

/// Applies, sees it refused with these words, and that k3d was told to change nothing.
#[track_caller]
fn refused(site: &Site, variables: &[&str], words: &str) {
    site.alone(&["apply", "-auto-approve"], variables).refused(words);
    assert_eq!(site.called("k3d cluster"), 0, "{:?}", site.calls());
}

fn cluster_of_another(site: &Site, name: &str, containers: &str) {
    fs::write(site.path("recorded/clusters").join(name), containers).unwrap();
}

#[test]
fn a_missing_program() {
    for (program, words) in [
        ("k3d", "k3d was not found: install it (https://k3d.io"),
        ("kubectl", "kubectl was not found: install it"),
        ("docker", "docker was not found: install it"),
    ] {
        refused(&Site::new().without(program), &[], words);
    }
}

#[test]
fn a_k3d_that_is_too_old() {
    let site = Site::new().with("STAND_IN_K3D_VERSION", "5.7.5");
    refused(&site, &[], "k3d 5.7.5 is older than 5.8.0: install a newer one");
    Site::new().with("STAND_IN_K3D_VERSION", "5.10.0").alone(&["apply", "-auto-approve"], &[]).passed();
}

#[test]
fn an_engine_that_does_not_answer() {
    refused(&Site::new().with("STAND_IN_DOCKER_FAILS", "yes"), &[], "docker does not answer: start it");
}

#[test]
fn a_port_in_use() {
    for (port, words) in [
        ("8080", "port 8080 is in use: stop what listens there, or choose another with -var http_port="),
        ("8443", "port 8443 is in use"),
        ("5000", "port 5000 is in use, and the registry needs it"),
    ] {
        let site = Site::new();
        fs::write(site.path("recorded/ports"), port).unwrap();
        refused(&site, &[], words);
    }
}

#[test]
fn a_listener_is_really_seen() {
    let site = Site::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let preflight = |ports: &str| {
        let mut command = Command::new(root().join("infra/local/scripts/preflight.sh"));
        let path = format!("{}:{}", site.path("programs").display(), std::env::var("PATH").unwrap());
        command
            .env("PATH", path)
            .env("STAND_INS", site.path("recorded"))
            .env("INOTIFY", site.path("inotify"));
        command.env("CLUSTER_KUBECONFIG", site.path("none")).env("PORTS", ports);
        run(&mut command, "bash is needed")
    };
    fs::create_dir(site.path("programs")).unwrap();
    for program in ["k3d", "kubectl", "docker"] {
        fs::copy(root().join("tests/platform/stand-ins").join(program), site.path("programs").join(program))
            .unwrap();
    }
    preflight(&format!("127.0.0.1:{port}")).refused(&format!("port {port} is in use"));
    drop(listener);
    preflight(&format!("127.0.0.1:{port}")).passed();
}

#[test]
fn a_cluster_of_the_same_name_that_is_not_ours() {
    let site = Site::new();
    cluster_of_another(&site, "promote", "k3d-promote-server-0 somebody-else\nk3d-promote-serverlb \n");
    refused(
        &site,
        &[],
        "there is a k3d cluster promote already that was not made from here: choose another name",
    );
    site.alone(&["apply", "-auto-approve"], &["-var=name=other"]).passed();
}

#[test]
fn a_registry_of_another_cluster() {
    let site = Site::new();
    cluster_of_another(&site, "theirs", "k3d-theirs-server-0 \nk3d-registry \n");
    refused(&site, &[], "there is a container k3d-registry already, of another cluster (theirs)");
}

#[test]
fn a_kubeconfig_of_another_cluster() {
    let site = Site::new();
    fs::write(site.path("kubeconfig"), "apiVersion: v1\nkind: Config\ncontexts:\n- name: production\n")
        .unwrap();
    let variable = format!("-var=kubeconfig={}", site.path("kubeconfig").display());
    refused(&site, &[&variable], "belongs to another cluster (production)");
    fs::write(site.path("kubeconfig"), "shopping list\n").unwrap();
    refused(&site, &[&variable], "is no kubeconfig: move it away");
    assert_eq!(fs::read_to_string(site.path("kubeconfig")).unwrap(), "shopping list\n");
}

#[test]
fn too_few_watches_for_several_nodes() {
    let site = Site::new();
    fs::write(site.path("inotify"), "128\n").unwrap();
    refused(&site, &[], "fs.inotify.max_user_instances is 128, and nodes need 512: sudo sysctl -w");
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let site = Site::new().with("STAND_IN_K3D_VERSION", "5.0.0");
    fs::write(site.path("inotify"), "128\n").unwrap();
    fs::write(site.path("recorded/ports"), "8080").unwrap();
    let said = site.alone(&["apply", "-auto-approve"], &[]).refused("k3d 5.0.0 is older");
    said.refused("fs.inotify.max_user_instances is 128")
        .refused("port 8080 is in use")
        .refused("nothing was changed");
}

#[test]
fn values_out_of_range_all_at_once() {
    let site = Site::new();
    let variables = ["-var=servers=2", "-var=agents=11", "-var=cluster_name=Promote", "-var=https_port=5000"];
    let said =
        site.cluster(&["apply", "-auto-approve"], &variables).refused("Invalid value for variable").all();
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "servers must be 1, 3 or 5",
        "agents must be a whole number from 0 to 10",
        "cluster_name must have 2 to 32 lower case letters",
        "must differ from each other and from 5000",
    ] {
        assert!(said.contains(words), "\"{words}\" was not said:\n{said}");
    }
    assert!(site.calls().is_empty(), "{:?}", site.calls());
}

#[test]
fn other_settings_for_a_cluster_that_runs() {
    let site = Site::new();
    site.alone(&["apply", "-auto-approve"], &[]).passed();
    let words = "The cluster was made with other settings. They cannot change while it runs";
    site.alone(&["plan"], &["-var=agents=3"]).refused(words);
    assert_eq!(site.clusters(), ["promote"]);
    // Not a trap: the way out that the message names works, whatever the settings say by then.
    site.alone(&["destroy", "-auto-approve"], &["-var=agents=3"]).passed();
    site.alone(&["apply", "-auto-approve"], &["-var=agents=3"]).passed();
}

#[test]
fn a_creation_that_fails_leaves_nothing() {
    for cause in ["STAND_IN_K3D_FAILS", "STAND_IN_NODES_FAIL"] {
        let site = Site::new().with(cause, "yes");
        site.alone(&["apply", "-auto-approve"], &[]).refused("so the cluster promote is removed again");
        assert!(site.clusters().is_empty(), "{cause}");
        assert!(!site.path("repository/infra/local/modules/cluster/.local/kubeconfig").exists(), "{cause}");
    }
}

/// Waits until something is so, for at most half a minute.
#[track_caller]
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends a signal to a process, or with a minus before it to its group.
fn signal(name: &str, process: &str) {
    run(Command::new("kill").args(["-s", name, "--", process]), "kill is needed").passed();
}

#[test]
fn a_creation_that_is_interrupted_leaves_nothing() {
    let config = "metadata:\n  name: promote\n# promoted.owner=us\n";
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let site = Site::new().with("STAND_IN_K3D_HANGS", "yes");
        let kubeconfig = site.path("kubeconfig");
        // Whoever runs the tests in the background has them ignore SIGINT, and bash can't trap what it was born to ignore.
        let script = ["--default-signal=INT", "bash", "scripts/create.sh"];
        let mut create = site.command(Path::new("env"), "repository/infra/local", &script);
        create.env("CLUSTER", "promote").env("CLUSTER_KUBECONFIG", &kubeconfig).env("OWNER", "us");
        create.env("CONFIG", config).env("PORTS", "127.0.0.1:8080").env("WAIT", "60s");
        let mut create = create.spawn().unwrap();
        until("the creation", || site.clusters() == ["promote"]);
        // For the script alone: it must not wait for k3d to end.
        signal(name, &create.id().to_string());
        assert_eq!(create.wait().unwrap().code(), Some(code), "{name}");
        assert!(site.clusters().is_empty() && !kubeconfig.exists(), "{name}: {:?}", site.calls());
    }
}

#[test]
fn an_apply_that_is_interrupted_leaves_nothing_and_the_next_one_works() {
    let site = Site::new().with("STAND_IN_K3D_HANGS", "yes");
    let arguments =
        ["apply", "-auto-approve", "-input=false", "-no-color", "-var=kubeconfig=.local/kubeconfig"];
    let mut apply = site.command(&on_path("terraform"), "repository/infra/local/modules/cluster", &arguments);
    let mut apply = apply.process_group(0).spawn().unwrap();
    until("the creation", || site.clusters() == ["promote"]);
    // As a terminal does on Ctrl-C.
    signal("INT", &format!("-{}", apply.id()));
    assert!(!apply.wait().unwrap().success());
    until("the removal", || site.clusters().is_empty());
    site.with("STAND_IN_K3D_HANGS", "").alone(&["apply", "-auto-approve"], &[]).passed();
}

#[test]
fn what_an_interrupted_creation_left_is_removed_first() {
    let site = Site::new();
    site.alone(&["apply", "-auto-approve"], &[]).passed();
    // As after a kill: the cluster is there, and Terraform takes it for unfinished.
    site.terraform("local/modules/cluster", &["taint", "terraform_data.cluster"]).passed();
    fs::write(site.path("recorded/ports"), "8080").unwrap();
    let again = site.alone(&["apply", "-auto-approve"], &[]).passed();
    assert!(
        again.all().contains("removing what an interrupted run left of the cluster promote"),
        "{}",
        again.all()
    );
    assert_eq!(site.clusters(), ["promote"]);
}

#[test]
fn destroying_a_cluster_that_somebody_else_made_meanwhile() {
    let site = Site::new();
    site.alone(&["apply", "-auto-approve"], &[]).passed();
    cluster_of_another(&site, "promote", "k3d-promote-server-0 somebody-else\n");
    site.alone(&["destroy", "-auto-approve"], &[]).refused("was not made from here, so it stays");
    assert_eq!(site.clusters(), ["promote"]);
}

#[test]
fn a_cluster_deleted_by_hand_can_be_destroyed() {
    let site = Site::new();
    site.alone(&["apply", "-auto-approve"], &[]).passed();
    fs::remove_file(site.path("recorded/clusters/promote")).unwrap();
    let gone = site.alone(&["destroy", "-auto-approve"], &[]).passed();
    assert!(gone.all().contains("the cluster promote is gone already"), "{}", gone.all());
}

#[test]
fn what_k3d_leaves_behind_is_named() {
    let site = Site::new();
    site.alone(&["apply", "-auto-approve"], &[]).passed();
    let site = site.with("STAND_IN_NETWORK_LEFT", "k3d-promote");
    site.alone(&["destroy", "-auto-approve"], &[]).refused("these are still there: k3d-promote");
}
