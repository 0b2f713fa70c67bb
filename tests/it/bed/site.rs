//! A site: what one test has to itself, and the words in which it speaks about it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::recipe::Recipe;
use super::{Commit, Promote, Promoted, Run, bed, cluster, command, daemon, git, image, isolated, until};

/// A `GitOps` repository, a path in each registry, and a namespace with Flux for each environment.
pub(crate) struct Site {
    name: String,
    environments: Vec<String>,
    apps: Vec<String>,
    folder: TempDir,
    repository: git::Repository,
    /// The logs of the daemons that were started, oldest first.
    pub(super) logs: Mutex<Vec<PathBuf>>,
}

impl Site {
    pub(super) fn new(name: String, recipe: &Recipe, folder: TempDir, repository: git::Repository) -> Self {
        let (environments, apps) = (recipe.environments.clone(), recipe.apps.clone());
        Self { name, environments, apps, folder, repository, logs: Mutex::default() }
    }

    /// The unique name: of the repository, in the registries' paths and of the namespaces.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The site's own folder: `home`, `secrets`, and whatever a test puts there.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The repository's URL over HTTP, without credentials.
    pub(crate) fn repo(&self) -> String {
        format!("{}/{}.git", bed().git_open, self.name)
    }

    /// The repository's URL over HTTP, with the password of the bed's `git_credentials`.
    pub(crate) fn repo_with_password(&self) -> String {
        format!("{}/{}.git", bed().git_auth, self.name)
    }

    /// The repository's URL over SSH, with the key of the bed's `ssh_credentials`.
    pub(crate) fn repo_over_ssh(&self) -> String {
        format!("{}/{}.git", bed().ssh, self.name)
    }

    /// The bare repository's folder, for hooks and faults.
    pub(crate) fn bare(&self) -> &Path {
        self.repository.bare()
    }

    /// Runs git in the bare repository; returns what it prints.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        self.repository.remote(arguments)
    }

    /// An environment's namespace. Its Kustomization is `apps`, its `GitRepository` is `deploy`.
    pub(crate) fn namespace(&self, environment: &str) -> String {
        format!("{}-{environment}", self.name)
    }

    /// An environment's registry in promote.yaml: `HOST:PORT/PATH`.
    pub(crate) fn registry(&self, environment: &str) -> String {
        format!("{}/{}", registry_host(environment), self.name)
    }

    // --- Images ---

    fn images<T>(&self, registry: &str, repository: &str, act: impl FnOnce(&image::Repository) -> T) -> T {
        let bed = bed();
        let credentials =
            (registry == "auth").then(|| format!("{}:{}", bed.registry_user, bed.registry_password));
        let name = format!("{}/{repository}", self.name);
        act(&image::Repository { host: registry_host(registry), name: &name, credentials })
    }

    /// What makes an image differ from all others: the same version has the same digest in every registry.
    fn identity(&self, repository: &str, tag: &str) -> String {
        format!("{} {repository} {tag}", self.name)
    }

    /// Pushes an image to the registry of an environment (or `paging`, `auth`); returns its digest.
    pub(crate) fn push_image(&self, registry: &str, repository: &str, tag: &str) -> String {
        let identity = self.identity(repository, tag);
        self.images(registry, repository, |images| images.push_image(&identity, tag))
    }

    /// Pushes an image whose content is `content`: for a tag that changes, or two tags of one image.
    pub(crate) fn push_image_with(
        &self,
        registry: &str,
        repository: &str,
        tag: &str,
        content: &str,
    ) -> String {
        let identity = self.identity(repository, content);
        self.images(registry, repository, |images| images.push_image(&identity, tag))
    }

    /// Pushes an image that says it was built at `created`; returns its digest.
    pub(crate) fn push_image_built(
        &self,
        registry: &str,
        repository: &str,
        tag: &str,
        created: &str,
    ) -> String {
        let identity = self.identity(repository, tag);
        self.images(registry, repository, |images| images.push_image_built(&identity, tag, created))
    }

    /// Pushes an image for one architecture alone.
    pub(crate) fn push_image_for(&self, registry: &str, repository: &str, tag: &str, architecture: &str) {
        let identity = self.identity(repository, tag);
        self.images(registry, repository, |images| images.push_image_for(&identity, tag, architecture));
    }

    /// Pushes an index of two platforms that say they were built at these times; returns its digest.
    pub(crate) fn push_index_built(
        &self,
        registry: &str,
        repository: &str,
        tag: &str,
        created: [&str; 2],
    ) -> String {
        let identity = self.identity(repository, tag);
        self.images(registry, repository, |images| images.push_index_built(&identity, tag, created))
    }

    /// Pushes a Helm chart; returns its digest.
    pub(crate) fn push_chart(&self, registry: &str, repository: &str, tag: &str) -> String {
        let identity = self.identity(repository, tag);
        self.images(registry, repository, |images| images.push_chart(&identity, tag))
    }

    /// Pushes one image under many tags.
    pub(crate) fn push_tags(&self, registry: &str, repository: &str, tags: &[String]) {
        let identity = self.identity(repository, "many");
        self.images(registry, repository, |images| images.push_tags(&identity, tags));
    }

    /// Pushes an index with two platforms; returns the digest of the index.
    pub(crate) fn push_multiarch_image(&self, registry: &str, repository: &str, tag: &str) -> String {
        let identity = self.identity(repository, tag);
        self.images(registry, repository, |images| images.push_multiarch_image(&identity, tag))
    }

    /// Pushes any manifest, such as one with a `subject`; without a tag it is known by its digest, which is returned.
    pub(crate) fn push_manifest(
        &self,
        registry: &str,
        repository: &str,
        manifest: &Value,
        tag: Option<&str>,
    ) -> String {
        self.images(registry, repository, |images| images.push_manifest(manifest, tag))
    }

    /// Pushes a blob, for a manifest that names it; returns its digest.
    pub(crate) fn push_blob(&self, registry: &str, repository: &str, content: &[u8]) -> String {
        self.images(registry, repository, |images| images.push_blob(content))
    }

    /// The digest of a tag (or digest) in a registry; `None` if it is not there.
    pub(crate) fn image_digest(&self, registry: &str, repository: &str, reference: &str) -> Option<String> {
        self.images(registry, repository, |images| images.resolve(reference))
    }

    /// The digests of the platforms of an index.
    pub(crate) fn platforms(&self, registry: &str, repository: &str, reference: &str) -> Vec<String> {
        self.images(registry, repository, |images| images.platforms(reference))
    }

    /// Deletes a manifest and its tags from a registry.
    pub(crate) fn delete_image(&self, registry: &str, repository: &str, digest: &str) {
        self.images(registry, repository, |images| images.delete(digest));
    }

    // --- Git ---

    /// Commits and pushes as a person; `None` removes a path. Returns the commit.
    pub(crate) fn commit(&self, message: &str, changes: &[(&str, Option<&str>)]) -> String {
        self.repository.commit(message, changes)
    }

    /// A file at the remote's head.
    pub(crate) fn read(&self, path: &str) -> String {
        self.repository.read(path).unwrap_or_else(|| panic!("{path} is not at the head of {}", self.name))
    }

    /// A file at the remote's head, if there is one.
    pub(crate) fn try_read(&self, path: &str) -> Option<String> {
        self.repository.read(path)
    }

    /// The path of an app's overlay.
    #[allow(clippy::unused_self, reason = "a word of the site like the others")]
    pub(crate) fn overlay_path(&self, environment: &str, app: &str) -> String {
        format!("deploy/apps/{app}/overlays/{environment}/kustomization.yaml")
    }

    /// An app's overlay at the remote's head.
    pub(crate) fn overlay(&self, environment: &str, app: &str) -> String {
        self.read(&self.overlay_path(environment, app))
    }

    /// Changes what the app's workload is made of in all environments, as a person; returns the commit.
    pub(crate) fn change_base(&self, app: &str, change: impl FnOnce(String) -> String) -> String {
        let path = format!("deploy/apps/{app}/base/deployment.yaml");
        let text = change(self.read(&path));
        self.commit("Change the base", &[(&path, Some(&text))])
    }

    /// Commits of the daemon's or the command line's that moved a version, newest first.
    pub(crate) fn moves(&self) -> Vec<Commit> {
        self.commits().into_iter().filter(|commit| commit.trailers.contains_key("Promote-App")).collect()
    }

    /// Changes promote.yaml as a person; returns the commit.
    pub(crate) fn write_config(&self, change: impl FnOnce(String) -> String) -> String {
        let text = change(self.read("promote.yaml"));
        self.commit("Change promote.yaml", &[("promote.yaml", Some(&text))])
    }

    /// Puts a secret where promote.yaml can name it.
    pub(crate) fn write_secret(&self, name: &str, content: &str) {
        std::fs::write(self.folder().join("secrets").join(name), content).expect("a secret can be written");
    }

    /// The commits at the remote, newest first.
    pub(crate) fn commits(&self) -> Vec<Commit> {
        self.repository.commits()
    }

    /// Waits for a commit at the remote; `what` completes "there was no commit that …".
    pub(crate) fn wait_commit(&self, wanted: impl Fn(&Commit) -> bool, what: &str) -> Commit {
        until(|| self.commits().into_iter().find(&wanted))
            .unwrap_or_else(|| self.give_up(&format!("there was no commit that {what}")))
    }

    /// The verdicts at the remote, in the order in which they were decided.
    pub(crate) fn verdicts(&self) -> Vec<Value> {
        self.repository.verdicts()
    }

    /// Waits for a verdict on a version; returns the latest.
    pub(crate) fn wait_verdict(&self, app: &str, environment: &str, tag: &str) -> Value {
        let is_meant = |verdict: &Value| {
            verdict["app"] == app && verdict["environment"] == environment && verdict["tag"] == tag
        };
        until(|| self.verdicts().into_iter().rfind(is_meant))
            .unwrap_or_else(|| self.give_up(&format!("there was no verdict on {app} {tag} in {environment}")))
    }

    // --- The cluster ---

    /// Runs kubectl with an administrator's rights; returns what it prints.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        let ended = self.try_kubectl(arguments);
        ended.unwrap_or_else(|said| panic!("kubectl {}: {said}", arguments.join(" ")))
    }

    /// The same; an error is what kubectl says where it fails.
    pub(crate) fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(&bed().kubectl);
        isolated(&mut command, &self.folder().join("home"));
        let output = command.env("KUBECONFIG", &bed().kubeconfig).args(arguments).output();
        let output = output.expect("kubectl can be started");
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
    }

    /// Has kubectl apply some YAML with more arguments; returns what it prints.
    pub(crate) fn apply(&self, yaml: &str, arguments: &[&str]) -> String {
        let mut file = tempfile::NamedTempFile::new_in(self.folder()).expect("a file");
        file.write_all(yaml.as_bytes()).expect("a file can be written");
        let path = file.path().to_str().expect("the bed's paths are UTF-8");
        self.kubectl(&[&["apply", "-f", path], arguments].concat())
    }

    /// Puts a Secret of the cluster into a folder as a Pod sees it: a file for each key. Returns the folder.
    pub(crate) fn mount_secret(&self, namespace: &str, secret: &str) -> PathBuf {
        let text = self.kubectl(&["get", "secret", secret, "-n", namespace, "-o", "json"]);
        let object: Value = serde_json::from_str(&text).expect("kubectl prints JSON");
        let folder = self.folder().join(format!("secret-{namespace}-{secret}"));
        std::fs::create_dir_all(&folder).expect("a folder");
        for (key, value) in object["data"].as_object().into_iter().flatten() {
            let content = STANDARD.decode(value.as_str().unwrap_or_default()).expect("base64");
            std::fs::write(folder.join(key), content).expect("a file can be written");
        }
        folder
    }

    /// An app's live Deployment; `None` if there is none.
    pub(crate) fn deployment(&self, environment: &str, app: &str) -> Option<Value> {
        let namespace = self.namespace(environment);
        cluster::get(&format!("{}/namespaces/{namespace}/deployments/{app}", cluster::APPS))
    }

    /// An app's live pods.
    pub(crate) fn pods(&self, environment: &str, app: &str) -> Vec<Value> {
        let namespace = self.namespace(environment);
        let list = cluster::get(&format!("/api/v1/namespaces/{namespace}/pods?labelSelector=app%3D{app}"));
        list.and_then(|list| list["items"].as_array().cloned()).unwrap_or_default()
    }

    /// The image reference that an app's live Deployment has; empty if there is none.
    pub(crate) fn live_image(&self, environment: &str, app: &str) -> String {
        let deployment = self.deployment(environment, app).unwrap_or_default();
        deployment["spec"]["template"]["spec"]["containers"][0]["image"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Waits until the live Deployment has that tag.
    pub(crate) fn wait_image(&self, environment: &str, app: &str, tag: &str) {
        let with_tag = format!("/{app}:{tag}");
        let has = |image: &str| image.split('@').next().is_some_and(|name| name.ends_with(&with_tag));
        until(|| has(&self.live_image(environment, app)).then_some(())).unwrap_or_else(|| {
            self.give_up(&format!(
                "{app} in {environment} did not get {tag}; it has {}",
                self.live_image(environment, app)
            ))
        });
    }

    /// Waits until the live Deployment has that tag, and all its pods run it and are ready.
    pub(crate) fn wait_rolled_out(&self, environment: &str, app: &str, tag: &str) {
        self.wait_image(environment, app, tag);
        let complete = || self.deployment(environment, app).filter(cluster::is_complete);
        until(complete)
            .unwrap_or_else(|| self.give_up(&format!("{app} {tag} was not rolled out in {environment}")));
    }

    /// Waits for a pod of the app whose first container waits for that reason, such as `ImagePullBackOff`.
    pub(crate) fn wait_pod_waiting(&self, environment: &str, app: &str, reason: &str) -> Value {
        let waits =
            |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == reason;
        until(|| self.pods(environment, app).into_iter().find(waits))
            .unwrap_or_else(|| self.give_up(&format!("no pod of {app} in {environment} showed {reason}")))
    }

    /// Waits until Flux has applied exactly this commit in an environment.
    pub(crate) fn wait_applied(&self, environment: &str, commit: &str) {
        let applied = || {
            let kustomization = self.kustomization(environment)?;
            let revision = kustomization["status"]["lastAppliedRevision"].as_str()?.to_owned();
            revision.ends_with(commit).then_some(())
        };
        until(applied)
            .unwrap_or_else(|| self.give_up(&format!("Flux did not apply {commit} in {environment}")));
    }

    /// Sends a request about Flux's objects of an environment (`gitrepositories`, or `kustomizations/apps`) as `user`; an
    /// error is what the API server says.
    pub(crate) fn ask_as(
        &self,
        user: &str,
        method: &str,
        environment: &str,
        object: &str,
        body: &Value,
    ) -> Result<(), String> {
        let base = if object.starts_with("kustomizations") { cluster::KUSTOMIZE } else { cluster::SOURCE };
        cluster::send_as(user, method, &self.flux_path(environment, base, object), body)
    }

    /// Has the API server refuse Deployments with that tag in an environment, as a policy of its owner may.
    pub(crate) fn refuse_tag(&self, environment: &str, tag: &str) {
        let namespace = self.namespace(environment);
        let path = "/apis/admissionregistration.k8s.io/v1";
        cluster::create(
            &format!("{path}/validatingadmissionpolicies"),
            &json!({"metadata": {"name": namespace}, "spec": {
                "matchConstraints": {"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"],
                    "operations": ["CREATE", "UPDATE"], "resources": ["deployments"]}]},
                "validations": [{
                    "expression": format!("object.spec.template.spec.containers.all(c, !c.image.contains(':{tag}'))"),
                    "message": format!("{tag} is not allowed here")}]}}),
        );
        cluster::create(
            &format!("{path}/validatingadmissionpolicybindings"),
            &json!({"metadata": {"name": namespace}, "spec": {"policyName": namespace, "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}}}),
        );
        let live = || {
            let deployment = self.deployment(environment, "test-app")?;
            let image = deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str()?;
            let (repository, _) = image.split_once('@').unwrap_or((image, ""));
            let forbidden = format!("{}:{tag}", repository.rsplit_once(':')?.0);
            let change = json!({"spec": {"template": {"spec": {"containers": [
                {"name": deployment["spec"]["template"]["spec"]["containers"][0]["name"], "image": forbidden}]}}}});
            let folder = format!("{}/namespaces/{namespace}/deployments/test-app?dryRun=All", cluster::APPS);
            cluster::is_refused(&folder, &change).then_some(())
        };
        until(live).unwrap_or_else(|| self.give_up("the policy did not come into force"));
    }

    /// An environment's Kustomization.
    pub(crate) fn kustomization(&self, environment: &str) -> Option<Value> {
        cluster::get(&self.flux_path(environment, cluster::KUSTOMIZE, "kustomizations/apps"))
    }

    /// An environment's `GitRepository`.
    pub(crate) fn git_repository(&self, environment: &str) -> Option<Value> {
        cluster::get(&self.flux_path(environment, cluster::SOURCE, "gitrepositories/deploy"))
    }

    fn flux_path(&self, environment: &str, base: &str, object: &str) -> String {
        format!("{base}/namespaces/{}/{object}", self.namespace(environment))
    }

    /// Suspends an environment's Kustomization, as a person does.
    pub(crate) fn suspend(&self, environment: &str) {
        self.set_suspended(environment, true);
    }

    /// Resumes it.
    pub(crate) fn resume(&self, environment: &str) {
        self.set_suspended(environment, false);
    }

    fn set_suspended(&self, environment: &str, suspended: bool) {
        let path = self.flux_path(environment, cluster::KUSTOMIZE, "kustomizations/apps");
        cluster::patch(&path, &json!({"spec": {"suspend": suspended}}));
    }

    /// Asks Flux to look at Git now, as a webhook would. Only the product's own requests do so otherwise.
    pub(crate) fn reconcile(&self, environment: &str) {
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970");
        let annotations = json!({"reconcile.fluxcd.io/requestedAt": now.as_nanos().to_string()});
        let path = self.flux_path(environment, cluster::SOURCE, "gitrepositories/deploy");
        cluster::patch(&path, &json!({"metadata": {"annotations": annotations}}));
    }

    // --- The product ---

    /// The daemon for this site: `.start()` it, or `.run()` it to its end.
    pub(crate) fn promoted(&self) -> Promoted<'_> {
        Promoted::new(self)
    }

    /// `promoted --once`.
    pub(crate) fn once(&self) -> Run {
        self.promoted().arg("--once").run()
    }

    /// `promote ARGUMENTS` as a person with this site's secrets.
    pub(crate) fn promote(&self, arguments: &[&str]) -> Run {
        command::promote(self, arguments)
    }

    /// `promote ARGUMENTS` as a person of that name.
    pub(crate) fn promote_as(&self, name: &str, arguments: &[&str]) -> Run {
        command::promote_as(self, name, arguments)
    }

    /// `promote ARGUMENTS` as a person with kubectl on the PATH.
    pub(crate) fn promote_with_kubectl(&self, arguments: &[&str]) -> Run {
        command::promote_with_kubectl(self, arguments)
    }

    /// `promote ARGUMENTS` as a person who does not wait for its end.
    pub(crate) fn start_promote(&self, arguments: &[&str]) -> Promote {
        Promote::start(self, arguments)
    }

    /// Ends the test with what helps to see why: the state of Flux and of the pods, and the end of the daemon's log.
    pub(crate) fn give_up(&self, what: &str) -> ! {
        let mut shown = format!("{what}\n");
        for commit in self.commits().iter().take(5) {
            shown += &format!("commit {} {}\n", &commit.sha[..9], commit.subject);
        }
        for environment in &self.environments {
            let status = self.kustomization(environment).unwrap_or_default()["status"].take();
            shown += &format!(
                "{environment}: applied {}, attempted {}\n",
                status["lastAppliedRevision"], status["lastAttemptedRevision"]
            );
            for condition in status["conditions"].as_array().into_iter().flatten() {
                shown +=
                    &format!("  {}={} {}\n", condition["type"], condition["status"], condition["message"]);
            }
            for app in &self.apps {
                for pod in self.pods(environment, app) {
                    let container = &pod["status"]["containerStatuses"][0];
                    shown += &format!(
                        "  pod {}: {} {}\n",
                        pod["metadata"]["name"], container["image"], container["state"]
                    );
                }
            }
        }
        let log = self.logs.lock().ok().and_then(|logs| logs.last().cloned());
        if let Some(log) = log {
            shown += &format!("the daemon's last lines:\n{}", daemon::tail(&log));
        }
        panic!("{shown}")
    }
}

/// `HOST:PORT` of the registry of that name; an environment without one of its own uses `local`.
fn registry_host(name: &str) -> &'static str {
    let registries = &bed().registries;
    registries.get(name).unwrap_or_else(|| &registries["local"])
}

impl Drop for Site {
    fn drop(&mut self) {
        for environment in &self.environments {
            cluster::rest(&self.namespace(environment));
        }
    }
}
