//! One request of our own: to the address in promote.yaml and to nowhere else.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::header::{HOST, HeaderValue, SERVER};
use url::Url;

use super::{Answer, Response, classify};
use crate::config::Probe;
use crate::discover::egress::{NoLinkLocal, Towards};
use crate::model::with_causes;

/// The longest time that an answer may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// A client that probes one address.
#[derive(Debug, Clone)]
pub struct Prober {
    client: Client,
    url: Url,
    host: Option<HeaderValue>,
    expected: u16,
    shown: String,
}

impl Prober {
    /// A client that connects to the address and asks for the host, by name and in TLS. An error is told in words.
    pub fn new(probe: &Probe) -> Result<Self, String> {
        let mut url = probe.url.clone();
        let mut builder = Client::builder()
            .user_agent(concat!("promote/", env!("CARGO_PKG_VERSION"), " (probe)"))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(DEADLINE)
            .timeout(DEADLINE)
            // Each probe has a connection of its own, as a new user has; pods are chosen by connection, too.
            .pool_max_idle_per_host(0)
            .tcp_nodelay(true);
        let mut shown = probe.url.to_string();
        let host = match &probe.host {
            None => {
                builder = builder.dns_resolver(Arc::new(NoLinkLocal));
                None
            }
            Some(host) => {
                let address = url.host_str().ok_or("verify.probe.url has no host")?.to_owned();
                builder = builder.dns_resolver(Arc::new(Towards { host: address }));
                url.set_host(Some(host)).map_err(|error| format!("verify.probe.host: {error}"))?;
                shown = format!("{shown} for {host}");
                // Without the port, which routes do not name.
                Some(HeaderValue::from_str(host).map_err(|error| format!("verify.probe.host: {error}"))?)
            }
        };
        let client = builder.build().map_err(|error| with_causes(&error, 300))?;
        Ok(Self { client, url, host, expected: probe.expect_status, shown })
    }

    /// What is probed, for people.
    pub fn target(&self) -> &str {
        &self.shown
    }

    /// Sends one request. The body of the answer is not read.
    pub async fn probe(&self) -> Answer {
        let mut request = self.client.get(self.url.clone());
        if let Some(host) = &self.host {
            request = request.header(HOST, host.clone());
        }
        match request.send().await {
            Ok(response) => {
                let headers = response.headers();
                let seen = Response {
                    status: response.status().as_u16(),
                    by_proxy: headers.get(SERVER).is_some_and(|server| server == "istio-envoy"),
                    from_upstream: headers.contains_key("x-envoy-upstream-service-time"),
                };
                classify(&seen, self.expected)
            }
            // Names, TCP and TLS belong to the way there.
            Err(error) if error.is_connect() => Answer::Unreachable(with_causes(&error.without_url(), 300)),
            Err(error) if error.is_timeout() => Answer::Bad("no answer within 5s".to_owned()),
            Err(error) => Answer::Bad(with_causes(&error.without_url(), 300)),
        }
    }
}
