//! Our mirror of a remote, and the thread that owns it.
//!
//! The thread takes what has arrived in one go: an idle remote is served at once, and what waits while a push is
//! under way shares the next commit. Our mirror is a cache; a damaged one is cloned again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use git2::{Oid, Repository, Signature};
use sha2::Digest as _;
use tokio::sync::{mpsc, oneshot, watch};

use super::history::{Images, commit_id};
use super::message::Trailers;
use super::remote::{GitCredentials, Heads, Location, Pushed, Remote, Update};
use super::snapshot::{ReadError, Reader, Snapshot};
use super::{Change, Outcome, PublishError, apply, http, message, notes, objects};
use crate::boundary;
use crate::model::{AppName, CommitId, EnvironmentName, VerdictNote};

/// How often a push may lose its race before it is given up.
const RACES: u32 = 20;
/// How often a push is tried whose connection broke.
const BREAKS: u32 = 3;

/// What a mirror needs to know.
#[derive(Debug, Clone)]
pub struct MirrorOptions {
    /// The remote.
    pub location: Location,
    /// The branch; the remote's default one unless named.
    pub branch: Option<String>,
    /// The configuration's path in the repository.
    pub config: String,
    /// Who we are there.
    pub credentials: GitCredentials,
    /// The folder below which mirrors are kept; deleting it costs a clone.
    pub state: PathBuf,
}

/// What became of a set of changes.
#[derive(Debug, Clone)]
pub struct Published {
    /// One outcome per change, in their order.
    pub outcomes: Vec<Outcome>,
    /// The remote after the push.
    pub snapshot: Arc<Snapshot>,
    /// How often the push lost its race.
    pub races: u32,
    /// How long commit and push took together.
    pub took: Duration,
}

/// Whether a revision still has what a commit brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// It is that commit, or a later one with the same images.
    Yes,
    /// It is later, and the images are others now.
    Changed,
    /// It does not contain the commit.
    No,
}

/// A commit of ours, as its message tells it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The commit.
    pub commit: CommitId,
    /// When it was made.
    pub time: jiff::Timestamp,
    /// What it did in each app and environment.
    pub groups: Vec<Trailers>,
}

type Reply<T> = oneshot::Sender<Result<T, PublishError>>;

enum Command {
    Refresh(Reply<Arc<Snapshot>>),
    Publish {
        changes: Vec<Change>,
        together: bool,
        reply: Reply<Published>,
    },
    Preview {
        changes: Vec<Change>,
        reply: Reply<(Vec<Outcome>, String)>,
    },
    Note {
        lines: Vec<VerdictNote>,
        reply: Reply<()>,
    },
    History {
        since: jiff::Timestamp,
        reply: Reply<Vec<Entry>>,
    },
    Held {
        revision: CommitId,
        commit: CommitId,
        key: (AppName, EnvironmentName),
        images: Images,
        reply: Reply<Held>,
    },
}

/// A handle to the thread; the thread ends when all handles are gone.
#[derive(Debug, Clone)]
pub struct Mirror {
    commands: mpsc::Sender<Command>,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    location: Location,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Command")
    }
}

impl Mirror {
    /// Opens or makes the mirror and starts its thread; the remote is first asked by [`Mirror::refresh`].
    ///
    /// Must be called within a Tokio runtime, which the thread uses for HTTP.
    pub fn start(options: MirrorOptions) -> Result<Self, PublishError> {
        http::register();
        let location = options.location.clone();
        let (commands, inbox) = mpsc::channel(64);
        let (sender, snapshots) = watch::channel(None);
        let runtime = tokio::runtime::Handle::current();
        let mut owner = Owner::open(options, runtime, sender)?;
        std::thread::Builder::new()
            .name("mirror".to_owned())
            .spawn(move || owner.run(inbox))
            .map_err(|error| PublishError::Config(format!("no thread for the mirror: {error}")))?;
        Ok(Self { commands, snapshots, location })
    }

    /// The remote's address.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The newest snapshot, and word of each next one.
    pub fn snapshots(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.snapshots.clone()
    }

    async fn ask<T>(&self, make: impl FnOnce(Reply<T>) -> Command) -> Result<T, PublishError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(make(reply)).await.map_err(|_| PublishError::Stopped)?;
        answer.await.map_err(|_| PublishError::Stopped)?
    }

    /// Looks at the remote's head, and fetches it if it moved.
    pub async fn refresh(&self) -> Result<Arc<Snapshot>, PublishError> {
        self.ask(Command::Refresh).await
    }

    /// Commits and pushes; with `together` all changes or none.
    pub async fn publish(&self, changes: Vec<Change>, together: bool) -> Result<Published, PublishError> {
        self.ask(|reply| Command::Publish { changes, together, reply }).await
    }

    /// What [`Mirror::publish`] would do at the last known head, and the difference as a patch.
    pub async fn preview(&self, changes: Vec<Change>) -> Result<(Vec<Outcome>, String), PublishError> {
        self.ask(|reply| Command::Preview { changes, reply }).await
    }

    /// Writes verdicts.
    pub async fn note(&self, lines: Vec<VerdictNote>) -> Result<(), PublishError> {
        self.ask(|reply| Command::Note { lines, reply }).await
    }

    /// Our commits since then, newest first.
    pub async fn history(&self, since: jiff::Timestamp) -> Result<Vec<Entry>, PublishError> {
        self.ask(|reply| Command::History { since, reply }).await
    }

    /// Whether `revision` still has the `images` that `commit` brought.
    pub async fn held(
        &self,
        revision: CommitId,
        commit: CommitId,
        key: (AppName, EnvironmentName),
        images: Images,
    ) -> Result<Held, PublishError> {
        self.ask(|reply| Command::Held { revision, commit, key, images, reply }).await
    }
}

/// The thread's side.
struct Owner {
    folder: PathBuf,
    repository: Repository,
    remote: Remote,
    options: MirrorOptions,
    reader: Reader,
    heads: Option<Heads>,
    snapshot: Option<Arc<Snapshot>>,
    sender: watch::Sender<Option<Arc<Snapshot>>>,
}

struct Request {
    changes: Vec<Change>,
    together: bool,
    reply: Reply<Published>,
}

impl Owner {
    fn open(
        options: MirrorOptions,
        runtime: tokio::runtime::Handle,
        sender: watch::Sender<Option<Arc<Snapshot>>>,
    ) -> Result<Self, PublishError> {
        let name = hex::encode(&sha2::Sha256::digest(options.location.to_string())[..8]);
        let folder = options.state.join(format!("mirror-{name}.git"));
        let broken = |cause: String| PublishError::Mirror { folder: folder.display().to_string(), cause };
        fs_err::create_dir_all(&options.state).map_err(|error| broken(error.to_string()))?;
        let repository = match Repository::open_bare(&folder) {
            Ok(repository) => repository,
            Err(_) => create(&folder).map_err(broken)?,
        };
        let remote = Remote::new(options.location.clone(), options.credentials.clone(), runtime);
        Ok(Self {
            folder,
            repository,
            remote,
            options,
            reader: Reader::default(),
            heads: None,
            snapshot: None,
            sender,
        })
    }

    fn run(&mut self, mut inbox: mpsc::Receiver<Command>) {
        while let Some(first) = inbox.blocking_recv() {
            let mut waiting = vec![first];
            while let Ok(next) = inbox.try_recv() {
                waiting.push(next);
            }
            let (mut refreshes, mut requests, mut lines) = (Vec::new(), Vec::new(), Vec::new());
            for command in waiting {
                match command {
                    Command::Refresh(reply) => refreshes.push(reply),
                    Command::Publish { changes, together, reply } => {
                        requests.push(Request { changes, together, reply });
                    }
                    Command::Note { lines: more, reply } => lines.push((more, reply)),
                    Command::History { since, reply } => _ = reply.send(self.history(since)),
                    Command::Preview { changes, reply } => _ = reply.send(self.preview(&changes)),
                    Command::Held { revision, commit, key, images, reply } => {
                        _ = reply.send(self.held(&revision, &commit, &key, &images));
                    }
                }
            }
            if !requests.is_empty() || !lines.is_empty() {
                self.publish(requests, lines);
            }
            for reply in refreshes {
                _ = reply.send(self.refresh());
            }
        }
    }

    /// Looks at the remote, and clones anew what turns out to be damaged.
    fn refresh(&mut self) -> Result<Arc<Snapshot>, PublishError> {
        match self.look() {
            Err(PublishError::Mirror { cause, folder }) => {
                tracing::warn!(%folder, %cause, "the mirror is damaged; it is cloned again");
                self.repository =
                    create(&self.folder).map_err(|cause| PublishError::Mirror { folder, cause })?;
                (self.heads, self.reader) = (None, Reader::default());
                self.look()
            }
            result => result,
        }
    }

    fn look(&mut self) -> Result<Arc<Snapshot>, PublishError> {
        // A configuration that names another branch is followed once, unless the command line names one.
        let configured = self.snapshot.as_ref().and_then(|snapshot| snapshot.config.git.branch.clone());
        let branch = self.options.branch.clone().or(configured);
        let heads = self.remote.look(&self.repository, branch.as_deref(), self.heads.as_ref())?;
        if let Some(snapshot) = &self.snapshot
            && self.heads.as_ref() == Some(&heads)
        {
            return Ok(snapshot.clone());
        }
        self.heads = Some(heads);
        let snapshot = self.read()?;
        match &snapshot.config.git.branch {
            Some(named) if self.options.branch.is_none() && *named != snapshot.branch => {
                self.heads = None;
                self.look()
            }
            _ => Ok(snapshot),
        }
    }

    /// Reads the known head and tells everybody.
    fn read(&mut self) -> Result<Arc<Snapshot>, PublishError> {
        let Some(heads) = &self.heads else { return Err(PublishError::Stopped) };
        let read = self.reader.read(&self.repository, &heads.branch, heads.head, &self.options.config);
        let snapshot = Arc::new(read.map_err(|error| match error {
            ReadError::Git(error) => self.damaged(&error),
            ReadError::Config(words) => PublishError::Config(words),
        })?);
        self.snapshot = Some(snapshot.clone());
        self.sender.send_replace(Some(snapshot.clone()));
        Ok(snapshot)
    }

    fn damaged(&self, error: &git2::Error) -> PublishError {
        PublishError::Mirror { folder: self.folder.display().to_string(), cause: error.message().to_owned() }
    }

    fn preview(&mut self, changes: &[Change]) -> Result<(Vec<Outcome>, String), PublishError> {
        let (snapshot, head) = self.known()?;
        let preview = || -> Result<(Vec<Outcome>, String), git2::Error> {
            let base = self.repository.find_commit(head)?.tree()?;
            let applied = apply::apply(&self.repository, &base, &snapshot.config, changes, false)?;
            let tree = self.repository.find_tree(applied.tree)?;
            let mut patch = String::new();
            let diff = self.repository.diff_tree_to_tree(Some(&base), Some(&tree), None)?;
            diff.print(git2::DiffFormat::Patch, |_, _, line| {
                if matches!(line.origin(), '+' | '-' | ' ') {
                    patch.push(line.origin());
                }
                patch.push_str(&String::from_utf8_lossy(line.content()));
                true
            })?;
            let outcome = |place| match applied.others.get(&place) {
                Some(other) => other.clone(),
                None => Outcome::Committed(snapshot.head.clone()),
            };
            Ok(((0..changes.len()).map(outcome).collect(), patch))
        };
        preview().map_err(|error| self.damaged(&error))
    }

    fn history(&mut self, since: jiff::Timestamp) -> Result<Vec<Entry>, PublishError> {
        let (_, head) = self.known()?;
        super::history::entries(&self.repository, head, since).map_err(|error| self.damaged(&error))
    }

    fn known(&mut self) -> Result<(Arc<Snapshot>, Oid), PublishError> {
        let snapshot = match &self.snapshot {
            Some(snapshot) => snapshot.clone(),
            None => self.refresh()?,
        };
        let head = self.heads.as_ref().map_or(Oid::ZERO_SHA1, |heads| heads.head);
        Ok((snapshot, head))
    }

    fn held(
        &mut self,
        revision: &CommitId,
        commit: &CommitId,
        key: &(AppName, EnvironmentName),
        images: &Images,
    ) -> Result<Held, PublishError> {
        let (mut snapshot, _) = self.known()?;
        let parse = |id: &CommitId| Oid::from_str(id.as_str()).map_err(|error| self.damaged(&error));
        let (revision, commit) = (parse(revision)?, parse(commit)?);
        if !self.repository.odb().is_ok_and(|odb| odb.exists(revision)) {
            self.heads = None;
            snapshot = self.refresh()?;
        }
        if revision != commit && !self.repository.graph_descendant_of(revision, commit).unwrap_or(false) {
            return Ok(Held::No);
        }
        let folder = snapshot.config.overlay(&key.0, &key.1).unwrap_or_default();
        let there = || -> Option<Images> {
            let tree = self.repository.find_commit(revision).ok()?.tree().ok()?;
            let path = objects::kustomization(&tree, &folder).ok()?;
            let content = objects::file(&self.repository, &tree, &path).ok()??.content;
            Some(super::history::read_images(&crate::edit::image_entries(&content).ok()?))
        };
        let there = there().unwrap_or_default();
        let same = images.iter().all(|(image, written)| there.get(image) == Some(written));
        Ok(if same { Held::Yes } else { Held::Changed })
    }

    /// Brings all requests and notes to the remote, in one push as long as nothing fails.
    fn publish(&mut self, requests: Vec<Request>, notes: Vec<(Vec<VerdictNote>, Reply<()>)>) {
        let began = Instant::now();
        let lines: Vec<VerdictNote> = notes.iter().flat_map(|(lines, _)| lines.iter().cloned()).collect();
        let result = self.push_until_done(&requests, &lines);
        let took = began.elapsed();
        let written = match &result {
            Ok(done) => done.notes_failed.clone().map_or(Ok(()), Err),
            Err(error) => Err(error.clone()),
        };
        for (place, request) in requests.into_iter().enumerate() {
            let answer = match (&result, &self.snapshot) {
                (Err(error), _) => Err(error.clone()),
                (Ok(done), Some(snapshot)) => Ok(Published {
                    outcomes: done.outcomes.get(place).cloned().unwrap_or_default(),
                    snapshot: snapshot.clone(),
                    races: done.races,
                    took,
                }),
                (Ok(_), None) => Err(PublishError::Stopped),
            };
            _ = request.reply.send(answer);
        }
        for (_, reply) in notes {
            _ = reply.send(written.clone());
        }
    }

    fn push_until_done(&mut self, requests: &[Request], lines: &[VerdictNote]) -> Result<Done, PublishError> {
        let (mut races, mut breaks) = (0, 0);
        let mut notes_left = !lines.is_empty();
        let mut ours: Vec<Oid> = Vec::new();
        // The outcomes of a push that the remote took, even if a later note or the connection failed.
        let mut landed: Option<Vec<Vec<Outcome>>> = None;
        loop {
            let (_, head) = self.known()?;
            let attempt = match self.prepare(requests, if notes_left { lines } else { &[] }) {
                Ok(attempt) => attempt,
                Err(error) => return Err(self.damaged(&error)),
            };
            let Attempt { updates, outcomes, commit } = attempt;
            if updates.is_empty() {
                return Ok(Done { outcomes: landed.unwrap_or(outcomes), races, notes_failed: None });
            }
            ours.extend(commit);
            if commit.is_some() {
                boundary::reached("committed");
            }
            let pushed = self.remote.push(&self.repository, &updates);
            boundary::reached("push-answered");
            let mut lost = false;
            let mut words = None;
            let mut notes_failed = None;
            match pushed {
                Ok(answers) => {
                    for (update, answer) in updates.iter().zip(answers) {
                        let is_branch = update.reference != notes::NOTES;
                        match answer {
                            Pushed::Done => {
                                self.advance(update, is_branch);
                                if is_branch {
                                    landed = Some(outcomes.clone());
                                }
                            }
                            Pushed::Lost => lost = true,
                            Pushed::Rejected(said) if is_branch => {
                                words = Some((update.reference.clone(), said));
                            }
                            Pushed::Rejected(said) => notes_failed = Some((update.reference.clone(), said)),
                        }
                    }
                }
                Err(
                    error @ (PublishError::Unauthorized { .. }
                    | PublishError::HostKey { .. }
                    | PublishError::Missing { .. }),
                ) => {
                    self.forget();
                    return Err(error);
                }
                Err(error) => {
                    // The remote may have taken the push before the connection broke: only a look can tell.
                    breaks += 1;
                    self.forget();
                    if breaks >= BREAKS {
                        return Err(error);
                    }
                    pause(breaks);
                    self.refresh()?;
                    if let (Some(commit), Some(heads)) = (commit, &self.heads)
                        && (heads.head == commit
                            || self.repository.graph_descendant_of(heads.head, commit).unwrap_or(false))
                    {
                        landed = Some(outcomes);
                    }
                    continue;
                }
            }
            if !lost && words.is_none() && notes_failed.is_none() {
                self.read()?;
                return Ok(Done { outcomes: landed.unwrap_or(outcomes), races, notes_failed: None });
            }
            // Somebody else moved a reference, or the remote refuses: which of both, the head tells.
            self.forget();
            self.refresh()?;
            let moved =
                self.heads.as_ref().is_some_and(|heads| heads.head != head && !ours.contains(&heads.head));
            let refused = |(reference, words): (String, String)| PublishError::Refused {
                remote: self.remote.location().to_string(),
                reference,
                words,
            };
            if let Some(words) = words
                && !moved
                && !transient(&words.1)
            {
                return Err(refused(words));
            }
            if let Some(words) = notes_failed
                && !transient(&words.1)
            {
                if !lost {
                    return Ok(Done {
                        outcomes: landed.unwrap_or(outcomes),
                        races,
                        notes_failed: Some(refused(words)),
                    });
                }
                notes_left = false;
            }
            races += 1;
            if races >= RACES {
                let remote = self.remote.location().to_string();
                let reference = updates.first().map(|update| update.reference.clone()).unwrap_or_default();
                return Err(PublishError::Conflict { remote, reference, attempts: races });
            }
            pause(races);
        }
    }

    /// Makes the commits for one try at the known head.
    fn prepare(&self, requests: &[Request], lines: &[VerdictNote]) -> Result<Attempt, git2::Error> {
        let (Some(snapshot), Some(heads)) = (&self.snapshot, &self.heads) else {
            return Ok(Attempt::default());
        };
        let parent = self.repository.find_commit(heads.head)?;
        let base = parent.tree()?;
        let mut tree = base.clone();
        let (mut made, mut outcomes) = (Vec::new(), Vec::new());
        for request in requests {
            let applied =
                apply::apply(&self.repository, &tree, &snapshot.config, &request.changes, request.together)?;
            tree = self.repository.find_tree(applied.tree)?;
            made.extend(applied.made.iter().map(|place| request.changes[*place].clone()));
            outcomes.push((applied.others, request.changes.len()));
        }
        let author = &snapshot.config.git.author;
        let signature = Signature::now(&author.name, &author.email)?;
        let mut updates = Vec::new();
        let mut commit = None;
        if tree.id() != base.id() {
            let text = message::compose(&made);
            let id = self.repository.commit(None, &signature, &signature, &text, &tree, &[&parent])?;
            let mut new = objects::added(&self.repository, Some(&base), &tree)?;
            new.push(id);
            commit = Some(id);
            let reference = format!("refs/heads/{}", heads.branch);
            updates.push(Update { reference, old: Some(heads.head), new: id, objects: new });
        }
        let finished = commit.unwrap_or(heads.head);
        let old = notes::tip(&self.repository);
        if !lines.is_empty()
            && notes::append(&self.repository, &signature, lines)?
            && let Some(new) = notes::tip(&self.repository)
        {
            let notes = self.repository.find_commit(new)?.tree()?;
            let before = old.map(|old| self.repository.find_commit(old)?.tree()).transpose()?;
            let mut objects = objects::added(&self.repository, before.as_ref(), &notes)?;
            // Each note is a commit of its own on top of the last.
            let mut walk = self.repository.revwalk()?;
            walk.push(new)?;
            if let Some(old) = old {
                walk.hide(old)?;
            }
            for id in walk {
                let id = id?;
                objects.extend(objects::added(
                    &self.repository,
                    before.as_ref(),
                    &self.repository.find_commit(id)?.tree()?,
                )?);
                objects.push(id);
            }
            updates.push(Update { reference: notes::NOTES.to_owned(), old, new, objects });
        }
        let outcomes = outcomes
            .into_iter()
            .map(|(others, count)| {
                let outcome =
                    |place| others.get(&place).cloned().unwrap_or(Outcome::Committed(commit_id(finished)));
                (0..count).map(outcome).collect()
            })
            .collect();
        Ok(Attempt { updates, outcomes, commit })
    }

    /// Remembers what the remote took.
    fn advance(&mut self, update: &Update, is_branch: bool) {
        if let Some(heads) = &mut self.heads {
            if is_branch {
                heads.head = update.new;
            } else {
                heads.notes = Some(update.new);
            }
        }
    }

    /// Makes the next look fetch, and drops notes that the remote did not take.
    fn forget(&mut self) {
        let notes = self.heads.take().and_then(|heads| heads.notes);
        let reset = match notes {
            Some(old) => {
                self.repository.reference(notes::NOTES, old, true, "as the remote has it").map(|_| ())
            }
            None => self.repository.find_reference(notes::NOTES).and_then(|mut stale| stale.delete()),
        };
        if let Err(error) = reset {
            tracing::debug!(%error, "the notes were not reset; the next fetch does it");
        }
    }
}

struct Done {
    outcomes: Vec<Vec<Outcome>>,
    races: u32,
    notes_failed: Option<PublishError>,
}

#[derive(Default)]
struct Attempt {
    updates: Vec<Update>,
    outcomes: Vec<Vec<Outcome>>,
    commit: Option<Oid>,
}

/// Makes an empty mirror in the place of whatever is there.
fn create(folder: &std::path::Path) -> Result<Repository, String> {
    if folder.exists() {
        fs_err::remove_dir_all(folder).map_err(|error| error.to_string())?;
    }
    Repository::init_bare(folder).map_err(|error| error.message().to_owned())
}

/// Refusals that mean "somebody is pushing at this moment", in the words of git, GitHub, GitLab and Gitea.
fn transient(words: &str) -> bool {
    [
        "cannot lock ref",
        "failed to update ref",
        "fetch first",
        "non-fast-forward",
        "incorrect old value",
        "stale info",
    ]
    .iter()
    .any(|sign| words.contains(sign))
}

/// Waits longer after each lost race, by a length that differs between writers.
fn pause(attempt: u32) {
    let spread = u64::from(Instant::now().elapsed().subsec_nanos() ^ std::process::id()) % 20;
    let base = 5 * u64::from(attempt.min(20));
    std::thread::sleep(Duration::from_millis(base + spread * u64::from(attempt.min(10))));
}
