//! A bed of real parts for one test alone: an API server with KWOK's nodes, and Flux, Git and sshd beside it. It ends with its value.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::{Ended, root, run};

/// How long anything may take before the test gives up: far more than is seen.
const DEADLINE: Duration = Duration::from_mins(2);

pub struct Bed {
    process: Child,
    places: Value,
}

impl Bed {
    /// A cluster for charts: without a mesh, and webhooks are taken and not called.
    pub fn start() -> Self {
        // target/PROFILE/deps/TEST → target/PROFILE/examples/bed
        let test = std::env::current_exe().unwrap();
        let program = test.ancestors().nth(2).unwrap().join("examples/bed");
        assert!(program.exists(), "{} is missing: `make test` builds it", program.display());
        let mut process = Command::new(program)
            .arg("--bare")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(
            !line.is_empty(),
            "the bed did not start; why stands above. If parts are missing, run `make bed`"
        );
        Self { process, places: serde_json::from_str(&line).unwrap() }
    }

    /// Where one of its parts is.
    pub fn place(&self, name: &str) -> &str {
        self.places[name].as_str().unwrap_or_else(|| panic!("the bed does not say {name}: {}", self.places))
    }

    /// Publishes the tree of this repository, as it is committed but for what `change` does to it, for Flux to follow; its address.
    pub fn publish(&self, change: impl FnOnce(&Path)) -> String {
        let folder = TempDir::new().unwrap();
        let clone = folder.path().join("clone");
        let git = |at: &Path, arguments: &[&str]| {
            let mut git = Command::new("git");
            git.arg("-C").arg(at).args(arguments).env("HOME", folder.path()).env("GIT_CONFIG_NOSYSTEM", "1");
            for role in ["AUTHOR", "COMMITTER"] {
                git.env(format!("GIT_{role}_NAME"), "A Person");
                git.env(format!("GIT_{role}_EMAIL"), "person@example.org");
            }
            run(&mut git, "install git").passed().stdout
        };
        git(folder.path(), &["init", "--quiet", "--initial-branch=main", "clone"]);
        for file in git(root(), &["ls-files", "deploy", "promote.yaml"]).lines() {
            let to = clone.join(file);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(root().join(file), to).unwrap();
        }
        change(&clone);
        git(&clone, &["add", "--all"]);
        git(&clone, &["commit", "--quiet", "--message", "The tree of the product's own repository"]);
        let bare = Path::new(self.place("gitDir")).join("tree.git");
        git(folder.path(), &["clone", "--quiet", "--bare", "clone", bare.to_str().unwrap()]);
        format!("{}/tree.git", self.place("ssh"))
    }

    /// A file of the credentials for that address: `identity` or `known_hosts`.
    pub fn credential(&self, name: &str) -> String {
        fs::read_to_string(Path::new(self.place("sshCredentials")).join(name)).unwrap()
    }

    /// The credentials as `infra` takes them.
    pub fn credentials(&self) -> String {
        json!({"identity": self.credential("identity"), "known_hosts": self.credential("known_hosts")})
            .to_string()
    }

    /// Runs kubectl as an administrator.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(self.place("kubectl"));
        run(command.args(["--kubeconfig", self.place("kubeconfig")]).args(arguments), "run `make bed`")
    }

    /// An object, or null where there is none.
    #[track_caller]
    pub fn object(&self, namespace: &str, kind: &str, name: &str) -> Value {
        let arguments = ["get", kind, name, "--namespace", namespace, "--ignore-not-found", "--output=json"];
        serde_json::from_str(&self.kubectl(&arguments).passed().stdout).unwrap_or_default()
    }

    /// Waits until an object is as it should be.
    #[track_caller]
    pub fn until(&self, namespace: &str, kind: &str, name: &str, is_so: impl Fn(&Value) -> bool) {
        let began = Instant::now();
        loop {
            let object = self.object(namespace, kind, name);
            if is_so(&object) {
                return;
            }
            assert!(began.elapsed() < DEADLINE, "{kind} {name} did not become what it should be: {object:#}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits for an object's condition.
    #[track_caller]
    pub fn wait(&self, namespace: &str, kind: &str, name: &str, condition: &str) {
        self.until(namespace, kind, name, |object| {
            let conditions = object["status"]["conditions"].as_array();
            let is_so = |row: &Value| row["type"] == condition && row["status"] == "True";
            conditions.is_some_and(|rows| rows.iter().any(is_so))
        });
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        // It ends when nobody can write to it any more, and stops its parts in order.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
