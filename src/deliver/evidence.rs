//! What else a cluster can tell of an object that fares badly: its warnings, and the last words of a container.
//!
//! Both are asked for once, for people. What this account may not read is left out without a word.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{Api, ListParams, LogParams};

use super::cluster::Cluster;
use crate::model::printable;

/// How many events of one object are read.
const EVENTS: u32 = 100;
/// How many different warnings of one object are told.
const WARNINGS: usize = 3;
/// How many lines of a log are told, and how many bytes of it are read at most.
const LINES: (usize, i64) = (20, 16 * 1024);

/// A warning about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Warning {
    about: String,
    reason: String,
    message: String,
    count: i32,
    last: Timestamp,
}

impl Cluster {
    /// The newest warnings about an object since `since`, in words; none where they cannot be read.
    pub async fn warnings(&self, namespace: &str, name: &str, since: Timestamp) -> Vec<String> {
        let api: Api<Event> = Api::namespaced(self.client().clone(), namespace);
        let fields = format!("type=Warning,involvedObject.name={name}");
        let events = api.list(&ListParams::default().fields(&fields).limit(EVENTS)).await;
        let events = events.map(|list| list.items).unwrap_or_default();
        newest(events.iter().map(warning).filter(|warning| warning.last >= since).collect())
    }

    /// The last lines that a container wrote, of its process before the present one if there was one; none where they
    /// cannot be read.
    pub async fn last_lines(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        previous: bool,
    ) -> Option<String> {
        let api: Api<Pod> = Api::namespaced(self.client().clone(), namespace);
        let parameters = LogParams {
            container: Some(container.to_owned()),
            previous,
            tail_lines: i64::try_from(LINES.0).ok(),
            limit_bytes: Some(LINES.1),
            ..LogParams::default()
        };
        let text = api.logs(pod, &parameters).await.ok()?;
        let lines = last_lines(&text);
        (!lines.is_empty()).then(|| format!("last lines of pod {pod}, container {container}: {lines}"))
    }
}

fn warning(event: &Event) -> Warning {
    let about = &event.involved_object;
    let text = |text: Option<&String>, limit| printable(text.map_or("", |text| text.trim()), limit);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let last = last.or(event.event_time.as_ref().map(|time| time.0));
    let created = event.metadata.creation_timestamp.as_ref().map(|time| time.0);
    Warning {
        about: format!("{} {}", text(about.kind.as_ref(), 60), text(about.name.as_ref(), 120)),
        reason: text(event.reason.as_ref(), 60),
        message: text(event.message.as_ref(), 300),
        count: event.count.unwrap_or(1),
        last: last.or(created).unwrap_or(Timestamp::UNIX_EPOCH),
    }
}

/// The newest of each kind, newest first.
fn newest(mut warnings: Vec<Warning>) -> Vec<String> {
    warnings.sort_by_key(|warning| std::cmp::Reverse(warning.last));
    let mut told: Vec<(String, String)> = Vec::new();
    for Warning { about, reason, message, count, .. } in warnings {
        let is_new = told.iter().all(|(known, _)| *known != reason);
        if is_new && told.len() < WARNINGS {
            let often = if count > 1 { format!(" ({count} times)") } else { String::new() };
            told.push((reason.clone(), format!("{about}: {reason}{often}: {message}")));
        }
    }
    told.into_iter().map(|(_, words)| words).collect()
}

/// The last lines of a log on one line.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LINES.0)..];
    last.iter().map(|line| printable(line, 200)).collect::<Vec<_>>().join(" ⏎ ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64, reason: &str, message: &str) -> Warning {
        Warning {
            about: "Pod web-1".to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            count: 2,
            last: Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(second),
        }
    }

    #[test]
    fn of_each_kind_of_warning_the_newest_is_told() {
        let told =
            newest(vec![at(1, "BackOff", "old"), at(3, "BackOff", "new"), at(2, "Failed", "no image")]);
        assert_eq!(told, ["Pod web-1: BackOff (2 times): new", "Pod web-1: Failed (2 times): no image"]);
    }

    #[test]
    fn an_event_without_any_field_is_an_empty_warning_of_long_ago() {
        let empty = warning(&Event::default());
        assert_eq!((empty.last, empty.message.as_str()), (Timestamp::UNIX_EPOCH, ""));
    }

    #[test]
    fn a_log_is_told_by_its_last_lines_and_nothing_in_it_reaches_a_terminal() {
        let long = (0..30).map(|number| format!("line {number}")).collect::<Vec<_>>().join("\n");
        assert!(last_lines(&long).starts_with("line 10 ⏎ line 11"));
        assert!(!last_lines("\u{1b}[31mred\n").contains('\u{1b}'));
        assert_eq!(last_lines("\n \n"), "");
    }
}
