//! The vocabulary of the tests: a bed of real parts that all tests share, and in it a [`Site`] for each test, with its
//! own repository, registry path and namespaces. Everything here blocks, and everything that waits has a deadline.
//!
//! The bed is started by the first test that asks for one and ends with the test process. `PROMOTE_BED_JSON` names the
//! `bed.json` of one that is running already: `sleep infinity | target/debug/examples/bed --dir /tmp/bed`.

#![allow(dead_code, unused_imports, reason = "a vocabulary has words that no test uses yet")]
#![allow(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "texts are put together for people to read"
)]

mod between;
mod cluster;
mod command;
mod daemon;
mod git;
mod hooks;
mod http;
mod image;
mod leftovers;
mod mesh;
mod pod;
mod proxy;
mod recipe;
mod registry;
mod site;
mod wire;
mod workshop;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde::Deserialize;

pub(crate) use between::{Between, Fault, Question, Reply, Then};
pub(crate) use command::{Promote, Run, promote_alone};
pub(crate) use daemon::{Daemon, Promoted, free_address};
pub(crate) use git::Commit;
pub(crate) use http::{Answer, request};
pub(crate) use leftovers::{Ports, processes};
pub(crate) use mesh::{Message, mesh};
pub(crate) use pod::Pod;
pub(crate) use proxy::{Proxy, ServerFault};
pub(crate) use recipe::{ROUTE, Recipe, site};
pub(crate) use registry::{Registry, Release};
pub(crate) use site::Site;
pub(crate) use wire::Wire;
pub(crate) use workshop::Workshop;

/// How long anything may take before a test gives up. A busy machine is slow, so this is far above what is seen.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// Where the parts of the bed are: the line of JSON that it prints.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bed {
    /// The bed's folder; `logs` is in it.
    pub(crate) dir: PathBuf,
    /// An administrator's kubeconfig, complete in itself.
    pub(crate) kubeconfig: PathBuf,
    /// Its only context.
    pub(crate) context: String,
    /// The program.
    pub(crate) kubectl: PathBuf,
    /// The Kubernetes API in plain HTTP, with an administrator's rights.
    pub(crate) api: String,
    /// `HOST:PORT` of `local`, `aws`, `paging` and `auth`.
    pub(crate) registries: BTreeMap<String, String>,
    /// Who may use the registry `auth`.
    pub(crate) registry_user: String,
    /// The password for it.
    pub(crate) registry_password: String,
    /// The URL below which `NAME.git` is served to everybody.
    pub(crate) git_open: String,
    /// The same repositories, with a password.
    pub(crate) git_auth: String,
    /// Who may use `git_auth`.
    pub(crate) git_user: String,
    /// The password for it.
    pub(crate) git_password: String,
    /// A folder with `username` and `password`, as in Flux's Git Secret.
    pub(crate) git_credentials: PathBuf,
    /// The URL below which `NAME.git` is served over SSH.
    pub(crate) ssh: String,
    /// A folder with `identity` and `known_hosts`, as in Flux's Git Secret.
    pub(crate) ssh_credentials: PathBuf,
    /// The folder of the bare repositories.
    pub(crate) git_dir: PathBuf,
    /// Base URL of Flux's receivers; the path of one is in its status.
    pub(crate) flux_receivers: String,
    /// Process identifiers by part: for a test that stops one with a bed of its own.
    pub(crate) parts: BTreeMap<String, u32>,
}

impl Bed {
    /// The API server's own address, which asks who comes: `https://HOST:PORT`.
    pub(crate) fn server(&self) -> String {
        let kubeconfig = std::fs::read_to_string(&self.kubeconfig).expect("the bed's kubeconfig can be read");
        let server = kubeconfig.lines().find_map(|line| line.trim().strip_prefix("server: "));
        server.expect("the bed's kubeconfig names a server").to_owned()
    }
}

/// The bed that all tests of this process share.
pub(crate) fn bed() -> &'static Bed {
    static SHARED: OnceLock<Bed> = OnceLock::new();
    SHARED.get_or_init(|| match std::env::var_os("PROMOTE_BED_JSON") {
        Some(file) => {
            let text = std::fs::read(&file)
                .unwrap_or_else(|error| panic!("PROMOTE_BED_JSON, {}: {error}", file.display()));
            serde_json::from_slice(&text).expect("PROMOTE_BED_JSON names a bed's bed.json")
        }
        None => start(),
    })
}

fn start() -> Bed {
    let mut child = Command::new(example("bed"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Not the terminal's Ctrl-C, but the end of this process, is what stops it: in order, and by itself.
        .process_group(0)
        .spawn()
        .expect("the bed starts");
    let mut line = String::new();
    let output = child.stdout.take().expect("the bed's standard output is a pipe");
    BufReader::new(output).read_line(&mut line).expect("the bed can be read");
    assert!(
        !line.is_empty(),
        "the bed did not start; why stands above. If its parts are missing, run `make bed`"
    );
    // The pipe closes when this process ends, however it ends; until then it must stay open.
    std::mem::forget(child);
    serde_json::from_str(&line).expect("the bed prints JSON")
}

/// A program beside the product's own: the bed, or the demo.
pub(crate) fn example(name: &str) -> PathBuf {
    // target/PROFILE/deps/TEST → target/PROFILE/examples/NAME
    let test = std::env::current_exe().expect("the test knows its own path");
    let folder = test.ancestors().nth(2).expect("the test lies in the target folder").join("examples");
    let program = folder.join(name);
    assert!(program.exists(), "{} is missing; `make test` builds it", program.display());
    program
}

/// The folder of the tools that `tests/platform/build.sh` has built: Helm, and the kinds of Istio and others.
pub(crate) fn tools() -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/platform/build.sh");
    let output = Command::new(script).arg("--find").output().expect("bash is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().into()
}

/// Asks until `look` has an answer; `None` after [`DEADLINE`].
pub(crate) fn until<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if began.elapsed() > DEADLINE {
            return None;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The environment of every program that a test starts: nothing of the person's own set-up reaches it.
pub(crate) fn isolated(command: &mut Command, home: &std::path::Path) {
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("RUST_BACKTRACE", "1");
}
