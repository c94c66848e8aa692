//! The keys that hold addresses, in both of KEDA's spellings.

use crate::metadata::{
    problem::{Problem, Problems},
    values::{HostPort, NameList, without_login},
};

/// The keys that hold addresses, in both spellings.
pub struct Addresses {
    pub address: Option<String>,
    pub addresses: Option<NameList>,
    pub host: Option<NameList>,
    pub hosts: Option<NameList>,
    pub port: Option<NameList>,
    pub ports: Option<NameList>,
}

/// A list of values with the key that it was given under.
type Given = Option<(&'static str, Vec<String>)>;

impl Addresses {
    /// The servers, at least one; `address(es)`, or `host(s)` and `port(s)` that agree in number.
    pub fn check(self) -> Result<Vec<HostPort>, Problems> {
        let mut problems = Problems::default();
        let address = self
            .address
            .map(|address| NameList(vec![address.trim().to_owned()]));
        let addresses = one_of(
            &mut problems,
            ("address", address),
            ("addresses", self.addresses),
        );
        let hosts = one_of(&mut problems, ("host", self.host), ("hosts", self.hosts));
        let ports = one_of(&mut problems, ("port", self.port), ("ports", self.ports));
        let servers = match (addresses, hosts, ports) {
            (Some((key, addresses)), hosts, ports) => {
                for (other, _) in hosts.into_iter().chain(ports) {
                    problems.push(Problem::exclusive(other, key));
                }
                parse_all(&mut problems, key, &addresses)
            }
            (None, Some(hosts), Some(ports)) => pair_all(&mut problems, hosts, ports),
            (None, Some((key, hosts)), None) => {
                // A host with a port in it is a slip of its own, and says how it is meant.
                let ports = vec!["1".to_owned(); hosts.len()];
                let read = pair_all(&mut problems, (key, hosts), ("port", ports));
                if problems.0.is_empty() && !read.is_empty() {
                    problems.push(Problem::key("port", format!("is required with `{key}`")));
                }
                Vec::new()
            }
            (None, None, Some((key, _))) => {
                problems.push(Problem::key("host", format!("is required with `{key}`")));
                Vec::new()
            }
            (None, None, None) => {
                problems.push(Problem::key(
                    "address",
                    "is required, or `host` and `port`, or a named `connection`",
                ));
                Vec::new()
            }
        };
        problems.into_result().map(|()| servers)
    }
}

/// The list under whichever of its two names is given.
fn one_of(
    problems: &mut Problems,
    (singular, one): (&'static str, Option<NameList>),
    (plural, many): (&'static str, Option<NameList>),
) -> Given {
    if one.is_some() && many.is_some() {
        problems.push(Problem::exclusive(plural, singular));
    }
    let one = one.map(|list| (singular, list.0));
    one.or(many.map(|list| (plural, list.0)))
}

fn parse_all(problems: &mut Problems, key: &str, addresses: &[String]) -> Vec<HostPort> {
    let parse = |address: &String| {
        let parsed = address.parse::<HostPort>();
        problems.keep(parsed.map_err(|reason| Problem::value(key, without_login(address), reason)))
    };
    addresses.iter().filter_map(parse).collect()
}

fn pair_all(
    problems: &mut Problems,
    (hosts_key, hosts): (&'static str, Vec<String>),
    (ports_key, ports): (&'static str, Vec<String>),
) -> Vec<HostPort> {
    if hosts.len() != ports.len() {
        let (hosts, ports) = (hosts.len(), ports.len());
        let reason = format!("has {ports} entries and `{hosts_key}` has {hosts}; they must agree");
        problems.push(Problem::key(ports_key, reason));
    }
    let pair = |(host, port): (&String, &String)| {
        let pair = HostPort::new(host, port);
        problems.keep(pair.map_err(|reason| Problem::value(hosts_key, without_login(host), reason)))
    };
    hosts.iter().zip(&ports).filter_map(pair).collect()
}
