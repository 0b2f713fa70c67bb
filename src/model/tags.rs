//! The tags of a repository.

use std::fmt;

use super::Tag;

/// Legal tags, each once, in byte order. Held as one text, since there may be a million of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Tags {
    text: Box<str>,
    /// Where each tag ends in `text`.
    ends: Box<[u32]>,
}

impl Tags {
    /// Every tag in order.
    pub fn texts(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        (0..self.ends.len()).map(|place| self.at(place))
    }

    /// Every tag in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Tag> + ExactSizeIterator {
        self.texts().map(Tag::of_legal)
    }

    /// The tag at a place.
    pub fn get(&self, place: u32) -> Option<Tag> {
        let place = usize::try_from(place).ok().filter(|place| *place < self.ends.len())?;
        Some(Tag::of_legal(self.at(place)))
    }

    /// Where a tag stands.
    pub fn place(&self, tag: &Tag) -> Option<u32> {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.at(middle).cmp(tag.as_str()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return u32::try_from(middle).ok(),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// Whether a tag is among them.
    pub fn contains(&self, tag: &Tag) -> bool {
        self.place(tag).is_some()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn at(&self, place: usize) -> &str {
        let end = |place: usize| self.ends.get(place).map_or(0, |end| *end as usize);
        let start = place.checked_sub(1).map_or(0, end);
        self.text.get(start..end(place)).unwrap_or_default()
    }
}

impl FromIterator<Tag> for Tags {
    fn from_iter<I: IntoIterator<Item = Tag>>(tags: I) -> Self {
        let mut tags: Vec<Tag> = tags.into_iter().collect();
        tags.sort_unstable();
        tags.dedup();
        let text: String = tags.iter().map(Tag::as_str).collect();
        let mut end = 0_u32;
        // A tag has 128 bytes at most, and a list a hundred thousand tags: 32 bits are far from full.
        let ends = tags.iter().map(|tag| {
            end = end.saturating_add(u32::try_from(tag.as_str().len()).unwrap_or(u32::MAX));
            end
        });
        Self { ends: ends.collect(), text: text.into() }
    }
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.texts()).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_set_of_its_tags(names in prop::collection::vec("[a-c0-2_][a-c0-2._-]{0,30}", 0..40)) {
            let set: BTreeSet<Tag> = names.iter().map(|name| name.parse().unwrap()).collect();
            let tags: Tags = names.iter().map(|name| name.parse().unwrap()).collect();
            prop_assert_eq!(tags.len(), set.len());
            prop_assert_eq!(tags.is_empty(), set.is_empty());
            prop_assert!(tags.iter().eq(set.iter().cloned()));
            prop_assert!(tags.texts().rev().eq(set.iter().rev().map(Tag::as_str)));
            for (place, tag) in (0..).zip(&set) {
                let found = tags.get(place);
                prop_assert_eq!(found.as_ref(), Some(tag));
                prop_assert_eq!(tags.place(tag), Some(place));
            }
            prop_assert_eq!(tags.get(u32::try_from(set.len()).unwrap()), None);
            let other: Tag = "zzz".parse().unwrap();
            prop_assert!(!tags.contains(&other));
        }
    }
}
