//! What the server's settings need for the moved triggers: rights to send the keys of
//! ClusterTriggerAuthentications, or named connections in place of authentications.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use super::{
    authentications::{Authentication, Reference},
    existing::Existing,
    plan::{FROM_ENV, Plan},
    written::{Written, backend_of},
};
use crate::{
    check::Checker,
    manifests::Edits,
    sampling::TypeKeys,
    settings::{self, Settings},
};

/// What the settings need.
#[derive(Default)]
pub struct NeededSettings {
    existing: Existing,
    /// A trigger refers to an authentication that the server reads.
    pub reads_authentications: bool,
    /// By the name of a ClusterTriggerAuthentication, the servers that triggers name themselves.
    servers: BTreeMap<String, BTreeSet<String>>,
    connections: Vec<Connection>,
}

/// A named connection, in place of one authentication and the addresses of the triggers that refer to
/// it.
struct Connection {
    name: String,
    backend: String,
    reference: Reference,
    /// As they are written in the settings.
    keys: Vec<(String, String)>,
    namespaces: BTreeSet<String>,
    notes: BTreeSet<String>,
}

/// The keys that say where a backend is.
const ADDRESSES: [&str; 5] = ["address", "addresses", "host", "hosts", "bootstrapServers"];
const ENDPOINT: &str = "endpoint";

/// The addresses that a trigger names itself.
fn addresses(metadata: &[(String, String)]) -> Vec<String> {
    let value = |key: &str| {
        let found = metadata.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.clone())
    };
    let split = |text: String| -> Vec<String> {
        text.split(',').map(|part| part.trim().to_owned()).collect()
    };
    let hosts = value("host").or(value("hosts")).map(split);
    let ports = value("port").or(value("ports")).map(split);
    let pairs = hosts.zip(ports).map(|(hosts, ports)| {
        let pairs = hosts.into_iter().zip(ports);
        pairs.map(|(host, port)| format!("{host}:{port}")).collect()
    });
    let whole = ["address", "addresses", "bootstrapServers", ENDPOINT];
    let whole = whole.into_iter().filter_map(|key| value(key).map(split));
    let all = whole.chain(pairs).flatten();
    all.filter(|address: &String| !address.is_empty()).collect()
}

impl NeededSettings {
    /// Nothing yet, beside what there is.
    pub fn beside(existing: Existing) -> Self {
        NeededSettings {
            existing,
            ..NeededSettings::default()
        }
    }

    /// A checker for a server that has these too. `None`: its settings are not known, or these are none,
    /// so that triggers are refused as by the server as it is.
    pub fn checker(&self, server: Option<&Settings>) -> Option<Checker> {
        let mut settings = server?.clone();
        if self.connections.is_empty() {
            return None;
        }
        let new = settings::load_text(Some(("new", &self.yaml())), []).ok()?;
        settings.connections.extend(new.connections);
        Checker::of(&settings).ok()
    }

    /// The server reads the authentication itself. For one of the whole cluster it must know which
    /// servers may get its keys.
    pub fn read(&mut self, reference: &Reference, metadata: &[(String, String)], plan: &mut Plan) {
        self.reads_authentications = true;
        if reference.namespace.is_some() {
            return;
        }
        let named = addresses(metadata);
        let variable = ADDRESSES.iter().chain([&ENDPOINT]).any(|key| {
            let written = format!("{key}{FROM_ENV}");
            metadata.iter().any(|(name, _)| *name == written)
        });
        let name = &reference.name;
        if !named.is_empty() {
            let new = named.into_iter();
            let new = new.filter(|server| !self.existing.has_server(name, server));
            let new: Vec<String> = new.collect();
            if new.is_empty() {
                return;
            }
            plan.notes.push(format!(
                "the keys of {reference} go only to servers that it names itself or that the settings \
                 list under kubernetes.clusterAuthenticationServers.{name}: see below"
            ));
            self.servers.entry(name.clone()).or_default().extend(new);
        } else if variable {
            plan.notes.push(format!(
                "the address is a variable's: list the server under \
                 kubernetes.clusterAuthenticationServers.{name} of the settings"
            ));
        }
    }

    /// Puts the connection of a trigger into the settings, and returns its name. The plan then has its
    /// keys go.
    pub fn name(
        &mut self,
        keys: &TypeKeys,
        namespace: &str,
        metadata: &[(String, String)],
        authentication: (&Reference, &Authentication),
        plan: &mut Plan,
    ) -> String {
        let written = Written::of(keys, metadata, Some(authentication), plan);
        written.leave(plan);
        let (reference, _) = authentication;
        self.connection(&backend_of(keys), namespace, reference, written)
    }

    fn connection(
        &mut self,
        backend: &str,
        namespace: &str,
        reference: &Reference,
        written: Written,
    ) -> String {
        let Written { keys, notes, .. } = written;
        let mut known = self.connections.iter_mut();
        let same = known.find(|known| {
            known.backend == backend && known.reference == *reference && known.keys == keys
        });
        if let Some(same) = same {
            same.namespaces.insert(namespace.to_owned());
            return same.name.clone();
        }
        let name = match &reference.namespace {
            Some(namespace) => format!("{namespace}-{}", reference.name),
            None => reference.name.clone(),
        };
        let is_taken = |name: &String| {
            let mut new = self.connections.iter();
            self.existing.names.contains(name) || new.any(|known| known.name == *name)
        };
        let mut numbered = (2..).map(|number| format!("{name}-{number}"));
        let name = match is_taken(&name) {
            true => numbered.find(|name| !is_taken(name)).unwrap_or_default(),
            false => name,
        };
        self.connections.push(Connection {
            name: name.clone(),
            backend: backend.to_owned(),
            reference: reference.clone(),
            keys,
            namespaces: [namespace.to_owned()].into(),
            notes,
        });
        name
    }

    /// The settings, as YAML to merge into those that there are; empty: none are needed.
    pub fn yaml(&self) -> String {
        let mut yaml = String::new();
        let turns_on = self.reads_authentications && !self.existing.reads_authentications;
        if turns_on || !self.servers.is_empty() {
            yaml += "kubernetes:\n";
        }
        if turns_on {
            yaml += "  enabled: true\n";
        }
        if !self.servers.is_empty() {
            yaml += "  clusterAuthenticationServers:\n";
        }
        // Writing to a string cannot fail.
        for (name, servers) in &self.servers {
            let servers: Vec<String> = servers.iter().map(|server| Edits::quoted(server)).collect();
            let _ = writeln!(
                yaml,
                "    {}: [{}]",
                Edits::quoted(name),
                servers.join(", ")
            );
        }
        if !self.connections.is_empty() {
            yaml += "connections:\n";
        }
        for connection in &self.connections {
            let Connection {
                name,
                backend,
                reference,
                ..
            } = connection;
            let _ = writeln!(yaml, "  {name}:  # was: {reference}");
            for note in &connection.notes {
                let _ = writeln!(yaml, "    # {note}");
            }
            let _ = writeln!(yaml, "    backend: {backend}");
            for (key, value) in &connection.keys {
                let _ = writeln!(yaml, "    {key}: {}", Edits::quoted(value));
            }
            let namespaces: Vec<&str> = connection.namespaces.iter().map(String::as_str).collect();
            let _ = writeln!(yaml, "    namespaces: [{}]", namespaces.join(", "));
        }
        yaml
    }
}
