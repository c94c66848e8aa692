//! Where a server listens.

use std::{fmt, net::Ipv6Addr, str::FromStr};

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    /// A TCP port, never 0.
    pub port: u16,
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        HostPort::parse(text, "redis.shop:6379")
    }
}

impl HostPort {
    /// From `host:port`. The error completes the sentence "the value …", with an `example`.
    pub fn parse(text: &str, example: &str) -> Result<Self, String> {
        let allowed = || format!("must be host:port, such as {example}");
        if text.contains("://") {
            return Err(format!("has a scheme; it {}", allowed()));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(allowed)?;
        if host.contains(':') && !host.starts_with('[') {
            return Err(allowed());
        }
        HostPort::new(host, port).map_err(|_| allowed())
    }

    /// From a host and a port that are written apart. The error completes the sentence "the host …".
    pub fn new(host: &str, port: &str) -> Result<Self, String> {
        let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(v6) => v6,
            None => host,
        };
        if host.contains('@') {
            return Err("must be a host name or an IP address, without credentials".to_owned());
        }
        if let Some((name, port)) = host.rsplit_once(':')
            && host.parse::<Ipv6Addr>().is_err()
        {
            return Err(format!(
                "has a port already; write `{name}` as the host and `{port}` as the port, or both \
                 together as the address"
            ));
        }
        let number = port.parse().ok().filter(|port| *port != 0);
        let port = number.ok_or_else(|| {
            let port = without_login(port);
            format!("needs a port from 1 to 65535, not `{port}`")
        })?;
        let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | ',');
        // RFC 1035 allows 253 characters.
        if host.is_empty() || host.len() > 253 || host.contains(bad) {
            return Err("must be a host name or an IP address".to_owned());
        }
        Ok(HostPort {
            host: host.to_owned(),
            port,
        })
    }
}

/// An address without the credentials that a URL may carry, for messages.
pub fn without_login(address: &str) -> &str {
    address.rsplit('@').next().unwrap_or_default()
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_port_is_read_strictly() {
        let parse = |text: &str| HostPort::from_str(text);
        assert_eq!(parse("redis:6379").unwrap().to_string(), "redis:6379");
        assert_eq!(parse("[::1]:6379").unwrap().to_string(), "[::1]:6379");
        for bad in [
            "redis",
            "redis:",
            ":6379",
            "redis:0",
            "redis:70000",
            "::1:6379",
            "redis://r:1",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_with_a_port_of_its_own_is_refused_with_the_way_to_split_it() {
        let error = HostPort::new("127.0.0.1:6379", "6379").unwrap_err();
        assert_eq!(
            error,
            "has a port already; write `127.0.0.1` as the host and `6379` as the port, or both \
             together as the address"
        );
        for v6 in ["::1", "[::1]"] {
            assert_eq!(HostPort::new(v6, "6379").unwrap().to_string(), "[::1]:6379");
        }
        assert!(HostPort::new("redis", "0").is_err());
        for with_login in [
            HostPort::new("u:hunter2@redis", "6379"),
            HostPort::new("redis", "tcp://u:hunter2@redis:6379"),
        ] {
            assert!(!with_login.unwrap_err().contains("hunter2"));
        }
        assert!(HostPort::new("re dis", "6379").is_err());
    }
}
