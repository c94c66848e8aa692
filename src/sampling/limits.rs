//! What bounds the engine.

use std::{collections::BTreeMap, num::NonZeroUsize, time::Duration};

use crate::network::{HostMap, Network, Rules};

/// What bounds the engine, in time and memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a call waits for a sample. KEDA sets no deadline, so the server does.
    pub call_timeout: Duration,
    /// The same for a query that has no sample yet. `None`: the backend decides.
    pub first_call_timeout: Option<Duration>,
    /// How old the last good sample may be that is used in place of an error.
    pub max_staleness: Duration,
    /// How long a sample is used without I/O, by backend; the backend's own pace where not given.
    pub fresh_for: BTreeMap<String, Duration>,
    /// How old a sample may be that is used while a newer one is read, by backend; the backend's own
    /// pace where not given.
    pub stale_while_revalidate: BTreeMap<String, Duration>,
    /// How often the queries of push triggers are read, by backend; the same.
    pub push_interval: BTreeMap<String, Duration>,
    /// A trigger without a request for this long is evicted; a connection closes with its last
    /// trigger.
    pub idle_after: Duration,
    /// How many triggers are kept.
    pub triggers: NonZeroUsize,
    /// How many of them may be of one namespace.
    pub triggers_per_namespace: usize,
    /// How many bytes their metadata may take, with what it expands to.
    pub trigger_bytes: usize,
    /// How many of these bytes may be of one namespace.
    pub trigger_bytes_per_namespace: usize,
    /// How many connections to backends may be open.
    pub connections: ConnectionLimits,
    /// How many entries a trigger's metadata may have.
    pub metadata_entries: usize,
    /// Whether triggers may bring their own connections, and to which servers.
    pub inline_connections: InlineConnections,
    /// Servers that are reached elsewhere: of the command line alone, and no setting.
    pub hosts: HostMap,
}

/// How many connections to backends may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// In all.
    pub all: NonZeroUsize,
    /// Of one namespace with one name (address and user), and different credentials.
    pub per_name: NonZeroUsize,
    /// To one address, of triggers' own.
    pub per_server: NonZeroUsize,
    /// First requested for one namespace, of triggers' own.
    pub per_namespace: NonZeroUsize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        let count = |number| NonZeroUsize::new(number).expect("is not zero");
        ConnectionLimits {
            all: count(5_000),
            per_name: count(20),
            per_server: count(500),
            // Less than per server: one namespace alone must not keep the others out.
            per_namespace: count(200),
        }
    }
}

/// Connections in a trigger's own metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InlineConnections {
    /// To every server but those at link-local addresses.
    Allow,
    /// None.
    Deny,
    /// To the servers of a list of hosts and networks; see [`Rules`].
    Listed(Rules),
}

impl InlineConnections {
    /// What they may connect to.
    pub fn network(&self) -> Network {
        Network::restricted(match self {
            InlineConnections::Allow | InlineConnections::Deny => Rules::everything(),
            InlineConnections::Listed(rules) => rules.clone(),
        })
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            call_timeout: Duration::from_secs(3),
            first_call_timeout: None,
            max_staleness: Duration::from_secs(60),
            fresh_for: BTreeMap::new(),
            stale_while_revalidate: BTreeMap::new(),
            push_interval: BTreeMap::new(),
            idle_after: Duration::from_secs(10 * 60),
            triggers: NonZeroUsize::new(20_000).expect("is not zero"),
            triggers_per_namespace: 20_000,
            trigger_bytes: 256 << 20,
            trigger_bytes_per_namespace: 64 << 20,
            connections: ConnectionLimits::default(),
            metadata_entries: 200,
            inline_connections: InlineConnections::Allow,
            hosts: HostMap::default(),
        }
    }
}
