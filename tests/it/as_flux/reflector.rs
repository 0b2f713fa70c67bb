//! A real image-reflector-controller on the bed's cluster, which looks at nothing but this test's objects.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::bed::{Site, bed, isolated, request, until};

const API: &str = "image.toolkit.fluxcd.io/v1";

/// What the controller says about one policy.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Elected(String),
    /// Not ready, in its words.
    Failed(String),
}

/// The running controller; dropping it takes its objects away and ends it.
pub(super) struct Reflector<'s> {
    site: &'s Site,
    folder: PathBuf,
    child: Child,
    namespace: String,
}

impl<'s> Reflector<'s> {
    /// Starts it, and waits until it is ready.
    pub(super) fn start(site: &'s Site) -> Self {
        let namespace = format!("{}-policies", site.name());
        let folder = site.folder().join("reflector");
        for part in ["data", "tmp"] {
            std::fs::create_dir_all(folder.join(part)).unwrap();
        }
        let (metrics, health) = (free_port(), free_port());
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new("setpriv");
        isolated(&mut command, &folder);
        command
            .args(["--pdeathsig", "KILL", "--"])
            // The parts lie side by side.
            .arg(bed().kubectl.with_file_name("image-reflector-controller"))
            .arg(format!("--storage-path={}", folder.join("data").display()))
            .arg(format!("--metrics-addr=127.0.0.1:{metrics}"))
            .arg(format!("--health-addr=127.0.0.1:{health}"))
            .arg(format!("--watch-label-selector=site={namespace}"))
            .args(["--concurrent=12", "--kube-api-qps=500", "--kube-api-burst=1000"])
            .env("KUBECONFIG", &bed().kubeconfig)
            .env("RUNTIME_NAMESPACE", "flux-system")
            .env("TMPDIR", folder.join("tmp"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let child = command.spawn().unwrap();
        let reflector = Self { site, folder, child, namespace };
        let url = format!("http://127.0.0.1:{health}/readyz");
        let ready = || request("GET", &url, &[], b"").ok().filter(|answer| answer.status == 200);
        until(ready)
            .unwrap_or_else(|| panic!("image-reflector-controller was not ready: {}", reflector.log()));
        reflector.create(&[
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": reflector.namespace}}),
        ]);
        reflector
    }

    /// What it elects from each repository by each policy, in the same order.
    pub(super) fn elect(&self, asked: &[(String, Value, Option<Value>)]) -> Vec<Answer> {
        let mut objects: Vec<Value> = Vec::new();
        let mut known = std::collections::BTreeSet::new();
        for (index, (repository, policy, filter)) in asked.iter().enumerate() {
            if known.insert(repository) {
                let image = format!("{}/{repository}", self.site.registry("local"));
                let spec = json!({"image": image, "interval": "10m", "insecure": true});
                objects.push(self.object("ImageRepository", repository, spec));
            }
            let mut spec = json!({"imageRepositoryRef": {"name": repository}, "policy": policy});
            if let Some(filter) = filter {
                spec["filterTags"] = filter.clone();
            }
            objects.push(self.object("ImagePolicy", &format!("p{index}"), spec));
        }
        self.create(&objects);
        let url = format!("{}/apis/{API}/namespaces/{}/imagepolicies", bed().api, self.namespace);
        let settled = || {
            // Hundreds of objects are read at each look, by the same cores that the controller needs.
            std::thread::sleep(std::time::Duration::from_secs(1));
            let answer = request("GET", &url, &[], b"").ok()?;
            let list: Value = serde_json::from_slice(&answer.body).ok()?;
            let mut answers = vec![None; asked.len()];
            for item in list["items"].as_array()? {
                let index: usize = item["metadata"]["name"].as_str()?.strip_prefix('p')?.parse().ok()?;
                *answers.get_mut(index)? = answer_of(item);
            }
            answers.into_iter().collect::<Option<Vec<Answer>>>()
        };
        // The deadline is that of one look, and a hundred repositories are looked at.
        (0..5)
            .find_map(|_| until(settled))
            .unwrap_or_else(|| panic!("image-reflector-controller did not elect: {}", self.log()))
    }

    /// Takes the objects away, so that the next ones may have their names.
    pub(super) fn forget(&self) {
        for kind in ["imagepolicies", "imagerepositories"] {
            self.site.kubectl(&["delete", kind, "--all", "--namespace", &self.namespace]);
        }
    }

    fn object(&self, kind: &str, name: &str, spec: Value) -> Value {
        let metadata = json!({"name": name, "namespace": self.namespace, "labels": {"site": self.namespace}});
        let mut object = json!({"apiVersion": API, "kind": kind, "metadata": metadata});
        object["spec"] = spec;
        object
    }

    fn create(&self, objects: &[Value]) {
        let file = self.folder.join("objects.json");
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        std::fs::write(&file, list.to_string()).unwrap();
        self.site.kubectl(&["create", "--filename", file.to_str().unwrap()]);
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Reflector<'_> {
    fn drop(&mut self) {
        // Its objects have finalizers, which need the running controller.
        for kind in ["imagepolicies", "imagerepositories", "namespace"] {
            let what: &[&str] = if kind == "namespace" {
                &[&self.namespace]
            } else {
                &["--all", "--namespace", &self.namespace]
            };
            let _ = self.site.try_kubectl(&[&["delete", kind, "--timeout=60s"], what].concat());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a policy's status says, once it says anything about its repository's tags.
fn answer_of(policy: &Value) -> Option<Answer> {
    let conditions = policy["status"]["conditions"].as_array()?;
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
    let words = ready["message"].as_str().unwrap_or_default().to_owned();
    match ready["status"].as_str()? {
        "True" => Some(Answer::Elected(policy["status"]["latestRef"]["tag"].as_str()?.to_owned())),
        // Until its repository is scanned, a policy waits for it.
        "False" if !matches!(ready["reason"].as_str()?, "DependencyNotReady" | "Progressing") => {
            Some(Answer::Failed(words))
        }
        _ => None,
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap().port()
}
