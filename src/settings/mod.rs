//! The server's own configuration: defaults, then a YAML file, then the environment.
//!
//! Everything has a default, so that the server runs with no file at all. Unknown keys and wrong
//! types are errors that name the key's path.

mod admin;
mod connections;
mod inline_connections;
mod kubernetes;
mod listen;
mod load;
mod schema;

use std::{collections::BTreeMap, num::NonZeroUsize, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

pub use admin::AdminSettings;
pub use connections::{ConnectionSettings, Scalar};
pub use kubernetes::KubernetesSettings;
pub use listen::{Address, Listen, ServerTls};
pub use load::{ENV_PREFIX, Wrong, load, load_text};
pub use schema::schema;

use crate::{
    error::{Error, Kind, Result},
    metadata::values::{PushInterval, Span},
    network::HostMap,
    sampling::{ConnectionLimits, InlineConnections, Limits, NamedConnection},
    telemetry::logs,
};

/// All settings.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    /// Where the server listens.
    pub listen: Listen,
    /// The status page.
    pub admin: AdminSettings,
    /// The log.
    pub log: Log,
    /// What bounds reads and memory.
    pub engine: EngineSettings,
    /// Named connections: address and credentials of a backend.
    pub connections: BTreeMap<String, ConnectionSettings>,
    /// Reading of TriggerAuthentications from the Kubernetes API.
    pub kubernetes: KubernetesSettings,
}

/// The log, on stderr.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Log {
    /// `text` for people or `json` for programs.
    pub format: logs::Format,
    /// `error`, `warn`, `info`, `debug` or `trace`; or a filter in the syntax of `RUST_LOG`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Log {
            format: logs::Format::Text,
            level: "info".to_owned(),
        }
    }
}

/// What bounds reads and memory.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct EngineSettings {
    /// How long a call waits for a sample. KEDA itself sets no deadline.
    pub call_timeout: Span,
    /// The same for a query that has no sample yet. Left out, each backend's default.
    pub first_call_timeout: Option<Span>,
    /// How old the last good sample may be that is used in place of an error; `0`: never.
    pub max_staleness: Span,
    /// How long a sample is used without I/O, by backend (`redis: 1s`).
    pub fresh_for: BTreeMap<String, Span>,
    /// How old a sample may be that is used while a newer one is read, where that is not expected
    /// within half a second, by backend (`temporal: 30s`); `0`: never.
    pub stale_while_revalidate: BTreeMap<String, Span>,
    /// How often the queries of push triggers are read while their streams are open, by backend
    /// (`redis: 100ms`); at least `10ms`.
    pub push_interval: BTreeMap<String, Span>,
    /// A trigger without a request for this long is evicted; a connection closes with its last
    /// trigger.
    pub idle_after: Span,
    /// How many triggers are kept. With more in use, new ones get RESOURCE_EXHAUSTED.
    pub triggers: NonZeroUsize,
    /// How many of them may be of one namespace.
    pub triggers_per_namespace: NonZeroUsize,
    /// How many bytes their metadata may take, with what ranges in it expand to.
    pub trigger_bytes: usize,
    /// How many of these bytes may be of one namespace.
    pub trigger_bytes_per_namespace: usize,
    /// How many connections to backends may be open. More get RESOURCE_EXHAUSTED.
    pub connections: NonZeroUsize,
    /// How many of them may have the same address and user, with different credentials.
    pub connections_per_name: NonZeroUsize,
    /// How many connections of triggers' own may be open to one address.
    pub connections_per_server: NonZeroUsize,
    /// How many connections of triggers' own may be open for one namespace.
    pub connections_per_namespace: NonZeroUsize,
    /// How many entries a trigger's metadata may have.
    pub metadata_entries: usize,
    /// Whether triggers may bring their own connections in their metadata: `allow`, `deny`, or a list
    /// of the hosts and networks that they may connect to.
    pub inline_connections: InlineConnections,
}

impl Default for EngineSettings {
    fn default() -> Self {
        let limits = Limits::default();
        EngineSettings {
            call_timeout: Span(limits.call_timeout),
            first_call_timeout: None,
            max_staleness: Span(limits.max_staleness),
            fresh_for: BTreeMap::new(),
            stale_while_revalidate: BTreeMap::new(),
            push_interval: BTreeMap::new(),
            idle_after: Span(limits.idle_after),
            triggers: limits.triggers,
            triggers_per_namespace: limits.triggers,
            trigger_bytes: limits.trigger_bytes,
            trigger_bytes_per_namespace: limits.trigger_bytes_per_namespace,
            connections: limits.connections.all,
            connections_per_name: limits.connections.per_name,
            connections_per_server: limits.connections.per_server,
            connections_per_namespace: limits.connections.per_namespace,
            metadata_entries: limits.metadata_entries,
            inline_connections: limits.inline_connections,
        }
    }
}

impl EngineSettings {
    /// The engine's limits, checked. Values of triggers are kept for the length of `history`.
    pub fn limits(&self, history: Duration) -> Result<Limits> {
        for (path, span) in [
            ("callTimeout", self.call_timeout),
            ("idleAfter", self.idle_after),
        ] {
            if span.0 < Duration::from_millis(1) {
                return Err(invalid(&format!("engine.{path}"), "must be at least 1ms"));
            }
        }
        for (name, Span(interval)) in &self.push_interval {
            if *interval < PushInterval::SHORTEST {
                let reason = format!("`{interval:?}` must be at least 10ms");
                return Err(invalid(&format!("engine.pushInterval.{name}"), &reason));
            }
        }
        Ok(Limits {
            call_timeout: self.call_timeout.0,
            first_call_timeout: self.first_call_timeout.map(|span| span.0),
            max_staleness: self.max_staleness.0,
            fresh_for: durations(&self.fresh_for),
            stale_while_revalidate: durations(&self.stale_while_revalidate),
            push_interval: self
                .push_interval
                .iter()
                .map(|(name, interval)| (name.clone(), interval.0))
                .collect(),
            idle_after: self.idle_after.0,
            triggers: self.triggers,
            triggers_per_namespace: self.triggers_per_namespace.get(),
            trigger_bytes: self.trigger_bytes,
            trigger_bytes_per_namespace: self.trigger_bytes_per_namespace,
            connections: ConnectionLimits {
                all: self.connections,
                per_name: self.connections_per_name,
                per_server: self.connections_per_server,
                per_namespace: self.connections_per_namespace,
            },
            metadata_entries: self.metadata_entries,
            inline_connections: self.inline_connections.clone(),
            hosts: HostMap::default(),
            history,
        })
    }
}

impl Settings {
    /// The named connections with their secrets read from files and environment.
    pub fn named_connections(&self) -> Result<BTreeMap<String, NamedConnection>> {
        let resolved = self.connections.iter().map(|(name, connection)| {
            let connection = connection.resolve(&format!("connections.{name}"))?;
            Ok((name.clone(), connection))
        });
        resolved.collect()
    }
}

fn durations(by_backend: &BTreeMap<String, Span>) -> BTreeMap<String, Duration> {
    let durations = by_backend.iter().map(|(name, span)| (name.clone(), span.0));
    durations.collect()
}

/// A setting that cannot be.
fn invalid(path: &str, reason: &str) -> Error {
    Error::new(Kind::Invalid, format!("{path}: {reason}"), "")
}
