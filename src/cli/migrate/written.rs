//! The connection of a trigger, as the settings would have it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    authentications::{Authentication, Place, Reference},
    plan::{FROM_ENV, Fate, Plan},
};
use crate::sampling::TypeKeys;

const FROM_FILE: &str = "FromFile";

/// A connection as it would be written.
pub struct Written {
    /// Sorted, with what follows a key's name where its value is elsewhere.
    pub keys: Vec<(String, String)>,
    pub notes: BTreeSet<String>,
    /// The trigger's own keys that are in it.
    own: BTreeSet<String>,
}

/// The backend of a trigger type, as connections have it.
pub fn backend_of(keys: &TypeKeys) -> String {
    backend(keys.trigger_type).to_owned()
}

/// The same of a name.
pub fn backend(trigger_type: &str) -> &str {
    match trigger_type.trim_end_matches("-streams") {
        "apache-kafka" => "kafka",
        backend => backend,
    }
}

impl Written {
    /// Of the keys that a trigger keeps, and of the parameters of its authentication.
    pub fn of(
        keys: &TypeKeys,
        metadata: &[(String, String)],
        authentication: Option<(&Reference, &Authentication)>,
        plan: &Plan,
    ) -> Self {
        let mut written = Written {
            keys: Vec::new(),
            notes: BTreeSet::new(),
            own: BTreeSet::new(),
        };
        let folder = authentication.map_or("trigger", |(reference, _)| reference.name.as_str());
        written.of_trigger(keys, metadata, folder, plan);
        if let Some((_, authentication)) = authentication {
            written.of_authentication(keys, authentication);
        }
        written.keys.sort();
        written
    }

    fn of_trigger(
        &mut self,
        keys: &TypeKeys,
        metadata: &[(String, String)],
        folder: &str,
        plan: &Plan,
    ) {
        let known = |name: &str| {
            let mut known = keys.connection.iter().chain(&keys.tls);
            known.find(|known| known.name == name)
        };
        for (key, fate) in &plan.fates {
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
            if known(new.strip_suffix(FROM_ENV).unwrap_or(new)).is_none() {
                continue;
            }
            if new.ends_with(FROM_ENV) {
                self.notes.insert(format!(
                    "{new}: set the variable where backlog-scaler runs; it was one of the scaled container"
                ));
            }
            if known(new).is_some_and(|known| known.secret) {
                let file = format!("/secrets/{folder}/{new}");
                self.keys.push((format!("{new}{FROM_FILE}"), file));
                let note = format!("{new}{FROM_FILE}: write the value of `{key}` there");
                self.notes.insert(note);
            } else if !value.is_empty() {
                self.keys.push((new.to_owned(), value.to_owned()));
            }
            self.own.insert(key.clone());
        }
    }

    fn of_authentication(&mut self, keys: &TypeKeys, authentication: &Authentication) {
        for (parameter, place) in &authentication.parameters {
            let mut known = keys.connection.iter().chain(&keys.tls);
            let is_known = known.any(|known| known.name == *parameter);
            let mut given = self.keys.iter();
            if !is_known || given.any(|(key, _)| name_of(key) == parameter) {
                continue;
            }
            let (key, value, note) = match place {
                Place::Secret { name, key } => (
                    format!("{parameter}{FROM_FILE}"),
                    format!("/secrets/{name}/{key}"),
                    format!("/secrets/{name}: mount the Secret {name} there"),
                ),
                Place::ConfigMap { name, key } => (
                    format!("{parameter}{FROM_FILE}"),
                    format!("/config/{name}/{key}"),
                    format!("/config/{name}: mount the ConfigMap {name} there"),
                ),
                Place::Variable(name) => (
                    format!("{parameter}{FROM_ENV}"),
                    name.clone(),
                    format!(
                        "{parameter}{FROM_ENV}: set the variable where backlog-scaler runs; it was one of the \
                         scaled container"
                    ),
                ),
            };
            self.notes.insert(note);
            self.keys.push((key, value));
        }
    }

    /// Has the trigger's keys go, as the connection has them.
    pub fn leave(&self, plan: &mut Plan) {
        for (key, fate) in &mut plan.fates {
            if self.own.contains(key) {
                *fate = Fate::ToConnection;
            }
        }
    }

    /// By the names of keys, the values that are written; `None`: it is elsewhere.
    pub fn values(&self) -> BTreeMap<&str, Option<&str>> {
        let values = self.keys.iter().map(|(key, value)| {
            let name = name_of(key);
            (name, (name == key).then_some(value.as_str()))
        });
        values.collect()
    }

    /// The names of keys whose values are elsewhere.
    pub fn elsewhere(&self) -> Vec<&str> {
        let values = self.values().into_iter();
        let elsewhere = values.filter(|(_, value)| value.is_none());
        elsewhere.map(|(name, _)| name).collect()
    }
}

/// The name of a key without what says where its value is.
pub fn name_of(key: &str) -> &str {
    let mut ends = [FROM_ENV, FROM_FILE].iter();
    ends.find_map(|end| key.strip_suffix(end)).unwrap_or(key)
}
