//! Named connections: where a backend is and as whom to ask, said once in the server's settings.

use std::collections::BTreeMap;

use globset::{Glob, GlobMatcher};

use super::registry::{AnyConnection, Catalog};
use crate::{
    error::{Error, Kind, Result},
    metadata::{
        parse::Metadata,
        problem::{Problem, Problems},
        tls::TlsKeys,
    },
};

/// A connection of the settings, before its keys are checked.
#[derive(Clone, Default)]
pub struct NamedConnection {
    /// The trigger type whose connection keys it has.
    pub backend: String,
    /// Which Kubernetes namespaces may use it: names and globs. `None`: all.
    pub namespaces: Option<Vec<String>>,
    /// The keys as a trigger would write them, secrets resolved.
    pub keys: BTreeMap<String, String>,
}

/// The checked connections.
pub(super) struct Connections(BTreeMap<String, Checked>);

struct Checked {
    connection: AnyConnection,
    namespaces: Option<Vec<GlobMatcher>>,
}

impl Connections {
    /// Checks every connection. Problems name the key with its path in the settings.
    pub fn check(
        catalog: &Catalog,
        named: &BTreeMap<String, NamedConnection>,
    ) -> Result<Self, Problems> {
        let mut checked = BTreeMap::new();
        let mut problems = Problems::default();
        for (name, connection) in named {
            match Checked::new(catalog, connection) {
                Ok(connection) => {
                    checked.insert(name.clone(), connection);
                }
                Err(found) => problems
                    .0
                    .extend(found.0.into_iter().map(|problem| Problem {
                        key: format!("connections.{name}.{}", problem.key),
                        ..problem
                    })),
            }
        }
        problems.into_result().map(|()| Connections(checked))
    }

    /// The connection of this name, if the namespace may use it.
    pub fn get(&self, name: &str, namespace: &str) -> Result<&AnyConnection> {
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
        Ok(&found.connection)
    }

    fn allowed_to(&self, namespace: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(_, connection)| connection.allows(namespace))
            .map(|(name, _)| name.as_str())
    }
}

impl Checked {
    fn new(catalog: &Catalog, named: &NamedConnection) -> Result<Self, Problems> {
        let trigger_type = catalog.find(&named.backend)?;
        let keys = trigger_type.connection_keys();
        let (metadata, problems) = Metadata::new(&named.keys, &[keys, &catalog.tls_keys]);
        problems.into_result()?;
        let tls: TlsKeys = metadata.parse(&catalog.tls_keys)?;
        Ok(Checked {
            connection: trigger_type.connection(&metadata, tls)?,
            namespaces: match &named.namespaces {
                None => None,
                Some(patterns) => Some(matchers(patterns)?),
            },
        })
    }

    fn allows(&self, namespace: &str) -> bool {
        match &self.namespaces {
            None => true,
            Some(patterns) => patterns.iter().any(|pattern| pattern.is_match(namespace)),
        }
    }
}

fn matchers(patterns: &[String]) -> Result<Vec<GlobMatcher>, Problem> {
    let matcher = |pattern: &String| match Glob::new(pattern) {
        Ok(glob) => Ok(glob.compile_matcher()),
        Err(error) => Err(Problem::value(
            "namespaces",
            pattern,
            format!("is neither a name nor a glob: {}", error.kind()),
        )),
    };
    patterns.iter().map(matcher).collect()
}
