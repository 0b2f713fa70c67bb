//! `infra/local/README.md` is followed to the letter.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::site::Site;
use crate::command::{root, run};
use crate::pages::blocks;

fn page() -> String {
    fs::read_to_string(root().join("infra/local/README.md")).unwrap()
}

#[test]
fn its_commands_lead_from_nothing_to_the_app_and_back() {
    let site = Site::new().with("GITHUB_USER", "somebody").with("GITHUB_TOKEN", "canary-token");
    for program in ["git", "terraform"] {
        site.stand_in(program, program);
    }
    for program in ["make", "skopeo", "curl"] {
        site.stand_in("recorded", program);
    }
    // In the place where the page says that it is.
    let build = site.path("repository/deploy/apps/test-app/image/build.sh");
    fs::create_dir_all(build.parent().unwrap()).unwrap();
    fs::copy(root().join("tests/platform/stand-ins/recorded"), &build).unwrap();

    fs::write(site.path("page.sh"), format!("set -eux\n{}", blocks(&page(), "sh").concat())).unwrap();
    let ended = site.run(Path::new("bash"), "home", &["../page.sh"]).passed();
    println!("{}", ended.all());

    assert_eq!(
        (site.called("k3d cluster create"), site.called("k3d cluster delete")),
        (1, 1),
        "{:?}",
        site.calls()
    );
    assert!(site.clusters().is_empty());
    assert_eq!(site.called("skopeo copy"), 3, "{:?}", site.calls());
    assert_eq!(site.called("curl --fail"), 1, "{:?}", site.calls());
    let settings = site.path("repository/infra/local/local.auto.tfvars");
    assert_eq!(
        fs::metadata(&settings).unwrap().permissions().mode() & 0o777,
        0o600,
        "the settings hold a token"
    );
    let settings = fs::read_to_string(settings).unwrap();
    assert!(settings.contains("\nenable_daemon = true\n"), "the next apply would take the daemon away");
    let state = fs::read_to_string(site.path("repository/infra/local/terraform.tfstate.backup")).unwrap();
    assert!(!state.contains("canary-token"), "the token is in the state");
}

#[test]
fn names_that_are_missing_are_told_with_the_line_to_add() {
    let site = Site::new().without("getent");
    let answers = |known: &str| {
        fs::write(
            site.path("bin/getent"),
            format!("#!/bin/sh\ncase $2 in {known}) exit 0;; *) exit 2;; esac\n"),
        )
        .unwrap();
        fs::set_permissions(site.path("bin/getent"), fs::Permissions::from_mode(0o755)).unwrap();
        site.run(Path::new("bash"), "repository/infra/local", &["scripts/check-hosts.sh"])
    };
    answers("test.localhost")
        .refused("add this line to /etc/hosts: 127.0.0.1 wiki.localhost rancher.localhost");
    answers("*").passed();
}

#[test]
fn without_getent_the_names_are_looked_up_in_the_hosts_file() {
    let site = Site::new().without("getent");
    let hosts = site.path("hosts");
    let check = |content: &str| {
        fs::write(&hosts, content).unwrap();
        let mut command =
            site.command(Path::new("bash"), "repository/infra/local", &["scripts/check-hosts.sh"]);
        run(command.env("HOSTS", &hosts), "bash is needed")
    };
    check("127.0.0.1 localhost test.localhost\n# 127.0.0.1 wiki.localhost\n127.0.0.1 my-rancher.localhost\n")
        .refused("add this line to /etc/hosts: 127.0.0.1 wiki.localhost rancher.localhost");
    check("127.0.0.1 test.localhost wiki.localhost rancher.localhost\n").passed();
}

#[test]
fn the_page_tells_what_the_refusals_say() {
    let page = page();
    for words in [
        "was not found: install it",
        "is in use",
        "belongs to another cluster",
        "was made with other settings",
    ] {
        assert!(page.contains(words), "the troubleshooting table does not have \"{words}\"");
    }
}
