//! Local builds: which there are, and what they have pushed. Each is a [`line`] of its own, in the order of its steps.

mod election;
mod line;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

pub use self::election::stands;
use self::line::Line;
use super::follow::Shared;
use crate::config::{Build, Config, Update};
use crate::discover::build::Root;
use crate::model::{AppName, CommitId, Digest, EnvironmentName, Exit, ImageName, Repository, Tag};

/// An image of an app.
pub type Name = (AppName, ImageName);
/// What was pushed last, by image.
pub type Pushed = HashMap<Name, Made>;

/// A build that was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The tag, which stands for this build alone.
    pub tag: Tag,
    /// The image.
    pub digest: Digest,
    /// Where it is news, with the newest commit that had changed the image there when it was pushed.
    pub places: BTreeMap<EnvironmentName, Option<CommitId>>,
}

/// What a build tells the supervisor.
#[derive(Debug)]
pub enum Word {
    /// It was pushed.
    Made(Name, Made),
    /// Its first pass is over, with what failed.
    Over(Name, Option<Exit>),
}

/// What is built and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Spec {
    name: Name,
    build: Build,
    /// The environments that take the image from a registry, with the repository of each; at least one.
    targets: BTreeMap<EnvironmentName, Repository>,
}

/// All builds of this process.
pub struct Builds {
    root: Option<Root>,
    once: bool,
    words: mpsc::Sender<Word>,
    /// Commands run one after the other: they share a folder and the machine.
    turn: Arc<Semaphore>,
    lines: BTreeMap<Name, (Spec, AbortHandle)>,
    told: BTreeSet<String>,
    /// What was pushed last.
    pub pushed: Pushed,
    /// The builds whose first pass is not over.
    pub pending: BTreeSet<Name>,
}

impl Builds {
    /// None run yet; `root` is the folder of `--allow-builds`.
    pub fn new(root: Option<Root>, once: bool) -> (Self, mpsc::Receiver<Word>) {
        let (words, inbox) = mpsc::channel(16);
        let builds = Self {
            root,
            once,
            words,
            turn: Arc::new(Semaphore::new(1)),
            lines: BTreeMap::new(),
            told: BTreeSet::new(),
            pushed: Pushed::new(),
            pending: BTreeSet::new(),
        };
        (builds, inbox)
    }

    /// Starts what the configuration asks for, and ends what it no longer asks for.
    pub fn adopt(&mut self, context: &Shared, config: &Config, served: &BTreeSet<EnvironmentName>) {
        let mut specs = specs(config, served);
        let Some(root) = self.root.clone() else {
            if !specs.is_empty() {
                self.tell("promote.yaml has builds; only a daemon that is started with --allow-builds DIR runs them");
            }
            return;
        };
        specs.retain(|name, spec| {
            let used = !spec.targets.is_empty();
            if !used {
                self.tell(&format!(
                    "the build of {} in {} is not used: no environment that is served takes it from a registry",
                    name.1, name.0
                ));
            }
            used
        });
        self.lines.retain(|name, (spec, task)| {
            let keeps = specs.get(name) == Some(spec);
            if !keeps {
                task.abort();
                context.health.forget(&part(name));
                self.pushed.remove(name);
                self.pending.remove(name);
            }
            keeps
        });
        for (name, spec) in specs {
            if !self.lines.contains_key(&name) {
                if self.once {
                    self.pending.insert(name.clone());
                }
                let line = Line::new(context.clone(), root.clone(), spec.clone(), self.words.clone());
                let task = tokio::spawn(line.run(self.turn.clone(), self.once));
                self.lines.insert(name, (spec, task.abort_handle()));
            }
        }
    }

    /// Says something once.
    fn tell(&mut self, words: &str) {
        if self.told.insert(words.to_owned()) {
            tracing::info!("{words}");
        }
    }
}

impl Drop for Builds {
    fn drop(&mut self) {
        // A command that runs ends with its line.
        for (_, task) in self.lines.values() {
            task.abort();
        }
    }
}

/// The name of a build in health's account.
fn part(name: &Name) -> String {
    format!("build of {} in {}", name.1, name.0)
}

/// The builds of a configuration with the environments that elect from a registry.
fn specs(config: &Config, served: &BTreeSet<EnvironmentName>) -> BTreeMap<Name, Spec> {
    let elects = config.environments.iter().filter(|(name, environment)| {
        (served.is_empty() || served.contains(*name))
            && environment.after.is_empty()
            && environment.update == Update::Auto
    });
    let elects: Vec<&EnvironmentName> = elects.map(|(name, _)| name).collect();
    let mut specs = BTreeMap::new();
    for (app, settings) in &config.apps {
        for (image, policy) in &settings.images {
            let Some(build) = policy.build.clone() else { continue };
            let target = |environment: &&EnvironmentName| {
                Some(((*environment).clone(), config.repository(environment, app, image)?))
            };
            let name = (app.clone(), image.clone());
            let targets = elects.iter().filter_map(target).collect();
            specs.insert(name.clone(), Spec { name, build, targets });
        }
    }
    specs
}
