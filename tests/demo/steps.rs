//! The story, step by step.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::git::{Commit, Repository};
use crate::image;
use crate::parts::{Bed, Daemon, program, run as execute};
use crate::{files, interrupted, tell, until};

const APP: &str = "test-app";
const BAD: &str = "1.2.0-bad-crash";

/// Everything that is running, in the order in which it is stopped.
struct Demo<'a> {
    daemon: Daemon,
    repository: Repository,
    bed: Bed,
    folder: &'a Path,
}

/// Runs the demo with all its files in `folder`.
pub(crate) fn run(folder: &Path) -> Result<()> {
    let began = Instant::now();
    tell::line(
        "A good release, a bad one and a promotion, on real parts: Kubernetes (with KWOK's simulated nodes),",
    );
    tell::line("Flux, two registries and a Git server, all on this machine. It takes one to two minutes.");

    let mut demo = begin(folder)?;
    demo.release(2, "1.0.0", "0.0.0")?;
    demo.release(3, "1.1.0", "1.0.0")?;
    demo.bad_release()?;
    demo.promotion()?;
    demo.look_back()?;

    tell::line("");
    tell::line(&format!("Done in {:.0} s.", began.elapsed().as_secs_f64()));
    if std::env::var("KEEP").is_ok_and(|value| !value.is_empty() && value != "0") {
        demo.keep()
    } else {
        tell::line("Everything is being stopped and removed. To look around yourself: make demo KEEP=1");
        Ok(())
    }
}

/// Starts all that is needed.
fn begin(folder: &Path) -> Result<Demo<'_>> {
    tell::step(1, "A cluster, a GitOps repository, and promoted");
    for name in ["home", "secrets"] {
        std::fs::create_dir(folder.join(name))?;
    }
    let began = Instant::now();
    let bed = Bed::start(&folder.join("bed"))?;
    tell::happened("bed", "etcd, kube-apiserver, Flux, KWOK, registries, Git", began.elapsed());
    std::fs::copy(&bed.kubeconfig, folder.join("secrets/kubeconfig"))?;

    let url = format!("{}/deploy.git", bed.git_open);
    let repository = Repository::create(&bed.git_dir.join("deploy.git"), &url, folder);
    let files = files::all(&bed, &url)?;
    let changes: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
    tell::command(&format!("git push {url}   # deploy/apps/test-app, promote.yaml, flux.yaml"));
    repository.commit("The test app in two environments", &changes);
    let within = folder.join("clone");
    tell::command("kubectl apply -f flux.yaml");
    let arguments = ["--kubeconfig", path(&bed.kubeconfig), "apply", "-f", "flux.yaml"];
    execute(&bed.kubectl, folder, &within, &arguments)?;
    tell::command("promote validate");
    execute(&program("promote")?, folder, &within, &["validate"])?;
    let daemon = Daemon::start(folder, &url)?;
    Ok(Demo { daemon, repository, bed, folder })
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

impl Demo<'_> {
    /// Pushes a version to the registry that developers push to.
    fn push(&self, tag: &str) -> Result<Instant> {
        let host = self.bed.registry("local")?;
        let images = image::Repository { host, name: APP, credentials: None };
        let digest = images.push_image(&format!("demo {tag}"), tag);
        tell::because(&format!("pushed to {host}/{APP}: {}", &digest[..19]));
        Ok(Instant::now())
    }

    fn wait_commit(&mut self, began: Instant, what: &str, is: impl Fn(&Commit) -> bool) -> Result<Commit> {
        let commit = until(what, || {
            self.daemon.check()?;
            Ok(self.repository.commits().into_iter().find(&is))
        })?;
        tell::happened("commit", &format!("{} {}", &commit.sha[..9], commit.subject), began.elapsed());
        Ok(commit)
    }

    /// Waits for the verdict that is noted on a commit.
    fn wait_verdict(&mut self, began: Instant, commit: &Commit, expected: &str) -> Result<()> {
        let verdict = until(&format!("verdict on {}", commit.subject), || {
            self.daemon.check()?;
            let noted = |verdict: &Value| verdict["commit"] == commit.sha.as_str();
            Ok(self.repository.verdicts().into_iter().rfind(noted))
        })?;
        let word = verdict["verdict"].as_str().unwrap_or_default();
        tell::happened("verdict", word, began.elapsed());
        tell_reasons(&verdict, word == "failed");
        ensure!(word == expected, "the verdict on \"{}\" is {word}, not {expected}", commit.subject);
        Ok(())
    }

    fn release(&mut self, number: u32, tag: &str, before: &str) -> Result<()> {
        tell::step(number, &format!("Version {tag} is pushed, and nothing else is done"));
        let began = self.push(tag)?;
        let subject = format!("{APP}: local {before} → {tag}");
        let commit = self.wait_commit(began, "commit of it", |commit| commit.subject == subject)?;
        self.wait_verdict(began, &commit, "verified")
    }

    fn bad_release(&mut self) -> Result<()> {
        tell::step(4, "Version 1.2.0 is pushed, which crashes as soon as it starts");
        let began = self.push(BAD)?;
        let ending = format!("→ {BAD}");
        let commit = self.wait_commit(began, "commit of it", |commit| commit.subject.ends_with(&ending))?;
        self.wait_verdict(began, &commit, "failed")?;
        let back = self.wait_commit(began, "commit that takes it back", |commit| {
            commit.trailer("Promote-Source").starts_with("rollback")
        })?;
        self.wait_verdict(began, &back, "verified")?;
        tell::line("   It is taken back, and never elected again:");
        self.git("git fetch --quiet")?;
        self.git("git show origin/main:.promote/local/test-app.yaml")
    }

    fn promotion(&mut self) -> Result<()> {
        tell::step(5, "What is verified locally is promoted to aws");
        let began = Instant::now();
        self.promote("promote --to aws --yes --secrets ../secrets")?;
        let subject = format!("{APP}: aws ");
        let commit =
            self.wait_commit(began, "commit in aws", |commit| commit.subject.starts_with(&subject))?;
        self.wait_verdict(began, &commit, "verified")
    }

    fn look_back(&self) -> Result<()> {
        tell::step(6, "What runs where, and how it came there");
        self.promote("promote status --secrets ../secrets")?;
        self.git("git fetch --quiet")?;
        self.git("git log --oneline origin/main")
    }

    /// Shows and runs a `promote …` in the clone.
    fn promote(&self, line: &str) -> Result<()> {
        self.execute(&program("promote")?, line)
    }

    /// Shows and runs a `git …` in the clone.
    fn git(&self, line: &str) -> Result<()> {
        self.execute(Path::new("git"), line)
    }

    fn execute(&self, program: &Path, line: &str) -> Result<()> {
        tell::command(line);
        let arguments: Vec<&str> = line.split(' ').skip(1).collect();
        execute(program, self.folder, &self.folder.join("clone"), &arguments)
    }

    /// Shows where everything is, and waits for Ctrl-C.
    fn keep(&mut self) -> Result<()> {
        let (folder, address) = (self.folder.display(), &self.daemon.address);
        tell::line("It all keeps running until Ctrl-C. In another terminal:");
        tell::line("");
        for line in [
            format!("cd {folder}/clone   # a clone of {}/deploy.git", self.bed.git_open),
            format!("export KUBECONFIG={}", self.bed.kubeconfig.display()),
            format!("{} get pods --all-namespaces", self.bed.kubectl.display()),
            format!("{} status --secrets ../secrets --watch", program("promote")?.display()),
            "git fetch origin 'refs/notes/*:refs/notes/*' && git log --notes=promote origin/main".into(),
            format!("curl http://{address}/metrics"),
            format!("tail -f {folder}/promoted.log"),
        ] {
            tell::line(&format!("   {line}"));
        }
        while !interrupted() {
            self.daemon.check()?;
            std::thread::sleep(Duration::from_millis(100));
        }
        tell::line("Stopping.");
        Ok(())
    }
}

/// Why a version failed, from the layers that say so.
fn tell_reasons(verdict: &Value, failed: bool) {
    if !failed {
        return;
    }
    for reason in verdict["reasons"].as_array().into_iter().flatten() {
        tell::because(reason.as_str().unwrap_or_default());
    }
}
