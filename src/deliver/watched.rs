//! The objects of one kind in one place, kept up to date by a watch.
//!
//! kube's own watcher says when a watch fails, but not when it goes on: without a change of an object its error would stand for
//! ever. Here the API server's silence ends with the first request that it answers.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::runtime::utils::Backoff as _;
use kube::runtime::watcher::DefaultBackoff;
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use super::changes::{Told, Whom};
use super::cluster::words;
use crate::model::printable;

/// How many objects one answer may hold, so that a large namespace comes in pieces.
const PAGE: u32 = 250;
/// How long the API server may take for a page, or to begin a watch.
const ANSWER: Duration = Duration::from_mins(1);
/// How long a watch is asked to last, in seconds.
const LASTS: u32 = 290;
/// A watch that has told nothing for this long is dead: the API server ends each at its time.
const DEAD: Duration = Duration::from_secs(LASTS as u64 + 5);
/// A watch that lasted this long was a sound one, and the next begins at once.
const SOUND: Duration = Duration::from_secs(10);
/// The longest pause between two attempts.
const PAUSE: Duration = Duration::from_secs(10);

/// Why objects cannot be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unseen {
    /// The first list is still on its way.
    Listing,
    /// This account must not see them, in the API server's words.
    Forbidden(String),
    /// The cluster has no such kind.
    NoSuchKind,
    /// The API server does not answer, in the client's words.
    Silent(String),
}

impl std::fmt::Display for Unseen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listing => f.write_str("not listed yet"),
            Self::Forbidden(words) | Self::Silent(words) => f.write_str(words),
            Self::NoSuchKind => f.write_str("the cluster has no such kind"),
        }
    }
}

impl From<Unseen> for String {
    fn from(unseen: Unseen) -> Self {
        unseen.to_string()
    }
}

/// The objects of one kind in one namespace.
#[derive(Debug)]
pub struct Watched<K> {
    state: Arc<Mutex<State<K>>>,
    task: AbortHandle,
}

#[derive(Debug)]
struct State<K> {
    objects: BTreeMap<String, Arc<K>>,
    unseen: Option<Unseen>,
}

impl<K> Drop for Watched<K> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<K> Watched<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    /// Begins to watch; `slim` drops what is never read of an object before it is kept, `whom` is told of its changes.
    pub(super) fn start(api: Api<K>, told: Arc<Told>, whom: Whom, slim: fn(&mut K)) -> Self {
        let state = Arc::new(Mutex::new(State { objects: BTreeMap::new(), unseen: Some(Unseen::Listing) }));
        let keeper = Keeper { api, state: state.clone(), told, whom, slim };
        let task = tokio::spawn(keeper.run()).abort_handle();
        Self { state, task }
    }

    /// The object of that name.
    pub fn get(&self, name: &str) -> Result<Option<Arc<K>>, Unseen> {
        self.read(|objects| objects.get(name).cloned())
    }

    /// What `pick` takes from all objects, which are kept by name.
    pub fn read<T>(&self, pick: impl FnOnce(&BTreeMap<String, Arc<K>>) -> T) -> Result<T, Unseen> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &state.unseen {
            Some(unseen) => Err(unseen.clone()),
            None => Ok(pick(&state.objects)),
        }
    }
}

/// What goes on after a watch has ended.
enum Next {
    /// The next watch, from where the last one ended.
    Watch(String),
    /// All objects are listed anew.
    List,
}

struct Keeper<K> {
    api: Api<K>,
    state: Arc<Mutex<State<K>>>,
    told: Arc<Told>,
    whom: Whom,
    slim: fn(&mut K),
}

impl<K> Keeper<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    async fn run(self) {
        let mut pauses = DefaultBackoff::default();
        let mut next = Next::List;
        loop {
            let began = Instant::now();
            next = match next {
                Next::List => match self.list().await {
                    Ok(version) => {
                        next = Next::Watch(version);
                        continue;
                    }
                    Err(error) => {
                        self.put(|state| state.unseen = Some(unseen(&error)));
                        Next::List
                    }
                },
                Next::Watch(version) => self.watch(version).await,
            };
            if began.elapsed() >= SOUND {
                pauses.reset();
            } else {
                sleep(pauses.next().map_or(PAUSE, |pause| pause.min(PAUSE))).await;
            }
        }
    }

    /// Lists all objects, page by page; the version that a watch goes on from.
    async fn list(&self) -> Result<String, Failed> {
        let mut fresh = BTreeMap::new();
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = timeout(ANSWER, self.api.list(&page)).await??;
            for object in list.items {
                let (name, object) = self.kept(object);
                fresh.insert(name, object);
            }
            page.continue_token = list.metadata.continue_.filter(|token| !token.is_empty());
            if page.continue_token.is_none() {
                self.put(|state| *state = State { objects: fresh, unseen: None });
                return Ok(list.metadata.resource_version.unwrap_or_default());
            }
        }
    }

    async fn watch(&self, mut version: String) -> Next {
        let parameters = WatchParams::default().timeout(LASTS);
        let begun = timeout(ANSWER, self.api.watch(&parameters, &version)).await.map_err(Failed::from);
        let mut stream = match begun.and_then(|begun| begun.map_err(Failed::from)) {
            Ok(stream) => stream.boxed(),
            Err(Failed::Client(kube::Error::Api(status))) if status.code == 410 => return Next::List,
            Err(error) => {
                self.put(|state| state.unseen = Some(unseen(&error)));
                return Next::Watch(version);
            }
        };
        if self.is_unseen() {
            self.put(|state| state.unseen = None);
        }
        loop {
            // A watch that is cut is begun anew; only if that fails, too, is there nobody who answers.
            let Ok(Some(Ok(event))) = timeout(DEAD, stream.next()).await else {
                return Next::Watch(version);
            };
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    version = object.resource_version().unwrap_or_default();
                    let whom = self.whom.of(object.meta());
                    let (name, object) = self.kept(object);
                    self.tell(whom, |state| _ = state.objects.insert(name, object));
                }
                WatchEvent::Deleted(object) => {
                    version = object.resource_version().unwrap_or_default();
                    let whom = self.whom.of(object.meta());
                    self.tell(whom, |state| _ = state.objects.remove(&object.name_any()));
                }
                WatchEvent::Bookmark(mark) => version = mark.metadata.resource_version,
                // What was missed cannot be told any more, or the API server is not able to go on.
                WatchEvent::Error(_) => return Next::List,
            }
        }
    }

    fn kept(&self, mut object: K) -> (String, Arc<K>) {
        let meta = object.meta_mut();
        meta.managed_fields = None;
        if let Some(annotations) = &mut meta.annotations {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
        (self.slim)(&mut object);
        (object.name_any(), Arc::new(object))
    }

    fn is_unseen(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).unseen.is_some()
    }

    fn put(&self, change: impl FnOnce(&mut State<K>)) {
        self.tell(None, change);
    }

    fn tell(&self, whom: Option<Vec<String>>, change: impl FnOnce(&mut State<K>)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        match whom {
            Some(names) => self.told.those(names),
            None => self.told.everybody(),
        }
    }
}

/// A request that failed.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Client(#[from] kube::Error),
    #[error("the API server has not answered for {} s", ANSWER.as_secs())]
    Late(#[from] tokio::time::error::Elapsed),
}

fn unseen(failed: &Failed) -> Unseen {
    match failed {
        Failed::Client(kube::Error::Api(status)) if status.code == 403 => {
            Unseen::Forbidden(printable(&status.message, 300))
        }
        Failed::Client(kube::Error::Api(status)) if status.code == 404 => Unseen::NoSuchKind,
        other => Unseen::Silent(words(other)),
    }
}
