//! `verify.prometheus`, `verify.traffic` and `verify.probe`: what the requests of a version must meet.

use std::net::IpAddr;
use std::time::Duration;

use url::{Host, Url};

use super::keys::{LATENCY, PROBE, TRAFFIC};
use super::mask::shown;
use super::problem::Findings;
use super::read::{Fields, Value};
use crate::discover::egress::is_link_local;

/// The requests of the users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    /// Where it is measured: the address of a Prometheus, with `http` or `https`, without credentials.
    pub prometheus: Url,
    /// The share of requests that must not fail; at least one of this and `latency` is there.
    pub success_rate: Option<Percent>,
    /// How fast requests must be.
    pub latency: Option<Latency>,
    /// How often a version that is not worse may be taken back; 1 % unless given.
    pub false_rollback: Percent,
}

/// How fast requests must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// The share of requests that must be as fast as `max`.
    pub percentile: Percent,
    /// The longest time that such a request may take, at most an hour.
    pub max: Duration,
}

/// Requests of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Where they are sent, with `http` or `https`, without credentials.
    pub url: Url,
    /// The host that is asked for, where it is another one than the address's.
    pub host: Option<String>,
    /// The status of a good answer; 200 unless given.
    pub expect_status: u16,
    /// So many good answers in a row are enough; 60 unless given.
    pub count: u32,
}

/// A share of a hundred, to a thousandth of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u32);

impl Percent {
    const ALL: u32 = 100_000;

    /// The share, between 0 and 1.
    pub fn share(self) -> f64 {
        f64::from(self.0) / f64::from(Self::ALL)
    }

    /// What is left of the whole, between 0 and 1.
    pub fn rest(self) -> f64 {
        f64::from(Self::ALL - self.0) / f64::from(Self::ALL)
    }
}

/// 1 %: of 100 versions that are not worse, one may be taken back.
const FALSE_ROLLBACK: Percent = Percent(1000);
/// The largest bound of Istio's histogram.
const SLOWEST: Duration = Duration::from_hours(1);

pub(super) fn traffic(verify: &Fields<'_>, findings: &mut Findings) -> Option<Traffic> {
    let address = verify.get("prometheus");
    let prometheus = address.as_ref().and_then(|address| address.legal(prometheus, findings));
    let Some(value) = verify.get("traffic") else {
        if let Some(address) = address {
            address.problem(
                findings,
                "nothing is measured there; add `traffic: {successRate: 99.5}` or remove it",
            );
        }
        return None;
    };
    if address.is_none() {
        value.problem(findings, "nothing says where it is measured; add `prometheus: URL` beside it");
    }
    let fields = value.fields(&TRAFFIC, findings)?;
    let success_rate = fields.get("successRate");
    let latency = fields.get("latency");
    if success_rate.is_none() && latency.is_none() {
        value.problem(findings, "says nothing that must be met; add `successRate: 99.5` or `latency`");
    }
    let success_rate = success_rate.and_then(|rate| rate.legal(goal, findings));
    let latency = latency.and_then(|latency| self::latency(&latency, findings));
    let false_rollback = fields.get("falseRollback").and_then(|rate| rate.legal(chance, findings));
    Some(Traffic {
        prometheus: prometheus?,
        success_rate,
        latency,
        false_rollback: false_rollback.unwrap_or(FALSE_ROLLBACK),
    })
}

fn latency(value: &Value<'_>, findings: &mut Findings) -> Option<Latency> {
    let fields = value.fields(&LATENCY, findings)?;
    let percentile =
        fields.required("percentile", "99", findings).and_then(|value| value.legal(goal, findings));
    let longest = fields.required("max", "500ms", findings).and_then(|value| {
        let max = value.duration(Duration::from_millis(1), findings)?;
        if max > SLOWEST {
            value.problem(findings, "longer than Istio measures; write 1h or less");
            return None;
        }
        Some(max)
    });
    Some(Latency { percentile: percentile?, max: longest? })
}

pub(super) fn probe(verify: &Fields<'_>, findings: &mut Findings) -> Option<Probe> {
    let fields = verify.get("probe")?.fields(&PROBE, findings)?;
    let url = fields
        .required("url", "https://app.example.org/healthz", findings)
        .and_then(|url| url.legal(address, findings));
    let host = fields.get("host").map(|host| host.legal(host_name, findings));
    let status = fields.get("expectStatus").and_then(|status| {
        status.legal(|text| whole(text, 200, 599, "a status that a request ends with, like 200"), findings)
    });
    let count = fields.get("count").and_then(|count| {
        count.legal(|text| whole(text, 1, 10_000, "how many good answers are enough, like 60"), findings)
    });
    let host = match host {
        Some(host) => Some(host?),
        None => None,
    };
    Some(Probe {
        url: url?,
        host,
        expect_status: status.and_then(|status| u16::try_from(status).ok()).unwrap_or(200),
        count: count.unwrap_or(60),
    })
}

fn prometheus(text: &str) -> Result<Url, String> {
    let url = address(text)?;
    if url.query().is_some() {
        return Err("carries a query; write the address that `/api/v1/query` is below".to_owned());
    }
    Ok(url)
}

/// Where this process may be sent by whoever may push: anywhere but to the metadata services of clouds.
fn address(text: &str) -> Result<Url, String> {
    let wrong =
        || format!("not an address (got \"{}\"); write http://HOST[:PORT] or https://HOST", shown(text));
    let url = Url::parse(text).ok().filter(|_| text.len() <= 2000).ok_or_else(wrong)?;
    if !matches!(url.scheme(), "http" | "https") || url.fragment().is_some() {
        return Err(wrong());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("carries credentials (got \"{}\"); remove them", shown(text)));
    }
    let literal: Option<IpAddr> = match url.host().ok_or_else(wrong)? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    };
    if literal.is_some_and(is_link_local) {
        return Err(format!("a link-local address (got \"{}\"); write one of a service", shown(text)));
    }
    Ok(url)
}

fn host_name(text: &str) -> Result<String, String> {
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if text.len() <= 253 && text.split('.').all(label) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(format!(
        "not a host's name (got \"{}\"); write one like app.example.org, without a port",
        shown(text)
    ))
}

/// A goal: most requests, but not all, since no number of requests could show that.
fn goal(text: &str) -> Result<Percent, String> {
    percent(text, 3).filter(|percent| (50_000..Percent::ALL).contains(&percent.0)).ok_or_else(|| {
        format!("not a goal (got \"{}\"); write a percentage from 50 to 99.999, like 99.5", shown(text))
    })
}

/// A chance between 0 and 1, as statistics write it.
fn chance(text: &str) -> Result<Percent, String> {
    percent(text, 5).filter(|chance| (10..=20_000).contains(&chance.0)).ok_or_else(|| {
        format!("not a chance (got \"{}\"); write one from 0.0001 to 0.2, like 0.01", shown(text))
    })
}

/// Digits with at most `places` of them after a point, in units of the last place.
fn percent(text: &str, places: usize) -> Option<Percent> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let pointless = text.contains('.') && part.is_empty();
    if whole.is_empty()
        || whole.len() > 3
        || part.len() > places
        || pointless
        || !digits(whole)
        || !digits(part)
    {
        return None;
    }
    format!("{whole}{part:0<places$}").parse().ok().map(Percent)
}

pub(super) fn whole(text: &str, least: u32, most: u32, what: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|number| (least..=most).contains(number) && text.bytes().all(|byte| byte.is_ascii_digit()))
        .ok_or_else(|| format!("not a number from {least} to {most} (got \"{}\"); write {what}", shown(text)))
}
