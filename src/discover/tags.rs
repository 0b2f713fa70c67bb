//! Reads pages of a tag list, and drops what is no version of an image.

use std::fmt;
use std::sync::Arc;

use reqwest::header::HeaderValue;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::model::{Tag, Tags};

/// More tags than this in one repository are an error, not a shorter list.
pub(crate) const TAG_LIMIT: usize = 100_000;

/// SHA-256 over the length and the bytes of each page.
pub(crate) type Fingerprint = [u8; 32];

/// All legal tags of one repository, sorted; complete, or it would not exist.
///
/// An empty list says nothing: registries answer so for a moment after a deletion or an outage.
#[derive(Debug, Clone)]
pub struct TagList {
    /// The tags.
    pub tags: Arc<Tags>,
    /// Whether the registry gave the same list as the known one; then `tags` is the very same allocation.
    pub unchanged: bool,
    /// How many names were left out because they are no legal tag, or name a signature instead of an image.
    pub dropped: usize,
    /// Of all bodies as they came.
    pub(crate) fingerprint: Fingerprint,
    pub(crate) etag: Option<HeaderValue>,
}

impl TagList {
    /// The known list, confirmed.
    pub(crate) fn confirmed(&self) -> Self {
        Self { unchanged: true, ..self.clone() }
    }
}

/// Collects the tags of `pages` in order; an error names the cap or the fault.
pub(crate) fn collect<'a>(pages: impl Iterator<Item = &'a [u8]>) -> Result<(Tags, usize), String> {
    let mut found = Found::default();
    for page in pages {
        let mut json = serde_json::Deserializer::from_slice(page);
        let has_tags = Page(&mut found)
            .deserialize(&mut json)
            .and_then(|has_tags| json.end().map(|()| has_tags))
            .map_err(|error| {
                format!("not a tag list: {}", crate::model::printable(&error.to_string(), 120))
            })?;
        if !has_tags {
            return Err("not a tag list: it has no \"tags\"".to_owned());
        }
    }
    Ok((found.tags.into_iter().collect(), found.dropped))
}

/// Whether a tag only attaches something to an image: cosign's `sha256-….sig`, and the referrers fallback `sha256-…`
/// (OCI Distribution Specification 1.1, "Referrers Tag Schema").
///
/// Flux leaves out whatever ends with `.sig` (the default `exclusionList` of an `ImageRepository`), and so is it here.
fn is_attachment(tag: &str) -> bool {
    if tag.rsplit_once('.').is_some_and(|(_, suffix)| suffix == "sig") {
        return true;
    }
    let Some(rest) = tag.strip_prefix("sha256-") else { return false };
    let (digits, suffix) = rest.split_once('.').unwrap_or((rest, ""));
    digits.len() == 64
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        && matches!(suffix, "" | "att" | "sbom")
}

#[derive(Default)]
struct Found {
    tags: Vec<Tag>,
    dropped: usize,
}

struct Page<'a>(&'a mut Found);

impl<'de> DeserializeSeed<'de> for Page<'_> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Page<'_> {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with \"tags\"")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut has_tags = false;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if key == "tags" {
                map.next_value_seed(Names(&mut *self.0))?;
                has_tags = true;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(has_tags)
    }
}

struct Names<'a>(&'a mut Found);

impl<'de> DeserializeSeed<'de> for Names<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Names<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of tags, or null")
    }
    // distribution 2.8 answers null after the last tag was deleted.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Name(&mut *self.0))?.is_some() {}
        Ok(())
    }
}

struct Name<'a>(&'a mut Found);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tag")
    }
    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<(), E> {
        if self.0.tags.len() + self.0.dropped >= TAG_LIMIT {
            return Err(E::custom(format!("more than {TAG_LIMIT} tags")));
        }
        match name.parse() {
            Ok(tag) if !is_attachment(name) => self.0.tags.push(tag),
            _ => self.0.dropped += 1,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(pages: &[&str]) -> Result<(Vec<String>, usize), String> {
        let (tags, dropped) = collect(pages.iter().map(|page| page.as_bytes()))?;
        Ok((tags.texts().map(str::to_owned).collect(), dropped))
    }

    #[test]
    fn pages_are_joined_sorted_and_each_tag_kept_once() {
        let (tags, dropped) =
            read(&[r#"{"name":"a","tags":["v2","v1"]}"#, r#"{"tags":["v1","v3"],"more":{"x":[1]}}"#])
                .unwrap();
        assert_eq!((tags.join(" ").as_str(), dropped), ("v1 v2 v3", 0));
    }

    #[test]
    fn null_and_empty_lists_are_empty() {
        for page in [r#"{"tags":null}"#, r#"{"tags":[]}"#] {
            assert_eq!(read(&[page]).unwrap().0.len(), 0, "{page}");
        }
    }

    #[test]
    fn illegal_names_and_attachments_are_dropped_and_counted() {
        let hex = "a".repeat(64);
        let page = serde_json::json!({"tags": [
            "good", "a\nb", "\u{1b}[31m", "../../x", ";rm -rf", "x".repeat(129), "\u{202e}x", "a\u{0}", "", ".x",
            format!("sha256-{hex}"), format!("sha256-{hex}.sig"), format!("sha256-{hex}.att"), format!("sha256-{hex}.sbom"),
            "sha256-short", format!("sha256-{hex}.1"),
        ]});
        let (tags, dropped) = read(&[&page.to_string()]).unwrap();
        assert_eq!(tags, ["good".to_owned(), format!("sha256-{hex}.1"), "sha256-short".to_owned()]);
        assert_eq!(dropped, 13);
    }

    #[test]
    fn garbage_is_an_error_and_never_an_empty_list() {
        let deep = format!("{{\"tags\":{}", "[".repeat(100_000));
        for page in [
            "",
            "null",
            "[]",
            "{}",
            "<html>",
            r#"{"tags":"v1"}"#,
            r#"{"tags":[1]}"#,
            r#"{"tags":["v1""#,
            &deep,
            r#"{"tags":["v1"]} trailing"#,
            r#"{"errors":[]}"#,
        ] {
            assert!(read(&[page]).is_err(), "{}", &page[..page.len().min(40)]);
        }
    }

    #[test]
    fn too_many_tags_are_an_error_that_names_the_cap() {
        let list: Vec<String> = (0..=TAG_LIMIT).map(|number| number.to_string()).collect();
        let error = read(&[&serde_json::json!({ "tags": list }).to_string()]).unwrap_err();
        assert!(error.contains("more than 100000 tags"), "{error}");
    }
}
