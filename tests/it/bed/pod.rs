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
    /// What is mounted where, beside the service account; nothing is an empty folder.
    mounts: Vec<(Option<PathBuf>, String)>,
    alone: bool,
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
        Self { name: name.to_owned(), files, mounts: Vec::new(), alone: false }
    }

    /// Mounts a copy of a folder of this machine, or an empty one, below `/etc` or `/var/lib`.
    pub(crate) fn with_mount(mut self, folder: Option<PathBuf>, path: &str) -> Self {
        self.mounts.push((folder, path.to_owned()));
        self
    }

    /// Gives it a network of its own, with nobody in it.
    pub(crate) fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    pub(super) fn is_alone(&self) -> bool {
        self.alone
    }

    /// Has `unshare`, a command that is not complete yet, start `program` within this Pod.
    pub(super) fn enter(&self, mut unshare: Command, program: &str) -> Command {
        let server = bed().server();
        let (host, port) = server.trim_start_matches("https://").rsplit_once(':').unwrap();
        let mut script = format!(
            "set -e\nmount -t tmpfs none /run\nmkdir -p {MOUNT}\ncp '{}'/* {MOUNT}/\n",
            self.files.display()
        );
        if !self.mounts.is_empty() {
            // Folders of this machine are not touched: the Pod sees its own, with the machine's files linked into them.
            script += "mkdir /run/etc\nmount --rbind /etc /run/etc\nmount -t tmpfs none /etc\nln -s /run/etc/* /etc/\n\
                       mount -t tmpfs none /var/lib\n";
        }
        for (folder, path) in &self.mounts {
            script += &format!("mkdir -p '{path}'\n");
            if let Some(folder) = folder {
                script += &format!("cp -r '{}'/. '{path}'/\n", folder.display());
            }
        }
        script += "exec \"$@\"";
        // Somebody else than root is root within a namespace of its own.
        unshare.args(["--mount", "--map-root-user"]);
        if self.alone {
            unshare.arg("--net");
        }
        unshare.args(["--", "sh", "-c", &script, "sh"]);
        unshare
            // A change of the user takes the kernel's promise back that the process ends with the test.
            .args(["setpriv", "--pdeathsig", "KILL", "--", program])
            .env("HOSTNAME", &self.name)
            .env("KUBERNETES_SERVICE_HOST", host)
            .env("KUBERNETES_SERVICE_PORT", port);
        unshare
    }
}
