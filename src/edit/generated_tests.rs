//! Generated files: whatever they look like, the values that shall change do, and no other byte.
//!
//! `EDIT_CASES` says how many there are [300]; `make generated` runs 30,000 of optimised code.
#![allow(clippy::unwrap_used)]

use super::generate::{Dice, Part, Piece, file, image, rendered, value};
use super::{Written, image_entries, markers, set_image, set_markers};

/// Fails unless `after` has all texts in their order and between them the new values, in the quotes that were there or
/// in double quotes where there were none. What is added must be whole lines or pairs of the entry.
fn check(pieces: &[Piece], after: &str, written: &Written) -> Result<(), String> {
    let mut rest = after;
    let mut added = 0;
    for (number, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Slot(part, quote, _) => {
                let new = value(*part, written);
                let allowed = if quote.is_empty() {
                    vec![new.clone(), format!("\"{new}\"")]
                } else {
                    vec![format!("{quote}{new}{quote}")]
                };
                let found = allowed.iter().find_map(|text| rest.strip_prefix(text.as_str()));
                rest =
                    found.ok_or_else(|| format!("piece {number} is not {new:?} but {:?}", rest.get(..40)))?;
            }
            Piece::Text(text) => {
                while !rest.starts_with(text.as_str()) {
                    let field = added_field(rest);
                    rest = field
                        .ok_or_else(|| format!("piece {number} {text:?} became {:?}", rest.get(..60)))?;
                    added += 1;
                    if added > 3 {
                        return Err("more than the entry's fields were added".to_owned());
                    }
                }
                rest = &rest[text.len()..];
            }
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(format!("at the end: {rest:?}")) }
}

/// What follows a field of the entry that was added here: a line of its own, or a pair behind a comma.
fn added_field(rest: &str) -> Option<&str> {
    const KEYS: [&str; 6] =
        ["newName: ", "newTag: ", "digest: ", "\"newName\": ", "\"newTag\": ", "\"digest\": "];
    let start = rest.trim_start_matches([' ', ',']);
    let value = KEYS.iter().find_map(|key| start.strip_prefix(key))?;
    let behind = &value[value.find([' ', ',', '}', '\r', '\n']).unwrap_or(value.len())..];
    Some(behind.strip_prefix("\r\n").or(behind.strip_prefix('\n')).unwrap_or(behind))
}

fn one(number: u64) -> Result<(), String> {
    let dice = &mut Dice::of_case(number);
    let (pieces, has_entry) = file(dice, &[]);
    let before = rendered(&pieces);
    let written = image(dice);
    let words = |error: super::EditError| format!("{error}");
    let mut text = before.clone();
    if has_entry {
        let edited = set_image(text.as_bytes(), &"a".parse().unwrap(), &written).map_err(words)?;
        text = edited.map_or(text, |bytes| String::from_utf8(bytes).unwrap());
        let entries = image_entries(text.as_bytes()).map_err(words)?;
        let entry = entries.iter().find(|entry| entry.name == "a").ok_or("the entry is gone")?;
        if Written::try_from(entry).as_ref() != Ok(&written) {
            return Err(format!("the entry says {entry:?}"));
        }
    }
    let wanted = |policy: &str| (policy == "ns:a").then_some(&written);
    let edited = set_markers(text.as_bytes(), wanted).map_err(words)?;
    text = edited.map_or(text, |bytes| String::from_utf8(bytes).unwrap());
    for marker in markers(text.as_bytes()).map_err(words)?.markers {
        let part = match marker.part {
            super::Part::Name => Part::Name,
            super::Part::Tag => Part::Tag,
            super::Part::Digest => Part::Digest,
            super::Part::Reference => Part::Reference,
        };
        let expected = if marker.policy == "ns:a" { value(part, &written) } else { "kept".to_owned() };
        if marker.value != expected {
            return Err(format!(
                "the marker in line {} says {:?}, not {expected:?}",
                marker.line, marker.value
            ));
        }
    }
    check(&pieces, &text, &written)?;
    strings(&text, &written)?;
    if has_entry && set_image(text.as_bytes(), &"a".parse().unwrap(), &written) != Ok(None) {
        return Err("a second edit changes it again".to_owned());
    }
    if set_markers(text.as_bytes(), wanted) != Ok(None) {
        return Err("a second edit of the markers changes it again".to_owned());
    }
    Ok(())
}

/// Whether a parser of its own takes the tag for the text that it is, wherever it stands in the entry.
fn strings(text: &str, written: &Written) -> Result<(), String> {
    let tag = written.new_tag.as_ref().unwrap().as_str();
    for document in super::documents(text.as_bytes()).map_err(|error| error.to_string())? {
        let entries = document["images"].as_sequence().cloned().unwrap_or_default();
        for entry in entries.iter().filter(|entry| entry["name"] == "a") {
            if entry["newTag"] != tag {
                return Err(format!("a reader takes the tag for {:?}", entry["newTag"]));
            }
        }
    }
    Ok(())
}

#[test]
fn in_generated_files_the_values_change_and_no_other_byte_does() {
    let cases = std::env::var("EDIT_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    for number in 1..=cases {
        if let Err(words) = one(number) {
            panic!("case {number}: {words}\n{}", rendered(&file(&mut Dice::of_case(number), &[]).0));
        }
    }
}
