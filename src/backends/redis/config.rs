//! Address and credentials of a Redis, and the keys that declare them.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{addresses::Addresses, read_rates::ReadRates};
use crate::metadata::{
    problem::{Problem, Problems},
    tls::{Tls, TlsKeys},
    values::{HostPort, NameList, Secret, whole_number},
};
use crate::sampling::ConnectionKeys;

/// The backend. Its trait is implemented in the folder's `mod.rs`.
#[derive(Default)]
pub struct Redis {
    /// How fast consumer groups read, of every connection. It outlives them.
    pub(super) rates: ReadRates,
}

/// The address and credentials of a Redis.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Connection {
    pub topology: Topology,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub tls: Option<Tls>,
}

/// How the servers belong together.
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

impl Topology {
    /// The servers that are named, as text.
    pub fn addresses(&self) -> String {
        joined(self.servers())
    }

    /// The servers that are named.
    pub fn servers(&self) -> &[HostPort] {
        match self {
            Topology::Single { address, .. } => std::slice::from_ref(address),
            Topology::Cluster { addresses } | Topology::Sentinel { addresses, .. } => addresses,
        }
    }
}

fn joined(addresses: &[HostPort]) -> String {
    let addresses: Vec<String> = addresses.iter().map(HostPort::to_string).collect();
    addresses.join(",")
}

/// A Redis database's number.
#[derive(Clone, Copy, Debug, Default)]
pub struct DatabaseIndex(u32);

whole_number!(DatabaseIndex: 0.., "a whole number from 0");

/// The address and credentials of one Redis server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SingleKeys {
    /// The server as `host:port`. Either this, or `host` and `port`.
    address: Option<String>,
    /// The same as `address`.
    #[schemars(extend("x-same-as" = "address"))]
    addresses: Option<NameList>,
    /// The server's host. Needs `port`.
    #[schemars(extend("x-environment-first" = true))]
    host: Option<NameList>,
    /// The same as `host`.
    #[schemars(extend("x-environment-first" = true, "x-same-as" = "host"))]
    hosts: Option<NameList>,
    /// The server's port. Needs `host`.
    #[schemars(extend("x-environment-first" = true))]
    port: Option<NameList>,
    /// The same as `port`.
    #[schemars(extend("x-environment-first" = true, "x-same-as" = "port"))]
    ports: Option<NameList>,
    /// The ACL user. By default, the default user.
    #[schemars(extend("x-environment-first" = true))]
    username: Option<String>,
    /// The password.
    #[schemars(extend("x-environment-first" = true))]
    password: Option<Secret>,
    /// The database's number.
    #[serde(default)]
    database_index: DatabaseIndex,
}

/// The addresses and credentials of a Redis cluster.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterKeys {
    /// Some of the cluster's nodes as `host:port`, comma-separated; the others are discovered
    /// through them. Either this, or `hosts` and `ports`.
    #[schemars(extend("x-same-as" = "address"))]
    addresses: Option<NameList>,
    /// The same as `addresses`.
    address: Option<String>,
    /// The nodes' hosts, comma-separated. Needs as many `ports`.
    #[schemars(extend("x-environment-first" = true, "x-same-as" = "host"))]
    hosts: Option<NameList>,
    /// The same as `hosts`.
    #[schemars(extend("x-environment-first" = true))]
    host: Option<NameList>,
    /// The nodes' ports, comma-separated, in the order of `hosts`.
    #[schemars(extend("x-environment-first" = true, "x-same-as" = "port"))]
    ports: Option<NameList>,
    /// The same as `ports`.
    #[schemars(extend("x-environment-first" = true))]
    port: Option<NameList>,
    /// The ACL user. By default, the default user.
    #[schemars(extend("x-environment-first" = true))]
    username: Option<String>,
    /// The password.
    #[schemars(extend("x-environment-first" = true))]
    password: Option<Secret>,
}

/// The addresses of the sentinels of a Redis, and the credentials of both.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SentinelKeys {
    /// The sentinels as `host:port`, comma-separated. Either this, or `hosts` and `ports`.
    #[schemars(extend("x-same-as" = "address"))]
    addresses: Option<NameList>,
    /// The same as `addresses`.
    address: Option<String>,
    /// The sentinels' hosts, comma-separated. Needs as many `ports`.
    #[schemars(extend("x-environment-first" = true, "x-same-as" = "host"))]
    hosts: Option<NameList>,
    /// The same as `hosts`.
    #[schemars(extend("x-environment-first" = true))]
    host: Option<NameList>,
    /// The sentinels' ports, comma-separated, in the order of `hosts`.
    #[schemars(extend("x-environment-first" = true, "x-same-as" = "port"))]
    ports: Option<NameList>,
    /// The same as `ports`.
    #[schemars(extend("x-environment-first" = true))]
    port: Option<NameList>,
    /// The name under which the sentinels watch the master.
    sentinel_master: String,
    /// The ACL user of the sentinels.
    sentinel_username: Option<String>,
    /// The password of the sentinels.
    sentinel_password: Option<Secret>,
    /// The ACL user of the master. By default, the default user.
    #[schemars(extend("x-environment-first" = true))]
    username: Option<String>,
    /// The password of the master.
    #[schemars(extend("x-environment-first" = true))]
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
        let mut problems = Problems::default();
        let addresses = addresses_of!(self).check();
        let address = problems.keep(addresses.and_then(only_one));
        let tls = problems.keep(tls.check(false));
        match (address, tls) {
            (Some(address), Some(tls)) => Ok(Connection {
                topology: Topology::Single {
                    address,
                    database: self.database_index.0,
                },
                username: self.username,
                password: self.password,
                tls,
            }),
            _ => Err(problems),
        }
    }
}

impl ConnectionKeys<Redis> for ClusterKeys {
    fn check(self, tls: TlsKeys) -> Result<Connection, Problems> {
        let mut problems = Problems::default();
        let addresses = problems.keep(addresses_of!(self).check());
        let tls = problems.keep(tls_of_many(tls));
        match (addresses, tls) {
            (Some(addresses), Some(tls)) => Ok(Connection {
                topology: Topology::Cluster { addresses },
                username: self.username,
                password: self.password,
                tls,
            }),
            _ => Err(problems),
        }
    }
}

impl ConnectionKeys<Redis> for SentinelKeys {
    fn check(self, tls: TlsKeys) -> Result<Connection, Problems> {
        let mut problems = Problems::default();
        let addresses = problems.keep(addresses_of!(self).check());
        let tls = problems.keep(tls_of_many(tls));
        match (addresses, tls) {
            (Some(addresses), Some(tls)) => Ok(Connection {
                topology: Topology::Sentinel {
                    addresses,
                    master: self.sentinel_master,
                    database: self.database_index.0,
                    username: self.sentinel_username,
                    password: self.sentinel_password,
                },
                username: self.username,
                password: self.password,
                tls,
            }),
            _ => Err(problems),
        }
    }
}

fn only_one(addresses: Vec<HostPort>) -> Result<HostPort, Problems> {
    let number = addresses.len();
    match <[HostPort; 1]>::try_from(addresses) {
        Ok([address]) => Ok(address),
        Err(_) => {
            let reason = format!(
                "names {number} servers; `backend: redis` reads one (redis-cluster and \
                 redis-sentinel read many)"
            );
            Err(Problem::key("address", reason).into())
        }
    }
}

/// One name cannot be right for many servers.
fn tls_of_many(keys: TlsKeys) -> Result<Option<Tls>, Problems> {
    let mut problems = Problems::default();
    if let Some(name) = &keys.tls_server_name {
        let reason =
            "cannot be used with many servers; their certificates must carry their own names";
        problems.push(Problem::value("tlsServerName", name, reason));
    }
    let tls = problems.keep(keys.check(false));
    problems.into_result().map(|()| tls.flatten())
}

#[cfg(test)]
mod tests;
