//! The declared keys of the Redis trigger types, and the values that they become.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

use super::{Count, Redis};
use crate::{
    sampling::{Reading, Rule},
    trigger::{
        ConnectionKeys, Plan, TriggerKeys,
        patterns::Patterns,
        problem::{Problem, Problems},
        tls::{Tls, TlsKeys},
        values::{Activation, HostPort, NameList, Secret, Target, TextValue, text_value},
    },
};

/// A Redis, and as whom to ask it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Connection {
    pub topology: Topology,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub tls: Option<Tls>,
}

/// How the servers stand together.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Topology {
    Single {
        address: HostPort,
        database: u32,
    },
    Cluster {
        addresses: Vec<HostPort>,
    },
    Sentinel {
        addresses: Vec<HostPort>,
        master: String,
        database: u32,
        username: Option<String>,
        password: Option<Secret>,
    },
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self
            .username
            .as_ref()
            .map(|user| format!("{user}@"))
            .unwrap_or_default();
        match &self.topology {
            Topology::Single { address, database } => write!(f, "redis {user}{address}/{database}"),
            Topology::Cluster { addresses } => {
                write!(f, "redis-cluster {user}{}", joined(addresses))
            }
            Topology::Sentinel {
                addresses,
                master,
                database,
                ..
            } => write!(
                f,
                "redis-sentinel {user}{master}/{database} at {}",
                joined(addresses)
            ),
        }
    }
}

fn joined(addresses: &[HostPort]) -> String {
    let addresses: Vec<String> = addresses.iter().map(HostPort::to_string).collect();
    addresses.join(",")
}

/// What to count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Query {
    /// The lengths of lists, sets, sorted sets and hashes, summed.
    Lists {
        waiting: Patterns,
        processing: Patterns,
    },
    /// Entries of a stream.
    Stream { stream: String, measure: Measure },
}

/// Which entries of a stream count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    /// All of them.
    Length,
    /// Those that the group has not been given yet.
    Lag { group: String },
    /// Those that the group was given and has not acknowledged.
    Pending { group: String },
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Query::Lists {
                waiting,
                processing,
            } => {
                write!(f, "length of {waiting}")?;
                match processing == &Patterns::default() {
                    true => Ok(()),
                    false => write!(f, " and in processing {processing}"),
                }
            }
            Query::Stream { stream, measure } => match measure {
                Measure::Length => write!(f, "length of stream {stream}"),
                Measure::Lag { group } => write!(f, "lag of group {group} in stream {stream}"),
                Measure::Pending { group } => {
                    write!(f, "pending entries of group {group} in stream {stream}")
                }
            },
        }
    }
}

/// The value is the count; active above the activation threshold.
#[derive(Clone, Copy, Debug)]
pub struct CountRule {
    activation: Activation,
}

impl Rule<Count> for CountRule {
    fn judge(&self, count: &Count, _: Instant) -> Reading {
        let all = count.waiting.saturating_add(count.processing);
        Reading {
            value: all as f64,
            active: all > self.activation.0,
        }
    }
}

/// A Redis database's number.
#[derive(Clone, Copy, Debug, Default)]
pub struct DatabaseIndex(u32);

impl TextValue for DatabaseIndex {
    const ALLOWED: &'static str = "a whole number from 0";

    fn parse(text: &str) -> Result<Self, String> {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits).map(DatabaseIndex);
        number.ok_or_else(|| format!("must be {}", Self::ALLOWED))
    }
}
text_value!(DatabaseIndex);

impl serde::Serialize for DatabaseIndex {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Where one Redis server is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SingleKeys {
    /// The server as `host:port`. This, or `host` and `port`.
    address: Option<String>,
    /// The same as `address`.
    addresses: Option<NameList>,
    /// The server's host. Needs `port`.
    host: Option<NameList>,
    /// The same as `host`.
    hosts: Option<NameList>,
    /// The server's port. Needs `host`.
    port: Option<NameList>,
    /// The same as `port`.
    ports: Option<NameList>,
    /// The ACL user. Left out, the default user.
    username: Option<String>,
    /// The password.
    password: Option<Secret>,
    /// The database's number.
    #[serde(default)]
    database_index: DatabaseIndex,
}

/// Where a Redis cluster is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterKeys {
    /// Some of the cluster's nodes as `host:port`, comma-separated; the others are found through
    /// them. This, or `hosts` and `ports`.
    addresses: Option<NameList>,
    /// The same as `addresses`.
    address: Option<String>,
    /// The nodes' hosts, comma-separated. Needs as many `ports`.
    hosts: Option<NameList>,
    /// The same as `hosts`.
    host: Option<NameList>,
    /// The nodes' ports, comma-separated, in the order of `hosts`.
    ports: Option<NameList>,
    /// The same as `ports`.
    port: Option<NameList>,
    /// The ACL user. Left out, the default user.
    username: Option<String>,
    /// The password.
    password: Option<Secret>,
}

/// Where the sentinels of a Redis are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SentinelKeys {
    /// The sentinels as `host:port`, comma-separated. This, or `hosts` and `ports`.
    addresses: Option<NameList>,
    /// The same as `addresses`.
    address: Option<String>,
    /// The sentinels' hosts, comma-separated. Needs as many `ports`.
    hosts: Option<NameList>,
    /// The same as `hosts`.
    host: Option<NameList>,
    /// The sentinels' ports, comma-separated, in the order of `hosts`.
    ports: Option<NameList>,
    /// The same as `ports`.
    port: Option<NameList>,
    /// The name under which the sentinels watch the master.
    sentinel_master: String,
    /// The ACL user of the sentinels.
    sentinel_username: Option<String>,
    /// The password of the sentinels.
    sentinel_password: Option<Secret>,
    /// The ACL user of the master. Left out, the default user.
    username: Option<String>,
    /// The password of the master.
    password: Option<Secret>,
    /// The database's number.
    #[serde(default)]
    database_index: DatabaseIndex,
}

/// The keys that say where, in both spellings.
#[derive(Default)]
struct Addresses {
    address: Option<String>,
    addresses: Option<NameList>,
    host: Option<NameList>,
    hosts: Option<NameList>,
    port: Option<NameList>,
    ports: Option<NameList>,
}

impl Addresses {
    fn check(self) -> Result<Vec<HostPort>, Problems> {
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
                let reason = format!("is given beside `{key}`; say where either way, not both");
                Err(Problem::key(other, reason).into())
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
                    HostPort::new(host, port).ok_or_else(|| {
                        let reason = "must be a host and a port from 1 to 65535";
                        Problems::from(Problem::value(hosts_key, format!("{host}:{port}"), reason))
                    })
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
        (Some(_), Some(_)) => {
            let reason = format!("is given beside `{singular}`; only one of the two can hold");
            Err(Problem::key(plural, reason).into())
        }
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

impl ConnectionKeys<Redis> for SingleKeys {
    fn check(self, tls: TlsKeys) -> Result<Connection, Problems> {
        let addresses = Addresses {
            address: self.address,
            addresses: self.addresses,
            host: self.host,
            hosts: self.hosts,
            port: self.port,
            ports: self.ports,
        };
        let addresses = addresses.check()?;
        let [address] = addresses.as_slice() else {
            let reason = format!(
                "names {} servers; `backend: redis` reads one (redis-cluster and redis-sentinel read many)",
                addresses.len()
            );
            return Err(Problem::key("address", reason).into());
        };
        Ok(Connection {
            topology: Topology::Single {
                address: address.clone(),
                database: self.database_index.0,
            },
            username: self.username,
            password: self.password,
            tls: tls.check(false)?,
        })
    }
}

impl ConnectionKeys<Redis> for ClusterKeys {
    fn check(self, tls: TlsKeys) -> Result<Connection, Problems> {
        let addresses = Addresses {
            address: self.address,
            addresses: self.addresses,
            host: self.host,
            hosts: self.hosts,
            port: self.port,
            ports: self.ports,
        };
        Ok(Connection {
            topology: Topology::Cluster {
                addresses: addresses.check()?,
            },
            username: self.username,
            password: self.password,
            tls: without_server_name(tls.check(false)?)?,
        })
    }
}

impl ConnectionKeys<Redis> for SentinelKeys {
    fn check(self, tls: TlsKeys) -> Result<Connection, Problems> {
        let addresses = Addresses {
            address: self.address,
            addresses: self.addresses,
            host: self.host,
            hosts: self.hosts,
            port: self.port,
            ports: self.ports,
        };
        Ok(Connection {
            topology: Topology::Sentinel {
                addresses: addresses.check()?,
                master: self.sentinel_master,
                database: self.database_index.0,
                username: self.sentinel_username,
                password: self.sentinel_password,
            },
            username: self.username,
            password: self.password,
            tls: without_server_name(tls.check(false)?)?,
        })
    }
}

/// One name cannot be right for many servers.
fn without_server_name(tls: Option<Tls>) -> Result<Option<Tls>, Problems> {
    match tls.as_ref().and_then(|tls| tls.server_name.as_ref()) {
        Some(name) => {
            let reason =
                "cannot be used with many servers; their certificates must carry their own names";
            Err(Problem::value("tlsServerName", name, reason).into())
        }
        None => Ok(tls),
    }
}

/// How long lists are, or sets, sorted sets and hashes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListKeys {
    /// The list whose entries wait; it may as well be a set, a sorted set or a hash. A missing one
    /// counts 0.
    list_name: Option<String>,
    /// Several of them, comma-separated, summed: names, globs (`jobs:*`) and ranges
    /// (`jobs-{0..31}`). Instead of `listName`.
    lists: Option<NameList>,
    /// Lists that hold what is taken but not finished, written like `lists`: added to the value,
    /// so that scaling down does not kill the work.
    processing_lists: Option<NameList>,
    /// The wanted number of entries per replica.
    #[serde(default = "five")]
    list_length: Target,
    /// The trigger is active above this many entries.
    #[serde(default)]
    activation_list_length: Activation,
}

fn five() -> Target {
    Target(5)
}

impl TriggerKeys<Redis> for ListKeys {
    fn check(self) -> Result<Plan<Redis>, Problems> {
        let (waiting, readable) = match (self.list_name, self.lists) {
            (Some(name), None) => {
                let patterns = Patterns {
                    names: [name.clone()].into(),
                    ..Patterns::default()
                };
                (patterns, name)
            }
            (None, Some(lists)) => {
                let readable = lists.0.join("-");
                (patterns("lists", &lists)?, readable)
            }
            (Some(_), Some(_)) => {
                let reason = "is given beside `listName`; only one of the two can hold";
                return Err(Problem::key("lists", reason).into());
            }
            (None, None) => return Err(Problem::key("listName", "is required, or `lists`").into()),
        };
        let processing = match &self.processing_lists {
            Some(lists) => patterns("processingLists", lists)?,
            None => Patterns::default(),
        };
        Ok(Plan {
            query: Query::Lists {
                waiting,
                processing,
            },
            rule: CountRule {
                activation: self.activation_list_length,
            },
            target: self.list_length,
            readable_name: format!("redis-{readable}"),
        })
    }
}

fn patterns(key: &str, list: &NameList) -> Result<Patterns, Problems> {
    let entries = list.0.iter().map(String::as_str);
    Patterns::parse(entries).map_err(|reason| Problem::value(key, list.0.join(","), reason).into())
}

/// How much of a stream waits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamKeys {
    /// The stream. A missing one counts 0.
    stream: String,
    /// The consumer group. Without one, the stream's length counts.
    consumer_group: Option<String>,
    /// With a group, counts the entries that it was not given yet, and is the wanted number of
    /// them per replica. Needs Redis 7.
    lag_count: Option<Target>,
    /// With a group and without `lagCount`, counts the entries that it was given and has not
    /// acknowledged, and is the wanted number of them per replica.
    #[serde(default = "five")]
    pending_entries_count: Target,
    /// Without a group: the wanted number of entries per replica.
    #[serde(default = "five")]
    stream_length: Target,
    /// The trigger is active above this many entries.
    #[serde(default)]
    activation_lag_count: Activation,
}

impl TriggerKeys<Redis> for StreamKeys {
    fn check(self) -> Result<Plan<Redis>, Problems> {
        // As in KEDA: the group decides, then lagCount.
        let (measure, target) = match (self.consumer_group, self.lag_count) {
            (None, None) => (Measure::Length, self.stream_length),
            (None, Some(_)) => {
                return Err(Problem::key("consumerGroup", "is required with `lagCount`").into());
            }
            (Some(group), Some(lag)) => (Measure::Lag { group }, lag),
            (Some(group), None) => (Measure::Pending { group }, self.pending_entries_count),
        };
        Ok(Plan {
            readable_name: format!("redis-streams-{}", self.stream),
            query: Query::Stream {
                stream: self.stream,
                measure,
            },
            rule: CountRule {
                activation: self.activation_lag_count,
            },
            target,
        })
    }
}
