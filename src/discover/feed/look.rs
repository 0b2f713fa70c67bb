//! One look at one repository: its list, and what single tags name now.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Look;
use crate::discover::{DiscoverError, Named, Registries, TagList};
use crate::model::{Repository, Tag};

/// Between two questions for the digests of tags that stand in Git lie at least this many looks …
const WATCHED_LOOKS: u32 = 10;
/// … and at least this time.
const WATCHED_AFTER: Duration = Duration::from_mins(5);

/// Looks at one repository.
pub(super) async fn look(
    registries: Registries,
    repository: Repository,
    look: Look,
    known: Option<TagList>,
    mut named: BTreeMap<Tag, Named>,
    watch: Option<Instant>,
) -> Looked {
    let began = Instant::now();
    let result = registries.tags(&repository, known.as_ref()).await;
    let (mut watched, mut unnamed) = (false, BTreeMap::new());
    if let Ok(list) = &result {
        watched = !list.unchanged || watch.is_none_or(|watch| watch <= began);
        let tags = look.followed.iter().chain(look.watched.iter().filter(|_| watched));
        (named, unnamed) = names(&registries, &repository, list, tags, &named).await;
    } else {
        named.clear();
    }
    Looked { repository, result, named, unnamed, watched, took: began.elapsed() }
}

/// What one look brought.
pub(super) struct Looked {
    pub(super) repository: Repository,
    pub(super) result: Result<TagList, DiscoverError>,
    pub(super) named: BTreeMap<Tag, Named>,
    /// The tags that could not be asked for.
    pub(super) unnamed: BTreeMap<Tag, DiscoverError>,
    pub(super) watched: bool,
    pub(super) took: Duration,
}

/// Asks what listed tags name now; the second map has those that can't be asked for. The list is good without them.
async fn names(
    registries: &Registries,
    repository: &Repository,
    list: &TagList,
    tags: impl Iterator<Item = &Tag>,
    known: &BTreeMap<Tag, Named>,
) -> (BTreeMap<Tag, Named>, BTreeMap<Tag, DiscoverError>) {
    let (mut found, mut failed) = (BTreeMap::new(), BTreeMap::new());
    for tag in tags {
        if !list.tags.contains(tag) || found.contains_key(tag) || failed.contains_key(tag) {
            continue;
        }
        match registries.named(repository, tag, known.get(tag)).await {
            Ok(Some(named)) => _ = found.insert(tag.clone(), named),
            Ok(None) => {}
            Err(error) => _ = failed.insert(tag.clone(), error),
        }
    }
    (found, failed)
}

/// How long the watched tags of a repository are left alone; `seed` differs between repositories.
pub(super) fn watch_again(interval: Duration, seed: u64) -> Duration {
    let shortest = interval.saturating_mul(WATCHED_LOOKS).max(WATCHED_AFTER);
    let share = u32::try_from(seed % 1000).unwrap_or(0);
    shortest.saturating_add(shortest / 1000 * share)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn watched_tags_cost_at_most_a_tenth_of_the_looks_and_one_request_in_five_minutes() {
        for (interval, shortest) in [(1, 300), (60, 600), (3600, 36_000)] {
            let interval = Duration::from_secs(interval);
            for seed in [0, 1, 999, u64::MAX] {
                let wait = watch_again(interval, seed).as_secs();
                assert!((shortest..=2 * shortest).contains(&wait), "{interval:?}: {wait} s");
            }
        }
        let minute = Duration::from_mins(1);
        assert_ne!(watch_again(minute, 1), watch_again(minute, 2), "all repositories at once");
    }
}
