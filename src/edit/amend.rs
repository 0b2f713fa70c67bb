//! Amends a record: holds, quarantine, approvals and releases come and go, and every byte that people wrote beside them stays.

use super::list::{Item, append, quoted, set};
use super::record::{Approval, Hold, Quarantined, Record, Released};
use super::splice::{Splice, checked_line_ends};
use super::tree::Tree;
use super::{EditError, cut, text_of};
use crate::model::{Digest, Tag};

/// Longest free text that is written, in characters.
const MAX_WORDS: usize = 300;

/// One thing that a record says from now on. Free text is cleaned of control characters, put on one line and cut after
/// 300 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amendment {
    /// Nothing moves; takes the place of a hold that is there.
    Hold(Hold),
    /// There is no hold.
    Unhold,
    /// This digest is never elected again; a digest that is in the list already stays as it is.
    Quarantine(Quarantined),
    /// This digest may be elected again.
    Unquarantine(Digest),
    /// One more approval, unless it is in the list already; the tag is its version for people.
    Approve(Approval, Option<Tag>),
    /// Nobody approves of this digest any more.
    Disapprove(Digest),
    /// Elections go on from what a commit brought.
    Release(Released),
    /// What was released has been followed by an election.
    Settle,
}

/// What becomes of a record's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amended {
    /// It says so already.
    Same,
    /// Its new content.
    Written(Vec<u8>),
    /// It says nothing any more, and goes.
    Removed,
}

/// Makes `amendments` one after the other; `text` `None` means that there is no file yet.
pub fn amend(text: Option<&[u8]>, amendments: &[Amendment]) -> Result<Amended, EditError> {
    let before = text_of(text.unwrap_or_default())?;
    let mut now = before.to_owned();
    let mut record = Record::parse(now.as_bytes())?;
    for amendment in amendments {
        if let Some(next) = step(&now, &mut record, amendment)? {
            now = next;
        }
    }
    Ok(match now == before {
        true => Amended::Same,
        false if record.is_empty() => Amended::Removed,
        false => Amended::Written(now.into_bytes()),
    })
}

/// The text after one amendment, and in `record` what it says then; `None` if it says so already.
fn step(text: &str, record: &mut Record, amendment: &Amendment) -> Result<Option<String>, EditError> {
    let tree = Tree::parse(text)?;
    let mut after = record.clone();
    let splice: Option<Splice> = match amendment {
        Amendment::Hold(hold) => {
            let hold = Hold {
                reason: cleaned(hold.reason.as_deref()),
                by: cleaned(hold.by.as_deref()),
                image: cleaned(hold.image.as_deref()),
                until: hold.until,
            };
            let fields = of_hold(&hold);
            after.hold = Some(hold);
            (after != *record).then(|| set(&tree, "hold", &fields)).transpose()?
        }
        Amendment::Unhold => {
            after.hold = None;
            (after != *record).then(|| cut::pair(&tree, "hold")).transpose()?.flatten()
        }
        Amendment::Release(released) => {
            let released = Released {
                reason: cleaned(released.reason.as_deref()),
                by: cleaned(released.by.as_deref()),
                ..released.clone()
            };
            let fields = of_release(&released);
            after.released = Some(released);
            (after != *record).then(|| set(&tree, "released", &fields)).transpose()?
        }
        Amendment::Settle => {
            after.released = None;
            (after != *record).then(|| cut::pair(&tree, "released")).transpose()?.flatten()
        }
        Amendment::Quarantine(entry) => {
            let entry = Quarantined { reason: cleaned(entry.reason.as_deref()), ..entry.clone() };
            if record.quarantine.iter().any(|known| known.digest == entry.digest) {
                return Ok(None);
            }
            let fields = of_quarantined(&entry);
            after.quarantine.push(entry);
            Some(append(&tree, "quarantine", &fields, 2)?)
        }
        Amendment::Approve(approval, _) => {
            let approval = Approval {
                by: cleaned(approval.by.as_deref()),
                reason: cleaned(approval.reason.as_deref()),
                ..approval.clone()
            };
            if record.approvals.contains(&approval) {
                return Ok(None);
            }
            let fields = of_approval(&approval);
            after.approvals.push(approval);
            Some(append(&tree, "approvals", &fields, 2)?)
        }
        Amendment::Unquarantine(digest) => {
            let is = |known: &Quarantined| known.digest == *digest;
            return strike(text, record, "quarantine", is, |record| &mut record.quarantine);
        }
        Amendment::Disapprove(digest) => {
            let is = |known: &Approval| known.digest == *digest;
            return strike(text, record, "approvals", is, |record| &mut record.approvals);
        }
    };
    let Some(splice) = splice else { return Ok(None) };
    checked(text, &splice, record, after).map(Some)
}

/// Takes all such entries of a list away, one after the other.
fn strike<T>(
    text: &str,
    record: &mut Record,
    key: &str,
    is: impl Fn(&T) -> bool,
    list: impl Fn(&mut Record) -> &mut Vec<T>,
) -> Result<Option<String>, EditError> {
    let mut now: Option<String> = None;
    while let Some(index) = list(record).iter().position(&is) {
        let text = now.as_deref().unwrap_or(text);
        let tree = Tree::parse(text)?;
        let mut after = record.clone();
        list(&mut after).remove(index);
        let found = tree.documents.first().and_then(|&root| tree.pair(root, key));
        let splice = match found {
            Some((_, found)) if !list(&mut after).is_empty() => Some(cut::item(&tree, found, index)?),
            _ => cut::pair(&tree, key)?,
        };
        let Some(splice) = splice else { break };
        now = Some(checked(text, &splice, record, after)?);
    }
    Ok(now)
}

/// The edited text, once it has been read again and says what it shall say.
fn checked(text: &str, splice: &Splice, record: &mut Record, after: Record) -> Result<String, EditError> {
    checked_line_ends(text)?;
    let edited = splice.apply(text);
    if Record::parse(edited.as_bytes()).is_ok_and(|read| read == after) {
        *record = after;
        Ok(edited)
    } else {
        Err(EditError::Unverified { reason: "the record does not say what it was to say".to_owned() })
    }
}

fn of_hold(hold: &Hold) -> Item {
    let mut fields = Vec::new();
    fields.extend(hold.reason.as_ref().map(|reason| quoted("reason", reason)));
    fields.extend(hold.by.as_ref().map(|by| quoted("by", by)));
    fields.extend(hold.until.map(|until| quoted("until", &until.to_string())));
    fields.extend(hold.image.as_ref().map(|image| quoted("image", image)));
    Item(fields)
}

fn of_release(released: &Released) -> Item {
    let mut fields = vec![quoted("commit", released.commit.as_str())];
    fields.extend(released.reason.as_ref().map(|reason| quoted("reason", reason)));
    fields.extend(released.by.as_ref().map(|by| quoted("by", by)));
    fields.extend(released.at.map(|at| quoted("at", &at.to_string())));
    Item(fields)
}

fn of_quarantined(entry: &Quarantined) -> Item {
    let mut fields = vec![quoted("digest", entry.digest.as_str())];
    fields.extend(entry.tag.as_ref().map(|tag| quoted("tag", tag.as_str())));
    fields.extend(entry.reason.as_ref().map(|reason| quoted("reason", reason)));
    fields.extend(entry.at.map(|at| quoted("at", &at.to_string())));
    Item(fields)
}

fn of_approval(approval: &Approval) -> Item {
    let mut fields = vec![quoted("digest", approval.digest.as_str())];
    fields.extend(approval.by.as_ref().map(|by| quoted("by", by)));
    fields.extend(approval.at.map(|at| quoted("at", &at.to_string())));
    fields.extend(approval.reason.as_ref().map(|reason| quoted("reason", reason)));
    Item(fields)
}

fn cleaned(text: Option<&str>) -> Option<String> {
    text.and_then(one_line)
}

/// Free text on one line: control, formatting and forbidden characters become spaces, spaces are collapsed; none if nothing
/// is left. At most 300 characters.
pub fn one_line(text: &str) -> Option<String> {
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
        if line.len() > MAX_WORDS * 4 {
            break;
        }
    }
    let cut: String = line.chars().take(MAX_WORDS).collect();
    let cut = cut.trim_end();
    (!cut.is_empty()).then(|| cut.to_owned())
}
