//! The peer: Flux's image-reflector-controller and image-automation-controller, as they come, with more concurrency and
//! a higher limit of API requests than by default, so that neither is what is measured.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bed::{self, bed, isolated, request, until};
use crate::ground::Ground;

/// The running controllers; dropping it ends them.
pub(crate) struct Flux {
    folder: TempDir,
    children: Vec<Child>,
}

impl Flux {
    /// Starts both on the bed's cluster, and waits until they are ready.
    pub(crate) fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("flux-").tempdir_in(bed().dir.join("tmp")).unwrap();
        let mut flux = Self { folder, children: Vec::new() };
        let storage = format!("--storage-path={}", flux.folder.path().join("data").display());
        for folder in ["data", "tmp"] {
            std::fs::create_dir(flux.folder.path().join(folder)).unwrap();
        }
        flux.spawn("image-reflector-controller", &[&storage]);
        flux.spawn("image-automation-controller", &[]);
        flux
    }

    fn spawn(&mut self, name: &str, arguments: &[&str]) {
        // The parts lie side by side.
        let program = bed().kubectl.with_file_name(name);
        let (metrics, health) = (free_port(), free_port());
        let log = std::fs::File::create(self.folder.path().join(format!("{name}.log"))).unwrap();
        let mut command = Command::new("setpriv");
        isolated(&mut command, self.folder.path());
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(arguments)
            .arg(format!("--metrics-addr=127.0.0.1:{metrics}"))
            .arg(format!("--health-addr=127.0.0.1:{health}"))
            .args(["--concurrent=12", "--kube-api-qps=500", "--kube-api-burst=1000"])
            .env("KUBECONFIG", &bed().kubeconfig)
            .env("RUNTIME_NAMESPACE", "flux-system")
            .env("TMPDIR", self.folder.path().join("tmp"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.children.push(command.spawn().unwrap());
        let url = format!("http://127.0.0.1:{health}/readyz");
        let ready = || request("GET", &url, &[], b"").ok().filter(|answer| answer.status == 200);
        until(ready).unwrap_or_else(|| panic!("{name} was not ready: {}", self.folder.path().display()));
    }

    /// Lets them look after all apps of a repository, every second.
    pub(crate) fn automate<'a>(&self, ground: &'a Ground) -> Automation<'a> {
        let namespace = ground.namespace();
        let mut objects = vec![
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
            object(
                "source",
                "GitRepository",
                "deploy",
                &namespace,
                json!({
                    "interval": "1h", "url": ground.site.repo(), "ref": {"branch": "main"},
                }),
            ),
        ];
        for app in &ground.apps {
            let image = format!("{}/{app}", ground.site.registry("local"));
            objects.push(object(
                "image",
                "ImageRepository",
                app,
                &namespace,
                json!({
                    "image": image, "interval": "1s", "insecure": true,
                }),
            ));
            objects.push(object(
                "image",
                "ImagePolicy",
                app,
                &namespace,
                json!({
                    "imageRepositoryRef": {"name": app},
                    "policy": {"semver": {"range": ">=1.0.0"}},
                    "digestReflectionPolicy": "IfNotPresent",
                }),
            ));
        }
        objects.push(object(
            "image",
            "ImageUpdateAutomation",
            "apps",
            &namespace,
            json!({
                "interval": "1s",
                "sourceRef": {"kind": "GitRepository", "name": "deploy"},
                "git": {
                    "checkout": {"ref": {"branch": "main"}},
                    "commit": {"author": {"name": "flux", "email": "flux@example.org"}},
                    "push": {"branch": "main"},
                },
                "update": {"path": "./deploy", "strategy": "Setters"},
            }),
        ));
        let file = self.folder.path().join("objects.json");
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        std::fs::write(&file, list.to_string()).unwrap();
        ground.site.kubectl(&["create", "--filename", file.to_str().unwrap()]);
        let automation = Automation { ground };
        for kind in ["imagepolicies", "imageupdateautomations"] {
            let wait =
                ["wait", kind, "--all", "--for=condition=Ready", "--timeout=120s", "--namespace", &namespace];
            ground.site.kubectl(&wait);
        }
        automation
    }
}

impl Drop for Flux {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Flux's objects for one repository; dropping it takes them away, which needs the running controllers.
pub(crate) struct Automation<'a> {
    ground: &'a Ground,
}

impl Drop for Automation<'_> {
    fn drop(&mut self) {
        let mut command = Command::new(&bed().kubectl);
        isolated(&mut command, &self.ground.site.folder().join("home"));
        let delete = ["delete", "namespace", &self.ground.namespace(), "--timeout=60s"];
        let _ = command.env("KUBECONFIG", &bed::bed().kubeconfig).args(delete).stdout(Stdio::null()).status();
    }
}

fn object(group: &str, kind: &str, name: &str, namespace: &str, spec: Value) -> Value {
    let mut object = json!({
        "apiVersion": format!("{group}.toolkit.fluxcd.io/v1"),
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
    });
    object["spec"] = spec;
    object
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap().port()
}
