//! Makes one `images` entry say which image runs.

use super::check::{only_changed, values};
use super::splice::{Field, Splice, checked_line_ends};
use super::tree::{NodeId, Tree};
use super::{EditError, ImageEntry, images, text_of};
use crate::model::{Digest, Image, ImageName, Invalid, Tag};

/// What an entry shall say; `None` removes the field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// `newName`: only letters, digits and `. _ - / : [ ]`, not empty.
    pub new_name: Option<String>,
    /// `newTag`.
    pub new_tag: Option<Tag>,
    /// `digest`.
    pub digest: Option<Digest>,
}

impl From<&Image> for Written {
    fn from(image: &Image) -> Self {
        Self {
            new_name: Some(image.repository.to_string()),
            new_tag: Some(image.tag.clone()),
            digest: Some(image.digest.clone()),
        }
    }
}

impl TryFrom<&ImageEntry> for Written {
    type Error = Invalid;

    /// What the entry says, if its tag and digest are legal ones.
    fn try_from(entry: &ImageEntry) -> Result<Self, Invalid> {
        let new_tag = entry.new_tag.as_deref().filter(|tag| !tag.is_empty());
        let digest = entry.digest.as_deref().filter(|digest| !digest.is_empty());
        Ok(Self {
            new_name: entry.new_name.clone().filter(|name| !name.is_empty()),
            new_tag: new_tag.map(str::parse).transpose()?,
            digest: digest.map(str::parse).transpose()?,
        })
    }
}

impl Written {
    pub(super) fn fields(&self) -> [(&'static str, Option<&str>); 3] {
        [
            ("newName", self.new_name.as_deref()),
            ("newTag", self.new_tag.as_ref().map(Tag::as_str)),
            ("digest", self.digest.as_ref().map(Digest::as_str)),
        ]
    }

    /// Whether everything may stand in a file as it is.
    pub(super) fn check(&self) -> Result<(), EditError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:[]".contains(&byte);
        match &self.new_name {
            Some(name) if name.is_empty() || name.len() > 1024 || !name.bytes().all(allowed) => {
                Err(EditError::InvalidNewName { got: name.clone() })
            }
            _ => Ok(()),
        }
    }
}

/// The file with the entry `name` saying `written`, every other byte as it was; `Ok(None)` where it says so already.
///
/// Existing quotes are kept, a plain value stays plain where every reader takes the new one for a string, and a tag
/// that is new in the entry is double-quoted. The result is parsed again by two parsers and compared.
pub fn set_image(text: &[u8], name: &ImageName, written: &Written) -> Result<Option<Vec<u8>>, EditError> {
    written.check()?;
    let text = text_of(text)?;
    let tree = Tree::parse(text)?;
    let place = images::editable(&tree, name)?;
    // Every field is looked at first, so that a refusal names a line of the file as it came.
    let found = steps(&tree, place.item, written);
    if let Ok(steps) = &found
        && let Some(edited) = replaced(&tree, &place, steps, name, written)
    {
        return Ok(Some(edited.into_bytes()));
    }
    let before = values(text)?;
    images::agreed(&tree, &images::places(&tree)?, &before)?;
    let steps = found?;
    if steps.is_empty() {
        return Ok(None);
    }
    checked_line_ends(text)?;
    let edited = stepwise(applied(text, &steps), name, written).map_err(|error| unverified(&error))?;
    let after = values(&edited).map_err(|error| unverified(&error))?;
    only_changed(&before, &after, (place.document, place.index), &written.fields())?;
    Ok(Some(edited.into_bytes()))
}

/// The file where nothing but values is replaced, as nearly always; none where that can be doubted, for whatever reason.
///
/// The first parser must see the same nodes as before, but for these values, and the second one the same entries as the
/// first. So the second one need not read the file as it came, which takes longer than all else.
fn replaced(
    tree: &Tree<'_>,
    place: &images::Place,
    steps: &[Splice],
    name: &ImageName,
    written: &Written,
) -> Option<String> {
    if steps.is_empty() || !steps.iter().all(Splice::replaces) || checked_line_ends(tree.text).is_err() {
        return None;
    }
    let edited = applied(tree.text, steps);
    let after = Tree::parse(&edited).ok()?;
    let entry = images::editable(&after, name).ok()?;
    let same = entry.index == place.index && entry.document == place.document && {
        let values = written.fields().map(|(key, _)| after.pair(entry.item, key).map(|(_, value)| value));
        after.differs_only_in(tree, |id| values.contains(&Some(id)))
    };
    if !same || !self::steps(&after, entry.item, written).ok()?.is_empty() {
        return None;
    }
    let values = values(&edited).ok()?;
    images::agreed(&after, &images::places(&after).ok()?, &values).ok()?;
    let read = values.get(entry.document)?.get("images")?.get(entry.index)?;
    let says =
        |(key, value): (&str, Option<&str>)| read.get(key).map(|read| read.as_str()) == value.map(Some);
    written.fields().into_iter().all(says).then_some(edited)
}

/// Goes on until nothing is left to change.
fn stepwise(mut edited: String, name: &ImageName, written: &Written) -> Result<String, EditError> {
    // Each round settles a field at least; the last one sees that nothing is left.
    for _ in 0..=written.fields().len() {
        let tree = Tree::parse(text_of(edited.as_bytes())?)?;
        let entry = images::editable(&tree, name)?.item;
        let steps = steps(&tree, entry, written)?;
        if steps.is_empty() {
            return Ok(edited);
        }
        let next = applied(&edited, &steps);
        edited = next;
    }
    Err(EditError::Unverified { reason: "a field did not take its value".to_owned() })
}

/// Values are replaced all at once. A field that is added or removed goes alone, as the place of the next is found in
/// what it left, and from the bottom up: what moves up to the line of the `- ` is then what shall stay.
fn applied(text: &str, steps: &[Splice]) -> String {
    let mut steps: Vec<&Splice> = steps.iter().collect();
    steps.sort_by_key(|step| std::cmp::Reverse(step.range.start));
    if !steps.iter().all(|step| step.replaces()) {
        steps.truncate(1);
    }
    let mut edited = text.to_owned();
    for step in steps {
        edited = step.apply(&edited);
    }
    edited
}

/// What has to change, one splice for each field that differs.
fn steps(tree: &Tree<'_>, entry: NodeId, written: &Written) -> Result<Vec<Splice>, EditError> {
    let splice = |(key, value)| Field { tree, entry, key }.splice(value).transpose();
    written.fields().into_iter().filter_map(splice).collect()
}

fn unverified(error: &EditError) -> EditError {
    EditError::Unverified { reason: error.to_string() }
}
