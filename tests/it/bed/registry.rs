//! A registry of a test's own: the same programs as the bed's, with a configuration that the test adds to.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::image::Repository;
use super::site::Site;
use super::{bed, isolated, request, until};

/// Which release of distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// Debian's, 2.8.
    Debian,
    /// The newest, 3.
    Newest,
}

/// A registry that ends with the test.
pub(crate) struct Registry {
    host: String,
    name: String,
    child: Child,
}

impl Registry {
    /// Starts one whose configuration ends with `extra`, such as `notifications`.
    pub(crate) fn start(site: &Site, release: Release, extra: &str) -> Self {
        let folder = site.folder().join(format!("registry-{release:?}"));
        std::fs::create_dir_all(&folder).unwrap();
        let host = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let configuration = format!(
            "version: 0.1
log: {{level: info}}
storage: {{filesystem: {{rootdirectory: \"{}\"}}}}
http: {{addr: \"{host}\"}}
{extra}",
            folder.join("content").display()
        );
        let file = folder.join("registry.yml");
        std::fs::write(&file, configuration).unwrap();
        let log = File::create(folder.join("log")).unwrap();
        let mut command = Command::new("setpriv");
        isolated(&mut command, &site.folder().join("home"));
        let child = command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program(release))
            .arg("serve")
            .arg(file)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("the registry can be started");
        let registry = Self { host, name: site.name().to_owned(), child };
        let url = format!("http://{}/v2/", registry.host);
        until(|| request("GET", &url, &[], b"").ok()).expect("the registry answers");
        registry
    }

    /// `HOST:PORT/PATH`, as an environment's `registry` has it.
    pub(crate) fn base(&self) -> String {
        format!("{}/{}", self.host, self.name)
    }

    /// Pushes an image; returns its digest.
    pub(crate) fn push_image(&self, repository: &str, tag: &str) -> String {
        let name = format!("{}/{repository}", self.name);
        Repository { host: &self.host, name: &name, credentials: None }
            .push_image(&format!("{name} {tag}"), tag)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(release: Release) -> PathBuf {
    match release {
        // A folder of system programs, which a person's search path may lack.
        Release::Debian => ["/usr/bin/docker-registry", "/usr/sbin/docker-registry"]
            .iter()
            .map(PathBuf::from)
            .find(|path| path.exists())
            .unwrap_or_else(|| "docker-registry".into()),
        Release::Newest => bed().kubectl.parent().unwrap_or(Path::new("/")).join("registry"),
    }
}
