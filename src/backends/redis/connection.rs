//! Where a Redis is, and as whom to ask.

use std::fmt;

use crate::metadata::{
    tls::Tls,
    values::{HostPort, Secret},
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
