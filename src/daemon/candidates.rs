//! What the registries have for places, and why it does not move: the elections of a daemon, held once by somebody who only
//! looks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;

use super::Context;
use super::builds::Pushed;
use super::elections::{Place, World};
use super::rankings::Rankings;
use crate::discover::{Depth, DiscoverError, Facts, Registries, TagList};
use crate::elect::{Ask, Knowledge, Known};
use crate::model::{Digest, Repository, Tag};
use crate::publish::{Move, Snapshot};

/// How many questions are asked at the same time.
const AT_ONCE: usize = 16;
/// How often elections are held: each may ask for one more version of each image.
const ROUNDS: usize = 6;

/// What was found out about a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Candidate {
    /// A daemon that serves the place commits these versions.
    Elected(Vec<Move>),
    /// Why nothing moves.
    Stays(String),
    /// A version waits for `gates.minAge`, in words; when it began is known by the daemon alone.
    Waits(String, Timestamp),
    /// A registry did not tell, or not in time.
    Untold(String),
}

/// Looks for `places` that are filled from a registry. A hold does not count: what it keeps back is what is asked for.
pub async fn look(
    context: &Context,
    snapshot: &Snapshot,
    places: &BTreeSet<Place>,
    patience: Duration,
) -> BTreeMap<Place, Candidate> {
    let search = Search::new(context, snapshot, places);
    let untold = search.repositories.clone();
    let found = tokio::time::timeout(patience, search.run(places)).await;
    found.unwrap_or_else(|_| {
        let words = format!("its registry has not told all within {} s", patience.as_secs());
        let asked = places.iter().filter(|place| untold.contains_key(*place));
        asked.map(|place| (place.clone(), Candidate::Untold(words.clone()))).collect()
    })
}

struct Search<'a> {
    context: &'a Context,
    /// Only the places that are asked for, without their holds.
    snapshot: Snapshot,
    repositories: BTreeMap<Place, BTreeSet<Repository>>,
    tags: HashMap<Repository, TagList>,
    digests: HashMap<(Repository, Tag), Known>,
    facts: HashMap<Digest, Facts>,
    silent: BTreeMap<Repository, String>,
}

/// What a registry said.
type Answer = ((Repository, Ask), Result<Word, DiscoverError>);

enum Word {
    Tag(Tag, Known),
    Image(Digest, Box<Facts>),
}

impl<'a> Search<'a> {
    fn new(context: &'a Context, snapshot: &Snapshot, places: &BTreeSet<Place>) -> Self {
        let mut only = snapshot.clone();
        only.desired.retain(|place, _| places.contains(place));
        for desired in only.desired.values_mut().filter(|desired| desired.record.hold.is_some()) {
            let mut free = (**desired).clone();
            free.record.hold = None;
            *desired = Arc::new(free);
        }
        let mut repositories: BTreeMap<Place, BTreeSet<Repository>> = BTreeMap::new();
        for (app, environment) in only.desired.keys() {
            let images = only.config.apps.get(app).map(|app| app.images.keys()).into_iter().flatten();
            let named = images.filter_map(|image| only.config.repository(environment, app, image));
            repositories.insert((app.clone(), environment.clone()), named.collect());
        }
        Self {
            context,
            snapshot: only,
            repositories,
            tags: HashMap::new(),
            digests: HashMap::new(),
            facts: HashMap::new(),
            silent: BTreeMap::new(),
        }
    }

    async fn run(mut self, places: &BTreeSet<Place>) -> BTreeMap<Place, Candidate> {
        let registries = &self.context.registries;
        let wanted: BTreeSet<Repository> = self.repositories.values().flatten().cloned().collect();
        let lists = wanted.into_iter().map(|repository| async move {
            let list = registries.tags(&repository, None).await;
            (repository, list)
        });
        let lists: Vec<_> = futures::stream::iter(lists).buffer_unordered(AT_ONCE).collect().await;
        for (repository, list) in lists {
            match list {
                Ok(list) => _ = self.tags.insert(repository, list),
                Err(error) => _ = self.silent.insert(repository, error.to_string()),
            }
        }
        let mut rankings = Rankings::default();
        let now = Timestamp::now();
        for _ in 0..ROUNDS {
            let asks = self.world(now).elect(&mut rankings).resolve;
            if asks.is_empty() {
                break;
            }
            let asks = asks.into_iter().map(|((repository, ask), depth)| {
                let known = match &ask {
                    Ask::Tag(tag) => self.digests.get(&(repository.clone(), tag.clone())).cloned(),
                    Ask::Digest(digest) => Some(Known::Digest(digest.clone())),
                };
                question(registries, repository, ask, known, depth)
            });
            let answers: Vec<Answer> = futures::stream::iter(asks).buffer_unordered(AT_ONCE).collect().await;
            for answer in answers {
                self.heard(answer);
            }
        }
        self.conclude(places, &mut rankings, now)
    }

    fn world(&self, now: Timestamp) -> World<'_> {
        static NOBODY: BTreeMap<Place, Vec<crate::model::Image>> = BTreeMap::new();
        static SERVED: BTreeSet<crate::model::EnvironmentName> = BTreeSet::new();
        static BUILDS: std::sync::LazyLock<Pushed> = std::sync::LazyLock::new(Pushed::new);
        static SEEN: std::sync::LazyLock<HashMap<(Repository, Digest), Timestamp>> =
            std::sync::LazyLock::new(HashMap::new);
        World {
            snapshot: &self.snapshot,
            tags: &self.tags,
            known: Knowledge { digests: &self.digests, facts: &self.facts, first_seen: &SEEN },
            answers: self.facts.len() as u64,
            now,
            overtaken: &NOBODY,
            builds: &BUILDS,
            served: &SERVED,
            nodes: &self.context.nodes,
        }
    }

    fn heard(&mut self, ((repository, ask), answer): Answer) {
        match (answer, ask) {
            (Ok(Word::Tag(tag, known)), _) => _ = self.digests.insert((repository, tag), known),
            (Ok(Word::Image(digest, facts)), _) => _ = self.facts.insert(digest, *facts),
            (Err(DiscoverError::NotFound { .. }), Ask::Tag(tag)) => {
                self.digests.insert((repository, tag), Known::Absent);
            }
            (Err(error), Ask::Tag(tag)) => {
                let words = error.to_string();
                self.digests.insert((repository.clone(), tag), Known::Unusable(words.clone()));
                self.silent.insert(repository, words);
            }
            (Err(error), Ask::Digest(_)) => _ = self.silent.insert(repository, error.to_string()),
        }
    }

    fn conclude(
        &self,
        places: &BTreeSet<Place>,
        rankings: &mut Rankings,
        now: Timestamp,
    ) -> BTreeMap<Place, Candidate> {
        let told = self.world(now).elect(rankings);
        let mut found = BTreeMap::new();
        for place in places {
            let Some(repositories) = self.repositories.get(place) else { continue };
            let silent = repositories.iter().find_map(|repository| self.silent.get(repository));
            let waits = told.waiting.iter().find(|(_, repository, _)| repositories.contains(repository));
            let change =
                told.changes.iter().find(|change| (&change.app, &change.environment) == (&place.0, &place.1));
            let remark = told.remarks.get(place).cloned().flatten();
            let candidate = match (silent, change, waits, remark) {
                (Some(words), ..) => Candidate::Untold(words.clone()),
                (None, Some(change), ..) => Candidate::Elected(change.moves.clone()),
                (None, None, Some((until, _, tag)), _) => {
                    let more = told.unattended.get(place).map(|words| words.join("; and "));
                    let more = more.filter(|words| !words.is_empty()).map(|words| format!("; and {words}"));
                    let words =
                        format!("{tag} is not old enough for gates.minAge{}", more.unwrap_or_default());
                    Candidate::Waits(words, *until)
                }
                (None, None, None, Some(words)) => Candidate::Stays(words),
                (None, None, None, None) => continue,
            };
            found.insert(place.clone(), candidate);
        }
        found
    }
}

async fn question(
    registries: &Registries,
    repository: Repository,
    ask: Ask,
    known: Option<Known>,
    depth: Depth,
) -> Answer {
    let answer = match (&ask, known) {
        (_, Some(Known::Digest(digest))) => registries
            .facts(&repository, &digest, depth)
            .await
            .map(|facts| Word::Image(digest.clone(), Box::new(facts))),
        (Ask::Tag(tag), _) => registries
            .digest(&repository, tag)
            .await
            .map(|digest| {
                digest.map_or_else(|| Known::Unusable(Known::LISTED_ALONE.to_owned()), Known::Digest)
            })
            .map(|known| Word::Tag(tag.clone(), known)),
        (Ask::Digest(digest), _) => registries
            .facts(&repository, digest, depth)
            .await
            .map(|facts| Word::Image(digest.clone(), Box::new(facts))),
    };
    ((repository, ask), answer)
}

/// The places that elections from registries are held for.
pub fn places(snapshot: &Snapshot) -> BTreeSet<Place> {
    let filled = |environment| {
        snapshot.config.environments.get(environment).is_some_and(|settings| {
            settings.after.is_empty() && settings.update == crate::config::Update::Auto
        })
    };
    snapshot.desired.keys().filter(|(_, environment)| filled(environment)).cloned().collect()
}

/// How many repositories are looked at for `places`.
pub fn repositories(snapshot: &Snapshot, places: &BTreeSet<Place>) -> usize {
    let mut found = BTreeSet::new();
    for (app, environment) in places {
        let images = snapshot.config.apps.get(app).map(|app| app.images.keys()).into_iter().flatten();
        found.extend(images.filter_map(|image| snapshot.config.repository(environment, app, image)));
    }
    found.len()
}
