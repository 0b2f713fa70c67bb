//! `promote diff`: the versions of two environments side by side, or the manifests that come of them.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use super::args::{self, Common};
use super::output::{Printer, table};
use super::{Failure, open};
use crate::edit::Written;
use crate::model::{AppName, EnvironmentName, Exit, ImageName, printable};
use crate::publish::{Snapshot, difference, version};

/// How long a build of one overlay may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// The most bytes of manifests of one overlay.
const MOST: u64 = 32 * 1024 * 1024;

pub(super) async fn run(common: &Common, printer: &Printer, what: &args::Diff) -> Result<Exit, Failure> {
    let (context, snapshot) = open::open(common, printer).await?;
    open::known_environment(&snapshot, &what.from)?;
    open::known_environment(&snapshot, &what.to)?;
    if let Some(app) = &what.app {
        open::known_app(&snapshot, app)?;
    }
    let apps: Vec<&AppName> =
        snapshot.config.apps.keys().filter(|app| what.app.as_ref().is_none_or(|only| only == *app)).collect();
    if !what.rendered {
        versions(printer, &snapshot, what, &apps);
        return Ok(Exit::Done);
    }
    let failed = |error: std::io::Error| Failure::new(Exit::Internal, error.to_string());
    let folder = tempfile::Builder::new().prefix("promote-diff-").tempdir().map_err(failed)?;
    context.mirror.export(folder.path().to_owned()).await?;
    let builder = Builder::find()?;
    let mut patches = Vec::new();
    let mut text = String::new();
    for app in apps {
        let mut sides = Vec::new();
        for environment in [&what.from, &what.to] {
            let place = snapshot.config.overlay(app, environment);
            let Some(place) = place else { continue };
            printer.step("build", &format!("building {place}"), &json!({"app": app, "path": place}));
            sides.push((format!("{environment}/{app}"), builder.build(folder.path(), &place).await?));
        }
        let [(left, old), (right, new)] = &sides[..] else { continue };
        let patch = difference((left, old), (right, new));
        text.push_str(&patch);
        patches.push(json!({"app": app, "patch": patch}));
    }
    printer.human(if text.is_empty() { "the manifests are the same" } else { text.trim_end() });
    printer.machine("Diff", &json!({"from": what.from, "to": what.to, "rendered": patches}));
    Ok(Exit::Done)
}

fn versions(printer: &Printer, snapshot: &Snapshot, what: &args::Diff, apps: &[&AppName]) {
    let standing = |app: &AppName, environment: &EnvironmentName, image: &ImageName| {
        let desired = snapshot.desired.get(&(app.clone(), environment.clone()));
        desired.and_then(|desired| desired.images.get(image)).cloned().unwrap_or_default()
    };
    let told = |written: &Written| json!({"version": version(written), "tag": written.new_tag, "digest": written.digest});
    let (mut rows, mut cells): (Vec<Value>, Vec<Vec<String>>) = (Vec::new(), Vec::new());
    for app in apps {
        let images = snapshot.config.apps.get(*app).map(|app| app.images.keys()).into_iter().flatten();
        for image in images {
            let (left, right) = (standing(app, &what.from, image), standing(app, &what.to, image));
            let same = left.digest == right.digest && left.new_tag == right.new_tag;
            let word = match same {
                true => "same",
                // A tag says nothing where the content differs.
                false if left.new_tag == right.new_tag => "same tag, other content",
                false if left.digest == right.digest && left.digest.is_some() => "same content, other tag",
                false => "differs",
            };
            let short = |written: &Written| {
                let digest = written.digest.as_ref().map_or("–", |digest| digest.short());
                format!("{} ({digest})", version(written))
            };
            cells.push(vec![
                app.to_string(),
                image.to_string(),
                short(&left),
                short(&right),
                word.to_owned(),
            ]);
            rows.push(json!({
                "app": app, "image": image, "from": told(&left), "to": told(&right), "same": same, "words": word,
            }));
        }
    }
    let (from, to) = (what.from.to_string().to_uppercase(), what.to.to_string().to_uppercase());
    printer.human(&table(&["APP", "IMAGE", &from, &to, ""], cells));
    printer.machine("Diff", &json!({"from": what.from, "to": what.to, "rows": rows}));
}

/// The program that builds manifests.
struct Builder {
    program: PathBuf,
    arguments: &'static [&'static str],
}

impl Builder {
    /// The kustomize or kubectl on the PATH, in this order.
    fn find() -> Result<Self, Failure> {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let known: [(&str, &'static [&'static str]); 2] =
            [("kustomize", &["build"]), ("kubectl", &["kustomize"])];
        for (name, arguments) in known {
            let program =
                std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|file| file.is_file());
            if let Some(program) = program {
                return Ok(Self { program, arguments });
            }
        }
        let words = "neither kustomize nor kubectl is on the PATH; install one, or leave --rendered out";
        Err(Failure::new(Exit::Usage, words))
    }

    async fn build(&self, folder: &Path, place: &str) -> Result<Vec<u8>, Failure> {
        let program = self.program.display();
        let failed =
            |words: String| Failure::new(Exit::Usage, format!("{program} could not build {place}: {words}"));
        let mut child = tokio::process::Command::new(&self.program)
            .args(self.arguments)
            .arg(folder.join(place))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let (mut text, mut said) = (Vec::new(), Vec::new());
        let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(failed("it has no output".to_owned()));
        };
        let reading = async {
            let (mut out, mut err) = (out.take(MOST + 1), err.take(64 * 1024));
            tokio::try_join!(out.read_to_end(&mut text), err.read_to_end(&mut said))?;
            Ok::<_, std::io::Error>(())
        };
        let late = || failed(format!("no end after {} s", PATIENCE.as_secs()));
        let read = tokio::time::timeout(PATIENCE, reading).await.map_err(|_| late())?;
        read.map_err(|error| failed(error.to_string()))?;
        if text.len() as u64 > MOST {
            return Err(failed(format!("it is larger than {} MiB", MOST / 1024 / 1024)));
        }
        let ended = tokio::time::timeout(PATIENCE, child.wait()).await.map_err(|_| late())?;
        let ended = ended.map_err(|error| failed(error.to_string()))?;
        if ended.success() {
            return Ok(text);
        }
        // The checkout's own path says nothing to anybody.
        let said = String::from_utf8_lossy(&said).replace(&format!("{}/", folder.display()), "");
        Err(failed(printable(said.trim(), 1_000)))
    }
}
