//! Where a registry's words may lead this process: token servers, redirects, upload locations.
//!
//! The names of the configuration are trusted; an address that a registry names is not. It is followed to another host
//! only over HTTPS and only to public addresses, checked after the name was resolved.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::model::RegistryHost;

/// The way to an address that a registry named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The registry itself: same scheme and authority.
    Registry,
    /// Another port of the registry's own host.
    SameHost,
    /// Another host, which must turn out to be public.
    Public,
}

/// Which way leads to `url`, or the rule that forbids it.
///
/// `plain` tells that the registry itself is spoken to without TLS, `names` are the authorities that mean the registry.
pub(crate) fn judge(
    registry: &RegistryHost,
    names: &[&str],
    plain: bool,
    url: &Url,
) -> Result<Way, &'static str> {
    let tls = match url.scheme() {
        "https" => true,
        "http" => false,
        _ => return Err("neither https nor http"),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("credentials in the address");
    }
    let Some(host) = url.host_str() else { return Err("no host") };
    let port = url.port_or_known_default();
    let own = |name: &&str| {
        let default = if plain { 80 } else { 443 };
        let (name, own_port) = split_authority(name, default);
        name.eq_ignore_ascii_case(host) && Some(own_port) == port
    };
    if tls != plain && names.iter().any(own) {
        return Ok(Way::Registry);
    }
    if host.eq_ignore_ascii_case(registry.host()) {
        return if tls || plain {
            Ok(Way::SameHost)
        } else {
            Err("plain http for a registry that speaks https")
        };
    }
    if !tls {
        return Err("plain http to another host");
    }
    match url.host() {
        Some(Host::Ipv4(address)) if !is_public(address.into()) => Err("a private address on another host"),
        Some(Host::Ipv6(address)) if !is_public(address.into()) => Err("a private address on another host"),
        Some(_) => Ok(Way::Public),
        None => Err("no host"),
    }
}

fn split_authority(authority: &str, default: u16) -> (&str, u16) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, port.parse().unwrap_or(default)),
        _ => (authority, default),
    }
}

/// Scheme and host of an address, for messages; the rest may hold a signature.
pub(crate) fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or("no host");
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    crate::model::printable(&format!("{}://{host}{port}", url.scheme()), 120)
}

/// Whether an address is on the public internet (IANA special-purpose registries, RFC 6890).
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

// One letter for each of eight groups.
#[allow(clippy::many_single_char_names)]
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([w, x], [y, z]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(w, x, y, z))
    };
    match (a, b) {
        // IPv4 by another name: mapped and compatible, NAT64, 6to4.
        (0, 0) => (c, d, e, f) == (0, 0, 0, 0xffff) && embedded(g, h),
        (0x64, 0xff9b) => (c, d, e, f) == (0, 0, 0, 0) && embedded(g, h),
        (0x2002, high) => embedded(high, c),
        // Teredo, documentation, benchmarking.
        (0x2001, 0 | 0xdb8 | 2) => false,
        _ => (0x2000..0x4000).contains(&a),
    }
}

/// Whether an address leads to this machine's surroundings alone: where clouds have their metadata services.
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => address.is_link_local(),
            // The last is where AWS has its own.
            None => {
                address.is_unicast_link_local() || address.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
            }
        },
    }
}

/// Resolves the names of the configuration, which whoever may push can write: to no link-local address.
#[derive(Debug)]
pub(crate) struct NoLinkLocal;

/// A name that resolves to a link-local address.
#[derive(Debug, thiserror::Error)]
#[error("it resolves to a link-local address")]
pub(crate) struct LinkLocal;

impl Resolve for NoLinkLocal {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.iter().any(|address| is_link_local(address.ip())) {
                return Err(LinkLocal.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Resolves names to public addresses alone, so that a name can't be pointed inwards after it was judged.
#[derive(Debug)]
pub(crate) struct PublicOnly;

/// A name on another host that resolves to no public address.
#[derive(Debug, thiserror::Error)]
#[error("it resolves to a private address")]
pub(crate) struct NotPublic;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.is_empty() || !found.iter().all(|address| is_public(address.ip())) {
                return Err(NotPublic.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Resolves every name as `host` would be, so that a registry keeps its name while the connection goes elsewhere.
#[derive(Debug)]
pub(crate) struct Instead {
    /// The host to connect to.
    pub(crate) host: String,
}

impl Resolve for Instead {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.host.trim_matches(['[', ']']).to_owned();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Resolves every name as a host of the configuration would be: to no link-local address.
#[derive(Debug)]
pub(crate) struct Towards {
    /// The host to connect to.
    pub(crate) host: String,
}

impl Resolve for Towards {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.host.trim_matches(['[', ']']).to_owned();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            if found.iter().any(|address| is_link_local(address.ip())) {
                return Err(LinkLocal.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn way(registry: &str, names: &[&str], plain: bool, url: &str) -> Result<Way, &'static str> {
        judge(&registry.parse().unwrap(), names, plain, &Url::parse(url).unwrap())
    }

    #[test]
    fn a_public_registry_may_lead_to_https_elsewhere_and_nowhere_else() {
        let hub = |url| way("docker.io", &["docker.io", "registry-1.docker.io"], false, url);
        assert_eq!(hub("https://registry-1.docker.io/v2/"), Ok(Way::Registry));
        assert_eq!(hub("https://auth.docker.io/token"), Ok(Way::Public));
        assert_eq!(hub("https://docker.io:8443/token"), Ok(Way::SameHost));
        for refused in [
            "http://auth.docker.io/token",
            "http://docker.io/token",
            "https://169.254.169.254/latest",
            "http://169.254.169.254/latest",
            "https://127.0.0.1/token",
            "https://[::1]/token",
            "https://[::ffff:10.0.0.1]/token",
            "https://2130706433/token",
            "https://user:secret@auth.docker.io/token",
            "file:///etc/passwd",
            "gopher://auth.docker.io/",
        ] {
            assert!(hub(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_loopback_registry_may_have_its_token_server_on_another_port_of_the_same_name() {
        let local = |url| way("localhost:5000", &["localhost:5000"], true, url);
        assert_eq!(local("http://localhost:5000/token"), Ok(Way::Registry));
        assert_eq!(local("http://localhost:5001/token"), Ok(Way::SameHost));
        assert!(local("http://127.0.0.1:5001/token").is_err());
        assert!(local("https://127.0.0.1:5001/token").is_err());
        assert!(local("http://169.254.169.254/").is_err());
    }

    #[test]
    fn the_address_of_an_endpoint_means_the_registry_itself() {
        let names = ["k3d-registry:5000", "localhost:41000"];
        assert_eq!(way("k3d-registry:5000", &names, true, "http://localhost:41000/v2/x"), Ok(Way::Registry));
        assert!(way("k3d-registry:5000", &names, true, "http://localhost:41001/v2/x").is_err());
    }

    #[test]
    fn metadata_services_are_link_local_and_private_registries_are_not() {
        for inside in ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "fd00:ec2::254"] {
            assert!(is_link_local(inside.parse().unwrap()), "{inside}");
        }
        for other in ["10.0.0.1", "127.0.0.1", "192.168.1.5", "::1", "fd12::1", "1.1.1.1"] {
            assert!(!is_link_local(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn special_addresses_are_not_public() {
        for inside in [
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::7f00:1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "ff02::1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for outside in
            ["1.1.1.1", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
        {
            assert!(is_public(outside.parse().unwrap()), "{outside}");
        }
    }
}
