//! Servers that are reached at another address than the one that is written: behind port-forwards.

use std::{str::FromStr, sync::Arc};

use crate::metadata::values::HostPort;

/// Which servers are reached elsewhere. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostMap(Arc<[Mapping]>);

/// One server, or one host with all its ports, and the address to connect to in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    from: Place,
    to: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    host: String,
    /// `None`: every port, or the same one.
    port: Option<u16>,
}

impl HostMap {
    /// The first mapping of a server counts.
    pub fn new(mappings: impl IntoIterator<Item = Mapping>) -> Self {
        HostMap(mappings.into_iter().collect())
    }

    /// Whether nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where to connect for a server. TLS still checks the name that was written.
    pub fn of(&self, server: &HostPort) -> HostPort {
        let host = server.host.trim_end_matches('.');
        let of_server = |mapping: &&Mapping| {
            let Place { host: mapped, port } = &mapping.from;
            mapped.eq_ignore_ascii_case(host) && port.is_none_or(|port| port == server.port)
        };
        match self.0.iter().find(of_server) {
            Some(Mapping { to, .. }) => HostPort {
                host: to.host.clone(),
                port: to.port.unwrap_or(server.port),
            },
            None => server.clone(),
        }
    }
}

impl FromStr for Mapping {
    type Err = String;

    /// `host=address` or `host:port=address:port`.
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            "must be HOST=ADDRESS, such as redis.shop.svc:6379=127.0.0.1:16379; without a port, \
             every port of the host"
                .to_owned()
        };
        let (from, to) = text.split_once('=').ok_or_else(bad)?;
        let (from, to) = (place(from), place(to));
        Ok(Mapping {
            from: from.ok_or_else(bad)?,
            to: to.ok_or_else(bad)?,
        })
    }
}

fn place(text: &str) -> Option<Place> {
    let text = text.trim();
    let (server, has_port) = match text.parse::<HostPort>() {
        Ok(server) => (server, true),
        // Some port, for the checks of the host.
        Err(_) => (HostPort::new(text, "1").ok()?, false),
    };
    Some(Place {
        host: server.host.trim_end_matches('.').to_owned(),
        port: has_port.then_some(server.port),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(mappings: &[&str], server: &str) -> String {
        let mappings = mappings.iter().map(|text| text.parse().expect(text));
        let server = server.parse().expect("is an address");
        HostMap::new(mappings).of(&server).to_string()
    }

    #[test]
    fn a_server_or_all_of_a_host_is_reached_elsewhere() {
        let one = [
            "redis.shop.svc:6379=127.0.0.1:16379",
            "kafka.shop.svc=[::1]",
        ];
        for (server, expected) in [
            ("redis.shop.svc:6379", "127.0.0.1:16379"),
            ("Redis.shop.svc.:6379", "127.0.0.1:16379"),
            ("redis.shop.svc:6380", "redis.shop.svc:6380"),
            ("kafka.shop.svc:9092", "[::1]:9092"),
            ("other:1", "other:1"),
        ] {
            assert_eq!(of(&one, server), expected);
        }
    }

    #[test]
    fn what_is_no_mapping_says_how_one_is_written() {
        for bad in ["", "redis", "=x", "a=", "a b=c", "http://a=b"] {
            let error = bad.parse::<Mapping>().expect_err(bad);
            assert!(error.contains("HOST=ADDRESS"), "{error}");
        }
    }
}
