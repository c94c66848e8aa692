//! Named connections as they are written: a trigger's own keys, plus who may use them.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};

use super::{invalid, schema::AnyScalar};
use crate::{error::Result, sampling::NamedConnection};

/// A connection: `backend`, `namespaces`, `names`, and the keys that a trigger would write to say
/// where.
///
/// Any key may be written as `xFromFile` (a path; for mounted Secrets) or `xFromEnv` (the name of
/// an environment variable of this server).
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("required" = ["backend"]))]
pub struct ConnectionSettings(
    #[schemars(with = "BTreeMap<String, AnyScalar>")] BTreeMap<String, Scalar>,
);

impl fmt::Debug for ConnectionSettings {
    /// Keys alone: the values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A value as YAML has it: text, number, boolean, or a list of them.
#[derive(Clone)]
pub enum Scalar {
    Text(String),
    List(Vec<String>),
}

impl Scalar {
    fn into_text(self) -> String {
        match self {
            Scalar::Text(text) => text,
            Scalar::List(list) => list.join(","),
        }
    }

    /// The entries, which may also be written as one text with commas.
    pub(super) fn list(&self) -> Vec<String> {
        match self {
            Scalar::Text(text) => text.split(',').map(|part| part.trim().to_owned()).collect(),
            Scalar::List(list) => list.clone(),
        }
    }

    fn text(&self) -> String {
        match self {
            Scalar::Text(text) => text.clone(),
            Scalar::List(list) => list.join(","),
        }
    }
}

/// What is said of a connection, rather than to it.
const OURS: [&str; 3] = ["backend", "namespaces", "names"];
const FROM_FILE: &str = "FromFile";
const FROM_ENV: &str = "FromEnv";

impl ConnectionSettings {
    /// Whether any value is in a file, which may change.
    pub fn has_files(&self) -> bool {
        self.0.keys().any(|key| key.ends_with(FROM_FILE))
    }

    /// The connection without reading anything: `stand_in` gives the value of a key, by the key as it is
    /// written and by its name, where a file or a variable has it.
    pub fn sketch(&self, stand_in: &mut dyn FnMut(&str, &str) -> String) -> NamedConnection {
        let text = |key: &str| self.0.get(key).map(Scalar::text).unwrap_or_default();
        let list = |key: &str| self.0.get(key).map(Scalar::list);
        let keys = self
            .0
            .iter()
            .filter(|(key, _)| !OURS.contains(&key.as_str()));
        let keys = keys.map(|(written, value)| {
            let elsewhere = [FROM_FILE, FROM_ENV].iter();
            match elsewhere.filter_map(|end| written.strip_suffix(end)).next() {
                Some(key) => (key.to_owned(), stand_in(written, key)),
                None => (written.clone(), value.text()),
            }
        });
        NamedConnection {
            trigger_type: text("backend"),
            namespaces: list("namespaces"),
            names: list("names"),
            keys: keys.collect(),
        }
    }

    /// The connection with its secrets read. `path` is its place in the settings.
    pub fn resolve(&self, path: &str) -> Result<NamedConnection> {
        let mut connection = NamedConnection::default();
        let Some(backend) = self.0.get("backend") else {
            return Err(invalid(&format!("{path}.backend"), "is required"));
        };
        connection.trigger_type = backend.text();
        connection.namespaces = self.0.get("namespaces").map(Scalar::list);
        connection.names = self.0.get("names").map(Scalar::list);
        let keys = self
            .0
            .iter()
            .filter(|(key, _)| !OURS.contains(&key.as_str()));
        for (written, value) in keys {
            let at = format!("{path}.{written}");
            let (key, value) = read(written, value.text(), &at)?;
            if connection.keys.insert(key.to_owned(), value).is_some() {
                return Err(invalid(&at, &format!("`{key}` is given twice")));
            }
        }
        Ok(connection)
    }
}

/// A key and its value, wherever that is kept.
fn read<'a>(written: &'a str, value: String, at: &str) -> Result<(&'a str, String)> {
    if let Some(key) = written.strip_suffix(FROM_FILE) {
        let content = std::fs::read_to_string(&value)
            .map_err(|error| invalid(at, &format!("cannot read `{value}`: {error}")))?;
        // An editor's newline at the end is no part of a password.
        return Ok((key, content.trim_end_matches(['\r', '\n']).to_owned()));
    }
    if let Some(key) = written.strip_suffix(FROM_ENV) {
        let content = std::env::var(&value)
            .map_err(|error| invalid(at, &format!("cannot read variable `{value}`: {error}")))?;
        return Ok((key, content));
    }
    Ok((written, value))
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number, a boolean or a list of them")
    }

    fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(value.to_owned()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Text(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Text(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar::Text(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar::Text(value.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = seq.next_element::<Scalar>()? {
            list.push(entry.into_text());
        }
        Ok(Scalar::List(list))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn connection(yaml: &str) -> Result<NamedConnection> {
        let parsed: ConnectionSettings = serde_saphyr::from_str(yaml).unwrap();
        parsed.resolve("connections.orders")
    }

    #[test]
    fn keys_are_the_triggers_own_and_lists_are_joined() {
        let c = connection("{backend: redis-cluster, addresses: [a:1, b:2], namespaces: shop}")
            .unwrap();
        assert_eq!(c.keys["addresses"], "a:1,b:2");
        assert_eq!(c.namespaces, Some(vec!["shop".to_owned()]));
    }

    #[test]
    fn a_secret_comes_from_a_file_without_its_last_newline() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"p w\n").unwrap();
        let yaml = format!(
            "{{backend: redis, passwordFromFile: '{}'}}",
            file.path().display()
        );
        assert_eq!(connection(&yaml).unwrap().keys["password"], "p w");
    }

    #[test]
    fn a_missing_secret_names_key_and_file() {
        let error = connection("{backend: redis, passwordFromFile: /nowhere/x}")
            .err()
            .unwrap();
        let text = error.to_string();
        assert!(
            text.starts_with("connections.orders.passwordFromFile: cannot read `/nowhere/x`"),
            "{text}"
        );
    }

    #[test]
    fn debug_output_shows_no_values() {
        let parsed: ConnectionSettings =
            serde_saphyr::from_str("{backend: redis, password: hunter2}").unwrap();
        assert!(!format!("{parsed:?}").contains("hunter2"));
    }
}
