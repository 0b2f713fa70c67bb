//! One new version of an image that many overlays use, in a repository of 10,000 overlays: 100 apps in 100 environments,
//! as in one cell per customer or region. Beside it, `git fast-import` of the same files and `git push`. Then what a look at
//! the remote costs there, with nothing new and after somebody else's commit.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use promote::edit::Written;
use promote::model::{AppName, EnvironmentName, ImageName, Source};
use promote::publish::{Change, GitCredentials, Location, Mirror, MirrorOptions, Move, Outcome};

use crate::bed::{self, Site, isolated};
use crate::ground::git;
use crate::report::{Report, Sample};

const APPS: usize = 100;
const ENVIRONMENTS: usize = 100;
const ROUNDS: usize = 3;
const LOOKS: usize = 11;

pub(crate) fn answer(report: &mut Report) {
    _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(measure(report));
}

async fn measure(report: &mut Report) {
    let site = bed::site("edit").environments(&[]).apps(&[]).create();
    let mut files = vec![("promote.yaml".to_owned(), config())];
    files.extend(all(APPS).map(|cell| (path(cell), overlay(cell, &written("1.0.0")))));
    let changes: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
    site.commit("Begin", &changes);
    let clone = site.folder().join("floor");
    git(&site, site.folder(), &["clone", "--quiet", &site.repo(), clone.to_str().unwrap()]);
    let mirror = Mirror::start(MirrorOptions {
        location: Location::find(&site.repo()).unwrap(),
        branch: None,
        config: "promote.yaml".to_owned(),
        in_pod: false,
        credentials: GitCredentials::default(),
        state: site.folder().join("state"),
    })
    .unwrap();
    let began = Instant::now();
    mirror.refresh().await.unwrap();
    let mut first = Sample::default();
    first.add(began.elapsed());
    report.limit("10,000 overlays: clone and first look at all", &first, "", Duration::from_secs(10));

    look(&site, &mirror, "", report).await;
    let mut version = 1;
    for apps in [1, 3, APPS] {
        let (mut ours, mut floor) = (Sample::default(), Sample::default());
        for _ in 0..ROUNDS {
            version += 1;
            ours.add(publish(&mirror, apps, version).await);
            version += 1;
            floor.add(imported(&site, &clone, apps, version));
            mirror.refresh().await.unwrap();
        }
        let figure =
            format!("one new version in {} overlays of 10,000: elected → on the remote", apps * ENVIRONMENTS);
        report.compare(&figure, &ours, ("`git fast-import` and `git push`", &floor), Some(1.5));
    }

    // Their commits say of each overlay what it was and is, 3 MB each, and are read when new ones are fetched.
    look(&site, &mirror, " and three commits of ours that changed all", report).await;
}

async fn look(site: &Site, mirror: &Mirror, state: &str, report: &mut Report) {
    let (mut nothing, mut after) = (Sample::default(), Sample::default());
    for round in 0..LOOKS {
        site.commit(
            "Somebody else",
            &[(&path((7, 7)), Some(&format!("# {round}{state}\n{}", overlay((7, 7), &written("1.0.0")))))],
        );
        let began = Instant::now();
        mirror.refresh().await.unwrap();
        after.add(began.elapsed());
        let began = Instant::now();
        mirror.refresh().await.unwrap();
        nothing.add(began.elapsed());
    }
    let limit = Duration::from_millis;
    report.limit(
        &format!("10,000 overlays{state}: a look at the remote, nothing new"),
        &nothing,
        "",
        limit(25),
    );
    report.limit(
        &format!("10,000 overlays{state}: a look after somebody else's commit"),
        &after,
        "",
        limit(100),
    );
}

/// The numbers of an app and of an environment.
type Cell = (usize, usize);

fn all(apps: usize) -> impl Iterator<Item = Cell> {
    (0..apps).flat_map(|app| (0..ENVIRONMENTS).map(move |environment| (app, environment)))
}

fn path((app, environment): Cell) -> String {
    format!("deploy/app-{app}/e-{environment}/kustomization.yaml")
}

fn config() -> String {
    let mut text = "version: 1\nenvironments:\n".to_owned();
    for environment in 0..ENVIRONMENTS {
        writeln!(text, "  e-{environment}: {{registry: registry.example/cell}}").unwrap();
    }
    text.push_str("apps:\n");
    for app in 0..APPS {
        writeln!(
            text,
            "  app-{app}: {{path: 'deploy/app-{app}/{{environment}}', images: {{base: {{policy: {{semver: {{range: '*'}}}}}}}}}}"
        )
        .unwrap();
    }
    text
}

fn written(tag: &str) -> Written {
    Written {
        new_name: Some("registry.example/cell/base".to_owned()),
        new_tag: Some(tag.parse().unwrap()),
        digest: Some(promote::model::Digest::of(tag.as_bytes())),
    }
}

/// A file of an ordinary size, about 1 kB, and no two the same.
fn overlay((app, environment): Cell, written: &Written) -> String {
    let mut text =
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n".to_owned();
    for part in 0..8 {
        writeln!(text, "- ../base/part-{part}.yaml  # what every cell has").unwrap();
    }
    for patch in 0..6 {
        writeln!(text, "# patch {patch}: none here, but there may be one at any time").unwrap();
    }
    writeln!(
        text,
        "images:\n- name: base\n  newName: {}\n  newTag: \"{}\"\n  digest: {}\nnamePrefix: cell-{app}-{environment}-",
        written.new_name.as_deref().unwrap(),
        written.new_tag.as_ref().unwrap(),
        written.digest.as_ref().unwrap(),
    )
    .unwrap();
    text
}

fn tag(version: usize) -> String {
    format!("1.{version}.0")
}

async fn publish(mirror: &Mirror, apps: usize, version: usize) -> Duration {
    let snapshot = mirror.refresh().await.unwrap();
    let image: ImageName = "base".parse().unwrap();
    let changes: Vec<Change> = all(apps)
        .map(|(app, environment)| {
            let key: (AppName, EnvironmentName) =
                (format!("app-{app}").parse().unwrap(), format!("e-{environment}").parse().unwrap());
            let from = snapshot.desired[&key].images[&image].clone();
            Change {
                app: key.0,
                environment: key.1,
                moves: vec![Move { image: image.clone(), from, to: written(&tag(version)) }],
                source: Source::Registry,
                actor: None,
                reason: None,
                amendments: Vec::new(),
            }
        })
        .collect();
    let before = snapshot.head.clone();
    let began = Instant::now();
    let published = mirror.publish(changes, false).await.unwrap();
    let took = began.elapsed();
    let head = &published.snapshot.head;
    assert!(
        published.outcomes.iter().all(|outcome| *outcome == Outcome::Committed(head.clone())),
        "one commit"
    );
    assert_ne!(before, *head);
    took
}

/// The floor: the same files in one commit, and its push.
fn imported(site: &Site, clone: &std::path::Path, apps: usize, version: usize) -> Duration {
    git(site, clone, &["fetch", "--quiet", "origin"]);
    let mut stream =
        "commit refs/heads/floor\ncommitter Floor <floor@example.org> 1700000000 +0000\ndata 5\nFloor\nfrom refs/remotes/origin/main\n"
            .to_owned();
    for cell in all(apps) {
        let text = overlay(cell, &written(&tag(version)));
        write!(stream, "M 100644 inline {}\ndata {}\n{text}\n", path(cell), text.len()).unwrap();
    }
    let began = Instant::now();
    let mut import = Command::new("git");
    isolated(&mut import, &site.folder().join("home"));
    import.arg("-C").arg(clone).args(["fast-import", "--quiet", "--force"]).stdin(Stdio::piped());
    let mut child = import.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stream.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    git(site, clone, &["push", "--quiet", "origin", "refs/heads/floor:main"]);
    began.elapsed()
}
