//! The bed itself: its folders, its ports, the programs it runs and the parts that are running.

use std::cell::RefCell;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};

use crate::ports::Ports;
use crate::process::Part;

/// What a part tells the outside: entries of the one line of JSON.
pub(crate) type Places = Map<String, Value>;

/// Where `tests/testbed` is: the CRDs' and Stages' sources and the build program.
pub(crate) const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testbed");

/// One bed.
pub(crate) struct Bed {
    folder: PathBuf,
    // Held for its `Drop`, which removes the folder.
    _temporary: Option<tempfile::TempDir>,
    /// The folder with `bin` and `crds` that `make bed` fills.
    built: PathBuf,
    ports: Ports,
    running: RefCell<Vec<Part>>,
    verbose: bool,
    began: Instant,
}

impl Bed {
    /// Takes a folder and a block of ports; starts nothing.
    pub(crate) fn new(folder: Option<PathBuf>, verbose: bool) -> Result<Self> {
        let began = Instant::now();
        let (folder, temporary) = if let Some(folder) = folder {
            std::fs::create_dir_all(&folder).with_context(|| format!("can't create {}", folder.display()))?;
            if std::fs::read_dir(&folder)?.next().is_some() {
                bail!("{} is not empty; a bed needs a folder of its own", folder.display());
            }
            (std::fs::canonicalize(folder)?, None)
        } else {
            let temporary = tempfile::Builder::new().prefix("promote-bed-").tempdir()?;
            (temporary.path().to_owned(), Some(temporary))
        };
        for name in ["logs", "home", "tmp", "git", "pki"] {
            std::fs::create_dir(folder.join(name))?;
        }
        let bed = Self {
            folder,
            _temporary: temporary,
            built: built()?,
            ports: Ports::take()?,
            running: RefCell::default(),
            verbose,
            began,
        };
        bed.progress(&format!("in {}", bed.folder.display()));
        Ok(bed)
    }

    /// A path below the bed's folder.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.join(name)
    }

    /// A program that `make bed` built.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.built.join("bin").join(name)
    }

    /// The folder with the CRDs.
    pub(crate) fn crds(&self) -> PathBuf {
        self.built.join("crds")
    }

    /// A port that nobody else has.
    pub(crate) fn port(&self) -> Result<u16> {
        self.ports.next()
    }

    /// The range of the pods' addresses, which no other bed has: `240.N`, to be followed by two more numbers.
    ///
    /// The addresses from 240.0.0.0 on are reserved and used by no network, so that this machine can make them its own;
    /// Kubernetes takes no loopback addresses for pods.
    pub(crate) fn pod_range(&self) -> String {
        format!("240.{}", self.ports.block())
    }

    /// Tells, where it was asked for, how far the start is.
    pub(crate) fn progress(&self, what: &str) {
        if self.verbose {
            self.say(what);
        }
    }

    fn say(&self, what: &str) {
        let _ = writeln!(std::io::stderr(), "bed {:5.1} s: {what}", self.began.elapsed().as_secs_f64());
    }

    /// Keeps a started part, to be watched and stopped.
    pub(crate) fn keep(&self, part: Part) {
        self.running.borrow_mut().push(part);
    }

    /// Why `name` is not running any more, with the end of its log; `None` while it runs.
    pub(crate) fn ended(&self, name: &str) -> Option<String> {
        let mut running = self.running.borrow_mut();
        running.iter_mut().find(|part| part.name() == name).and_then(Part::ended)
    }

    /// The end of a part's log.
    pub(crate) fn log_tail(&self, name: &str) -> String {
        let running = self.running.borrow();
        running.iter().find(|part| part.name() == name).map_or_else(String::new, Part::log_tail)
    }

    /// The bed's own entries of the JSON.
    pub(crate) fn places(&self) -> Places {
        let pids: Places =
            self.running.borrow().iter().map(|part| (part.name().to_owned(), part.pid().into())).collect();
        let mut places = Places::new();
        places.insert("dir".into(), json!(self.folder));
        places.insert("parts".into(), Value::Object(pids));
        places
    }

    /// Reports each part that ends although nobody stopped it. Tests then fail by their own deadlines.
    pub(crate) async fn watch(&self) -> Result<()> {
        let mut reported: Vec<String> = Vec::new();
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            for part in self.running.borrow_mut().iter_mut() {
                if !reported.iter().any(|name| name == part.name())
                    && let Some(why) = part.ended()
                {
                    self.say(&why);
                    reported.push(part.name().to_owned());
                }
            }
        }
    }

    /// Stops every part: first what uses the API server, then the API server, then its storage.
    pub(crate) async fn stop(self) {
        let mut users = self.running.take();
        let servers = users.extract_if(.., |part| part.name() == "kube-apiserver").collect::<Vec<_>>();
        let storage = users.extract_if(.., |part| part.name() == "etcd").collect::<Vec<_>>();
        for (group, grace) in [(users, 2500), (servers, 2000), (storage, 1500)] {
            crate::process::stop(group, Duration::from_millis(grace)).await;
        }
        self.progress("stopped");
    }
}

/// The folder that `make bed` filled.
fn built() -> Result<PathBuf> {
    match std::env::var_os("PROMOTE_BED_PARTS") {
        Some(folder) => Ok(folder.into()),
        None => found("build.sh"),
    }
}

/// The folder that this build program has filled; an error is what it says where it has not.
pub(crate) fn found(program: &str) -> Result<PathBuf> {
    let found = std::process::Command::new("bash")
        .arg(format!("{SOURCE}/{program}"))
        .arg("--find")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("can't run {program} with bash"))?;
    if !found.status.success() {
        bail!("{}", String::from_utf8_lossy(&found.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&found.stdout).trim().into())
}
