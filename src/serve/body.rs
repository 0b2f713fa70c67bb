//! Bodies from outside, bounded in size and time, each and together.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use futures::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::discover::webhook::BODY_LIMIT;

/// How long a body may take; with the headers' time it is the longest that a request can take.
const DEADLINE: Duration = Duration::from_secs(20);
/// What every body may have without asking: nearly all messages are smaller.
const FREE: usize = 64 * 1024;
/// What all bodies together may have above that, in KiB.
const SHARED: usize = 16 * 1024;

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoBody {
    /// It has more than [`BODY_LIMIT`] bytes.
    TooLarge,
    /// It did not come in time.
    TooSlow,
    /// It did not come at all, or broke off.
    Broken,
    /// Too many large bodies are under way.
    Busy,
}

/// The room for bodies.
#[derive(Debug, Clone)]
pub(super) struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SHARED)))
    }
}

/// A body, and the room that it takes.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Reads a body to its end. One that says it is too large is not read at all.
    pub(super) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Held, NoBody> {
        let announced =
            headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > BODY_LIMIT as u64) {
            return Err(NoBody::TooLarge);
        }
        timeout(DEADLINE, self.collect(body)).await.unwrap_or(Err(NoBody::TooSlow))
    }

    async fn collect(&self, body: Body) -> Result<Held, NoBody> {
        let mut chunks = body.into_data_stream();
        let mut bytes = Vec::new();
        let mut room: Option<OwnedSemaphorePermit> = None;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| NoBody::Broken)?;
            let length = bytes.len() + chunk.len();
            if length > BODY_LIMIT {
                return Err(NoBody::TooLarge);
            }
            if length > FREE && room.is_none() {
                // As much as it may need at most, since none of it can be given back half way.
                let most = u32::try_from((BODY_LIMIT - FREE) / 1024).unwrap_or(u32::MAX);
                room = Some(Arc::clone(&self.0).try_acquire_many_owned(most).map_err(|_| NoBody::Busy)?);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Held { bytes, _room: room })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn read(room: &Room, size: usize) -> Result<Held, NoBody> {
        room.read(&HeaderMap::new(), Body::from(vec![b'x'; size])).await
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_the_limit() {
        let room = Room::default();
        assert_eq!(read(&room, BODY_LIMIT).await.unwrap().bytes.len(), BODY_LIMIT);
        assert_eq!(read(&room, BODY_LIMIT + 1).await.err(), Some(NoBody::TooLarge));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, "5368709120".parse().unwrap());
        let never = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        assert_eq!(room.read(&headers, never).await.err(), Some(NoBody::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let never = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        assert_eq!(Room::default().read(&HeaderMap::new(), never).await.err(), Some(NoBody::TooSlow));
    }

    #[tokio::test]
    async fn large_bodies_share_a_room_and_small_ones_need_none() {
        let room = Room::default();
        let mut held = Vec::new();
        let full = loop {
            match read(&room, BODY_LIMIT).await {
                Ok(body) => held.push(body),
                Err(why) => break why,
            }
        };
        assert_eq!((full, held.len()), (NoBody::Busy, SHARED / 960));
        assert!(read(&room, FREE).await.is_ok());
        held.clear();
        assert!(read(&room, BODY_LIMIT).await.is_ok());
    }
}
