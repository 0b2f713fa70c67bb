//! A thousand repositories with a thousand tags each on one registry: the first scan beside a bare HTTP client that asks the
//! same, and what a pass costs in which nothing is new.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bed::{self, Daemon, Registry, Release, Site};
use crate::ground::watch;
use crate::process::{Cpu, resident};
use crate::quiet::{counters, total};
use crate::report::{Report, Sample};

const REPOSITORIES: u32 = 1000;
const TAGS: u32 = 1000;
/// As many questions at a time as the feed asks of one registry.
const AT_ONCE: usize = 16;
const PASSES: f64 = 5.0;
const ROUNDS: usize = 3;

pub(crate) fn answer(report: &mut Report) {
    let folder = tempfile::tempdir_in(bed::bed().dir.join("tmp")).unwrap();
    let registry = fill(folder.path());
    let site = bed::site("feed").environments(&[]).apps(&[]).create();
    begin(&site, &registry);

    let (mut ours, mut bare) = (Sample::default(), Sample::default());
    for _ in 0..ROUNDS {
        bare.add(ask(registry.host()));
        let daemon = site.promoted().start();
        ours.add(first_scan(&daemon));
        daemon.stop();
    }
    let what = format!("{REPOSITORIES} repositories with {TAGS} tags each");
    let floor = ("a bare HTTP client, the same requests", &bare);
    report.compare(&format!("first scan of {what}"), &ours, floor, Some(2.0));

    let daemon = site.promoted().start();
    first_scan(&daemon);
    // What only a start asks for is over after another pass.
    let per_pass = f64::from(REPOSITORIES);
    let scanned = |passes: f64| {
        let wanted = total(&counters(&daemon), "promote_scans_total") + passes * per_pass;
        while total(&counters(&daemon), "promote_scans_total") < wanted {
            std::thread::sleep(Duration::from_millis(500));
        }
    };
    scanned(1.0);
    let (began, cpu) = (counters(&daemon), Cpu::of(&daemon));
    scanned(PASSES);
    let (ended, cpu) = (counters(&daemon), Cpu::of(&daemon).since(&cpu));
    let grown = |name: &str| total(&ended, name) - total(&began, name);
    let scans = grown("promote_scans_total");
    let seconds = cpu.as_secs_f64() * per_pass / scans;
    let figure = |of: &str| format!("a pass with nothing new over {what}: {of}");
    let requests = grown("promote_registry_requests_total") / scans;
    report.number(&figure("requests per repository"), requests, "", "one list of tags: 1", Some(1.1));
    report.number(&figure("CPU of the daemon"), seconds, "s", "", Some(0.7));
    report.number(&figure("resident memory"), resident(&daemon), "MiB", "", Some(60.0));
    daemon.stop();
}

/// Pushes the tags of one repository, and lets all others have the same by links in the registry's storage.
fn fill(folder: &Path) -> Registry {
    let registry = Registry::start_in(folder, Release::Newest, "", "");
    let tags: Vec<String> = (1..=TAGS).map(|minor| format!("1.{minor}.0")).collect();
    registry.push_tags("app-0", &tags);
    let repositories = folder.join("content/docker/registry/v2/repositories");
    for number in 1..REPOSITORIES {
        let repository = repositories.join(format!("app-{number}"));
        std::fs::create_dir(&repository).unwrap();
        for part in ["_manifests", "_layers"] {
            std::os::unix::fs::symlink(repositories.join("app-0").join(part), repository.join(part)).unwrap();
        }
    }
    registry
}

/// An app for each repository, which runs its newest tag already.
fn begin(site: &Site, registry: &Registry) {
    let host = registry.host();
    let digest = registry.digest("app-0", &format!("1.{TAGS}.0"));
    let mut config =
        format!("version: 1\ninterval: 5s\nenvironments:\n  local:\n    registry: {host}\napps:\n");
    let mut files = Vec::new();
    for number in 0..REPOSITORIES {
        let _ = write!(
            config,
            "  app-{number}:\n    path: deploy/app-{number}/{{environment}}\n    images:\n      app-{number}: \
             {{policy: {{semver: {{range: \">=1.0.0\"}}}}}}\n"
        );
        let overlay = format!(
            "images:\n- name: app-{number}\n  newName: {host}/app-{number}\n  newTag: \"1.{TAGS}.0\"\n  digest: {digest}\n"
        );
        files.push((format!("deploy/app-{number}/local/kustomization.yaml"), overlay));
    }
    files.push(("promote.yaml".to_owned(), config));
    let changes: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
    site.commit("Begin", &changes);
}

/// From the moment at which the daemon has read its configuration until every repository was looked at once.
fn first_scan(daemon: &Daemon) -> Duration {
    let wait = |done: &dyn Fn() -> bool| {
        let (when, ()) =
            watch(|| done().then_some(())).unwrap_or_else(|| panic!("no scan:\n{}", daemon.log()));
        when
    };
    let began = wait(&|| daemon.log().contains("\"started\""));
    let ended = wait(&|| total(&counters(daemon), "promote_scans_total") >= f64::from(REPOSITORIES));
    ended - began
}

/// The same questions by a client that does nothing with the answers: each list, and then the digest of one tag.
fn ask(host: &str) -> Duration {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().unwrap();
    let base = format!("http://{host}/v2");
    let began = Instant::now();
    runtime.block_on(async {
        let turns = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
        let mut asked = tokio::task::JoinSet::new();
        for number in 0..REPOSITORIES {
            let (client, turns, base) = (client.clone(), Arc::clone(&turns), base.clone());
            asked.spawn(async move {
                let _turn = turns.acquire_owned().await.unwrap();
                let list = client.get(format!("{base}/app-{number}/tags/list")).send().await.unwrap();
                list.bytes().await.unwrap();
                let accept = "application/vnd.oci.image.manifest.v1+json";
                let head = client.head(format!("{base}/app-{number}/manifests/1.{TAGS}.0"));
                assert!(head.header("accept", accept).send().await.unwrap().status().is_success());
            });
        }
        while let Some(done) = asked.join_next().await {
            done.unwrap();
        }
    });
    began.elapsed()
}
