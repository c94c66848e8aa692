//! Where a server listens.

use std::{fmt, str::FromStr};

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
        let allowed = || "must be host:port, such as redis.shop:6379".to_owned();
        if text.contains("://") {
            return Err(format!("has a scheme; it {}", allowed()));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(allowed)?;
        let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(v6) => v6,
            None if host.contains(':') => return Err(allowed()),
            None => host,
        };
        HostPort::new(host, port).ok_or_else(allowed)
    }
}

impl HostPort {
    /// From its two parts; `None` if one of them cannot be.
    pub fn new(host: &str, port: &str) -> Option<Self> {
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | ',');
        // RFC 1035 allows 253 characters.
        (!host.is_empty() && host.len() <= 253 && !host.contains(bad)).then(|| HostPort {
            host: host.to_owned(),
            port,
        })
    }
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
}
