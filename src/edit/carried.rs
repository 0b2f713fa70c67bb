//! What the setter comments of one image say together.

use super::Written;
use super::markers::{Marker, Part, split};

/// A marker and the path of its file.
pub type Place<'m> = (&'m str, &'m Marker);

/// The image that stands in the values of its markers; `repository` stands in for the name where no marker holds one.
///
/// Fails in words where they contradict each other or hold no image, and where there is no room for a digest: without
/// one, what runs could differ from what was verified.
pub fn carried(markers: &[Place<'_>], repository: &str) -> Result<Written, String> {
    let (mut name, mut tag, mut digest) = (None, None, None);
    for place in markers {
        let (own_name, own_tag, own_digest) = parts(place.1);
        agree(&mut name, own_name, place)?;
        agree(&mut tag, own_tag, place)?;
        agree(&mut digest, own_digest, place)?;
    }
    let holds_digest = |place: &&Place<'_>| matches!(place.1.part, Part::Reference | Part::Digest);
    if !markers.iter().any(|place| holds_digest(&place))
        && let Some((path, marker)) = markers.first()
    {
        return Err(format!(
            "{path}:{}: the markers of {} leave no room for the digest, so that it would be unknown what runs; add an \
             entry below `images:` of the kustomization (`promote init` does), or a marker of {}:digest",
            marker.line, marker.policy, marker.policy
        ));
    }
    let legal = |found: Option<(&str, &Place<'_>)>| found.map(|(text, place)| (text.to_owned(), at(place)));
    let (name, tag, digest) = (legal(name), legal(tag), legal(digest));
    Ok(Written {
        new_name: Some(name.map_or_else(|| repository.to_owned(), |(name, _)| name)),
        new_tag: parsed(tag)?,
        digest: parsed(digest)?,
    })
}

/// What is wrong with a marker's value where the entry of `images` says `written`: it says something else.
pub fn deviation(place: &Place<'_>, written: &Written) -> Option<String> {
    let (name, tag, digest) = parts(place.1);
    let tag_of = written.new_tag.as_ref().map_or("", |tag| tag.as_str());
    let digest_of = written.digest.as_ref().map_or("", |digest| digest.as_str());
    let differs = |own: &str, other: Option<&str>| !own.is_empty() && other.is_some_and(|other| own != other);
    let same = !differs(name, written.new_name.as_deref())
        && !differs(tag, Some(tag_of))
        && !differs(digest, Some(digest_of));
    (!same).then(|| {
        format!(
            "{}: the marker of {} has \"{}\", and the entry below `images:` says otherwise; the entry is what runs, and \
             the marked value follows with the next version",
            at(place),
            place.1.policy,
            crate::model::printable(&place.1.value, 120),
        )
    })
}

/// Name, tag and digest that a marker's value holds, each empty where it holds none.
fn parts(marker: &Marker) -> (&str, &str, &str) {
    let value = marker.value.as_str();
    match marker.part {
        Part::Reference => split(value),
        Part::Name => (value, "", ""),
        Part::Tag => ("", value, ""),
        Part::Digest => ("", "", value),
    }
}

fn agree<'m>(
    known: &mut Option<(&'m str, &'m Place<'m>)>,
    own: &'m str,
    place: &'m Place<'m>,
) -> Result<(), String> {
    match known {
        _ if own.is_empty() => {}
        None => *known = Some((own, place)),
        Some((text, _)) if *text == own => {}
        Some((text, first)) => {
            let short = |text: &str| crate::model::printable(text, 120);
            return Err(format!(
                "the markers of {} contradict each other: \"{}\" in {}, \"{}\" in {}; make them say the same",
                place.1.policy,
                short(text),
                at(first),
                short(own),
                at(place),
            ));
        }
    }
    Ok(())
}

/// `PATH:LINE`.
fn at((path, marker): &Place<'_>) -> String {
    format!("{path}:{}", marker.line)
}

fn parsed<T: std::str::FromStr<Err = crate::model::Invalid>>(
    found: Option<(String, String)>,
) -> Result<Option<T>, String> {
    found.map(|(text, at)| text.parse().map_err(|error| format!("{at}: {error}"))).transpose()
}
