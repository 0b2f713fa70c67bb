//! A registry of a test's own: the same programs as the bed's, with a configuration that the test adds to.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::daemon::free_address;
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

/// A registry that ends with the test; its content stays in its folder.
pub(crate) struct Registry {
    host: String,
    name: String,
    credentials: Option<String>,
    child: Child,
}

impl Registry {
    /// Starts one whose configuration ends with `extra`, such as `notifications`. Those of one site share their content.
    pub(crate) fn start(site: &Site, release: Release, extra: &str) -> Self {
        let folder = site.folder().join(format!("registry-{release:?}"));
        let mut registry = Self::start_in(&folder, release, "", extra);
        site.name().clone_into(&mut registry.name);
        registry
    }

    /// The same without a site, on the content of `folder`; `http` is more of that section, in YAML's flow style.
    pub(crate) fn start_in(folder: &Path, release: Release, http: &str, extra: &str) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let host = free_address();
        let configuration = format!(
            "version: 0.1
log: {{level: info}}
storage: {{filesystem: {{rootdirectory: \"{}\"}}, delete: {{enabled: true}}}}
http: {{addr: \"{host}\"{}{http}}}
{extra}\n",
            folder.join("content").display(),
            if http.is_empty() { "" } else { ", " },
        );
        let file = folder.join(format!("registry-{}.yml", host.replace(':', "-")));
        std::fs::write(&file, configuration).unwrap();
        let log = File::create(file.with_extension("log")).unwrap();
        let mut command = Command::new("setpriv");
        isolated(&mut command, folder);
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
        let registry = Self { host, name: String::new(), credentials: None, child };
        let url = format!("http://{}/v2/", registry.host);
        // One that speaks TLS answers plain HTTP with an error, which is an answer.
        until(|| request("GET", &url, &[], b"").ok()).expect("the registry answers");
        registry
    }

    /// Who pushes: `USER:PASSWORD`.
    pub(crate) fn pushing_as(mut self, credentials: &str) -> Self {
        self.credentials = Some(credentials.to_owned());
        self
    }

    /// `HOST:PORT`.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// `HOST:PORT/PATH`, as an environment's `registry` has it.
    pub(crate) fn base(&self) -> String {
        format!("{}/{}", self.host, self.name)
    }

    /// Pushes an image of the site; returns its digest.
    pub(crate) fn push_image(&self, repository: &str, tag: &str) -> String {
        self.push(&format!("{}/{repository}", self.name), tag, tag)
    }

    /// Pushes any manifest of the site; returns its digest.
    pub(crate) fn push_manifest(&self, repository: &str, manifest: &serde_json::Value, tag: &str) -> String {
        self.repository(&format!("{}/{repository}", self.name)).push_manifest(manifest, Some(tag))
    }

    /// Pushes an image, whose content depends on `content`, to any repository; returns its digest.
    pub(crate) fn push(&self, name: &str, tag: &str, content: &str) -> String {
        self.repository(name).push_image(&format!("{name} {content}"), tag)
    }

    /// Pushes one image under many tags.
    pub(crate) fn push_tags(&self, name: &str, tags: &[String]) {
        self.repository(name).push_tags("many", tags);
    }

    /// The digest of a tag that is there.
    pub(crate) fn digest(&self, name: &str, tag: &str) -> String {
        self.repository(name).resolve(tag).expect("the tag is there")
    }

    fn repository<'a>(&'a self, name: &'a str) -> Repository<'a> {
        Repository { host: &self.host, name, credentials: self.credentials.clone() }
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
        Release::Newest => bed().kubectl.with_file_name("registry"),
    }
}
