//! The receivers of webhooks while the process works: whether a message is proved, and what follows from it.

mod door;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::health::Health;
use crate::config::{Config, Proof};
use crate::discover::Nudges;
use crate::discover::feed::Targets;
use crate::discover::webhook::google::Token;
use crate::discover::webhook::keys::GoogleKeys;
use crate::discover::webhook::recent::Recent;
use crate::discover::webhook::{Claim, Notice, Places, Refusal};
use crate::model::ReceiverName;

pub use door::Door;

/// How often the files of the secrets are read again.
const READ_AGAIN: Duration = Duration::from_secs(2);

/// The receivers of the configuration in force, and what they move.
#[derive(Debug)]
pub struct Receivers {
    secrets: Option<PathBuf>,
    health: Arc<Health>,
    keys: GoogleKeys,
    nudges: Nudges,
    pushed: Notify,
    changed: Notify,
    /// None while the process does not work: no configuration was read yet, or another replica leads.
    in_force: RwLock<Option<Arc<InForce>>>,
    recent: Mutex<Recent>,
}

/// What a configuration says about receivers.
#[derive(Debug)]
pub struct InForce {
    branch: String,
    doors: BTreeMap<ReceiverName, Arc<Door>>,
    places: Places,
}

/// Why a message is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// It is not proved.
    Refused(Refusal),
    /// What it would be proved by is not there; the words are for people on our side.
    Unavailable(String),
}

/// What came of a proved message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// So many repositories are looked at now; whether the Git remote is, too.
    Accepted(usize, bool),
    /// All of it came in a moment ago.
    Duplicate,
    /// It is about repositories that nobody here looks at.
    UnknownRepository,
    /// It tells nothing that matters here.
    Ignored,
}

impl Receivers {
    /// Receivers whose secrets are in the folder `secrets`; there are none until [`Receivers::adopt`].
    pub fn new(secrets: Option<PathBuf>, keys: GoogleKeys, health: Arc<Health>) -> Self {
        Self {
            secrets,
            health,
            keys,
            nudges: Nudges::default(),
            pushed: Notify::new(),
            changed: Notify::new(),
            in_force: RwLock::default(),
            recent: Mutex::default(),
        }
    }

    /// The repositories to look at before their time.
    pub fn nudges(&self) -> Nudges {
        self.nudges.clone()
    }

    /// Waits for word that the branch moved; what is told meanwhile is one word.
    pub async fn pushed(&self) {
        self.pushed.notified().await;
    }

    /// Takes over a configuration, with the `branch` that is read and the repositories that are looked at.
    pub fn adopt(&self, config: &Config, branch: &str, targets: &Targets) {
        let before = self.in_force();
        let known = |name: &ReceiverName| before.as_ref().and_then(|before| before.doors.get(name));
        let now = Instant::now();
        let mut doors = BTreeMap::new();
        for (name, receiver) in &config.receivers {
            let door = match known(name) {
                Some(door) if door.receiver == *receiver => door.clone(),
                _ => Arc::new(Door::new(name.clone(), receiver.clone(), now)),
            };
            doors.insert(name.clone(), door);
        }
        for gone in
            before.iter().flat_map(|before| before.doors.keys()).filter(|name| !doors.contains_key(*name))
        {
            self.health.forget(&part(gone));
        }
        self.nudges.retain(|repository| targets.contains_key(repository));
        let in_force = InForce { branch: branch.to_owned(), doors, places: Places::new(targets.keys()) };
        self.set(Some(Arc::new(in_force)));
        self.read_secrets();
        self.changed.notify_one();
    }

    /// Takes nothing any more, until the next [`Receivers::adopt`].
    pub fn close(&self) {
        if let Some(before) = self.in_force() {
            for name in before.doors.keys() {
                self.health.forget(&part(name));
            }
        }
        self.set(None);
    }

    fn set(&self, in_force: Option<Arc<InForce>>) {
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = in_force;
    }

    /// What is in force; none while nothing can be taken.
    pub fn in_force(&self) -> Option<Arc<InForce>> {
        self.in_force.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the secrets again when their files change, until `stop`.
    pub async fn keep_secrets(&self, stop: CancellationToken) {
        loop {
            let any = self.in_force().is_some_and(|in_force| !in_force.doors.is_empty());
            tokio::select! {
                () = tokio::time::sleep(READ_AGAIN), if any => self.read_secrets(),
                () = self.changed.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn read_secrets(&self) {
        let Some(in_force) = self.in_force() else { return };
        for door in in_force.doors.values().filter(|door| matches!(door.receiver.proof, Proof::Secret(_))) {
            self.health.tell(&part(&door.name), door.read_secret(self.secrets.as_deref()));
        }
    }

    /// Whether a claim holds; `body` matters to claims about the body alone.
    pub async fn judge(&self, door: &Door, claim: &Claim, body: &[u8]) -> Result<(), Denied> {
        if let (Proof::Google { audience, identity }, Claim::Identity(text)) = (&door.receiver.proof, claim) {
            let token = Token::read(text).map_err(Denied::Refused)?;
            token.fits(audience, identity, Timestamp::now()).map_err(Denied::Refused)?;
            let key = self.keys.key(token.key()).await;
            self.health.tell(&part(&door.name), key.as_ref().err().cloned());
            let key = key.map_err(Denied::Unavailable)?.ok_or(Denied::Refused(Refusal::Wrong))?;
            token.is_signed_by(&key).map_err(Denied::Refused)
        } else {
            let secret = door.secret().map_err(Denied::Unavailable)?;
            claim.holds(&secret, body).map_err(Denied::Refused)
        }
    }

    /// Does what a proved notice asks for: what it names is looked at now, and that is all.
    pub fn follow(
        &self,
        in_force: &InForce,
        door: &Door,
        notice: &Notice,
        delivery: Option<&str>,
    ) -> Followed {
        let now = Instant::now();
        let mut recent = lock(&self.recent);
        let delivery = delivery.or(notice.delivery.as_deref());
        if delivery.is_some_and(|delivery| recent.repeats((&door.name, delivery), now)) {
            return Followed::Duplicate;
        }
        let (mut looks, mut repeated) = (BTreeSet::new(), false);
        for mention in &notice.mentions {
            for repository in in_force.places.meant(door.receiver.kind, mention) {
                // A second tag of one digest is news, so the tag counts too.
                let content = mention.content.as_deref();
                if content.is_some_and(|content| recent.repeats((repository, content), now)) {
                    repeated = true;
                } else {
                    looks.insert(repository.clone());
                }
            }
        }
        drop(recent);
        if notice.everything {
            looks = in_force.places.all();
        }
        let moved = notice.everything || notice.branches.contains(&in_force.branch);
        if moved {
            self.pushed.notify_one();
        }
        let count = looks.len();
        if count > 0 {
            self.nudges.add(looks);
        }
        if count > 0 || moved {
            Followed::Accepted(count, moved)
        } else if repeated {
            Followed::Duplicate
        } else if notice.mentions.is_empty() {
            Followed::Ignored
        } else {
            Followed::UnknownRepository
        }
    }
}

impl InForce {
    /// The receiver of that name, as an address has it.
    pub fn door(&self, name: &str) -> Option<&Arc<Door>> {
        self.doors.get(&name.parse::<ReceiverName>().ok()?)
    }

    /// How many receivers there are.
    pub fn count(&self) -> usize {
        self.doors.len()
    }
}

fn part(name: &ReceiverName) -> String {
    format!("receiver {name}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
