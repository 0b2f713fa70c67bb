//! The second parser's view: what a file says, and that an edit changed nothing else.

use serde::Deserialize as _;
use serde_yaml::Value;

use super::EditError;
use crate::model::printable;

/// All documents as values. Only for text that the bounded tree accepted.
pub(super) fn values(text: &str) -> Result<Vec<Value>, EditError> {
    let mut values = Vec::new();
    for document in serde_yaml::Deserializer::from_str(unmarked(text)) {
        // The iterator repeats an error for ever: the first one must end the loop.
        values.push(Value::deserialize(document).map_err(|error| unparsable(&error))?);
    }
    Ok(values)
}

/// The text without a byte order mark, which the second parser would count as a column.
pub(super) fn unmarked(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

pub(super) fn unparsable(error: &serde_yaml::Error) -> EditError {
    let (line, column) = error.location().map_or((0, 0), |place| (place.line(), place.column()));
    let words = error.to_string();
    // The place is a field of ours already.
    let reason = words.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&words);
    EditError::Unparsable { line, column, reason: printable(reason, 300) }
}

/// Whether `after` is `before` with exactly the `fields` of one entry set or (for `None`) removed.
pub(super) fn only_changed(
    before: &[Value],
    after: &[Value],
    (document, index): (usize, usize),
    fields: &[(&str, Option<&str>)],
) -> Result<(), EditError> {
    let differs = |reason: &str| EditError::Unverified { reason: reason.to_owned() };
    let mut expected = before.to_vec();
    let entry = expected
        .get_mut(document)
        .and_then(|root| root.get_mut("images"))
        .and_then(|images| images.get_mut(index))
        .and_then(Value::as_mapping_mut)
        .ok_or_else(|| differs("the entry is not where it should be"))?;
    for (field, value) in fields {
        match value {
            Some(value) => {
                entry.insert(Value::from(*field), Value::from(*value));
            }
            None => {
                entry.remove(*field);
            }
        }
    }
    if expected == after { Ok(()) } else { Err(differs("more or less than the entry's fields changed")) }
}

/// Whether `after` is `before` with exactly these values, each a string now. A place is the number of the document,
/// and then at each collection the number of the item or pair.
pub(super) fn only_these_changed(
    before: &[Value],
    after: &[Value],
    wanted: &[(Vec<usize>, &str)],
) -> Result<(), EditError> {
    let differs = |reason: &str| EditError::Unverified { reason: reason.to_owned() };
    let mut expected = before.to_vec();
    for (path, value) in wanted {
        let mut steps = path.iter();
        let mut at = steps.next().and_then(|&document| expected.get_mut(document));
        for &step in steps {
            at = at.and_then(|value| below(value, step));
        }
        *at.ok_or_else(|| differs("YAML readers disagree on where the value stands"))? = Value::from(*value);
    }
    if expected == after { Ok(()) } else { Err(differs("more or less than the marked values changed")) }
}

/// An item of a list, or the value of a mapping's pair, by its number.
fn below(value: &mut Value, place: usize) -> Option<&mut Value> {
    match value {
        Value::Sequence(items) => items.get_mut(place),
        Value::Mapping(pairs) => pairs.iter_mut().nth(place).map(|(_, value)| value),
        Value::Tagged(tagged) => below(&mut tagged.value, place),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{only_changed, values};

    const BEFORE: &str = "kind: x\nimages: [{name: b}, {name: a, newTag: v1, digest: d}]\n";

    fn accepted(after: &str) -> bool {
        let fields = [("newTag", Some("1.0")), ("digest", None)];
        only_changed(&values(BEFORE).unwrap(), &values(after).unwrap(), (0, 1), &fields).is_ok()
    }

    #[test]
    fn only_the_entry_with_exactly_the_fields_is_accepted() {
        assert!(accepted("kind: x\nimages: [{name: b}, {name: a, newTag: '1.0'}]\n"));
        let wrong = [
            "kind: x\nimages: [{name: b}, {name: a, newTag: 1.0}]\n",
            "kind: x\nimages: [{name: b}, {name: a, newTag: '1.0', digest: d}]\n",
            "kind: x\nimages: [{name: b}, {name: a, newTag: '1.0', more: x}]\n",
            "kind: x\nimages: [{name: b, newTag: '1.0'}, {name: a, newTag: '1.0'}]\n",
            "kind: y\nimages: [{name: b}, {name: a, newTag: '1.0'}]\n",
            "kind: x\nimages: [{name: b}, {name: a, newTag: '1.0'}]\n---\nkind: z\n",
        ];
        for after in wrong {
            assert!(!accepted(after), "{after:?}");
        }
    }
}
