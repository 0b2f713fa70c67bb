//! `/webhooks/NAME`: from a request to its answer. Proved first, then read; what it asks for is done elsewhere.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::body::{NoBody, Room};
use crate::daemon::events::{Called, Event as _};
use crate::daemon::metrics::Metrics;
use crate::daemon::receivers::{Denied, Door, Followed, InForce, Receivers};
use crate::discover::webhook::{self, Claim};

/// How long a sender shall wait where it can't be told better.
const LATER: Duration = Duration::from_secs(5);

/// What handles webhooks.
pub(super) struct Desk {
    receivers: Arc<Receivers>,
    metrics: Arc<Metrics>,
    room: Room,
}

impl Desk {
    pub(super) fn new(receivers: Arc<Receivers>, metrics: Arc<Metrics>) -> Self {
        Self { receivers, metrics, room: Room::default() }
    }
}

/// What came of a request: the status, the metric's label, the answer's text, and more for our own log.
struct Answer {
    status: StatusCode,
    result: &'static str,
    text: String,
    detail: String,
    wait: Option<Duration>,
}

impl Answer {
    /// One that tells the sender nothing but the status.
    fn bare(status: StatusCode, result: &'static str, detail: impl Into<String>) -> Self {
        Self { status, result, text: String::new(), detail: detail.into(), wait: None }
    }

    fn later(self, wait: Duration) -> Self {
        Self { wait: Some(wait), ..self }
    }

    /// What only a sender that is proved is told.
    fn told(status: StatusCode, result: &'static str, text: String) -> Self {
        Self { status, result, detail: text.clone(), text, wait: None }
    }

    /// Whether somebody should look after it.
    fn is_trouble(&self) -> bool {
        !self.status.is_success()
    }
}

/// A receiver whose proof is in the headers.
pub(super) async fn receive(
    State(desk): State<Arc<Desk>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    desk.receive(&name, None, &headers, body).await
}

/// A receiver whose proof is the end of its address, which no log line and no metric ever has.
pub(super) async fn receive_with_secret(
    State(desk): State<Arc<Desk>>,
    Path((name, secret)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    desk.receive(&name, Some(&secret), &headers, body).await
}

impl Desk {
    async fn receive(&self, name: &str, path: Option<&str>, headers: &HeaderMap, body: Body) -> Response {
        let found = self.receivers.in_force();
        let Some(in_force) = found else {
            let answer = Answer::bare(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "no configuration is in force yet",
            );
            return self.tell("unknown", false, answer.later(LATER));
        };
        let Some(door) = in_force.door(name) else {
            let answer =
                Answer::bare(StatusCode::NOT_FOUND, "unknown_receiver", "promote.yaml has no such receiver");
            return self.tell("unknown", false, answer);
        };
        let answer = match self.take(&in_force, door, path, headers, body).await {
            Ok(answer) | Err(answer) => answer,
        };
        self.tell(door.name(), answer.is_trouble() && door.tells(), answer)
    }

    async fn take(
        &self,
        in_force: &InForce,
        door: &Door,
        path: Option<&str>,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Answer, Answer> {
        let refused = |denied: Denied| refused(door, denied);
        let claim =
            Claim::of(door.kind(), headers, path).map_err(|refusal| refused(Denied::Refused(refusal)))?;
        let later = claim.is_about_the_body();
        if !later {
            self.receivers.judge(door, &claim, &[]).await.map_err(refused)?;
            door.admit().map_err(throttled)?;
        }
        let body = self.room.read(door.name(), in_force.count(), headers, body).await.map_err(no_body)?;
        if later {
            self.receivers.judge(door, &claim, &body.bytes).await.map_err(refused)?;
            door.admit().map_err(throttled)?;
        }
        let notice = webhook::read(door.kind(), headers, &body.bytes).map_err(|error| {
            Answer::told(StatusCode::BAD_REQUEST, "malformed", format!("the body is {error}"))
        })?;
        let delivery = webhook::delivery(door.kind(), headers);
        let (result, text) = match self.receivers.follow(in_force, door, &notice, delivery) {
            Followed::Accepted(count, moved) => ("accepted", accepted(count, moved)),
            Followed::Duplicate => ("duplicate", "it was told a moment ago".to_owned()),
            Followed::UnknownRepository => {
                ("unknown_repository", "nobody here looks at this repository".to_owned())
            }
            Followed::Ignored => ("ignored", "it tells nothing that matters here".to_owned()),
        };
        Ok(Answer::told(StatusCode::ACCEPTED, result, text))
    }

    fn tell(&self, receiver: &str, warn: bool, answer: Answer) -> Response {
        let Answer { status, result, text, detail, wait } = answer;
        Called { receiver, result, detail: &detail, warn }.emit(&self.metrics);
        let text = if text.is_empty() { text } else { format!("{result}: {text}\n") };
        let mut response = (status, text).into_response();
        if let Some(wait) = wait {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

fn accepted(count: usize, moved: bool) -> String {
    let repositories = match count {
        1 => "1 repository".to_owned(),
        _ => format!("{count} repositories"),
    };
    let git = "the Git remote";
    let what = match (count, moved) {
        (0, _) => git.to_owned(),
        (_, true) => format!("{repositories} and {git}"),
        (_, false) => repositories,
    };
    format!("looking at {what} now")
}

/// Whoever can't prove a message learns nothing but that.
fn refused(door: &Door, denied: Denied) -> Answer {
    match denied {
        Denied::Unavailable(words) => {
            Answer::bare(StatusCode::SERVICE_UNAVAILABLE, "unavailable", words).later(LATER)
        }
        Denied::Refused(refusal) => match door.refuse() {
            Ok(()) => Answer::bare(StatusCode::UNAUTHORIZED, "unauthorized", refusal.to_string()),
            Err(wait) => {
                Answer::bare(StatusCode::TOO_MANY_REQUESTS, "unauthorized", refusal.to_string()).later(wait)
            }
        },
    }
}

fn throttled(wait: Duration) -> Answer {
    Answer::bare(StatusCode::TOO_MANY_REQUESTS, "throttled", "its sender is too fast").later(wait)
}

fn no_body(why: NoBody) -> Answer {
    match why {
        NoBody::TooLarge => {
            Answer::bare(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "its body has more than 1 MiB")
        }
        NoBody::TooSlow => {
            Answer::bare(StatusCode::REQUEST_TIMEOUT, "timeout", "its body did not come in time")
        }
        NoBody::Broken => Answer::bare(StatusCode::BAD_REQUEST, "malformed", "its body broke off"),
        NoBody::Busy => {
            Answer::bare(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "too many large bodies at once")
                .later(LATER)
        }
    }
}
