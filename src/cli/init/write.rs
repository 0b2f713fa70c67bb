//! What the proposal looks like as files: promote.yaml, and kustomizations with the entries that were missing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_yaml::Value;

use super::decide::{App, Image, Proposal, Standing, bare};
use super::find::Found;
use crate::config::{Config, duration};
use crate::edit::{self, Part, Written};
use crate::model::ImageName;

/// promote.yaml, as small as it can be.
pub(super) fn promote_yaml(proposal: &Proposal) -> String {
    let mut text = "version: 1\n".to_owned();
    if !proposal.insecure.is_empty() {
        text.push_str("registries:\n");
        for host in &proposal.insecure {
            line(&mut text, 2, &scalar(host), "{insecure: true}");
        }
    }
    text.push_str("environments:\n");
    for environment in &proposal.environments {
        line(&mut text, 2, &scalar(&environment.name), "");
        if !environment.after.is_empty() {
            let names: Vec<String> = environment.after.iter().map(|name| scalar(name)).collect();
            line(&mut text, 4, "after", &format!("[{}]", names.join(", ")));
        }
        line(&mut text, 4, "registry", &scalar(&environment.registry));
        if let Some(kustomization) = &environment.kustomization {
            line(&mut text, 4, "deploy", &format!("{{flux: {{kustomization: {}}}}}", scalar(kustomization)));
        }
    }
    text.push_str("apps:\n");
    for (name, app) in &proposal.apps {
        app_text(&mut text, name, app);
    }
    text
}

fn app_text(text: &mut String, name: &str, app: &App) {
    line(text, 2, &scalar(name), "");
    line(text, 4, "path", &path(&app.path));
    match &app.markers {
        Some(named) if named.is_empty() => line(text, 4, "markers", "true"),
        Some(named) => {
            let pairs = named.iter().map(|(policy, image)| format!("{policy:?}: {}", scalar(image)));
            line(text, 4, "markers", &format!("{{{}}}", pairs.collect::<Vec<_>>().join(", ")));
        }
        None => {}
    }
    line(text, 4, "images", "");
    for (name, image) in &app.images {
        line(text, 6, &scalar(name), &image_text(image));
    }
}

fn image_text(image: &Image) -> String {
    let mut fields = Vec::new();
    fields.extend(image.repository.as_ref().map(|repository| format!("repository: {}", scalar(repository))));
    let policy = match &image.policy {
        Value::Mapping(_) => flow(&image.policy),
        _ => "{semver: {range: \"*\"}}".to_owned(),
    };
    fields.push(format!("policy: {policy}"));
    if image.filter.is_mapping() {
        fields.push(format!("filterTags: {}", flow(&image.filter)));
    }
    fields.extend(image.interval.as_ref().map(|interval| format!("interval: {interval}")));
    format!("{{{}}}", fields.join(", "))
}

fn line(text: &mut String, indent: usize, key: &str, value: &str) {
    let space = if value.is_empty() { "" } else { " " };
    // Writing to a String can't fail.
    _ = writeln!(text, "{}{key}:{space}{value}", " ".repeat(indent));
}

/// A path may hold the placeholder's braces, which need no quotes behind other letters.
fn path(path: &str) -> String {
    if path.starts_with('{') { format!("{path:?}") } else { scalar_but(path, "{}") }
}

fn scalar(text: &str) -> String {
    scalar_but(text, "")
}

/// A text without quotes where nobody could take it for anything else.
fn scalar_but(text: &str, also: &str) -> String {
    let plain =
        |letter: char| letter.is_ascii_alphanumeric() || "._/-:@".contains(letter) || also.contains(letter);
    let known = ["true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf"];
    let safe = text.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && text.chars().all(plain)
        && !text.ends_with(':')
        && !known.contains(&text.to_ascii_lowercase().as_str());
    // JSON's quotes and escapes are YAML's, too.
    if safe || is_host_number(text) {
        text.to_owned()
    } else {
        Value::from(text).as_str().map(json).unwrap_or_default()
    }
}

/// An account's registry, such as `111122223333.dkr.ecr.eu-west-1.amazonaws.com`, begins with a digit.
fn is_host_number(text: &str) -> bool {
    let letters = text.chars().any(|letter| letter.is_ascii_alphabetic());
    letters
        && text.contains(".dkr.ecr.")
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || ".-/".contains(letter))
}

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// A value in flow style on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::Mapping(pairs) => {
            let pair = |(key, value): (&Value, &Value)| format!("{}: {}", flow_key(key), flow(value));
            format!("{{{}}}", pairs.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        Value::Sequence(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(text) => {
            let word = !text.is_empty() && text.chars().all(|letter| letter.is_ascii_lowercase());
            if word { scalar(text) } else { json(text) }
        }
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::Null | Value::Tagged(_) => "null".to_owned(),
    }
}

fn flow_key(key: &Value) -> String {
    key.as_str().map_or_else(|| "null".to_owned(), scalar)
}

/// Takes out what promote.yaml could not say, with the reason.
pub(super) fn settle(proposal: &mut Proposal) {
    for (app, content) in &mut proposal.apps {
        content.images.retain(|name, image| {
            image.interval = image.interval.take().and_then(|text| match duration::parse(&text) {
                Ok(every) if every == std::time::Duration::from_mins(1) => None,
                Ok(every) => Some(duration::format(every)),
                Err(_) => {
                    proposal.notes.push(format!("{name} of {app}: the interval {text} was not understood and left out"));
                    None
                }
            });
            let alone = format!(
                "version: 1\nenvironments: {{one: {{registry: registry.example/a}}}}\napps: {{one: {{path: a, images: {{{}: \
                 {}}}}}}}\n",
                scalar(name),
                image_text(image),
            );
            match Config::parse("promote.yaml", alone.as_bytes()) {
                Ok(_) => true,
                Err(problems) => {
                    let words: Vec<&str> = problems.problems.iter().map(|problem| problem.message.as_str()).collect();
                    proposal.notes.push(format!(
                        "{name} of {app} was left out, as promote can't follow it yet: {}",
                        words.join("; ")
                    ));
                    false
                }
            }
        });
        if let Some(markers) = &mut content.markers {
            markers.retain(|_, image| content.images.contains_key(image));
        }
    }
    proposal.apps.retain(|_, app| !app.images.is_empty());
}

/// The kustomizations that lack an entry of a configured image, by path, with the entry added. Where markers below the
/// folder hold the image with its digest, no entry is needed.
pub(super) fn entries(found: &Found, config: &Config, notes: &mut Vec<String>) -> BTreeMap<String, Vec<u8>> {
    let mut changed: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (app, settings) in &config.apps {
        for environment in config.environments.keys() {
            let folder = config.overlay(app, environment).unwrap_or_default();
            let kustomization = found.kustomizations.get(&folder);
            for image in settings.images.keys() {
                let has = |entry: &edit::ImageEntry| entry.name == image.as_str();
                if kustomization.is_some_and(|found| found.images.iter().any(has)) {
                    continue;
                }
                let below = format!("{folder}/");
                let markers: Vec<&edit::Marker> = found
                    .marked
                    .iter()
                    .filter(|(path, _)| path.starts_with(&below))
                    .flat_map(|(_, marked)| &marked.markers)
                    .filter(|marker| {
                        settings.markers.as_ref().and_then(|markers| markers.image(&marker.policy))
                            == Some(image)
                    })
                    .collect();
                if markers.iter().any(|marker| matches!(marker.part, Part::Reference | Part::Digest)) {
                    continue;
                }
                let Some(kustomization) = kustomization else {
                    if found.files.keys().any(|path| path.starts_with(&below)) {
                        notes.push(format!(
                            "{folder} has no kustomization.yaml, which {image} of {app} needs in {environment}; add one"
                        ));
                    }
                    continue;
                };
                let path = &kustomization.file;
                let content = changed.get(path).or_else(|| found.files.get(path));
                let standing = standing(found, &folder, image, &markers);
                match content.map(|content| edit::add_image(content, image, &standing)) {
                    Some(Ok(Some(edited))) => _ = changed.insert(path.clone(), edited),
                    Some(Err(error)) => {
                        notes.push(format!("{path}: no entry for {image} could be added: {error}"));
                    }
                    _ => {}
                }
            }
        }
    }
    changed
}

/// What stands there without an entry, so that the first election goes on from it.
fn standing(found: &Found, folder: &str, image: &ImageName, markers: &[&edit::Marker]) -> Written {
    let rendered = found.rendered(folder);
    let own = rendered.iter().find(|reference| bare(reference) == image.as_str());
    let own = own.map(|reference| Standing::reference(reference)).unwrap_or_default();
    let tag =
        markers.iter().find(|marker| marker.part == Part::Tag).and_then(|marker| marker.value.parse().ok());
    Written { new_name: None, new_tag: own.tag.or(tag), digest: own.digest }
}
