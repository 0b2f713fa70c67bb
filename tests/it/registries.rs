//! Registries of every kind are read completely, politely, and with the credentials that are theirs.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use promote::discover::{Credentials, Registries, RegistriesOptions, RegistryEvent};
use promote::model::{Repository, Tag};
use promote::transfer::{self, Progress};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::bed::{self, Between, Registry, Release, Site, until};

fn local(name: &str) -> Site {
    bed::site(name).environments(&["local"]).create()
}

/// Lets the environment take its images from `HOST/apps`.
fn use_registry(site: &Site, host: &str, more: &str) {
    let old = site.registry("local");
    site.write_config(|text| text.replace(&old, &format!("{host}/apps")) + more);
}

// --- A private CA ---

pub(crate) struct Authority {
    pub(crate) certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap().pem();
        Self { certificate, issuer: Issuer::new(parameters, key) }
    }

    /// A certificate of this authority for this machine, and its key, as PEM.
    pub(crate) fn pair(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        (parameters.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// The part of a registry's configuration that lets it speak TLS with a certificate of this authority.
    fn tls(&self, site: &Site) -> String {
        let (certificate, key) = self.pair();
        let (crt, pem) = (site.folder().join("registry.crt"), site.folder().join("registry.key"));
        std::fs::write(&crt, certificate).unwrap();
        std::fs::write(&pem, key).unwrap();
        format!("tls: {{certificate: \"{}\", key: \"{}\"}}", crt.display(), pem.display())
    }
}

#[test]
fn a_registry_with_a_private_ca_is_trusted_by_that_ca_alone_and_its_file_is_read_again() {
    let site = local("private-ca");
    let (ours, other) = (Authority::new("ours"), Authority::new("another"));
    let tls = Registry::start_in(site.folder(), Release::Debian, &ours.tls(&site), "");
    // The same content in clear, to push to.
    let clear = Registry::start_in(site.folder(), Release::Debian, "", "");
    let digest = clear.push("apps/test-app", "1.1.0", "one");
    use_registry(&site, tls.host(), &format!("registries:\n  {}: {{ca: registry-ca.crt}}\n", tls.host()));

    let file = site.folder().join("secrets/registry-ca.crt").display().to_string();
    let refused = |words: &[&str]| {
        let run = site.once().expect_code(8);
        for word in words {
            assert!(run.stderr.contains(word), "{word:?} was not said:\n{}", run.stderr);
        }
    };
    refused(&["can't use the private CA of", &file, "put the CA's certificate there, as PEM"]);
    site.write_secret("registry-ca.crt", "no certificate");
    refused(&[&file, "no certificate in it"]);
    site.write_secret("registry-ca.crt", &other.certificate);
    let private = format!("{{{}: {{ca: NAME}}}}", tls.host());
    refused(&[&format!("can't reach {}", tls.host()), "certificate", &private]);
    assert!(site.moves().is_empty());

    let daemon = site.promoted().start();
    daemon.wait_log("certificate");
    site.write_secret("registry-ca.crt", &ours.certificate);
    site.wait_commit(|commit| commit.subject == "test-app: local 1.0.0 → 1.1.0", "brings 1.1.0");
    assert!(site.overlay("local", "test-app").contains(&digest));
    daemon.stop();
}

#[test]
fn a_registry_that_speaks_no_tls_where_it_is_spoken_to_in_tls_is_told_with_what_to_write() {
    let site = local("no-tls");
    let clear = Registry::start_in(site.folder(), Release::Debian, "", "");
    site.write_secret("registry-ca.crt", &Authority::new("ours").certificate);
    use_registry(&site, clear.host(), &format!("registries:\n  {}: {{ca: registry-ca.crt}}\n", clear.host()));

    let run = site.once().expect_code(8);

    for words in [&format!("can't reach {}", clear.host()), "TLS: ", "`insecure: true`", "asked again"] {
        assert!(run.stderr.contains(words), "{words:?} was not said:\n{}", run.stderr);
    }
}

// --- Amazon ECR ---

/// An emulator of AWS's APIs; it checks no signature.
struct Emulator(Child, String);

impl Emulator {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Command::new(bed::tools().join("venv/bin/moto_server"))
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let emulator = Self(server, format!("http://127.0.0.1:{port}"));
        until(|| std::net::TcpStream::connect(("127.0.0.1", port)).ok()).expect("the emulator starts");
        emulator
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_registry_of_ecr_is_read_with_the_password_that_aws_gives() {
    const HOST: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    let site = local("ecr");
    let aws = Emulator::start();
    // The password that the emulator gives, as bcrypt: a real registry asks for it.
    let htpasswd = site.folder().join("htpasswd");
    std::fs::write(&htpasswd, "AWS:$2b$05$abcdefghijklmnopqrstuu/4ofrUS75HrKu6f.iuRo0I/XlrmpqlC\n").unwrap();
    let auth = format!("auth: {{htpasswd: {{realm: ecr, path: \"{}\"}}}}", htpasswd.display());
    let registry = Registry::start_in(site.folder(), Release::Debian, "", &auth)
        .pushing_as("AWS:123456789012-auth-token");
    let digest = registry.push("apps/test-app", "1.1.0", "one");
    use_registry(&site, HOST, "");
    let promoted = || {
        let promoted = site.promoted().arg("--once");
        promoted.args(&["--registry-endpoint", &format!("{HOST}={}", registry.host())])
    };
    let off = ("AWS_EC2_METADATA_DISABLED", "true");

    let nobody = promoted().env(off.0, off.1).run().expect_code(8);
    for word in
        [HOST, "no AWS identity was found", "AWS_WEB_IDENTITY_TOKEN_FILE", "ecr:GetAuthorizationToken"]
    {
        assert!(nobody.stderr.contains(word), "{word:?} was not said:\n{}", nobody.stderr);
    }
    assert!(site.moves().is_empty());

    let keys = [
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "canary-secret"),
        ("AWS_ENDPOINT_URL_ECR", &aws.1),
    ];
    let run = keys
        .iter()
        .fold(promoted(), |promoted, (name, value)| promoted.env(name, value))
        .run()
        .expect_code(0);
    assert!(!run.stderr.contains("canary") && !run.stderr.contains("auth-token"), "{}", run.stderr);
    assert!(site.overlay("local", "test-app").contains(&format!("newName: {HOST}/apps/test-app\n")));
    assert!(site.overlay("local", "test-app").contains(&digest));
}

// --- Passwords that change ---

#[test]
fn a_password_that_changes_in_the_middle_of_a_copy_does_not_end_it() {
    // As bcrypt.
    const FIRST: &str = "u:$2b$05$abcdefghijklmnopqrstuu3rQZA.e/048YzLTJ55aycWHfqo0a49W\n";
    const SECOND: &str = "u:$2b$05$abcdefghijklmnopqrstuuKbPhTOR7Pvo59BRa0eQ090CMHpax.C6\n";
    for release in [Release::Debian, Release::Newest] {
        let folder = tempfile::tempdir().unwrap();
        let (htpasswd, login) = (folder.path().join("htpasswd"), folder.path().join("config.json"));
        let auth = format!("auth: {{htpasswd: {{realm: theirs, path: \"{}\"}}}}", htpasswd.display());
        std::fs::write(&htpasswd, FIRST).unwrap();
        let source = Registry::start_in(&folder.path().join("source"), release, "", "");
        let target = Registry::start_in(&folder.path().join("target"), release, "", &auth);
        let give = |password: &str| {
            let auths =
                serde_json::json!({"auths": {target.host(): {"username": "u", "password": password}}});
            std::fs::write(&login, auths.to_string()).unwrap();
        };
        give("first");
        let digest = source.push("app", "1.0.0", "one");
        let _ = rustls::crypto::ring::default_provider().install_default();
        let credentials = Credentials::new(vec![login.clone()]);
        let registries =
            Registries::new(RegistriesOptions { credentials, ..RegistriesOptions::default() }).unwrap();
        let repository = |host: &str| Repository::new(host.parse().unwrap(), "app").unwrap();
        let (from, to) = (repository(source.host()), repository(target.host()));
        let changed = AtomicUsize::new(0);
        let progress = |at: Progress| {
            if at.blobs_done == 1 && changed.fetch_add(1, Ordering::Relaxed) == 0 {
                std::fs::write(&htpasswd, SECOND).unwrap();
                give("second");
            }
        };
        let (wanted, tag) = (digest.parse().unwrap(), "1.0.0".parse().unwrap());

        block_on(transfer::copy(&registries, &from, &to, &wanted, &tag, &progress)).unwrap();

        assert!(changed.into_inner() > 0, "{release:?}: the password changed while blobs were copied");
        let found = block_on(registries.digest(&to, &tag)).unwrap();
        assert_eq!(found, Some(wanted), "{release:?}");
    }
}

// --- What the kinds of registry do with lists and tags ---

/// A client with a record of its requests, as `METHOD CODE`.
fn client() -> (Registries, Arc<Mutex<Vec<String>>>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    let options = RegistriesOptions {
        observer: Arc::new(move |event: &RegistryEvent| {
            if let RegistryEvent::Request { method, code, .. } = event {
                seen.lock().unwrap().push(format!("{method} {code}"));
            }
        }),
        ..RegistriesOptions::default()
    };
    (Registries::new(options).unwrap(), requests)
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn versions(count: usize) -> Vec<String> {
    (1..=count).map(|minor| format!("1.{minor}.0")).collect()
}

#[test]
fn a_thousand_tags_are_one_request_to_either_generation_of_distribution() {
    for release in [Release::Debian, Release::Newest] {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::start_in(folder.path(), release, "", "");
        registry.push_tags("many", &versions(1000));
        let (registries, requests) = client();
        let repository = Repository::new(registry.host().parse().unwrap(), "many").unwrap();
        block_on(async {
            let list = registries.tags(&repository, None).await.unwrap();
            assert_eq!(list.tags.len(), 1000, "{release:?}");
            assert!(registries.tags(&repository, Some(&list)).await.unwrap().unchanged, "{release:?}");
        });
        assert_eq!(*requests.lock().unwrap(), ["GET 200", "GET 200"], "{release:?}");
    }
}

#[test]
fn the_newest_tag_is_found_behind_ten_pages_of_a_hundred_and_an_empty_last_one() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start_in(folder.path(), Release::Newest, "", "tags: {maxtags: 100}");
    let mut tags = versions(1099);
    tags.push("9.0.0".to_owned());
    registry.push_tags("many", &tags);
    let (registries, requests) = client();
    let repository = Repository::new(registry.host().parse().unwrap(), "many").unwrap();
    let list = block_on(registries.tags(&repository, None)).unwrap();
    assert_eq!(list.tags.len(), 1100);
    assert!(list.tags.contains(&"9.0.0".parse().unwrap()));
    // How this registry gives its lists is known now.
    requests.lock().unwrap().clear();
    assert!(block_on(registries.tags(&repository, Some(&list))).unwrap().unchanged);
    assert!(requests.lock().unwrap().len() <= 12, "{requests:?}");
}

#[test]
fn a_tag_that_is_asked_for_again_costs_a_304_until_it_moves() {
    for release in [Release::Debian, Release::Newest] {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::start_in(folder.path(), release, "", "");
        let first = registry.push("app", "latest", "one");
        let (registries, requests) = client();
        let repository = Repository::new(registry.host().parse().unwrap(), "app").unwrap();
        let tag: Tag = "latest".parse().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let known = runtime.block_on(registries.named(&repository, &tag, None)).unwrap().unwrap();
        let again = runtime.block_on(registries.named(&repository, &tag, Some(&known))).unwrap().unwrap();
        assert_eq!((known.digest.as_str(), &again), (first.as_str(), &known), "{release:?}");
        let second = registry.push("app", "latest", "two");
        let moved = runtime.block_on(registries.named(&repository, &tag, Some(&again))).unwrap().unwrap();
        assert_eq!(moved.digest.as_str(), second, "{release:?}");
        assert_eq!(*requests.lock().unwrap(), ["HEAD 200", "HEAD 304", "HEAD 200"], "{release:?}");
    }
}

#[test]
fn a_repository_whose_last_tag_was_deleted_or_that_never_was_is_no_short_list() {
    for release in [Release::Debian, Release::Newest] {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::start_in(folder.path(), release, "", "");
        let digest = registry.push("app", "1.0.0", "one");
        let (registries, _) = client();
        let repository = |path: &str| Repository::new(registry.host().parse().unwrap(), path).unwrap();
        let url = format!("http://{}/v2/app/manifests/{digest}", registry.host());
        assert_eq!(bed::request("DELETE", &url, &[], b"").unwrap().status, 202);
        block_on(async {
            let empty = registries.tags(&repository("app"), None).await;
            assert!(empty.as_ref().is_ok_and(|list| list.tags.is_empty()), "{release:?}: {empty:?}");
            assert_eq!(
                registries.tags(&repository("never"), None).await.unwrap_err().kind(),
                "not_found",
                "{release:?}"
            );
        });
    }
}

#[test]
fn a_new_digest_is_pulled_once_whatever_its_tags_and_however_often_it_is_looked_at() {
    let site = local("pulls");
    let registry = Between::before(&bed::bed().registries["local"]);
    let old = site.registry("local");
    let host = old.split('/').next().unwrap();
    site.write_config(|text| text.replace(&old, &old.replace(host, registry.host())));
    let daemon = site.promoted().start();
    daemon.wait_log("started");
    std::thread::sleep(std::time::Duration::from_secs(2));
    registry.falls_ill(|_| None);

    let first = site.push_image("local", "test-app", "1.1.0");
    site.wait_verdict("test-app", "local", "1.1.0");
    // The same image by another name is a new version, and nothing new to pull.
    site.push_image_with("local", "test-app", "1.2.0", "1.1.0");
    site.wait_verdict("test-app", "local", "1.2.0");
    std::thread::sleep(std::time::Duration::from_secs(3));

    let asked = registry.asked();
    let count = |start: &str| asked.iter().filter(|head| head.starts_with(start)).count();
    let path = format!("/v2/{}/test-app/manifests", site.name());
    // What a node may report is asked for when pods are judged.
    assert!(count(&format!("GET {path}/{first}")) <= 2, "{asked:#?}");
    assert_eq!(count(&format!("GET {path}/1.")), 0, "{asked:#?}");
    assert_eq!(count(&format!("HEAD {path}/1.1.0")), 2, "once to elect it, once since it stands in Git");
    daemon.stop();
}

// --- Credential helpers ---

#[test]
fn a_persons_credential_helpers_are_run_by_the_command_line_and_never_by_the_daemon() {
    let site = bed::site("helpers").create();
    site.push_image("local", "test-app", "1.1.0");
    site.promoted().args(&["--once", "--environment", "local"]).run().expect_code(0);
    let (folder, asked) = (site.folder().join("bin"), site.folder().join("asked"));
    std::fs::create_dir(&folder).unwrap();
    let (user, password) = (&bed::bed().registry_user, &bed::bed().registry_password);
    let script = format!(
        "#!/bin/sh\nread -r server\necho \"$server\" >> {}\nprintf '{{\"Username\":\"{user}\",\"Secret\":\"{password}\"}}'\n",
        asked.display()
    );
    let helper = folder.join("docker-credential-bed");
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let host = &bed::bed().registries["auth"];
    let file = site.folder().join("helpers.json");
    std::fs::write(&file, format!("{{\"credHelpers\": {{\"{host}\": \"bed\"}}}}")).unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());

    let was = site.read("promote.yaml");
    site.write_config(|text| text.replace(&site.registry("local"), &site.registry("auth")));
    let promoted = site.promoted().arg("--once").env("PATH", &path).arg("--registry-credentials").arg(&file);
    let run = promoted.run().expect_code(8);
    assert!(run.stderr.contains("come from a credential helper, which is not run"), "{}", run.stderr);
    assert!(!asked.exists(), "the daemon has started a program");

    site.write_config(|_| was.replace(&site.registry("aws"), &site.registry("auth")));
    let mut command = Command::new(env!("CARGO_BIN_EXE_promote"));
    bed::isolated(&mut command, &site.folder().join("home"));
    let secrets = site.folder().join("secrets");
    let output = command
        .env("PATH", &path)
        .args(["--to", "aws", "--yes", "--repo", &site.repo(), "--secrets"])
        .arg(secrets)
        .arg("--registry-credentials")
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read_to_string(&asked).unwrap().trim(), host);
    assert!(
        site.overlay("aws", "test-app").contains(&format!("newName: {}/test-app\n", site.registry("auth")))
    );
}
