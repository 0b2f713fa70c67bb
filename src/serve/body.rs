//! Bodies from outside, bounded in size and time, each and together.
//!
//! A signature is judged only when the body is there, so that whoever can send can have bodies held for a receiver. Each
//! receiver has a room of its own for them: a flood for one leaves the others theirs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use futures::StreamExt as _;
use tokio::time::timeout;

use crate::discover::webhook::BODY_LIMIT;

/// How long a body may take; with the headers' time it is the longest that a request can take.
const DEADLINE: Duration = Duration::from_secs(20);
/// What every body may have without asking: nearly all messages are smaller.
const FREE: usize = 64 * 1024;
/// What all bodies together may have above that: receivers share it evenly.
const SHARED: usize = 16 * 1024 * 1024;
/// As much as one may need above [`FREE`], since none of it can be given back half way.
const MOST: usize = BODY_LIMIT - FREE;

/// How many large bodies one of `receivers` may have under way: its share, and never none.
fn share(receivers: usize) -> usize {
    (SHARED / receivers.max(1) / MOST).max(1)
}

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoBody {
    /// It has more than [`BODY_LIMIT`] bytes.
    TooLarge,
    /// It did not come in time.
    TooSlow,
    /// It did not come at all, or broke off.
    Broken,
    /// Too many large bodies for this receiver are under way.
    Busy,
}

/// How many large bodies are under way for each receiver.
#[derive(Debug, Clone, Default)]
pub(super) struct Room(Arc<Mutex<BTreeMap<String, usize>>>);

/// The place of one large body.
#[derive(Debug)]
struct Place(Room, String);

/// A body, and the room that it takes.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    _place: Option<Place>,
}

impl Room {
    /// Reads a body for one of `receivers` to its end. One that says it is too large is not read at all.
    pub(super) async fn read(
        &self,
        receiver: &str,
        receivers: usize,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Held, NoBody> {
        let announced =
            headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > BODY_LIMIT as u64) {
            return Err(NoBody::TooLarge);
        }
        let place = || self.place(receiver, receivers).ok_or(NoBody::Busy);
        timeout(DEADLINE, collect(body, place)).await.unwrap_or(Err(NoBody::TooSlow))
    }

    fn place(&self, receiver: &str, receivers: usize) -> Option<Place> {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = under_way.entry(receiver.to_owned()).or_default();
        if *own >= share(receivers) {
            return None;
        }
        *own += 1;
        Some(Place(self.clone(), receiver.to_owned()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Self(room, receiver) = self;
        let mut under_way = room.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = under_way.get_mut(receiver) {
            *own -= 1;
            if *own == 0 {
                under_way.remove(receiver);
            }
        }
    }
}

async fn collect(body: Body, room: impl Fn() -> Result<Place, NoBody>) -> Result<Held, NoBody> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut place = None;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| NoBody::Broken)?;
        let length = bytes.len() + chunk.len();
        if length > BODY_LIMIT {
            return Err(NoBody::TooLarge);
        }
        if length > FREE && place.is_none() {
            place = Some(room()?);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Held { bytes, _place: place })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn read(room: &Room, size: usize) -> Result<Held, NoBody> {
        read_for(room, "ci", 1, size).await
    }

    async fn read_for(room: &Room, receiver: &str, receivers: usize, size: usize) -> Result<Held, NoBody> {
        room.read(receiver, receivers, &HeaderMap::new(), Body::from(vec![b'x'; size])).await
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_the_limit() {
        let room = Room::default();
        assert_eq!(read(&room, BODY_LIMIT).await.unwrap().bytes.len(), BODY_LIMIT);
        assert_eq!(read(&room, BODY_LIMIT + 1).await.err(), Some(NoBody::TooLarge));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, "5368709120".parse().unwrap());
        let never = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        assert_eq!(room.read("ci", 1, &headers, never).await.err(), Some(NoBody::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let never = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        assert_eq!(
            Room::default().read("ci", 1, &HeaderMap::new(), never).await.err(),
            Some(NoBody::TooSlow)
        );
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
        assert_eq!((full, held.len()), (NoBody::Busy, 17));
        assert!(read(&room, FREE).await.is_ok());
        held.clear();
        assert!(read(&room, BODY_LIMIT).await.is_ok());
    }

    #[tokio::test]
    async fn a_flood_for_one_receiver_leaves_the_others_their_room() {
        let room = Room::default();
        let mut held = Vec::new();
        while let Ok(body) = read_for(&room, "flooded", 4, BODY_LIMIT).await {
            held.push(body);
        }
        assert_eq!(held.len(), 4);
        for other in ["ci", "hub"] {
            assert!(read_for(&room, other, 4, BODY_LIMIT).await.is_ok(), "{other}");
        }
    }

    #[test]
    fn receivers_share_the_room_and_none_is_without() {
        assert_eq!([0, 1, 2, 17, 18, 1000].map(share), [17, 17, 8, 1, 1, 1]);
    }
}
