//! What the server's settings have already.

use std::collections::BTreeSet;

use super::written::{Written, backend};
use crate::{check::stand_in, sampling::NamedConnection, settings::Settings};

/// What need not be printed again.
#[derive(Default)]
pub struct Existing {
    /// Of connections.
    pub names: BTreeSet<String>,
    pub reads_authentications: bool,
    /// A ClusterTriggerAuthentication, and a server that its keys may be sent to, as it is written.
    servers: BTreeSet<(String, String)>,
}

impl Existing {
    pub fn of(settings: Option<&Settings>) -> Self {
        let Some(settings) = settings else {
            return Existing::default();
        };
        let listed = settings.kubernetes.cluster_authentication_servers.iter();
        let servers = listed.flat_map(|(name, servers)| {
            servers
                .iter()
                .map(move |server| (name.clone(), server.clone()))
        });
        Existing {
            names: settings.connections.keys().cloned().collect(),
            reads_authentications: settings.kubernetes.enabled,
            servers: servers.collect(),
        }
    }

    pub fn has_server(&self, name: &str, server: &str) -> bool {
        let pair = (name.to_owned(), server.to_owned());
        self.servers.contains(&pair)
    }
}

/// The name of a connection with the same backend and the same keys, each with the same value where both
/// are known. One that lists the namespace comes first: of another one, the server would say that it may not
/// be used, and who can allow it.
pub fn find(
    settings: &Settings,
    namespace: &str,
    wanted_backend: &str,
    written: &Written,
) -> Option<String> {
    let wanted = written.values();
    let mut same = Vec::new();
    for (name, connection) in &settings.connections {
        let mut elsewhere = Vec::new();
        let sketch = connection.sketch(&mut |_, key| {
            elsewhere.push(key.to_owned());
            stand_in(key)
        });
        let has_keys = sketch
            .keys
            .keys()
            .map(String::as_str)
            .eq(wanted.keys().copied());
        let mut pairs = sketch.keys.iter().zip(wanted.values());
        let has_values = pairs.all(|((key, has), wants)| {
            elsewhere.contains(key) || wants.is_none_or(|wants| has.trim() == wants)
        });
        if backend(&sketch.trigger_type) == wanted_backend && has_keys && has_values {
            same.push((name, lists(&sketch, namespace)));
        }
    }
    let listed = same.iter().find(|(_, listed)| *listed);
    listed.or(same.first()).map(|(name, _)| (*name).clone())
}

fn lists(connection: &NamedConnection, namespace: &str) -> bool {
    let mut listed = connection.namespaces.iter().flatten();
    connection.namespaces.is_none() || listed.any(|listed| listed == namespace)
}
