//! Google's public keys over HTTPS, kept for as long as Google says.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use reqwest::header::CACHE_CONTROL;
use reqwest::{Client, Response};
use url::Url;

use super::google::{Key, Keys};
use crate::discover::DiscoverError;
use crate::discover::route::{build, client_builder};
use crate::model::{RegistryHost, with_causes};

/// Where Google publishes them.
pub const GOOGLE_KEYS: &str = "https://www.googleapis.com/oauth2/v3/certs";

/// Google's answer has two kilobytes.
const LIMIT: usize = 64 * 1024;
const DEADLINE: Duration = Duration::from_secs(5);
/// How long keys are kept where the answer does not say, and the bounds of what it may say.
const KEPT: (Duration, Duration, Duration) =
    (Duration::from_hours(1), Duration::from_mins(5), Duration::from_hours(24));
/// How soon they are asked for again after an answer that did not help: forged tokens must not cost requests.
const AGAIN: Duration = Duration::from_secs(30);

/// The keys, fetched when they are first needed.
pub struct GoogleKeys {
    url: Url,
    client: Client,
    known: RwLock<Option<Known>>,
    /// When they were last asked for; held while they are, so that one request serves all who wait.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Clone)]
struct Known {
    keys: Arc<Keys>,
    until: Instant,
}

impl std::fmt::Debug for GoogleKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GoogleKeys").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

/// Reads the address of a key set: HTTPS, or plain HTTP to this machine.
pub fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    let loopback = url
        .host_str()
        .and_then(|host| host.parse::<RegistryHost>().ok())
        .is_some_and(|host| host.is_loopback());
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        _ => Err("expected an https:// address; plain http:// is for loopback alone".to_owned()),
    }
}

impl GoogleKeys {
    /// Keys from `url`; nothing is asked for yet.
    pub fn new(url: Url) -> Result<Self, DiscoverError> {
        let client =
            build(client_builder(concat!("promoted/", env!("CARGO_PKG_VERSION"))).timeout(DEADLINE))?;
        Ok(Self { url, client, known: RwLock::default(), asked: tokio::sync::Mutex::default() })
    }

    /// The key of that name; none if Google has no such key, an error if it can't be asked.
    pub async fn key(&self, name: &str) -> Result<Option<Key>, String> {
        if let Some(known) = self.fresh(name) {
            return Ok(Some(known));
        }
        let mut asked = self.asked.lock().await;
        // Somebody else may have fetched them meanwhile.
        if let Some(known) = self.fresh(name) {
            return Ok(Some(known));
        }
        if asked.is_some_and(|asked| asked.elapsed() < AGAIN) {
            return match self.known() {
                Some(known) => Ok(known.keys.get(name).cloned()),
                None => Err(format!("{} did not answer a moment ago", self.url)),
            };
        }
        *asked = Some(Instant::now());
        match self.fetch().await {
            Ok((keys, kept)) => {
                let key = keys.get(name).cloned();
                let known = Known { keys: Arc::new(keys), until: Instant::now() + kept };
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known);
                Ok(key)
            }
            // Old keys are still Google's.
            Err(cause) => match self.known().and_then(|known| known.keys.get(name).cloned()) {
                Some(key) => Ok(Some(key)),
                None => Err(format!("can't get Google's keys from {}: {cause}", self.url)),
            },
        }
    }

    fn known(&self) -> Option<Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fresh(&self, name: &str) -> Option<Key> {
        let known = self.known().filter(|known| known.until > Instant::now())?;
        known.keys.get(name).cloned()
    }

    async fn fetch(&self) -> Result<(Keys, Duration), String> {
        let words = |error: reqwest::Error| with_causes(&error.without_url(), 200);
        let mut response = self.client.get(self.url.clone()).send().await.map_err(words)?;
        if !response.status().is_success() {
            return Err(format!("it answered {}", response.status()));
        }
        let kept = max_age(&response).unwrap_or(KEPT.0).clamp(KEPT.1, KEPT.2);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(words)? {
            body.extend_from_slice(&chunk);
            if body.len() > LIMIT {
                return Err(format!("its answer has more than {LIMIT} bytes"));
            }
        }
        Ok((Keys::read(&body)?, kept))
    }
}

fn max_age(response: &Response) -> Option<Duration> {
    let value = response.headers().get(CACHE_CONTROL)?.to_str().ok()?;
    let seconds = value.split(',').find_map(|part| part.trim().strip_prefix("max-age="))?;
    seconds.parse().ok().map(Duration::from_secs)
}
