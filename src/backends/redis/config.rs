//! The declared keys of the Redis trigger types.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Redis,
    addresses::Addresses,
    connection::{Connection, Topology},
    query::{Measure, Query},
};
use crate::metadata::{
    patterns::Patterns,
    problem::{Problem, Problems},
    tls::{Tls, TlsKeys},
    values::{Activation, NameList, Secret, Target, whole_number},
};
use crate::sampling::{ConnectionKeys, CountRule, Plan, TriggerKeys};

/// A Redis database's number.
#[derive(Clone, Copy, Debug, Default)]
pub struct DatabaseIndex(u32);

whole_number!(DatabaseIndex: 0.., "a whole number from 0");

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

/// The address keys of a struct; all three have them all, as KEDA's scalers do.
macro_rules! addresses_of {
    ($keys:ident) => {
        Addresses {
            address: $keys.address,
            addresses: $keys.addresses,
            host: $keys.host,
            hosts: $keys.hosts,
            port: $keys.port,
            ports: $keys.ports,
        }
    };
}

impl ConnectionKeys<Redis> for SingleKeys {
    fn check(self, tls: TlsKeys) -> Result<Connection, Problems> {
        let addresses = addresses_of!(self);
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
        let addresses = addresses_of!(self);
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
        let addresses = addresses_of!(self);
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
                return Err(Problem::exclusive("lists", "listName").into());
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
