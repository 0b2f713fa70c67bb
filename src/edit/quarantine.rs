//! Adds a version to the `quarantine` list of a record.

use super::list::{Item, append, quoted};
use super::record::{Quarantined, Record};
use super::splice::checked_line_ends;
use super::tree::Tree;
use super::{EditError, text_of};

/// Longest free text that is written, in characters.
const MAX_REASON: usize = 300;

/// The file with `entry` added to `quarantine`; `text` `None` means that there is no file yet. Every byte that people
/// wrote stays. `Ok(None)`: the digest is in quarantine already. The reason is cleaned of control characters, put on
/// one line and cut after 300 characters.
pub fn add_quarantine(text: Option<&[u8]>, entry: &Quarantined) -> Result<Option<Vec<u8>>, EditError> {
    let entry = Quarantined { reason: entry.reason.as_deref().and_then(one_line), ..entry.clone() };
    let text = text_of(text.unwrap_or_default())?;
    let tree = Tree::parse(text)?;
    let mut record = Record::of(&tree)?;
    if record.quarantine.iter().any(|known| known.digest == entry.digest) {
        return Ok(None);
    }
    checked_line_ends(text)?;
    let edited = append(&tree, "quarantine", &item(&entry), 2)?.apply(text);
    record.quarantine.push(entry);
    let same = Record::parse(edited.as_bytes()).is_ok_and(|after| after == record);
    if same {
        Ok(Some(edited.into_bytes()))
    } else {
        Err(EditError::Unverified {
            reason: "the record is not the old one with one quarantined digest more".to_owned(),
        })
    }
}

fn item(entry: &Quarantined) -> Item {
    let mut fields = vec![quoted("digest", entry.digest.as_str())];
    fields.extend(entry.tag.as_ref().map(|tag| quoted("tag", tag.as_str())));
    fields.extend(entry.reason.as_ref().map(|reason| quoted("reason", reason)));
    fields.extend(entry.at.map(|at| quoted("at", &at.to_string())));
    Item(fields)
}

/// Free text on one line: control, formatting and forbidden characters become spaces, spaces are collapsed.
fn one_line(text: &str) -> Option<String> {
    let foreign = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut line = String::new();
    for word in
        text.split(|letter: char| foreign(letter) || letter.is_whitespace()).filter(|word| !word.is_empty())
    {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > MAX_REASON * 4 {
            break;
        }
    }
    let cut: String = line.chars().take(MAX_REASON).collect();
    let cut = cut.trim_end();
    (!cut.is_empty()).then(|| cut.to_owned())
}
