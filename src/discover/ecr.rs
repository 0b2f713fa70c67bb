//! Passwords for Amazon ECR, from this process's own AWS identity (ECR API, `GetAuthorizationToken`).
//!
//! A password is good for twelve hours. It is fetched once per account and region for all that wait for it, anew after
//! eleven twelfths of its life, and earlier only where a registry refuses it.

mod chain;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use http::{Method, header};
use jiff::Timestamp;
use reqsign_core::Error;
use serde::Deserialize;
use url::Url;

use self::chain::{Answer, Chain};
use super::DiscoverError;
use super::credentials::{Login, Secret};
use super::host::lock;
use crate::model::{RegistryHost, printable, with_causes};

/// No password counts as good for longer.
const LONGEST: Duration = Duration::from_hours(12);
/// A password younger than this that is refused is not the reason: nothing is gained by another one.
const YOUNG: Duration = if cfg!(test) { Duration::from_secs(1) } else { Duration::from_mins(5) };
/// After a failure nothing is asked of AWS for this long.
const PAUSE: Duration = Duration::from_secs(30);
/// The whole time of one identity and one password.
const DEADLINE: Duration = Duration::from_secs(20);

const TARGET: &str = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";

/// A private registry of ECR: there is one per account and region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ecr {
    account: String,
    region: String,
    /// Where its API is, without a scheme.
    api: String,
}

impl Ecr {
    /// Reads `ACCOUNT.dkr.ecr.REGION.amazonaws.com` with its variants for FIPS, China and dual-stack addresses.
    pub(crate) fn of(host: &RegistryHost) -> Option<Self> {
        let (account, rest) = host.as_str().split_once('.')?;
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let region_of = |rest: &str, suffix: &str| {
            let region = rest.strip_suffix(suffix)?;
            let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            (!region.is_empty() && region.bytes().all(legal)).then(|| region.to_owned())
        };
        let dual = rest.strip_prefix("dkr-ecr.").map(|rest| (rest, "ecr"));
        let dual = dual.or_else(|| rest.strip_prefix("dkr-ecr-fips.").map(|rest| (rest, "ecr-fips")));
        let (region, api) = if let Some((rest, service)) = dual {
            let region = region_of(rest, ".on.aws")?;
            let api = format!("{service}.{region}.api.aws");
            (region, api)
        } else {
            let plain = rest.strip_prefix("dkr.ecr.").map(|rest| (rest, "api.ecr"));
            let (rest, service) =
                plain.or_else(|| rest.strip_prefix("dkr.ecr-fips.").map(|rest| (rest, "ecr-fips")))?;
            let (region, suffix) = match region_of(rest, ".amazonaws.com") {
                Some(region) => (region, "amazonaws.com"),
                None => (region_of(rest, ".amazonaws.com.cn")?, "amazonaws.com.cn"),
            };
            let api = format!("{service}.{region}.{suffix}");
            (region, api)
        };
        Some(Self { account: account.to_owned(), region, api })
    }
}

/// The passwords of all ECR registries that this process asks.
pub(crate) struct Passwords {
    chain: Chain,
    slots: Mutex<BTreeMap<Ecr, Arc<Slot>>>,
}

/// The place of one password; whoever holds the lock fetches, all others wait and share.
type Slot = tokio::sync::Mutex<State>;

#[derive(Default)]
struct State {
    password: Option<Password>,
    failed: Option<(Instant, String)>,
}

struct Password {
    login: Login,
    obtained: Instant,
    renew: Instant,
    end: Instant,
}

impl Passwords {
    /// Reads AWS's settings from `environment`, or from the process's own; nothing is asked yet.
    pub(crate) fn new(
        environment: Option<HashMap<String, String>>,
        user_agent: &str,
    ) -> Result<Self, DiscoverError> {
        Ok(Self { chain: Chain::new(environment, user_agent)?, slots: Mutex::default() })
    }

    /// The login for one registry.
    pub(crate) async fn login(&self, ecr: &Ecr, registry: &RegistryHost) -> Result<Login, DiscoverError> {
        let slot = Arc::clone(lock(&self.slots).entry(ecr.clone()).or_default());
        let mut state = slot.lock().await;
        let now = Instant::now();
        if let Some(password) = state.password.as_ref().filter(|password| now < password.renew) {
            return Ok(password.login.clone());
        }
        let paused =
            state.failed.as_ref().filter(|(since, _)| now < *since + PAUSE).map(|(_, why)| why.clone());
        let result = match paused {
            Some(why) => Err(why),
            None => match tokio::time::timeout(DEADLINE, self.fetch(ecr)).await {
                Ok(result) => result,
                Err(_) => Err(format!("AWS gave no answer within {} seconds", DEADLINE.as_secs())),
            },
        };
        match result {
            Ok(password) => {
                let login = password.login.clone();
                *state = State { password: Some(password), failed: None };
                Ok(login)
            }
            Err(reason) => {
                if state.failed.as_ref().is_none_or(|(since, _)| now >= *since + PAUSE) {
                    state.failed = Some((now, reason.clone()));
                }
                // Renewed ahead of its end, so that there is time for AWS to come back.
                match state.password.as_ref().filter(|password| now < password.end) {
                    Some(password) => Ok(password.login.clone()),
                    None => Err(DiscoverError::NoEcrPassword { registry: registry.clone(), reason }),
                }
            }
        }
    }

    /// Drops a password that was refused, unless it was renewed meanwhile or is too young to be at fault. Whether there
    /// is a reason to ask again.
    pub(crate) async fn refused(&self, ecr: &Ecr, is_used: impl Fn(&Login) -> bool) -> bool {
        let Some(slot) = lock(&self.slots).get(ecr).map(Arc::clone) else { return true };
        let mut state = slot.lock().await;
        match &state.password {
            Some(password) if !is_used(&password.login) => true,
            Some(password) if password.obtained.elapsed() < YOUNG => false,
            _ => {
                state.password = None;
                true
            }
        }
    }

    async fn fetch(&self, ecr: &Ecr) -> Result<Password, String> {
        let body = "{}";
        let endpoint = self.chain.endpoint("ECR").unwrap_or_else(|| format!("https://{}", ecr.api));
        let url = Url::parse(&endpoint).map_err(|_| {
            "the endpoint of AWS_ENDPOINT_URL_ECR or AWS_ENDPOINT_URL is no address".to_owned()
        })?;
        let request = http::Request::builder()
            .method(Method::POST)
            .uri(url.as_str())
            .header(header::CONTENT_TYPE, "application/x-amz-json-1.1")
            .header("x-amz-target", TARGET)
            .body(body.as_bytes().into())
            .map_err(|error| error.to_string())?;
        let Answer { status, body } = self.chain.call("ecr", &ecr.region, request).await?;
        if !status.is_success() {
            let at = url.host_str().unwrap_or_default().to_owned();
            return Err(format!("{at} answered {status} to GetAuthorizationToken: {}", words(&body)));
        }
        read(&body, Timestamp::now())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply {
    authorization_data: Vec<Data>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    authorization_token: String,
    expires_at: Option<f64>,
}

/// Reads the answer to `GetAuthorizationToken`.
fn read(body: &[u8], now: Timestamp) -> Result<Password, String> {
    // serde's own words could quote the token.
    let unusable = || "the answer to GetAuthorizationToken holds no token".to_owned();
    let reply: Reply = serde_json::from_slice(body).map_err(|_| unusable())?;
    let data = reply.authorization_data.into_iter().next().ok_or_else(unusable)?;
    let decoded = base64::engine::general_purpose::STANDARD.decode(data.authorization_token.trim());
    let text = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(unusable)?;
    let (username, password) = text.split_once(':').ok_or_else(unusable)?;
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^52")]
    let left = data.expires_at.map(|end| end - now.as_second() as f64).filter(|left| left.is_finite());
    let life = match left {
        Some(left) if left > 0.0 => Duration::try_from_secs_f64(left).unwrap_or(LONGEST).min(LONGEST),
        // A clock that is wrong by hours; the registry will tell.
        Some(_) => Duration::from_mins(10),
        None => LONGEST,
    };
    let obtained = Instant::now();
    Ok(Password {
        login: Login { username: username.to_owned(), secret: Secret::Password(password.to_owned()) },
        obtained,
        renew: obtained + life / 12 * 11,
        end: obtained + life,
    })
}

/// AWS's own words: the type and the message of its JSON errors.
fn words(body: &[u8]) -> String {
    let parsed: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let told = parsed.as_ref().and_then(|value| {
        let text = |key: &str| value.get(key).and_then(serde_json::Value::as_str);
        let kind = text("__type").map(|kind| kind.rsplit('#').next().unwrap_or(kind))?;
        Some(format!("{kind} {}", text("message").or_else(|| text("Message")).unwrap_or_default()))
    });
    printable(told.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned()).trim(), 300)
}

/// One line about an error of the chain.
fn told(error: &Error) -> String {
    with_causes(error, 300)
}

#[cfg(test)]
mod tests;
