//! Rules for addresses: hosts, networks and ports.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use globset::{GlobBuilder, GlobMatcher};
use ipnet::IpNet;

use crate::metadata::values::HostPort;

/// Which servers are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `None`: every server.
    list: Option<Vec<Rule>>,
}

/// One entry of a list: a host or a network, and perhaps a port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    place: Place,
    /// `None`: every port.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// A host as the trigger, or the server that advertises it, writes it.
    Host(HostGlob),
    Network(IpNet),
}

/// Compiled once; equal if its text is.
#[derive(Clone)]
struct HostGlob(GlobMatcher);

impl fmt::Debug for HostGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.glob().glob())
    }
}

impl PartialEq for HostGlob {
    fn eq(&self, other: &Self) -> bool {
        self.0.glob() == other.0.glob()
    }
}

impl Eq for HostGlob {}

impl Rules {
    /// Every server but those at link-local addresses.
    pub fn everything() -> Self {
        Rules { list: None }
    }

    /// The servers of a list. The error completes the sentence "`engine.inlineConnections` …".
    pub fn listed(entries: &[String]) -> Result<Self, String> {
        let list: Result<Vec<Rule>, String> = entries.iter().map(|e| Rule::parse(e)).collect();
        Ok(Rules { list: Some(list?) })
    }

    /// Whether a server is listed as it is written: its host by name, an address also by network. What
    /// a name resolves to is not known here, so that no network lists it.
    pub fn names(&self, server: &HostPort) -> bool {
        let ip = server.host.parse::<IpAddr>().ok();
        self.list.as_deref().is_some_and(|list| {
            list.iter()
                .filter(|rule| rule.port.is_none_or(|allowed| allowed == server.port))
                .any(|rule| {
                    let in_network = ip.is_some_and(|ip| rule.has_network_of(ip.to_canonical()));
                    rule.has_host(&server.host) || in_network
                })
        })
    }

    pub(super) fn has_list(&self) -> bool {
        self.list.is_some()
    }

    /// Whether a server may be connected to: its host as written, and an address that it has.
    pub(super) fn allow(&self, host: &str, ip: IpAddr, port: u16) -> bool {
        let ip = canonical(ip);
        let list = self.list.as_deref();
        let mut of_port = list
            .unwrap_or_default()
            .iter()
            .filter(|rule| rule.port.is_none_or(|allowed| allowed == port));
        match is_metadata(ip) {
            // A name that somebody else resolves must not lead there.
            true => of_port.any(|rule| rule.has_network_of(ip)),
            false => {
                list.is_none() || of_port.any(|rule| rule.has_host(host) || rule.has_network_of(ip))
            }
        }
    }
}

/// The address of IPv4 that an address of IPv6 leads to: `::ffff:169.254.169.254`, or
/// `64:ff9b::169.254.169.254` behind a NAT64 (RFC 6052).
fn canonical(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) if v6.octets().starts_with(&NAT64) => {
            let [.., a, b, c, d] = v6.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        _ => ip.to_canonical(),
    }
}

/// `64:ff9b::/96`, the well-known prefix.
const NAT64: [u8; 12] = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];

/// Addresses where clouds hand out a machine's credentials: link-local ones (RFC 3927, RFC 4291),
/// and those of AWS and Google Cloud for IPv6, of Alibaba Cloud and of Oracle Cloud.
fn is_metadata(ip: IpAddr) -> bool {
    const OTHERS: [IpAddr; 4] = [
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
        IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
        IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
        IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    ];
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    link_local || OTHERS.contains(&ip)
}

impl Rule {
    /// `host`, `host:port`, `network` or `network:port`, where a host may be a glob; IPv6 with a
    /// port is in brackets.
    fn parse(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "has `{text}`, which must be a host, an address or a network, perhaps with a port: \
                 *.shop.svc, redis.shop:6379, 10.0.0.0/8, [fd00::/8]:6379"
            )
        };
        let (place, port) = split(text).ok_or_else(bad)?;
        if let Some(network) = network(place) {
            let place = Place::Network(network);
            return Ok(Rule { place, port });
        }
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.*?[]{}".contains(c);
        if place.is_empty() || !place.chars().all(good) {
            return Err(bad());
        }
        let glob = GlobBuilder::new(place).case_insensitive(true).build();
        let glob = glob.map_err(|_| bad())?.compile_matcher();
        let place = Place::Host(HostGlob(glob));
        Ok(Rule { place, port })
    }

    fn has_host(&self, host: &str) -> bool {
        match &self.place {
            // A trailing dot is the root of the same name.
            Place::Host(HostGlob(glob)) => glob.is_match(host.trim_end_matches('.')),
            Place::Network(_) => false,
        }
    }

    fn has_network_of(&self, ip: IpAddr) -> bool {
        matches!(&self.place, Place::Network(network) if network.contains(&ip))
    }
}

/// What stands before the port, and the port.
fn split(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[')
        && let Some((place, port)) = rest.split_once(']')
        && place.contains(':')
    {
        return match port.strip_prefix(':') {
            Some(port) => Some((place, Some(port.parse().ok()?))),
            None => port.is_empty().then_some((place, None)),
        };
    }
    match text.split_once(':') {
        None => Some((text, None)),
        // IPv6 without brackets, and so without a port.
        Some((_, rest)) if rest.contains(':') => Some((text, None)),
        Some((place, port)) => Some((place, Some(port.parse().ok()?))),
    }
}

fn network(text: &str) -> Option<IpNet> {
    let network = text.parse::<IpNet>().ok();
    network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(entries: &[&str], host: &str, ip: &str, port: u16) -> bool {
        let entries: Vec<String> = entries.iter().map(|e| e.to_string()).collect();
        let rules = Rules::listed(&entries).expect("is a list");
        rules.allow(host, ip.parse().expect("is an address"), port)
    }

    #[test]
    fn an_entry_is_a_host_or_a_network_perhaps_with_a_port() {
        for (entry, host, ip, port, expected) in [
            ("redis.shop", "redis.shop", "10.0.0.1", 6379, true),
            ("redis.shop", "REDIS.shop.", "10.0.0.1", 6379, true),
            ("redis.shop:6379", "redis.shop", "10.0.0.1", 6380, false),
            ("*.shop.svc:6379", "a.shop.svc", "10.0.0.1", 6379, true),
            ("*.shop.svc", "shop.svc.evil.example", "10.0.0.1", 1, false),
            ("10.0.0.0/8", "any.name", "10.9.9.9", 1, true),
            ("10.0.0.0/8", "any.name", "11.0.0.1", 1, false),
            ("10.0.0.0/8", "any.name", "::ffff:10.0.0.1", 1, true),
            ("10.0.0.0/8:9092", "any.name", "10.0.0.1", 9093, false),
            ("10.1.2.3", "any.name", "10.1.2.3", 1, true),
            ("[fd00::/8]:6379", "any.name", "fd00::1", 6379, true),
            ("[fd00::/8]:6379", "any.name", "fd00::1", 6380, false),
            ("fd00::/8", "any.name", "fd00::1", 1, true),
            ("*", "any.name", "10.0.0.1", 1, true),
        ] {
            assert_eq!(
                allowed(&[entry], host, ip, port),
                expected,
                "{entry} for {host} at {ip} port {port}"
            );
        }
        assert!(!allowed(&[], "redis", "10.0.0.1", 6379), "an empty list");
    }

    #[test]
    fn a_server_is_listed_as_it_is_written() {
        let entries = ["*.shop.svc:6379", "10.0.0.0/8"].map(str::to_owned);
        let rules = Rules::listed(&entries).unwrap();
        for (server, expected) in [
            ("redis.shop.svc:6379", true),
            ("redis.shop.svc:6380", false),
            ("10.1.2.3:9092", true),
            ("11.1.2.3:9092", false),
            ("redis.mail.svc:6379", false),
        ] {
            assert_eq!(rules.names(&server.parse().unwrap()), expected, "{server}");
        }
        let everything = Rules::everything();
        assert!(!everything.names(&"redis:6379".parse().unwrap()));
    }

    #[test]
    fn metadata_addresses_are_allowed_by_network_alone() {
        for ip in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
        ] {
            assert!(!allowed(&["*"], "metadata.example", ip, 80), "{ip}");
            assert!(!Rules::everything().allow("x", ip.parse().unwrap(), 80));
        }
        assert!(allowed(&["169.254.0.0/16"], "x", "169.254.169.254", 80));
    }

    #[test]
    fn a_bad_entry_is_shown_with_what_is_allowed() {
        for bad in [
            "",
            "a b",
            "redis:port",
            "10.0.0.0/40",
            "[fd00::/8]6379",
            "http://x",
        ] {
            let error = Rules::listed(&[bad.to_owned()]).expect_err(bad);
            assert!(error.contains(&format!("`{bad}`")), "{error}");
        }
    }
}
