//! Prometheus: the counters of a workload's requests at this moment, in Istio's standard metrics.
//!
//! The daemon's only word with it: instant queries of raw counters. Differences, resets and what they mean are decided in
//! [`super::traffic`]. What is no whole and sound answer is an error, and an error is no evidence.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method, RequestBuilder};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::{Url, form_urlencoded};

use super::traffic::classify::{Labels, failed};
use super::traffic::{Counter, Durations, Reading};
use crate::config::duration;
use crate::discover::egress::NoLinkLocal;
use crate::model::{printable, with_causes};

const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
const DEADLINE: Duration = Duration::from_secs(10);
/// An answer to a query is kept in memory as a whole.
const ANSWER_LIMIT: usize = 8 << 20;
/// A list of all targets is some 1 KB for each of them.
const TARGETS_LIMIT: usize = 32 << 20;
/// Prometheus scrapes this often unless it is told otherwise.
const DEFAULT_INTERVAL: Duration = Duration::from_mins(1);
const INTERVALS: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(5);
/// Pods' names in one query: beyond that, it would be refused for its length somewhere on the way.
const MOST_PODS: usize = 2000;

/// Why there is no reading.
#[derive(Debug, thiserror::Error)]
pub enum PrometheusError {
    /// No connection, no answer in time, or one that broke off.
    #[error("Prometheus at {address} does not answer: {cause}; check verify.prometheus and that it runs")]
    Unreachable {
        /// Scheme, host and port.
        address: String,
        /// In the client's words.
        cause: String,
    },
    /// Another status than 200, or an error in its words.
    #[error("Prometheus at {address} refuses a query ({status}): {words}")]
    Refused {
        /// Scheme, host and port.
        address: String,
        /// The HTTP status.
        status: u16,
        /// In its words.
        words: String,
    },
    /// An answer that can't be used.
    #[error("the answer of Prometheus at {address} can't be used: {cause}")]
    Odd {
        /// Scheme, host and port.
        address: String,
        /// What is wrong with it.
        cause: String,
    },
}

/// What is asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// The workload's namespace.
    pub namespace: String,
    /// The workload's name, as Istio has it in `destination_workload`.
    pub workload: String,
    /// The pods of the new version.
    pub new: BTreeSet<String>,
    /// Pods of the old version, those that are gone among them.
    pub old: BTreeSet<String>,
    /// The bound of the histogram that tells slow requests, in milliseconds; none where speed does not matter.
    pub bound: Option<Bound>,
}

/// A bound of the histogram, in tenths of a millisecond, so that it can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound(u64);

impl Bound {
    /// `milliseconds` is one of Istio's bounds.
    pub fn new(milliseconds: f64) -> Self {
        Self(count(milliseconds * 10.0).unwrap_or(u64::MAX))
    }

    /// As a regular expression for `le`: Prometheus 3 writes whole numbers with a decimal, Prometheus 2 without.
    fn pattern(self) -> String {
        match (self.0 / 10, self.0 % 10) {
            (whole, 0) => format!("{whole}(\\\\.0)?"),
            (whole, tenth) => format!("{whole}\\\\.{tenth}"),
        }
    }
}

/// An answer to a [`Question`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answered {
    /// The counters.
    pub reading: Reading,
    /// Seconds since the newest sample, by pod; none of a pod that Prometheus does not reach.
    pub ages: BTreeMap<String, f64>,
}

/// A Prometheus, or what answers like one.
#[derive(Debug, Clone)]
pub struct Prometheus {
    client: Client,
    base: Url,
    shown: String,
}

impl Prometheus {
    /// A client of that address, and of no other: redirects are not followed.
    pub fn new(base: &Url) -> Result<Self, PrometheusError> {
        let shown = crate::discover::egress::shown(base);
        let client = Client::builder()
            .user_agent(concat!("promote/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_DEADLINE)
            .timeout(DEADLINE)
            .tcp_nodelay(true)
            .dns_resolver(Arc::new(NoLinkLocal))
            .build()
            .map_err(|error| PrometheusError::Unreachable {
                address: shown.clone(),
                cause: with_causes(&error, 300),
            })?;
        Ok(Self { client, base: base.clone(), shown })
    }

    /// The counters of a workload's pods. `interval` is how often they are scraped.
    pub async fn read(&self, question: &Question, interval: Duration) -> Result<Answered, PrometheusError> {
        let pods = question.new.iter().chain(&question.old);
        let (new, old, all) = (names(question.new.iter()), names(question.old.iter()), names(pods));
        let of = |pods: &str| self::of(question, &format!(",pod=~\"{pods}\""));
        let range = duration::format(interval * 2 + Duration::from_secs(15));
        let by = format!("pod,{LABELS}");
        let requests = format!("sum by ({by}) (istio_requests_total{{{}}})", of(&new));
        // What a pod had last is still there for a while after it is gone.
        let of_old = format!("sum by ({by}) (max_over_time(istio_requests_total{{{}}}[{range}]))", of(&old));
        let sampled = format!("max by (pod) (timestamp(istio_requests_total{{{}}}))", of(&all));
        let here = format!("namespace=~\"{}|\",pod=~\"{new}\"", escaped(&question.namespace));
        let up = format!("max by (pod) (up{{{here}}})");
        let looked = format!("max by (pod) (timestamp(up{{{here}}}))");
        let durations = question.bound.map(|bound| buckets("pod", &of(&all), bound));
        let (clock, requests, of_old, sampled, up, looked, durations) = tokio::try_join!(
            self.clock(),
            self.query(&requests),
            self.query_if(!old.is_empty(), &of_old),
            self.query(&sampled),
            self.query(&up),
            self.query(&looked),
            self.query_if(durations.is_some(), durations.as_deref().unwrap_or_default()),
        )?;
        let mut ages: BTreeMap<String, f64> = BTreeMap::new();
        let reached: BTreeSet<&str> = up
            .elements
            .iter()
            .filter(|element| element.value >= 1.0)
            .map(|element| element.label("pod"))
            .collect();
        for element in looked.elements.iter().filter(|element| reached.contains(element.label("pod"))) {
            ages.insert(element.label("pod").to_owned(), clock - element.value);
        }
        // Where there are counters, their age is what matters, whatever else of the pod is scraped.
        for element in &sampled.elements {
            ages.insert(element.label("pod").to_owned(), clock - element.value);
        }
        let reading = Reading {
            at: newest(&sampled).unwrap_or(clock),
            requests: requests
                .elements
                .iter()
                .chain(&of_old.elements)
                .filter_map(|one| counter("pod", one))
                .collect(),
            durations: self::durations("pod", &durations.elements),
        };
        Ok(Answered { reading, ages })
    }

    /// The counters of a workload's instances, where metrics have no `pod`.
    pub async fn read_instances(&self, question: &Question) -> Result<Answered, PrometheusError> {
        let of = of(question, &format!(",destination_workload=\"{}\"", escaped(&question.workload)));
        let requests = format!("sum by (instance,{LABELS}) (istio_requests_total{{{of}}})");
        let sampled = format!("max by (instance) (timestamp(istio_requests_total{{{of}}}))");
        let durations = question.bound.map(|bound| buckets("instance", &of, bound));
        let (clock, requests, sampled, durations) = tokio::try_join!(
            self.clock(),
            self.query(&requests),
            self.query(&sampled),
            self.query_if(durations.is_some(), durations.as_deref().unwrap_or_default()),
        )?;
        let ages = sampled
            .elements
            .iter()
            .map(|one| (one.label("instance").to_owned(), clock - one.value))
            .collect();
        let reading = Reading {
            at: newest(&sampled).unwrap_or(clock),
            requests: requests.elements.iter().filter_map(|one| counter("instance", one)).collect(),
            durations: self::durations("instance", &durations.elements),
        };
        Ok(Answered { reading, ages })
    }

    /// Whether the workload's counters tell its pods apart; none as long as it has no counters.
    pub async fn tells_pods(&self, question: &Question) -> Result<Option<bool>, PrometheusError> {
        let of = of(question, &format!(",destination_workload=\"{}\"", escaped(&question.workload)));
        let found = self.query(&format!("count by (pod) (istio_requests_total{{{of}}})")).await?;
        let named = found.elements.iter().any(|element| !element.label("pod").is_empty());
        Ok((!found.elements.is_empty()).then_some(named))
    }

    /// How often those pods are scraped: the longest interval of theirs. None where no such target is listed.
    pub async fn interval(&self, question: &Question) -> Result<Option<Duration>, PrometheusError> {
        let request = self.request(Method::GET, "api/v1/targets")?.query(&[("state", "active")]);
        let targets: Targets = self.send(request, TARGETS_LIMIT).await?;
        let ours = |target: &&Target| {
            let label = |name: &str| target.labels.get(name).map(String::as_str);
            let pod =
                label("pod").is_some_and(|pod| question.new.contains(pod) || question.old.contains(pod));
            pod && label("namespace").is_none_or(|namespace| namespace == question.namespace)
        };
        let intervals = targets.active.iter().filter(ours).filter_map(|target| interval(&target.interval));
        Ok(intervals.max())
    }

    /// What is taken for the interval where Prometheus does not tell it.
    pub fn default_interval() -> Duration {
        DEFAULT_INTERVAL
    }

    async fn query_if(&self, wanted: bool, query: &str) -> Result<Vector, PrometheusError> {
        if wanted { self.query(query).await } else { Ok(Vector::default()) }
    }

    async fn query(&self, query: &str) -> Result<Vector, PrometheusError> {
        // A query of many pods is too long for an address.
        let body = form_urlencoded::Serializer::new(String::new()).append_pair("query", query).finish();
        let request = self
            .request(Method::POST, "api/v1/query")?
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        let data: Data = self.send(request, ANSWER_LIMIT).await?;
        if data.kind != "vector" {
            return Err(self.odd(format!("it is no vector but {}", printable(&data.kind, 40))));
        }
        Ok(Vector { elements: data.result.into_iter().filter_map(Element::of).collect() })
    }

    /// Its own time: that of this machine may be another one.
    async fn clock(&self) -> Result<f64, PrometheusError> {
        let found = self.query("vector(time())").await?;
        let time = found.elements.first().map(|element| element.value).filter(|time| time.is_finite());
        time.ok_or_else(|| self.odd("it does not tell the time".to_owned()))
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, PrometheusError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| self.odd("its address has no path".to_owned()))?
            .pop_if_empty()
            .extend(path.split('/'));
        Ok(self.client.request(method, url))
    }

    async fn send<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        limit: usize,
    ) -> Result<T, PrometheusError> {
        let failed = |error: reqwest::Error| PrometheusError::Unreachable {
            address: self.shown.clone(),
            cause: with_causes(&error.without_url(), 300),
        };
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > limit {
                return Err(self.odd(format!("it is larger than {} MiB", limit >> 20)));
            }
            body.extend_from_slice(&chunk);
        }
        let answer = serde_json::from_slice::<Envelope<T>>(&body);
        let refused = |words: &str| PrometheusError::Refused {
            address: self.shown.clone(),
            status: status.as_u16(),
            words: printable(words, 300),
        };
        match answer {
            Ok(answer) if status.is_success() && answer.status == "success" => {
                // A front of several Prometheus servers warns so where one of them did not answer.
                if let Some(warning) = answer.warnings.first() {
                    return Err(self.odd(format!("it may not be whole: {}", printable(warning, 300))));
                }
                answer.data.ok_or_else(|| self.odd("it has no data".to_owned()))
            }
            Ok(answer) => Err(refused(&answer.error.unwrap_or_else(|| "no reason given".to_owned()))),
            Err(_) if !status.is_success() => Err(refused(&String::from_utf8_lossy(&body))),
            Err(error) => Err(self.odd(with_causes(&error, 200))),
        }
    }

    fn odd(&self, cause: String) -> PrometheusError {
        PrometheusError::Odd { address: self.shown.clone(), cause }
    }
}

/// The labels that tell what became of a request.
const LABELS: &str = "request_protocol,response_code,grpc_response_status,response_flags";

/// When the newest sample was scraped, by Prometheus's clock.
fn newest(sampled: &Vector) -> Option<f64> {
    let times = sampled.elements.iter().map(|element| element.value);
    Some(times.fold(f64::NEG_INFINITY, f64::max)).filter(|time| time.is_finite())
}

/// Requests as the workload's own proxies count them.
fn of(question: &Question, more: &str) -> String {
    format!(
        "reporter=\"destination\",destination_workload_namespace=\"{}\"{more}",
        escaped(&question.namespace)
    )
}

fn buckets(by: &str, of: &str, bound: Bound) -> String {
    format!(
        "sum by ({by},le) (istio_request_duration_milliseconds_bucket{{{of},le=~\"{}|\\\\+Inf\"}})",
        bound.pattern()
    )
}

/// Names as alternatives of a regular expression.
fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.take(MOST_PODS).map(|name| escaped(&regex::escape(name))).collect::<Vec<_>>().join("|")
}

/// Text between the quotes of a query.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

fn counter(by: &str, element: &Element) -> Option<Counter> {
    let label = |name| element.label(name).to_owned();
    let labels = Labels {
        protocol: label("request_protocol"),
        code: label("response_code"),
        grpc_status: label("grpc_response_status"),
        flags: label("response_flags"),
    };
    let series =
        [&labels.protocol, &labels.code, &labels.grpc_status, &labels.flags].map(String::as_str).join("\n");
    Some(Counter { of: label(by), series, failed: failed(&labels)?, value: count(element.value)? })
}

fn durations(by: &str, elements: &[Element]) -> Vec<Durations> {
    let mut found: BTreeMap<&str, (Option<u64>, Option<u64>)> = BTreeMap::new();
    for element in elements {
        let (all, within) = found.entry(element.label(by)).or_default();
        *if element.label("le") == "+Inf" { all } else { within } = count(element.value);
    }
    let whole = |(of, (all, within)): (&str, (Option<u64>, Option<u64>))| {
        Some(Durations { of: of.to_owned(), all: all?, within: within? })
    };
    found.into_iter().filter_map(whole).collect()
}

/// A counter's value; none of what is no count, such as NaN.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "only what fits is turned")]
fn count(value: f64) -> Option<u64> {
    (0.0..9.0e15).contains(&value).then(|| value.round() as u64)
}

/// Prometheus's own way to write durations: whole numbers with units, the largest first.
fn interval(text: &str) -> Option<Duration> {
    duration::parse(text).ok().filter(|interval| INTERVALS.contains(interval))
}

#[derive(Debug, Default)]
struct Vector {
    elements: Vec<Element>,
}

/// One element of a vector.
#[derive(Debug)]
struct Element {
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Element {
    fn of(sample: Sample) -> Option<Self> {
        let value = sample.value.1.parse().ok()?;
        Some(Self { labels: sample.metric, value })
    }

    fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

#[derive(Deserialize)]
struct Envelope<T> {
    status: String,
    data: Option<T>,
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    #[serde(default)]
    result: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    /// When it was evaluated, and the value as text.
    value: (f64, String),
}

#[derive(Deserialize)]
struct Targets {
    #[serde(rename = "activeTargets", default)]
    active: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(rename = "scrapeInterval", default)]
    interval: String,
}

#[cfg(test)]
#[path = "prometheus_tests.rs"]
mod tests;
