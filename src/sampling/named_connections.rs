//! Named connections: address and credentials of a backend, kept in the server's settings.

use std::collections::BTreeMap;

use globset::{Glob, GlobMatcher};

use super::registry::Registry;
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
    pub trigger_type: String,
    /// The Kubernetes namespaces that may use it: names and globs. `None`: all.
    pub namespaces: Option<Vec<String>>,
    /// The keys as a trigger would write them, secrets resolved.
    pub keys: BTreeMap<String, String>,
}

/// The checked connections.
pub(super) struct NamedConnections(BTreeMap<String, Checked>);

/// A connection whose keys are known to be right.
pub(super) struct Checked {
    pub trigger_type: String,
    pub keys: BTreeMap<String, String>,
    namespaces: Option<Vec<GlobMatcher>>,
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
                checked.insert(name.clone(), connection);
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

    fn allowed_to(&self, namespace: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(_, connection)| connection.allows(namespace))
            .map(|(name, _)| name.as_str())
    }
}

impl Checked {
    fn new(registry: &Registry, named: &NamedConnection) -> Result<Self, Problems> {
        let trigger_type = registry.find(&named.trigger_type)?;
        let known = [trigger_type.connection_keys(), &registry.tls_keys];
        let (metadata, mut problems) = Metadata::new(&named.keys, &known);
        let tls: Option<TlsKeys> = problems.keep(metadata.parse(&registry.tls_keys));
        let tls = tls.unwrap_or_default();
        problems.keep(trigger_type.check_connection(&metadata, tls));
        let namespaces = named.namespaces.as_deref().map(matchers).transpose();
        let namespaces = problems.keep(namespaces.map_err(Problems::from));
        problems.into_result()?;
        Ok(Checked {
            trigger_type: named.trigger_type.clone(),
            keys: named.keys.clone(),
            namespaces: namespaces.flatten(),
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

#[cfg(test)]
mod properties {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Character by character.
    fn model(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => {
                model(rest, text)
                    || text
                        .split_first()
                        .is_some_and(|(_, text)| model(pattern, text))
            }
            (Some(('?', pattern)), Some((_, text))) => model(pattern, text),
            (Some((p, pattern)), Some((t, text))) => p == t && model(pattern, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn a_namespace_may_use_what_a_name_or_glob_of_the_connection_allows(
            patterns in vec(prop_oneof!["[ab-]{1,4}", "[ab*?-]{1,6}"], 0..4),
            namespace in "[ab-]{0,5}",
        ) {
            let checked = Checked {
                trigger_type: String::new(),
                keys: BTreeMap::new(),
                namespaces: Some(matchers(&patterns).unwrap()),
            };
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = patterns.iter().any(|pattern| model(&chars(pattern), &chars(&namespace)));
            prop_assert_eq!(checked.allows(&namespace), expected, "{:?}", patterns);
        }

        #[test]
        fn any_text_is_a_glob_or_a_problem(patterns in vec(any::<String>(), 0..4), namespace in any::<String>()) {
            for matcher in matchers(&patterns).unwrap_or_default() {
                let _ = matcher.is_match(&namespace);
            }
        }
    }
}
