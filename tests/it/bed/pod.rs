//! A Pod as a process sees it: a service account's files, and the address of the API server.

use std::path::PathBuf;
use std::process::Command;

use super::bed;
use super::site::Site;

/// Where Kubernetes mounts a service account, below the folder that a Pod of the bed has for itself.
const MOUNT: &str = "/run/secrets/kubernetes.io/serviceaccount";

/// A Pod of a service account.
#[derive(Debug, Clone)]
pub(crate) struct Pod {
    name: String,
    files: PathBuf,
}

impl Pod {
    /// A Pod of the service account `account` in `namespace`, which exists.
    pub(crate) fn new(site: &Site, name: &str, namespace: &str, account: &str) -> Self {
        let files = site.folder().join(format!("pod-{name}"));
        std::fs::create_dir_all(&files).unwrap();
        let token = site.kubectl(&["create", "token", account, "-n", namespace, "--duration=2h"]);
        let authority = site.kubectl(&[
            "get",
            "configmap",
            "kube-root-ca.crt",
            "-n",
            namespace,
            "-o",
            r"jsonpath={.data.ca\.crt}",
        ]);
        for (file, content) in [("token", token.trim()), ("ca.crt", &authority), ("namespace", namespace)] {
            std::fs::write(files.join(file), content).unwrap();
        }
        Self { name: name.to_owned(), files }
    }

    /// Has `unshare`, a command that is not complete yet, start `program` within this Pod.
    pub(super) fn enter(&self, mut unshare: Command, program: &str) -> Command {
        let server = bed().server();
        let (host, port) = server.trim_start_matches("https://").rsplit_once(':').unwrap();
        let script = format!(
            "mount -t tmpfs none /run && mkdir -p {MOUNT} && cp '{}'/* {MOUNT}/ && exec \"$@\"",
            self.files.display()
        );
        // Somebody else than root is root within a namespace of its own.
        unshare.args(["--mount", "--map-root-user", "--", "sh", "-c", &script, "sh"]);
        unshare
            // A change of the user takes the kernel's promise back that the process ends with the test.
            .args(["setpriv", "--pdeathsig", "KILL", "--", program])
            .env("HOSTNAME", &self.name)
            .env("KUBERNETES_SERVICE_HOST", host)
            .env("KUBERNETES_SERVICE_PORT", port);
        unshare
    }
}
