//! The tag of a local build.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::{Digest, Tag};

/// How many digits of a digest tell one build from another.
const DIGITS: usize = 12;
const FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// `build-UTCTIME-HASH`: when it was built, to the second, and the first digits of the digest of what it was made of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BuildTag {
    time: Timestamp,
    hash: String,
}

impl BuildTag {
    /// How every such tag begins.
    pub const PREFIX: &str = "build-";

    /// The tag of what was built at `time` from `content`.
    pub fn new(time: Timestamp, content: &Digest) -> Self {
        let time = Timestamp::from_second(time.as_second()).unwrap_or_default();
        Self { time, hash: Self::hash_of(content) }
    }

    /// Reads a tag; none if it is not one of a local build.
    pub fn of(tag: &Tag) -> Option<Self> {
        let (time, hash) = tag.as_str().strip_prefix(Self::PREFIX)?.split_once('-')?;
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if hash.len() != DIGITS || !hash.bytes().all(lower_hex) || time.len() != "20260101T000000Z".len() {
            return None;
        }
        let time = DateTime::strptime(FORMAT, time).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
        Some(Self { time, hash: hash.to_owned() })
    }

    /// The digits of `content` as they stand in a tag.
    pub fn hash_of(content: &Digest) -> String {
        let digits = content.as_str().split_once(':').map_or("", |(_, digits)| digits);
        digits.chars().take(DIGITS).collect()
    }

    /// When it was built, to the second.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// The first digits of the digest of what it was made of.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The tag as the registry names it.
    pub fn tag(&self) -> Tag {
        // Letters, digits and hyphens by construction.
        Tag::of_legal(&format!("{}{}-{}", Self::PREFIX, self.time.strftime(FORMAT), self.hash))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_builds_tag_says_when_and_of_what_and_is_read_back() {
        let time: Timestamp = "2026-11-21T15:23:00.75Z".parse().unwrap();
        let built = BuildTag::new(time, &Digest::of(b"x"));
        assert_eq!(built.tag().as_str(), "build-20261121T152300Z-2d711642b726");
        assert_eq!(BuildTag::of(&built.tag()), Some(built.clone()));
        assert_eq!(built.tag().as_str().parse(), Ok(built.tag()), "it is a legal tag");
        assert_eq!(built.time(), "2026-11-21T15:23:00Z".parse().unwrap());
    }

    #[test]
    fn other_tags_are_not_taken_for_builds() {
        for text in [
            "1.0.0",
            "build-1",
            "build-20261121T152300Z",
            "build-20261121T152300Z-2d711642b72",
            "build-20261121T152300Z-2D711642B726",
            "build-20261321T152300Z-2d711642b726",
            "build-20261121T152300-2d711642b726",
        ] {
            assert_eq!(BuildTag::of(&text.parse().unwrap()), None, "{text}");
        }
    }
}
