//! Named connections: address and credentials of a backend, kept in the server's settings.

use std::{collections::BTreeMap, sync::Arc};

use super::{name_limits::NameLimits, registry::Registry};
use crate::{
    error::{Error, Kind, Result},
    metadata::{
        parse::Metadata,
        problem::{Problem, Problems},
        tls::TlsKeys,
    },
};

/// A connection of the settings, before its keys are checked.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct NamedConnection {
    /// The trigger type whose connection keys it has.
    pub trigger_type: String,
    /// The Kubernetes namespaces that may use it: names and globs. `None`: all.
    pub namespaces: Option<Vec<String>>,
    /// What it may be used for: names and globs of keys, topics, groups or queues. `None`: all.
    pub names: Option<Vec<String>>,
    /// The keys as a trigger would write them, secrets resolved.
    pub keys: BTreeMap<String, String>,
}

/// The checked connections.
pub(super) struct NamedConnections(BTreeMap<String, Arc<Checked>>);

/// A connection whose keys are known to be right.
pub(super) struct Checked {
    pub trigger_type: String,
    pub keys: BTreeMap<String, String>,
    namespaces: Option<NameLimits>,
    pub names: Option<NameLimits>,
}

impl NamedConnections {
    /// Checks every connection. Problems name the key with its path in the settings.
    pub fn check(
        registry: &Registry,
        named: &BTreeMap<String, NamedConnection>,
    ) -> Result<Self, Problems> {
        let mut checked = BTreeMap::new();
        let mut problems = Problems::default();
        for (name, connection) in named {
            let found = Checked::new(registry, connection);
            let found = found.map_err(|found| found.under(&format!("connections.{name}")));
            if let Some(connection) = problems.keep(found) {
                checked.insert(name.clone(), Arc::new(connection));
            }
        }
        problems.into_result().map(|()| NamedConnections(checked))
    }

    /// The connection of this name, if the namespace may use it.
    pub fn get(&self, name: &str, namespace: &str) -> Result<&Checked> {
        let Some(found) = self.0.get(name) else {
            let allowed: Vec<&str> = self.allowed_to(namespace).collect();
            let known = match allowed.is_empty() {
                true => format!("the settings have none that namespace {namespace} may use"),
                false => format!("namespace {namespace} may use {}", allowed.join(", ")),
            };
            return Err(Problems::from(Problem::value(
                "connection",
                name,
                format!("is not known; {known}"),
            ))
            .into());
        };
        if !found.allows(namespace) {
            return Err(Error::new(
                Kind::NotAllowed,
                format!("connection: `{name}` may not be used by namespace {namespace}"),
                format!(
                    "Whoever runs backlog-scaler can add the namespace under connections.{name}.namespaces."
                ),
            ));
        }
        Ok(found)
    }

    /// The same connections, with this one in place of its namesake.
    pub fn with(&self, name: &str, connection: Checked) -> Self {
        let mut all = self.0.clone();
        all.insert(name.to_owned(), Arc::new(connection));
        NamedConnections(all)
    }

    fn allowed_to(&self, namespace: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(_, connection)| connection.allows(namespace))
            .map(|(name, _)| name.as_str())
    }
}

impl Checked {
    /// Checks the keys of a connection.
    pub fn new(registry: &Registry, named: &NamedConnection) -> Result<Self, Problems> {
        let trigger_type = registry.find(&named.trigger_type)?;
        let known = [trigger_type.connection_keys(), &registry.tls_keys];
        let (metadata, mut problems) = Metadata::new(&named.keys, &known);
        let tls: Option<TlsKeys> = problems.keep(metadata.parse(&registry.tls_keys));
        let tls = tls.unwrap_or_default();
        problems.keep(trigger_type.check_connection(&metadata, tls));
        let mut limits = |key, patterns: &Option<Vec<String>>| {
            let limits = patterns.as_deref().map(|list| NameLimits::new(key, list));
            problems
                .keep(limits.transpose().map_err(Problems::from))
                .flatten()
        };
        let namespaces = limits("namespaces", &named.namespaces);
        let names = limits("names", &named.names);
        problems.into_result()?;
        Ok(Checked {
            trigger_type: named.trigger_type.clone(),
            keys: named.keys.clone(),
            namespaces,
            names,
        })
    }

    fn allows(&self, namespace: &str) -> bool {
        let namespaces = self.namespaces.as_ref();
        namespaces.is_none_or(|namespaces| namespaces.has(namespace))
    }
}
