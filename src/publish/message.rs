//! A commit's message: the subject for people, the trailers for us.
//!
//! The trailers of each app and environment form a group that begins with `Promote-App`.

use std::collections::BTreeSet;

use super::{Change, reference, version};
use crate::edit::Amendment;
use crate::model::{AppName, Digest, EnvironmentName, Source, Tag, printable};

/// What the trailers of one commit say about one app and environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trailers {
    /// `Promote-App`.
    pub app: AppName,
    /// `Promote-Environment`.
    pub environment: EnvironmentName,
    /// Each `Promote-Image` with its `Promote-Previous`, as references.
    pub images: Vec<(String, Option<String>)>,
    /// `Promote-Source`.
    pub source: Source,
    /// `Promote-Actor`.
    pub actor: String,
    /// `Promote-Reason`.
    pub reason: Option<String>,
    /// `Promote-Record`: what a commit that moves nothing changed in the app's record, for people.
    pub record: Option<String>,
}

impl Trailers {
    /// Whether no person asked for it.
    pub fn is_automatic(&self) -> bool {
        self.actor == DAEMON
    }

    /// Whether a version that failed was taken back without a person.
    pub fn is_automatic_rollback(&self) -> bool {
        matches!(self.source, Source::Rollback { .. }) && self.is_automatic()
    }
}

/// The actor of what no person asked for.
const DAEMON: &str = "promoted";

/// The whole message of a commit that makes `changes`.
pub fn compose(changes: &[Change]) -> String {
    let mut message = subject(changes);
    message.push_str("\n\n");
    for change in changes {
        let mut trailer = |key: &str, value: &str| {
            message.push_str("Promote-");
            message.push_str(key);
            message.push_str(": ");
            message.push_str(&one_line(value));
            message.push('\n');
        };
        trailer("App", change.app.as_str());
        trailer("Environment", change.environment.as_str());
        for step in &change.moves {
            trailer("Image", &reference(&step.image, &step.to));
            if step.from.new_tag.is_some() || step.from.digest.is_some() {
                trailer("Previous", &reference(&step.image, &step.from));
            }
        }
        trailer("Source", &change.source.to_string());
        trailer("Actor", change.actor.as_deref().unwrap_or(DAEMON));
        if let Some(reason) = &change.reason {
            trailer("Reason", reason);
        }
        if change.moves.is_empty() {
            trailer("Record", &amended(change));
        }
    }
    message
}

/// `APP: ENV OLD → NEW`, or `N images: ENV, ENV` for several.
fn subject(changes: &[Change]) -> String {
    let mut moves = changes.iter().flat_map(|change| change.moves.iter().map(move |step| (change, step)));
    match (moves.next(), moves.next()) {
        (Some((change, step)), None) => {
            let (old, new) = (version(&step.from), version(&step.to));
            let new = match &step.to.digest {
                Some(digest) if old == new => format!("{new}@{}", digest.short()),
                _ => new,
            };
            format!("{}: {} {old} → {new}", change.app, change.environment)
        }
        (None, _) => {
            let names: BTreeSet<_> = changes.iter().map(|change| change.app.as_str()).collect();
            let environments: BTreeSet<_> =
                changes.iter().map(|change| change.environment.as_str()).collect();
            let words: BTreeSet<String> = changes.iter().map(amended).collect();
            let names: Vec<_> = names.into_iter().collect();
            let names = if names.len() > 3 { format!("{} apps", names.len()) } else { names.join(", ") };
            let list = |all: Vec<&str>| all.join(", ");
            let words = list(words.iter().map(String::as_str).take(3).collect());
            format!("{names}: {} {words}", list(environments.into_iter().collect()))
        }
        (Some(_), Some(_)) => {
            let count: usize = changes.iter().map(|change| change.moves.len()).sum();
            let environments: BTreeSet<_> =
                changes.iter().map(|change| change.environment.as_str()).collect();
            format!("{count} images: {}", environments.into_iter().collect::<Vec<_>>().join(", "))
        }
    }
}

/// What a change does to the record of its app, in words for people.
fn amended(change: &Change) -> String {
    let named = |tag: &Option<Tag>, digest: &Digest| {
        tag.as_ref().map_or_else(|| digest.short().to_owned(), ToString::to_string)
    };
    let mut words: Vec<String> = Vec::new();
    for amendment in &change.amendments {
        let next = match amendment {
            Amendment::Hold(_) => "held".to_owned(),
            Amendment::Unhold | Amendment::Release(_) | Amendment::Settle => "released".to_owned(),
            Amendment::Quarantine(entry) => format!("{} quarantined", named(&entry.tag, &entry.digest)),
            Amendment::Unquarantine(digest) => format!("{} out of quarantine", digest.short()),
            Amendment::Approve(approval, tag) => format!("{} approved", named(tag, &approval.digest)),
            Amendment::Disapprove(digest) => format!("{} not approved any more", digest.short()),
        };
        if words.last() != Some(&next) {
            words.push(next);
        }
    }
    words.join(", ")
}

/// Foreign words as one line of a trailer: no control characters, at most 500 characters.
fn one_line(words: &str) -> String {
    let spaced: String = words.split_whitespace().collect::<Vec<_>>().join(" ");
    printable(&spaced, 500)
}

/// The groups of trailers in a message; none in a commit that is not ours.
///
/// A group that lacks a part or has a part of the wrong form is not ours either.
pub fn parse(message: &str) -> Vec<Trailers> {
    let mut groups: Vec<Vec<(&str, &str)>> = Vec::new();
    for line in message.lines().skip(1) {
        let Some((key, value)) = line.strip_prefix("Promote-").and_then(|rest| rest.split_once(": ")) else {
            continue;
        };
        if key == "App" {
            groups.push(Vec::new());
        }
        if let Some(group) = groups.last_mut() {
            group.push((key, value));
        }
    }
    let read = |group: &Vec<(&str, &str)>| {
        let value = |wanted: &str| group.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value);
        let mut images: Vec<(String, Option<String>)> = Vec::new();
        for (key, value) in group {
            match (*key, images.last_mut()) {
                ("Image", _) => images.push((printable(value, 500), None)),
                ("Previous", Some((_, previous))) => *previous = Some(printable(value, 500)),
                _ => {}
            }
        }
        Some(Trailers {
            app: value("App")?.parse().ok()?,
            environment: value("Environment")?.parse().ok()?,
            images,
            source: value("Source")?.parse().ok()?,
            actor: printable(value("Actor")?, 200),
            reason: value("Reason").map(|reason| printable(reason, 500)),
            record: value("Record").map(|record| printable(record, 500)),
        })
    };
    groups.iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::edit::Written;
    use crate::publish::Move;

    fn written(tag: &str, digit: &str) -> Written {
        Written {
            new_name: Some("localhost:5000/wiki".to_owned()),
            new_tag: Some(tag.parse().unwrap()),
            digest: Some(format!("sha256:{}", digit.repeat(64)).parse().unwrap()),
        }
    }

    fn change(app: &str, environment: &str, from: Written, to: Written) -> Change {
        Change {
            app: app.parse().unwrap(),
            environment: environment.parse().unwrap(),
            moves: vec![Move { image: "wiki".parse().unwrap(), from, to }],
            source: Source::Registry,
            actor: None,
            reason: None,
            amendments: Vec::new(),
        }
    }

    fn nothing() -> Written {
        Written { new_name: None, new_tag: None, digest: None }
    }

    #[test]
    fn a_commit_says_what_moved_from_where_to_where() {
        let mut change = change("wiki", "local", written("1.2.3", "a"), written("1.3.0", "b"));
        change.reason = Some("because\nof \u{1b}[31mthat".to_owned());
        insta::assert_snapshot!(compose(&[change]), @r"
        wiki: local 1.2.3 → 1.3.0

        Promote-App: wiki
        Promote-Environment: local
        Promote-Image: localhost:5000/wiki:1.3.0@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
        Promote-Previous: localhost:5000/wiki:1.2.3@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        Promote-Source: registry
        Promote-Actor: promoted
        Promote-Reason: because of \u{1b}[31mthat
        ");
    }

    #[test]
    fn the_first_version_has_no_previous_one() {
        let message = compose(&[change("wiki", "local", nothing(), written("1.0.0", "a"))]);
        assert!(message.starts_with("wiki: local none → 1.0.0\n"), "{message}");
        assert!(!message.contains("Promote-Previous"), "{message}");
    }

    #[test]
    fn several_images_share_a_subject_and_keep_their_trailers() {
        let message = compose(&[
            change("wiki", "local", nothing(), written("1.0.0", "a")),
            change("blog", "aws", nothing(), written("2.0.0", "a")),
        ]);
        assert!(message.starts_with("2 images: aws, local\n"), "{message}");
        let apps: Vec<_> = parse(&message).into_iter().map(|trailers| trailers.app.to_string()).collect();
        assert_eq!(apps, ["wiki", "blog"]);
    }

    #[test]
    fn what_is_composed_is_read_back() {
        let mut change = change("wiki", "aws", nothing(), written("1.0.0", "a"));
        change.source =
            Source::Promotion { from: "local".parse().unwrap(), commit: "c".repeat(40).parse().unwrap() };
        change.actor = Some("A Person <person@example.org>".to_owned());
        let read = parse(&compose(&[change.clone()]));
        assert_eq!(read.len(), 1);
        assert_eq!(
            (&read[0].source, read[0].actor.as_str()),
            (&change.source, "A Person <person@example.org>")
        );
    }

    #[test]
    fn a_persons_commit_has_no_trailers_of_ours() {
        assert!(parse("go back\n\nPromote-App: wiki\nPromote-Source: nonsense\n").is_empty());
        assert!(parse("Promote-App: wiki").is_empty());
    }
}
