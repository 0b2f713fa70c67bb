//! The one task that knows all others: takes what they saw, holds elections, starts what follows.

mod asking;
mod copying;
mod intake;
mod judging;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::builds::Builds;
use super::elections::{Intentions, Place, StandingTags, World};
use super::first_seen::FirstSeen;
use super::follow::{Shared, Subject};
use super::gathering::Gathering;
use super::promotion::Promotion;
use super::rankings::Rankings;
use super::receivers::Receivers;
use super::trouble::Trouble;
use crate::boundary;
use crate::discover::build::Root;
use crate::discover::{DiscoverError, Facts, TagList, feed};
use crate::elect::{Ask, Knowledge, Known};
use crate::model::{
    CommitId, Digest, EnvironmentName, Exit, Image, RegistryHost, Repository, Tag, VerdictNote,
};
use crate::publish::{Change, Outcome, PublishError, Published, Snapshot};
use crate::rollout::Decision;
use crate::rollout::platform::Failures;
use crate::transfer::TransferError;

/// How many digests are asked for at the same time.
const AT_ONCE: usize = 16;
/// What stands undecided is judged anew after this long.
const JUDGE_AGAIN: Duration = Duration::from_mins(5);
/// How long there is at least between two looks at Git that were asked for from outside.
const TOLD_APART: Duration = Duration::from_millis(500);
/// How long a stop waits for a push that is under way.
const DRAIN: Duration = Duration::from_secs(8);

/// How the supervisor works.
#[derive(Debug, Clone)]
pub struct Mode {
    /// One pass over everything, until each change has its verdict.
    pub once: bool,
    /// Nothing is written anywhere; what would be committed is told.
    pub dry_run: bool,
    /// The environments that are served; all if empty.
    pub served: BTreeSet<EnvironmentName>,
    /// Who may say from outside that there is something new.
    pub receivers: Arc<Receivers>,
    /// The folder below which builds run; none where none may.
    pub builds: Option<Root>,
    /// The file that says when images were first seen, for the next process.
    pub first_seen: Option<PathBuf>,
}

/// What a registry says to an [`Ask`].
enum Answer {
    Tag(Known),
    Image(Digest, Box<Facts>),
}

/// What was done about failures of a place within the last hour.
struct Lately {
    /// How many versions were taken back.
    rollbacks: usize,
    /// The app was held for the failure that is being looked at.
    held: bool,
}

enum Done {
    Refreshed(Result<Arc<Snapshot>, PublishError>),
    Resolved(Repository, Ask, Result<Answer, DiscoverError>),
    Published(Vec<Change>, Result<Published, PublishError>),
    Previewed(Result<(Vec<Outcome>, String), PublishError>),
    Copied(Place, Box<Promotion>, Result<(), TransferError>),
    Decided(Box<Subject>, Box<Decision>),
    /// What was done about failures of a place lately, before the commit's is taken back.
    Counted(Place, CommitId, String, Result<Lately, PublishError>),
    Noted(Vec<VerdictNote>, Result<(), PublishError>),
}

/// Everything that the supervisor remembers. All of it can be found again in Git, the registries and the cluster.
pub struct Supervisor {
    context: Shared,
    mode: Mode,
    snapshot: Arc<Snapshot>,
    tags: HashMap<Repository, TagList>,
    /// When a tag came into its list, for the lead time; what a gate counts from is in `seen`, by digest.
    listed: HashMap<(Repository, Tag), Timestamp>,
    digests: HashMap<(Repository, Tag), Known>,
    standing: StandingTags,
    troubles: BTreeMap<RegistryHost, Trouble<Repository>>,
    /// What could not be asked about images, by their repository.
    unread: BTreeMap<Repository, Trouble<Ask>>,
    /// Tags that were pushed again with other content than stands in Git, and the content that was told.
    moved_tags: BTreeMap<(Repository, Tag), Digest>,
    /// Listed tags that could not be asked for at the last look.
    unnamed: BTreeMap<Repository, Vec<Tag>>,
    facts: HashMap<Digest, Facts>,
    /// When images were first seen, which alone is not to be found again anywhere else.
    seen: FirstSeen,
    /// How often a registry told something about an image.
    answers: u64,
    resolving: BTreeSet<(Repository, Ask)>,
    /// How much was asked for the times of a repository's images in this pass.
    dated: HashMap<Repository, usize>,
    /// Versions that a gate keeps waiting, and until when.
    waiting: BTreeSet<(Timestamp, Repository, Tag)>,
    /// How far places were behind their registries when it was last told.
    behind: BTreeMap<Place, usize>,
    rankings: Rankings,
    /// Tags that are listed and have no digest, or one that does not run: how often they were asked for, and when they are again.
    absent: HashMap<(Repository, Tag), (u32, Instant)>,
    /// Versions that do not run where they would go, as they were read.
    unfit: BTreeSet<Image>,
    overtaken: BTreeMap<Place, Vec<Image>>,
    targets: watch::Sender<feed::Targets>,
    feeds: BTreeMap<RegistryHost, tokio::task::JoinHandle<()>>,
    sightings: mpsc::Sender<feed::Sighting>,
    unseen: BTreeSet<Repository>,
    builds: Builds,
    /// Elections that wait for the other looks of their pass.
    gathering: Gathering,
    /// How many looks of the present pass each registry still owes.
    owed: BTreeMap<RegistryHost, usize>,
    publishing: BTreeSet<Place>,
    copying: BTreeSet<Place>,
    copy_failed: BTreeMap<Place, Instant>,
    rollouts: BTreeMap<Place, (CommitId, tokio::task::AbortHandle)>,
    judged: BTreeMap<Place, (CommitId, Instant)>,
    kept: BTreeSet<(Place, CommitId)>,
    /// Rollbacks that are being weighed.
    taking_back: BTreeSet<Place>,
    /// What failed lately, to tell the platform's failures from the versions'.
    failures: BTreeMap<EnvironmentName, Failures>,
    /// Verdicts that the remote did not take yet.
    unwritten: Vec<VerdictNote>,
    /// Failed versions that are still to be taken back: the commit, the layer that failed, and why.
    failed: BTreeMap<Place, (CommitId, String, String)>,
    asking: Arc<Semaphore>,
    tasks: JoinSet<Done>,
    /// The look at the clusters that is under way; it ends with the supervisor, after which nobody is to be told.
    looks: JoinSet<()>,
    ends: BTreeSet<u8>,
    outcome: Vec<Exit>,
    previewed: Vec<Change>,
    refreshing: bool,
    /// The remote moved after it was asked; it is asked again.
    ask_again: bool,
}

/// Runs until `stop`, or with [`Mode::once`] until nothing is left to do.
pub async fn run(context: Shared, mode: Mode, snapshot: Arc<Snapshot>, stop: CancellationToken) -> Exit {
    let (sightings, mut inbox) = mpsc::channel(64);
    let (builds, mut built) = Builds::new(mode.builds.clone(), mode.once);
    let seen = FirstSeen::open(mode.first_seen.clone());
    let mut supervisor = Supervisor {
        context,
        mode,
        snapshot,
        tags: HashMap::new(),
        listed: HashMap::new(),
        digests: HashMap::new(),
        standing: StandingTags::new(),
        troubles: BTreeMap::new(),
        unread: BTreeMap::new(),
        moved_tags: BTreeMap::new(),
        unnamed: BTreeMap::new(),
        facts: HashMap::new(),
        seen,
        answers: 0,
        resolving: BTreeSet::new(),
        dated: HashMap::new(),
        waiting: BTreeSet::new(),
        behind: BTreeMap::new(),
        rankings: Rankings::default(),
        absent: HashMap::new(),
        unfit: BTreeSet::new(),
        overtaken: BTreeMap::new(),
        targets: watch::Sender::new(BTreeMap::new()),
        feeds: BTreeMap::new(),
        sightings,
        unseen: BTreeSet::new(),
        builds,
        gathering: Gathering::default(),
        owed: BTreeMap::new(),
        publishing: BTreeSet::new(),
        copying: BTreeSet::new(),
        copy_failed: BTreeMap::new(),
        rollouts: BTreeMap::new(),
        judged: BTreeMap::new(),
        kept: BTreeSet::new(),
        taking_back: BTreeSet::new(),
        failures: BTreeMap::new(),
        unwritten: Vec::new(),
        failed: BTreeMap::new(),
        asking: Arc::new(Semaphore::new(AT_ONCE)),
        tasks: JoinSet::new(),
        looks: JoinSet::new(),
        ends: BTreeSet::new(),
        outcome: Vec::new(),
        previewed: Vec::new(),
        refreshing: false,
        ask_again: false,
    };
    supervisor.adopt_config();
    supervisor.adopt_targets(true);
    supervisor.context.metrics.set_versions(&supervisor.snapshot);
    supervisor.proceed();
    let mut snapshots = supervisor.context.mirror.snapshots();
    let mut poll = Instant::now() + supervisor.snapshot.config.interval;
    let receivers = supervisor.mode.receivers.clone();
    let mut told = Instant::now();
    loop {
        if supervisor.mode.once && supervisor.is_idle() {
            break;
        }
        let gathered =
            supervisor.gathering.until().unwrap_or_else(|| Instant::now() + Duration::from_hours(1));
        let wakes = supervisor.wakes();
        tokio::select! {
            () = stop.cancelled() => {
                supervisor.drain().await;
                if supervisor.mode.once {
                    supervisor.end(Exit::Interrupted);
                }
                break;
            }
            Some(sighting) = inbox.recv() => supervisor.saw(sighting),
            Some(word) = built.recv() => supervisor.built(word),
            Some(done) = supervisor.tasks.join_next() => {
                if let Ok(done) = done {
                    supervisor.done(done);
                }
            }
            Ok(()) = snapshots.changed() => {
                let newest = snapshots.borrow_and_update().clone();
                if let Some(newest) = newest {
                    supervisor.read(newest);
                }
            }
            () = async { sleep_until(told).await; receivers.pushed().await } => {
                told = Instant::now() + TOLD_APART;
                supervisor.ask_again = supervisor.refreshing;
                supervisor.refresh();
            }
            () = sleep_until(gathered) => {
                supervisor.gathering.end();
                supervisor.proceed();
            }
            () = sleep_until(wakes), if !supervisor.mode.once => supervisor.proceed(),
            () = sleep_until(poll), if !supervisor.mode.once => {
                poll = Instant::now() + supervisor.snapshot.config.interval;
                supervisor.begin_pass();
                supervisor.refresh();
                supervisor.look_at_clusters();
                // What could not be written at the last pass is tried again.
                let lines = std::mem::take(&mut supervisor.unwritten);
                supervisor.write(lines);
                supervisor.proceed();
            }
        }
    }
    receivers.close();
    supervisor.begin_pass();
    // A daemon that was told to stop has done its work, whatever it saw meanwhile.
    if supervisor.mode.once { Exit::first(supervisor.outcome) } else { Exit::Done }
}

impl Supervisor {
    fn end(&mut self, exit: Exit) {
        if self.ends.insert(exit as u8) {
            self.outcome.push(exit);
        }
    }

    fn is_idle(&self) -> bool {
        let seen = self.unseen.is_empty() && self.builds.pending.is_empty();
        seen && !self.gathering.is_open() && self.tasks.is_empty()
    }

    /// Lets a push that is under way come to its end; everything else goes on from Git at the next start.
    async fn drain(&mut self) {
        for (_, abort) in self.rollouts.values() {
            abort.abort();
        }
        let end = Instant::now() + DRAIN;
        while !self.publishing.is_empty() {
            tokio::select! {
                Some(done) = self.tasks.join_next() => {
                    if let Ok(Done::Published(changes, Ok(published))) = done {
                        self.tell(&changes, &published);
                        self.publishing.clear();
                    }
                }
                () = sleep_until(end) => return,
                else => return,
            }
        }
    }

    /// Takes over what a new configuration asks for.
    fn adopt_config(&mut self) {
        let config = &self.snapshot.config;
        self.context.registries.configure(&config.registries);
        let problem = self.snapshot.config_problem.clone();
        self.context.metrics.config_valid.set(i64::from(problem.is_none()));
        if problem.is_some() {
            self.end(Exit::Usage);
        }
        self.context.health.set("config", problem);
        self.builds.adopt(&self.context, &self.snapshot.config, &self.mode.served);
    }

    /// Lets the feeds look at what the configuration and the overlays name now, and the receivers of webhooks know it.
    fn adopt_targets(&mut self, reconfigured: bool) {
        self.standing = self.world(Timestamp::now()).standing();
        let targets = self.world(Timestamp::now()).targets(&self.standing);
        self.unseen.retain(|repository| targets.contains_key(repository));
        for trouble in self.troubles.values_mut() {
            trouble.retain(|repository| targets.contains_key(repository));
        }
        let hosts: BTreeSet<RegistryHost> =
            targets.keys().map(|repository| repository.host().clone()).collect();
        let retargeted = *self.targets.borrow() != targets;
        if !self.mode.once && (reconfigured || retargeted) {
            self.mode.receivers.adopt(&self.snapshot.config, &self.snapshot.branch, &targets);
        }
        if retargeted {
            if self.mode.once {
                let known = self.targets.borrow().clone();
                self.unseen
                    .extend(targets.keys().filter(|repository| !known.contains_key(*repository)).cloned());
            }
            self.targets.send_replace(targets);
        }
        self.feeds.retain(|host, feed| {
            let wanted = hosts.contains(host);
            if !wanted {
                feed.abort();
                self.owed.remove(host);
                self.troubles.remove(host);
                self.context.health.forget(&format!("registry {host}"));
            }
            wanted
        });
        for host in hosts {
            if !self.feeds.contains_key(&host) {
                self.context.health.expect(&format!("registry {host}"));
                let feed = feed::run(
                    host.clone(),
                    self.context.registries.clone(),
                    self.targets.subscribe(),
                    self.mode.receivers.nudges(),
                    self.sightings.clone(),
                    self.mode.once,
                );
                self.feeds.insert(host, tokio::spawn(feed));
            }
        }
    }

    fn world(&self, now: Timestamp) -> World<'_> {
        World {
            snapshot: &self.snapshot,
            tags: &self.tags,
            known: Knowledge { digests: &self.digests, facts: &self.facts, first_seen: self.seen.all() },
            answers: self.answers,
            now,
            overtaken: &self.overtaken,
            builds: &self.builds.pushed,
            served: &self.mode.served,
            nodes: &self.context.nodes,
        }
    }

    fn refresh(&mut self) {
        if self.refreshing {
            return;
        }
        self.refreshing = true;
        let mirror = self.context.mirror.clone();
        self.tasks.spawn(async move { Done::Refreshed(mirror.refresh().await) });
        // A cluster that has answered costs nothing here; one that does not keeps nobody waiting.
        let (context, config) = (self.context.clone(), self.snapshot.config.clone());
        let served = self.mode.served.clone();
        tokio::spawn(async move { context.ask_clusters(&config, &served).await });
    }

    fn look_at_clusters(&mut self) {
        while self.looks.try_join_next().is_some() {}
        if self.looks.is_empty() {
            let (context, config) = (self.context.clone(), self.snapshot.config.clone());
            let served = self.mode.served.clone();
            self.looks.spawn(async move { context.look_at_clusters(&config, &served).await });
        }
    }

    /// A new state of the remote.
    fn read(&mut self, snapshot: Arc<Snapshot>) {
        if Arc::ptr_eq(&snapshot, &self.snapshot) {
            return;
        }
        let reconfigured = !Arc::ptr_eq(&snapshot.config, &self.snapshot.config)
            || snapshot.config_problem != self.snapshot.config_problem;
        self.snapshot = snapshot;
        if reconfigured {
            self.adopt_config();
        }
        self.adopt_targets(reconfigured);
        self.forget_moved();
        self.context.metrics.set_versions(&self.snapshot);
        self.proceed();
    }

    /// Whether nothing is under way that may have company for what was elected.
    fn is_gathered(&self) -> bool {
        let complete = self.resolving.is_empty() && self.owed.values().all(|owed| *owed == 0);
        complete || !self.gathering.is_open()
    }

    /// Holds all elections and starts what follows from them and from the state of the remote.
    fn proceed(&mut self) {
        let now = Timestamp::now();
        self.look_again_at_what_waited(now);
        let mut rankings = std::mem::take(&mut self.rankings);
        let Intentions { changes, promotions, resolve, waiting, unfit, gated, behind, remarks, .. } =
            self.world(now).elect(&mut rankings);
        self.rankings = rankings;
        self.waiting = waiting;
        self.look_again_at_unfit(unfit);
        if gated {
            self.end(Exit::Blocked);
        }
        if behind != self.behind {
            self.context.metrics.set_behind(&behind);
            self.behind = behind;
        }
        let snapshot = self.snapshot.clone();
        for (place, remark) in remarks {
            match snapshot.desired.get(&place) {
                Some(desired) if desired.problem.is_some() => self.end(Exit::Usage),
                Some(desired) if desired.record_problem.is_some() => self.end(Exit::Blocked),
                _ => {}
            }
            let (app, environment) = place;
            self.context.health.tell(&format!("app {app} in {environment}"), remark);
        }
        self.ask(resolve);
        self.forget_unasked();
        if self.mode.dry_run {
            self.preview(changes, &promotions);
            return;
        }
        let busy = |place: &Place| self.publishing.contains(place) || self.copying.contains(place);
        let changes: Vec<Change> = changes
            .into_iter()
            .filter(|change| !busy(&(change.app.clone(), change.environment.clone())))
            .collect();
        let promotions: Vec<Promotion> = promotions
            .into_iter()
            .filter(|promotion| {
                let place = (promotion.change.app.clone(), promotion.change.environment.clone());
                let tired =
                    self.copy_failed.get(&place).is_some_and(|failed| failed.elapsed() < JUDGE_AGAIN / 5);
                !busy(&place) && !tired
            })
            .collect();
        if self.is_gathered() {
            self.gathering.end();
            self.publish(changes);
        }
        for promotion in promotions {
            self.copy(promotion);
        }
        self.start_rollouts();
    }

    fn preview(&mut self, mut changes: Vec<Change>, promotions: &[Promotion]) {
        if !self.resolving.is_empty() || !self.unseen.is_empty() {
            return;
        }
        changes.extend(promotions.iter().map(|promotion| promotion.change.clone()));
        if !changes.is_empty() && changes != self.previewed {
            self.previewed.clone_from(&changes);
            let mirror = self.context.mirror.clone();
            self.tasks.spawn(async move { Done::Previewed(mirror.preview(changes).await) });
        }
    }

    fn publish(&mut self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        boundary::reached("elected");
        self.publishing.extend(changes.iter().map(|change| (change.app.clone(), change.environment.clone())));
        let mirror = self.context.mirror.clone();
        self.tasks.spawn(async move {
            let result = mirror.publish(changes.clone(), false).await;
            Done::Published(changes, result)
        });
    }
}

/// How a failure of the remote ends a run.
pub fn exit_of(error: &PublishError) -> Exit {
    match error {
        PublishError::Config(_) | PublishError::Missing { .. } => Exit::Usage,
        PublishError::Refused { .. } | PublishError::Conflict { .. } => Exit::Git,
        PublishError::Mirror { .. } | PublishError::Stopped => Exit::Internal,
        _ => Exit::Unreachable,
    }
}
