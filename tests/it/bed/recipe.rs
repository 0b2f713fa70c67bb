//! How a site is described and made.

use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;

use super::site::Site;
use super::{bed, cluster, git, mesh};

/// A description of a [`Site`].
pub(crate) struct Recipe {
    name: String,
    pub(super) environments: Vec<String>,
    pub(super) apps: Vec<String>,
    verify: String,
    wait: bool,
    initial: String,
    flux_timeout: String,
    kind: String,
    forgiving: Vec<String>,
    mesh: bool,
    route: Option<String>,
}

/// Describes a site for a test; `name` shows up in logs, namespaces and registry paths.
pub(crate) fn site(name: &str) -> Recipe {
    Recipe {
        name: name.to_owned(),
        environments: vec!["local".into(), "aws".into()],
        apps: vec!["test-app".into()],
        verify: "{timeout: 60s, stableFor: 1s}".into(),
        wait: false,
        initial: "1.0.0".into(),
        flux_timeout: "60s".into(),
        kind: "Deployment".into(),
        forgiving: Vec::new(),
        mesh: false,
        route: None,
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

impl Recipe {
    /// Its environments, each `after` the one before. `aws` uses the registry `aws`, every other `local`.
    pub(crate) fn environments(mut self, names: &[&str]) -> Self {
        self.environments = owned(names);
        self
    }

    /// Its apps; each has one image of the same name.
    pub(crate) fn apps(mut self, names: &[&str]) -> Self {
        self.apps = owned(names);
        self
    }

    /// `verify` of every environment, in YAML's flow style.
    pub(crate) fn verify(mut self, yaml: &str) -> Self {
        yaml.clone_into(&mut self.verify);
        self
    }

    /// `spec.wait` of the Kustomizations [false].
    pub(crate) fn wait(mut self, wait: bool) -> Self {
        self.wait = wait;
        self
    }

    /// The version that every environment runs at the beginning [1.0.0].
    pub(crate) fn initial(mut self, tag: &str) -> Self {
        tag.clone_into(&mut self.initial);
        self
    }

    /// `spec.timeout` of the Kustomizations [60s].
    pub(crate) fn flux_timeout(mut self, timeout: &str) -> Self {
        timeout.clone_into(&mut self.flux_timeout);
        self
    }

    /// What runs the apps: `StatefulSet` or `DaemonSet` [Deployment].
    pub(crate) fn kind(mut self, kind: &str) -> Self {
        kind.clone_into(&mut self.kind);
        self
    }

    /// Environments where every version runs well, whatever its tag says: it fails only in the others.
    pub(crate) fn forgiving(mut self, environments: &[&str]) -> Self {
        self.forgiving = owned(environments);
        self
    }

    /// In the mesh: each namespace asks for sidecars, and each app has a Service on port 80. Waits until the bed has a mesh.
    pub(crate) fn mesh(mut self) -> Self {
        mesh();
        self.mesh = true;
        self
    }

    /// In the mesh, and reached through its gateway by [`Site::host`].
    pub(crate) fn routed(self) -> Self {
        self.routed_by(ROUTE)
    }

    /// In the mesh, with routes of the test's own: `APP`, `HOST` and `PORT` (the gateway's) are filled in.
    pub(crate) fn routed_by(self, yaml: &str) -> Self {
        Self { route: Some(yaml.to_owned()), ..self.mesh() }
    }

    /// Makes the site: pushes the first images, commits, and waits until Flux has applied that commit everywhere.
    pub(crate) fn create(self) -> Site {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let bed = bed();
        // A namespace's name may have 63 letters, the environment's included.
        let short: String = self.name.chars().take(36).collect();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{:x}{count:x}", short.trim_end_matches('-'), process::id());

        // Below the bed's folder, so that it goes with the bed even if this process is killed.
        let folder =
            tempfile::Builder::new().prefix("site-").tempdir_in(bed.dir.join("tmp")).expect("a folder");
        for part in ["home", "secrets"] {
            std::fs::create_dir(folder.path().join(part)).expect("a folder");
        }
        std::fs::copy(&bed.kubeconfig, folder.path().join("secrets/kubeconfig"))
            .expect("the bed's kubeconfig");
        let bare = bed.git_dir.join(format!("{name}.git"));
        let repository =
            git::Repository::create(&bare, &format!("{}/{name}.git", bed.git_open), folder.path());
        let site = Site::new(name, &self, folder, repository);

        let mut files = vec![("promote.yaml".to_owned(), self.config(&site))];
        for app in &self.apps {
            files.extend(self.app_files(&site, app));
        }
        for environment in &self.environments {
            let overlays: String =
                self.apps.iter().map(|app| format!("- ../../apps/{app}/overlays/{environment}\n")).collect();
            files.push((
                format!("deploy/environments/{environment}/kustomization.yaml"),
                resources(&overlays),
            ));
        }
        let changes: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
        let commit = site.commit("Begin", &changes);
        for environment in &self.environments {
            self.connect(&site, environment);
        }
        for environment in &self.environments {
            site.wait_applied(environment, &commit);
        }
        site
    }

    fn config(&self, site: &Site) -> String {
        let mut text = "version: 1\ninterval: 1s\nenvironments:\n".to_owned();
        for (index, environment) in self.environments.iter().enumerate() {
            text += &format!("  {environment}:\n");
            if index > 0 {
                text += &format!("    after: [{}]\n", self.environments[index - 1]);
            }
            text += &format!(
                "    registry: {}
    cluster: {{kubeconfig: kubeconfig}}
    deploy: {{flux: {{kustomization: {}/apps}}}}
    verify: {}\n",
                site.registry(environment),
                site.namespace(environment),
                self.verify
            );
        }
        text += "apps:\n";
        for app in &self.apps {
            text += &format!(
                "  {app}:
    path: deploy/apps/{app}/overlays/{{environment}}
    images:
      {app}: {{policy: {{semver: {{range: \">=1.0.0-0\"}}}}}}\n"
            );
        }
        text
    }

    fn app_files(&self, site: &Site, app: &str) -> Vec<(String, String)> {
        let base = format!("deploy/apps/{app}/base");
        let service = if self.mesh { "- service.yaml\n" } else { "" };
        let mut files = vec![
            (format!("{base}/kustomization.yaml"), resources(&format!("- deployment.yaml\n{service}"))),
            (format!("{base}/deployment.yaml"), self.workload(app)),
        ];
        if self.mesh {
            files.push((format!("{base}/service.yaml"), SERVICE.replace("APP", app)));
        }
        for environment in &self.environments {
            let digest = site.push_image(environment, app, &self.initial);
            let overlay = format!("deploy/apps/{app}/overlays/{environment}");
            if let Some(route) = &self.route {
                let route = route
                    .replace("APP", app)
                    .replace("HOST", &site.host(environment, app))
                    .replace("PORT", &mesh().gateway_port().to_string());
                files.push((format!("{overlay}/route.yaml"), route));
            }
            files.push((
                format!("{overlay}/kustomization.yaml"),
                resources(&format!(
                    "- ../../base
{}images:
- name: {app}
  newName: {}/{app}
  newTag: \"{}\"
  digest: {digest}\n{}",
                    if self.route.is_some() { "- route.yaml\n" } else { "" },
                    site.registry(environment),
                    self.initial,
                    if self.forgiving.contains(environment) { FORGIVING } else { "" }
                )),
            ));
        }
        files
    }

    fn workload(&self, app: &str) -> String {
        let text = DEPLOYMENT.replace("APP", app);
        let without = |text: String, field: &str| {
            text.lines().filter(|line| !line.contains(field)).map(|line| format!("{line}\n")).collect()
        };
        match self.kind.as_str() {
            "Deployment" => text,
            "StatefulSet" => {
                let text: String = without(text, "progressDeadlineSeconds");
                text.replace("kind: Deployment", "kind: StatefulSet")
                    .replace("  replicas: 2", "  serviceName: none\n  replicas: 2")
            }
            "DaemonSet" => {
                let text: String = without(without(text, "progressDeadlineSeconds"), "replicas");
                text.replace("kind: Deployment", "kind: DaemonSet")
            }
            other => panic!("the bed knows no {other}"),
        }
    }

    /// Creates what connects an environment with Git. The intervals are so long that only a request makes Flux act.
    fn connect(&self, site: &Site, environment: &str) {
        let namespace = site.namespace(environment);
        cluster::create(
            "/api/v1/namespaces",
            &json!({
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {
                    "name": namespace,
                    "labels": if self.mesh { json!({"istio-injection": "enabled"}) } else { json!({}) },
                },
            }),
        );
        cluster::create(
            &format!("{}/namespaces/{namespace}/gitrepositories", cluster::SOURCE),
            &json!({
                "apiVersion": "source.toolkit.fluxcd.io/v1",
                "kind": "GitRepository",
                "metadata": {"name": "deploy", "namespace": namespace},
                "spec": {"interval": "1h", "url": site.repo(), "ref": {"branch": "main"}},
            }),
        );
        cluster::create(
            &format!("{}/namespaces/{namespace}/kustomizations", cluster::KUSTOMIZE),
            &json!({
                "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
                "kind": "Kustomization",
                "metadata": {"name": "apps", "namespace": namespace},
                "spec": {
                    "interval": "1h",
                    "retryInterval": "5s",
                    "timeout": self.flux_timeout,
                    "prune": true,
                    "wait": self.wait,
                    "path": format!("./deploy/environments/{environment}"),
                    "targetNamespace": namespace,
                    "sourceRef": {"kind": "GitRepository", "name": "deploy"},
                },
            }),
        );
    }
}

fn resources(rest: &str) -> String {
    format!("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n{rest}")
}

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: APP
spec:
  replicas: 2
  progressDeadlineSeconds: 30
  selector:
    matchLabels: {app: APP}
  template:
    metadata:
      labels: {app: APP}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: APP
        image: APP
        ports:
        - {name: http, containerPort: 8080}
";

const SERVICE: &str = "apiVersion: v1
kind: Service
metadata:
  name: APP
  labels: {app: APP}
spec:
  selector: {app: APP}
  ports:
  - {name: http, port: 80, targetPort: http}
";

/// A way from the gateway to an app; the gateway listens on loopback.
pub(crate) const ROUTE: &str = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: APP
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: PORT, name: http, protocol: HTTP}
    bind: 127.0.0.1
    hosts: [HOST]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: APP
spec:
  hosts: [HOST]
  gateways: [APP]
  http:
  - route:
    - destination: {host: APP}
";

/// The bed's pods do what an annotation says before they look at the tag; no fault is called `good`.
const FORGIVING: &str = "patches:
- target: {version: v1, group: apps}
  patch: |
    - op: add
      path: /spec/template/metadata/annotations
      value: {bed/mode: good}
";
