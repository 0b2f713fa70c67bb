//! How an image is built beside the daemon.

use super::Build;
use super::keys::BUILD;
use super::mask::shown;
use super::problem::Findings;
use super::read::Value;
use crate::discover::build::REFERENCE;

/// The most entries of `watch`, and words of `command`.
const MOST: usize = 100;
/// The longest path or word, in bytes.
const LONGEST: usize = 1024;

pub(super) fn build(value: &Value<'_>, findings: &mut Findings) -> Option<Build> {
    let fields = value.fields(&BUILD, findings)?;
    let artifact = fields.get("artifact");
    let watch = fields.get("watch");
    let command = fields.get("command");
    match (&artifact, &watch, &command) {
        (None, None, None) => {
            value.problem(
                findings,
                "nothing says what is built; add `artifact: PATH`, or `watch: [PATH]` and `command: [PROGRAM]`",
            );
        }
        (_, Some(watch), None) => {
            watch.problem(
                findings,
                "nothing runs when these change; add `command: [make, image]` or remove `watch`",
            );
        }
        (_, None, Some(command)) => {
            command.problem(findings, "nothing says when it runs; add `watch: [src]` or remove `command`");
        }
        _ => {}
    }
    let artifact = match &artifact {
        Some(value) => Some(value.legal(|text| path(text, false), findings)?),
        None => None,
    };
    let watch = list(watch.as_ref(), "paths", findings)?
        .iter()
        .map(|item| item.legal(|text| path(text, true), findings))
        .collect::<Option<Vec<String>>>()?;
    let words = list(command.as_ref(), "words", findings)?
        .iter()
        .map(|item| item.legal(word, findings))
        .collect::<Option<Vec<String>>>()?;
    if let Some(command) = &command
        && artifact.is_none()
        && !words.iter().any(|word| word.contains(REFERENCE))
    {
        command.problem(
            findings,
            format!("nothing says what it makes; give it {REFERENCE} to push to, or add `artifact: PATH`"),
        );
    }
    Some(Build { artifact, watch, command: words })
}

/// The items of a list that has some; none of a list that is not there.
fn list<'t>(value: Option<&Value<'t>>, what: &str, findings: &mut Findings) -> Option<Vec<Value<'t>>> {
    let Some(value) = value else { return Some(Vec::new()) };
    let items = value.items(findings)?;
    if items.is_empty() || items.len() > MOST {
        value.problem(findings, format!("expected 1 to {MOST} {what} (got {})", items.len()));
        return None;
    }
    Some(items)
}

/// A path below the folder of `--allow-builds`.
fn path(text: &str, may_be_all: bool) -> Result<String, String> {
    let got = shown(text);
    if may_be_all && text == "." {
        return Ok(text.to_owned());
    }
    if text.starts_with('/') || text.starts_with('~') {
        return Err(format!(
            "an absolute path (got \"{got}\"); write it relative to the folder that the daemon is given by --allow-builds"
        ));
    }
    let text = text.strip_suffix('/').unwrap_or(text);
    if text.split('/').any(|part| part == "..") {
        return Err(format!(
            "leads out of its folder with .. (got \"{got}\"); write a path below --allow-builds"
        ));
    }
    if text.split('/').any(|part| part.is_empty() || part == ".") {
        return Err(format!(
            "has an empty part or a . part (got \"{got}\"); write a path like target/image-oci"
        ));
    }
    if text.len() > LONGEST || text.chars().any(char::is_control) {
        return Err(format!("longer than {LONGEST} bytes, or has a control character (got \"{got}\")"));
    }
    Ok(text.to_owned())
}

fn word(text: &str) -> Result<String, String> {
    if text.len() > LONGEST || text.contains('\0') {
        return Err(format!(
            "longer than {LONGEST} bytes, or has a NUL (got \"{}\"); put it into a script",
            shown(text)
        ));
    }
    Ok(text.to_owned())
}
