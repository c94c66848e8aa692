//! What the server's settings need for the moved triggers: rights to send the keys of
//! ClusterTriggerAuthentications, or named connections in place of authentications.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use super::{
    authentications::{Authentication, Place, Reference},
    plan::{FROM_ENV, Fate, Plan},
};
use crate::{manifests::Edits, sampling::TypeKeys};

/// What the settings need.
#[derive(Default)]
pub struct NeededSettings {
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
            plan.notes.push(format!(
                "the keys of {reference} go only to servers that it names itself or that the settings \
                 list under kubernetes.clusterAuthenticationServers.{name}: see below"
            ));
            let servers = self.servers.entry(name.clone()).or_default();
            servers.extend(named);
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
        let (reference, authentication) = authentication;
        let is_of_connection = |written: &str| {
            let key = written.strip_suffix(FROM_ENV).unwrap_or(written);
            let mut known = keys.connection.iter().chain(&keys.tls);
            known.any(|known| known.name == key)
        };
        let is_secret = |key: &str| {
            let mut known = keys.connection.iter().chain(&keys.tls);
            known.any(|known| known.name == key && known.secret)
        };
        let secret_file = |key: &str| format!("/secrets/{}/{key}", reference.name);
        let mut written: Vec<(String, String)> = Vec::new();
        let mut notes = BTreeSet::new();
        for (key, fate) in &mut plan.fates {
            let mut metadata = metadata.iter();
            let value = metadata.find(|(name, _)| name == key);
            let value = value.map(|(_, value)| value.trim()).unwrap_or_default();
            let (new, value) = match fate {
                Fate::Stays | Fate::Differs(_) => (key.as_str(), value),
                Fate::Becomes {
                    key, value: new, ..
                } => (*key, new.unwrap_or(value)),
                Fate::Goes(_) | Fate::ToConnection => continue,
            };
            if !is_of_connection(new) {
                continue;
            }
            if new.ends_with(FROM_ENV) {
                notes.insert(format!(
                    "{new}: set the variable where backlog-scaler runs; it was one of the scaled container"
                ));
            }
            if is_secret(new) {
                written.push((format!("{new}FromFile"), secret_file(new)));
                notes.insert(format!("{new}FromFile: write the value of `{key}` there"));
            } else if !value.is_empty() {
                written.push((new.to_owned(), value.to_owned()));
            }
            *fate = Fate::ToConnection;
        }
        for (parameter, place) in &authentication.parameters {
            let given = |(key, _): &(String, String)| {
                let base = ["FromEnv", "FromFile"]
                    .iter()
                    .find_map(|end| key.strip_suffix(end));
                base.unwrap_or(key) == parameter
            };
            if !is_of_connection(parameter) || written.iter().any(given) {
                continue;
            }
            written.push(match place {
                Place::Secret { name, key } => {
                    notes.insert(format!("/secrets/{name}: mount the Secret {name} there"));
                    (
                        format!("{parameter}FromFile"),
                        format!("/secrets/{name}/{key}"),
                    )
                }
                Place::ConfigMap { name, key } => {
                    notes.insert(format!("/config/{name}: mount the ConfigMap {name} there"));
                    (
                        format!("{parameter}FromFile"),
                        format!("/config/{name}/{key}"),
                    )
                }
                Place::Variable(name) => {
                    let note = "set the variable where backlog-scaler runs; it was one of the \
                                scaled container";
                    notes.insert(format!("{parameter}{FROM_ENV}: {note}"));
                    (format!("{parameter}{FROM_ENV}"), name.clone())
                }
            });
        }
        written.sort();
        let backend = keys.trigger_type.trim_end_matches("-streams");
        let backend = match backend {
            "apache-kafka" => "kafka",
            backend => backend,
        };
        self.connection(backend, namespace, reference, written, notes)
    }

    fn connection(
        &mut self,
        backend: &str,
        namespace: &str,
        reference: &Reference,
        keys: Vec<(String, String)>,
        notes: BTreeSet<String>,
    ) -> String {
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
        let is_taken = |name: &String| self.connections.iter().any(|known| known.name == *name);
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
        if self.reads_authentications {
            yaml += "kubernetes:\n  enabled: true\n";
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
