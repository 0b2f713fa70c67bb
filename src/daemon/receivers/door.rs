//! One receiver: its secret, and how much it takes.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::lock;
use crate::config::{Proof, Receiver, ReceiverKind, SecretName};
use crate::discover::webhook::Secret;
use crate::discover::webhook::bucket::Bucket;
use crate::model::ReceiverName;

/// Proved messages per second and at once, for one receiver: far above what a registry sends, which tells of pushes.
const PROVED: (u32, u32) = (300, 600);
/// Messages without proof per second and at once that are told why; above that there is only a wait.
const FORGED: (u32, u32) = (20, 50);
/// A secret is a line; a bigger file is a mistake.
const SECRET_LIMIT: u64 = 64 * 1024;
/// How often one receiver's refusals are logged at most: whoever can send can fill the log otherwise.
const TELL_AGAIN: Duration = Duration::from_mins(1);

/// One receiver.
#[derive(Debug)]
pub struct Door {
    pub(super) name: ReceiverName,
    pub(super) receiver: Receiver,
    secret: RwLock<Result<Arc<Secret>, String>>,
    proved: Mutex<Bucket>,
    forged: Mutex<Bucket>,
    told: Mutex<Option<Instant>>,
}

impl Door {
    /// One that takes nothing before [`Door::read_secret`].
    pub(super) fn new(name: ReceiverName, receiver: Receiver, now: Instant) -> Self {
        Self {
            name,
            receiver,
            secret: RwLock::new(Err("not read yet".to_owned())),
            proved: Mutex::new(Bucket::new(PROVED.0, PROVED.1, now)),
            forged: Mutex::new(Bucket::new(FORGED.0, FORGED.1, now)),
            told: Mutex::default(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Whose messages it takes.
    pub fn kind(&self) -> ReceiverKind {
        self.receiver.kind
    }

    /// Counts a proved message; an error is how long the sender has to wait.
    pub fn admit(&self) -> Result<(), Duration> {
        lock(&self.proved).take(Instant::now())
    }

    /// Counts a message without proof; an error is how long whoever sends them has to wait.
    pub fn refuse(&self) -> Result<(), Duration> {
        lock(&self.forged).take(Instant::now())
    }

    /// Whether a refusal is to be logged: the first one, and after a while the next.
    pub fn tells(&self) -> bool {
        let mut told = lock(&self.told);
        let due = told.is_none_or(|told| told.elapsed() >= TELL_AGAIN);
        if due {
            *told = Some(Instant::now());
        }
        due
    }

    /// The secret, or why there is none.
    pub(super) fn secret(&self) -> Result<Arc<Secret>, String> {
        self.secret.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the secret's file in `folder`; what is wrong with it, if anything.
    pub(super) fn read_secret(&self, folder: Option<&Path>) -> Option<String> {
        let Proof::Secret(name) = &self.receiver.proof else { return None };
        let secret = read(folder, name, self.receiver.kind).map(Arc::new);
        let problem = secret.as_ref().err().cloned();
        *self.secret.write().unwrap_or_else(PoisonError::into_inner) = secret;
        problem
    }
}

fn read(folder: Option<&Path>, name: &SecretName, kind: ReceiverKind) -> Result<Secret, String> {
    let Some(folder) = folder else {
        return Err(format!(
            "its secret {name} can't be read without a folder; start promoted with --secrets DIR"
        ));
    };
    let file = folder.join(name.as_str());
    let told = |what: &str| {
        format!("its secret {} {what}; put what the sender proves itself by into that file", file.display())
    };
    let found = std::fs::metadata(&file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => told("is missing"),
        _ => told(&format!("can't be read ({error})")),
    })?;
    if !found.is_file() || found.len() > SECRET_LIMIT {
        return Err(told("is no file of one line"));
    }
    let content = std::fs::read(&file).map_err(|error| told(&format!("can't be read ({error})")))?;
    Secret::new(kind, &content).map_err(told)
}
