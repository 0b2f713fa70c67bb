//! Which version of an image is wanted: its policy, which tags count, and the platforms that it must have.

use crate::discover::Platform;
use crate::elect::filter::Filter;
use crate::elect::pattern::Pattern;
use crate::elect::range::Range;
use crate::model::Tag;

use super::keys::{DIGEST, FILTER_TAGS, NEWEST, ORDERED, POLICY, SEMVER};
use super::mask::shown;
use super::problem::Findings;
use super::read::Value;
use super::{Order, Policy, names};

/// The most platforms of one image.
const MOST_PLATFORMS: usize = 20;

pub(super) fn policy(value: &Value<'_>, findings: &mut Findings) -> Option<Policy> {
    let fields = value.fields(&POLICY, findings)?;
    let given: Vec<&str> = POLICY.supported.iter().copied().filter(|key| fields.get(key).is_some()).collect();
    let (name, value) = match given.as_slice() {
        [name] => (*name, fields.get(name)?),
        [] => {
            value.problem(findings, "`semver` is missing; add `semver: {range: \">=1.0.0\"}`");
            return None;
        }
        several => {
            value.problem(
                findings,
                format!("expected one policy, got {}; remove the others", several.join(" and ")),
            );
            return None;
        }
    };
    match name {
        "semver" => semver(&value, findings),
        "numerical" => Some(Policy::Numerical { order: order(&value, findings)? }),
        "alphabetical" => Some(Policy::Alphabetical { order: order(&value, findings)? }),
        "newest" => value.fields(&NEWEST, findings).map(|_| Policy::Newest),
        _ => {
            let tag = value.fields(&DIGEST, findings)?.required("tag", "latest", findings)?;
            let rule = "up to 128 letters, digits, and . _ - that do not come first";
            let tag: Tag = tag.name(tag.text(findings)?, "a tag", rule, findings)?;
            Some(Policy::Digest { tag })
        }
    }
}

fn semver(value: &Value<'_>, findings: &mut Findings) -> Option<Policy> {
    let range = value.fields(&SEMVER, findings)?.required("range", "\">=1.0.0\"", findings)?;
    let range = range.legal(
        |text| {
            text.parse::<Range>()
                .map_err(|error| format!("not a version range (got \"{}\"); {error}", shown(text)))
        },
        findings,
    )?;
    Some(Policy::Semver { range })
}

/// The order of a mapping that may say nothing.
fn order(value: &Value<'_>, findings: &mut Findings) -> Option<Order> {
    let fields = value.fields(&ORDERED, findings)?;
    match fields.get("order") {
        None => Some(Order::default()),
        Some(order) => order.word(&[("asc", Order::Ascending), ("desc", Order::Descending)], findings),
    }
}

/// `policy` is that of the same image, where it could be read.
pub(super) fn filter(value: &Value<'_>, policy: Option<&Policy>, findings: &mut Findings) -> Option<Filter> {
    let fields = value.fields(&FILTER_TAGS, findings)?;
    let pattern = fields.required("pattern", "'^main-[0-9a-f]+-(?P<ts>[0-9]+)$'", findings)?;
    let pattern = pattern.legal(
        |text| {
            text.parse::<Pattern>()
                .map_err(|error| format!("not a pattern of RE2 (got \"{}\"); {error}", shown(text)))
        },
        findings,
    );
    let extract = fields.get("extract");
    match (policy, &extract) {
        (Some(Policy::Digest { .. }), _) => {
            value.problem(findings, "means nothing beside `digest`, which names its one tag; remove it");
            return None;
        }
        (Some(Policy::Newest), Some(extract)) => {
            extract.problem(findings, "means nothing beside `newest`, which compares times; remove it");
            return None;
        }
        _ => {}
    }
    let text = match &extract {
        Some(extract) => Some(extract.text(findings)?),
        None => None,
    };
    Filter::new(pattern?, text)
        .map_err(|error| extract.as_ref().map(|extract| extract.problem(findings, error.to_string())))
        .ok()
}

pub(super) fn platforms(value: &Value<'_>, findings: &mut Findings) -> Vec<Platform> {
    let Some(items) = value.items(findings) else { return Vec::new() };
    if items.is_empty() || items.len() > MOST_PLATFORMS {
        let words = format!("has {} platforms; write 1 to {MOST_PLATFORMS}, like [linux/amd64]", items.len());
        value.problem(findings, words);
        return Vec::new();
    }
    items.iter().filter_map(|item| item.legal(names::platform, findings)).collect()
}
