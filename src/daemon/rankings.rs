//! What policies make of lists of tags, kept until the list, the policy or what stands changes.
//!
//! Most passes bring nothing new, and ranking a thousand lists of a thousand tags is most of what a pass would cost.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::Config;
use crate::elect::Ahead;
use crate::model::{AppName, Digest, EnvironmentName, ImageName, Tag, Tags};

/// An image of an app in an environment.
type Key = (AppName, EnvironmentName, ImageName);

/// What a ranking was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis {
    /// The tag that stands.
    pub tag: Option<Tag>,
    /// The digest that stands.
    pub digest: Option<Digest>,
    /// How much was known of images, for a policy that asks for it.
    pub known: Option<(u64, i64)>,
}

/// The rankings of the configuration in force: for each image the list, which others share, and a number for each tag
/// above what stands.
#[derive(Debug, Default)]
pub struct Rankings {
    config: Option<Arc<Config>>,
    kept: HashMap<Key, Kept>,
}

/// The list, what else the ranking depends on, and the ranking.
type Kept = (Arc<Tags>, Basis, Arc<Ahead>);

impl Rankings {
    /// Forgets the rankings of another configuration.
    pub fn adopt(&mut self, config: &Arc<Config>) {
        if !self.config.as_ref().is_some_and(|known| Arc::ptr_eq(known, config)) {
            self.kept.clear();
            self.config = Some(config.clone());
        }
    }

    /// The ranking of `tags`, made only where nothing that is kept was made of the same.
    pub fn of<E>(
        &mut self,
        key: Key,
        tags: &Arc<Tags>,
        basis: Basis,
        make: impl FnOnce() -> Result<Ahead, E>,
    ) -> Result<Arc<Ahead>, E> {
        if let Some((known, of, ahead)) = self.kept.get(&key)
            && Arc::ptr_eq(known, tags)
            && *of == basis
        {
            return Ok(ahead.clone());
        }
        let ahead = Arc::new(make()?);
        self.kept.insert(key, (tags.clone(), basis, ahead.clone()));
        Ok(ahead)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key() -> Key {
        ("wiki".parse().unwrap(), "local".parse().unwrap(), "wiki".parse().unwrap())
    }

    fn basis(tag: &str) -> Basis {
        Basis { tag: tag.parse().ok(), digest: None, known: None }
    }

    #[test]
    fn a_ranking_is_made_anew_only_for_another_list_or_another_version() {
        let mut rankings = Rankings::default();
        let mut made = 0;
        let mut ask = |tags: &Arc<Tags>, tag: &str| {
            let rank = || {
                made += 1;
                Ok::<_, ()>(Ahead::default())
            };
            rankings.of(key(), tags, basis(tag), rank).unwrap();
            made
        };
        let tags: Arc<Tags> = Arc::new(["1.0.0".parse().unwrap()].into_iter().collect());
        assert_eq!(ask(&tags, "1.0.0"), 1);
        assert_eq!(ask(&tags, "1.0.0"), 1);
        assert_eq!(ask(&tags.clone(), "1.0.0"), 1);
        assert_eq!(ask(&tags, "1.1.0"), 2);
        assert_eq!(ask(&Arc::new(Tags::clone(&tags)), "1.1.0"), 3);
    }
}
