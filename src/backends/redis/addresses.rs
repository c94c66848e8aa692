//! The keys that say where, in both of KEDA's spellings.

use crate::metadata::{
    problem::{Problem, Problems},
    values::{HostPort, NameList},
};

/// The keys that say where, in both spellings.
pub struct Addresses {
    pub address: Option<String>,
    pub addresses: Option<NameList>,
    pub host: Option<NameList>,
    pub hosts: Option<NameList>,
    pub port: Option<NameList>,
    pub ports: Option<NameList>,
}

impl Addresses {
    /// The servers; `address(es)`, or `host(s)` and `port(s)` that agree in number.
    pub fn check(self) -> Result<Vec<HostPort>, Problems> {
        let address = self
            .address
            .map(|address| NameList(vec![address.trim().to_owned()]));
        let addresses = one_of(("address", address), ("addresses", self.addresses))?;
        let hosts = one_of(("host", self.host), ("hosts", self.hosts))?;
        let ports = one_of(("port", self.port), ("ports", self.ports))?;
        match (addresses, hosts, ports) {
            (Some((key, addresses)), None, None) => parse_addresses(key, &addresses),
            (Some((key, _)), hosts, ports) => {
                let other = hosts.or(ports).map_or("host", |(other, _)| other);
                Err(Problem::exclusive(other, key).into())
            }
            (None, Some((hosts_key, hosts)), Some((ports_key, ports))) => {
                if hosts.len() != ports.len() {
                    let (hosts, ports) = (hosts.len(), ports.len());
                    let reason = format!(
                        "has {ports} entries and `{hosts_key}` has {hosts}; they must agree"
                    );
                    return Err(Problem::key(ports_key, reason).into());
                }
                let pairs = hosts.iter().zip(&ports);
                let addresses = pairs.map(|(host, port)| {
                    HostPort::new(host, port)
                        .map_err(|reason| Problems::from(Problem::value(hosts_key, host, reason)))
                });
                addresses.collect()
            }
            (None, Some((key, _)), None) => {
                Err(Problem::key("port", format!("is required with `{key}`")).into())
            }
            (None, None, Some((key, _))) => {
                Err(Problem::key("host", format!("is required with `{key}`")).into())
            }
            (None, None, None) => Err(Problem::key(
                "address",
                "is required, or `host` and `port`, or a named `connection`",
            )
            .into()),
        }
    }
}

type Given = Option<(&'static str, Vec<String>)>;

/// The list under whichever of its two names is given.
fn one_of(
    (singular, one): (&'static str, Option<NameList>),
    (plural, many): (&'static str, Option<NameList>),
) -> Result<Given, Problems> {
    match (one, many) {
        (Some(_), Some(_)) => Err(Problem::exclusive(plural, singular).into()),
        (Some(list), None) => Ok(Some((singular, list.0))),
        (None, Some(list)) => Ok(Some((plural, list.0))),
        (None, None) => Ok(None),
    }
}

fn parse_addresses(key: &str, addresses: &[String]) -> Result<Vec<HostPort>, Problems> {
    let parse = |address: &String| {
        address
            .parse()
            .map_err(|reason: String| Problems::from(Problem::value(key, shown(address), reason)))
    };
    addresses.iter().map(parse).collect()
}

/// An address without the credentials that a URL may carry.
fn shown(address: &str) -> &str {
    address.rsplit('@').next().unwrap_or_default()
}
