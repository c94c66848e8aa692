//! The environment of a container, as KEDA resolves it (`resolveEnv` in
//! `pkg/scaling/resolver/scale_resolvers.go`).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{
    expansion::{Known, expand},
    pod_template::{Container, EnvFrom, MapId, Variable},
};
use crate::metadata::values::Secret;

/// The keys of a Secret or ConfigMap; a value that is no text is `None`.
pub type Keys = BTreeMap<String, Option<Secret>>;

/// What is known of a Secret or ConfigMap.
#[derive(Clone, Copy)]
pub enum Found<'a> {
    Keys(&'a Keys),
    Missing,
    /// It was not among those that [`Container::needs`] has named.
    NotRead,
}

/// Looks up the maps that [`Container::needs`] has named.
pub type Lookup<'a> = &'a dyn Fn(&MapId) -> Found<'a>;

/// Why a variable has no value. Completes the sentence "environment variable X …", without a value.
#[derive(Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// The container has no such variable.
    NotSet,
    /// Its only source is one that KEDA skips, such as a `fieldRef`: KEDA has no value, the container
    /// may have one.
    Skipped,
    /// It has, and something is missing or cannot be read; KEDA then refuses the trigger.
    Failed(String),
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unresolved::NotSet => "is not set",
            Unresolved::Skipped => {
                "has another source than secretKeyRef and configMapKeyRef, which KEDA skips"
            }
            Unresolved::Failed(reason) => reason,
        })
    }
}

/// A container by its name; without one, the first. The error says what is missing.
pub fn container<'a>(
    containers: &'a [Container],
    name: Option<&str>,
) -> Result<&'a Container, String> {
    let found = match name {
        None => containers.first(),
        Some(name) => containers.iter().find(|container| container.name == name),
    };
    found.ok_or_else(|| match name {
        None => "has no containers".to_owned(),
        Some(name) => format!("has no container `{name}`"),
    })
}

impl Container {
    /// The Secrets and ConfigMaps that a variable's value may depend on. KEDA reads those of the whole
    /// container; fewer need fewer permissions.
    pub fn needs(&self, variable: &str) -> BTreeSet<MapId> {
        let (mut needed, mut seen) = (BTreeSet::new(), BTreeSet::new());
        let mut names = vec![variable.to_owned()];
        while let Some(name) = names.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            let entries = self.env().iter().filter(|entry| entry.name == name);
            let entries: Vec<&Variable> = entries.collect();
            let references: Vec<String> = entries.iter().flat_map(|e| e.references()).collect();
            // `env` goes over `envFrom` where it has a value, but a reference may be to a variable of
            // either.
            if entries.iter().all(|entry| entry.may_be_unset()) || !references.is_empty() {
                needed.extend(self.env_from().iter().filter_map(EnvFrom::id));
            }
            let sources = entries.iter().filter_map(|entry| entry.value_from.as_ref());
            needed.extend(sources.filter_map(|source| Some(source.key_ref()?.0)));
            names.extend(references);
        }
        needed
    }

    /// The value of a variable. `None`: it has an optional source that does not exist.
    pub fn resolve(
        &self,
        variable: &str,
        lookup: Lookup<'_>,
    ) -> Result<Option<Secret>, Unresolved> {
        let mut known: Known = BTreeMap::new();
        let (mut is_optional, mut is_skipped) = (false, false);
        for from in self.env_from() {
            let Some(id) = from.id() else { continue };
            let prefix = from.prefix.as_deref().unwrap_or_default();
            match lookup(&id) {
                Found::Keys(keys) => known.extend(keys.iter().map(|(key, value)| {
                    let value = value.clone().ok_or_else(|| not_text(&id, key));
                    (format!("{prefix}{key}"), value)
                })),
                Found::Missing if from.is_optional() => is_optional = true,
                Found::Missing => {
                    let reason = format!("needs {id}, which does not exist");
                    return Err(Unresolved::Failed(reason));
                }
                Found::NotRead => {}
            }
        }
        for entry in self.env() {
            let literal = entry
                .value
                .as_ref()
                .filter(|value| !value.expose().is_empty());
            let value = match (literal, &entry.value_from) {
                (Some(value), _) => expand(value, &known),
                (None, Some(source)) => match source.key_ref().map(|key| read(key, lookup)) {
                    Some(Ok(Some(value))) => Ok(value),
                    Some(Err(reason)) => Err(reason),
                    None => {
                        is_skipped |= entry.name == variable;
                        continue;
                    }
                    Some(Ok(None)) => {
                        is_optional |= entry.name == variable;
                        continue;
                    }
                },
                (None, None) => Ok(Secret::from("")),
            };
            known.insert(entry.name.clone(), value);
        }
        match known.remove(variable) {
            Some(value) => value.map(Some).map_err(Unresolved::Failed),
            None if is_skipped => Err(Unresolved::Skipped),
            None if is_optional => Ok(None),
            None => Err(Unresolved::NotSet),
        }
    }
}

fn read(
    (id, key, is_optional): (MapId, &str, bool),
    lookup: Lookup<'_>,
) -> Result<Option<Secret>, String> {
    match lookup(&id) {
        Found::Keys(keys) => match keys.get(key) {
            Some(Some(value)) => Ok(Some(value.clone())),
            Some(None) => Err(not_text(&id, key)),
            None if is_optional => Ok(None),
            None => Err(format!("needs key `{key}` of {id}, which is not there")),
        },
        Found::Missing if is_optional => Ok(None),
        Found::Missing | Found::NotRead => {
            Err(format!("needs key `{key}` of {id}, which does not exist"))
        }
    }
}

fn not_text(id: &MapId, key: &str) -> String {
    format!("needs key `{key}` of {id}, which is not UTF-8")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kubernetes::pod_template::PodTemplate;

    fn containers() -> Vec<Container> {
        let template = json!({"spec": {"containers": [
            {
                "name": "app",
                "image": "registry.example/app",
                "envFrom": [
                    {"configMapRef": {"name": "common"}},
                    {"prefix": "R_", "secretRef": {"name": "redis"}},
                ],
                "env": [
                    {"name": "HOST", "value": "redis.shop"},
                    {"name": "ADDRESS", "value": "$(HOST):$(PORT)"},
                    {"name": "COST", "value": "$$(HOST) $(NOBODY) abc"},
                    {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "redis", "key": "password"}}},
                    {"name": "URL", "value": "redis://:$(PASSWORD)@$(HOST)"},
                    {"name": "TOKEN", "valueFrom": {"secretKeyRef":
                        {"name": "token", "key": "t", "optional": true}}},
                    {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                    {"name": "ON_NODE", "value": "on $(NODE)"},
                    {"name": "EMPTY"},
                ],
            },
            {"name": "sidecar"},
        ]}});
        let template: PodTemplate = serde_json::from_value(template).unwrap();
        template.containers()
    }

    fn keys(pairs: &[(&str, &str)]) -> Keys {
        let keys = pairs
            .iter()
            .map(|(k, v)| (k.to_string(), Some(Secret::from(*v))));
        keys.collect()
    }

    fn resolve(variable: &str) -> Result<Option<String>, String> {
        let (common, redis) = (keys(&[("PORT", "6379")]), keys(&[("password", "hunter2")]));
        let containers = containers();
        let app = container(&containers, None).unwrap();
        let needed = app.needs(variable);
        let lookup = |id: &MapId| match (needed.contains(id), id.name.as_str()) {
            (false, _) => Found::NotRead,
            (true, "common") => Found::Keys(&common),
            (true, "redis") => Found::Keys(&redis),
            (true, _) => Found::Missing,
        };
        let value = app.resolve(variable, &lookup);
        let value = value.map(|value| value.map(|value| value.expose().to_owned()));
        value.map_err(|reason| reason.to_string())
    }

    #[test]
    fn a_variable_has_the_value_that_keda_sends() {
        for (variable, expected) in [
            ("HOST", "redis.shop"),
            ("ADDRESS", "redis.shop:6379"),
            ("COST", "$(HOST) $(NOBODY) abc"),
            ("PASSWORD", "hunter2"),
            ("URL", "redis://:hunter2@redis.shop"),
            ("PORT", "6379"),
            ("R_password", "hunter2"),
            ("EMPTY", ""),
        ] {
            let value = resolve(variable).unwrap();
            assert_eq!(value.as_deref(), Some(expected), "{variable}");
        }
    }

    #[test]
    fn what_has_no_value_says_why() {
        assert_eq!(resolve("TOKEN"), Ok(None), "its source is optional");
        assert_eq!(resolve("NOBODY").unwrap_err(), "is not set");
        let other = "has another source than secretKeyRef and configMapKeyRef, which KEDA skips";
        assert_eq!(resolve("NODE").unwrap_err(), other);
        let of_node = resolve("ON_NODE").unwrap();
        assert_eq!(of_node.as_deref(), Some("on $(NODE)"), "as KEDA leaves it");
    }

    #[test]
    fn only_what_a_variable_depends_on_is_read() {
        let containers = containers();
        let app = container(&containers, Some("app")).unwrap();
        let names = |variable| -> Vec<String> {
            let needed = app.needs(variable);
            needed.iter().map(ToString::to_string).collect()
        };
        assert!(names("HOST").is_empty());
        assert_eq!(names("PASSWORD"), ["Secret redis"]);
        assert_eq!(names("PORT"), ["Secret redis", "ConfigMap common"]);
        assert_eq!(names("ADDRESS"), ["Secret redis", "ConfigMap common"]);
        // Without a value of its own, one of `envFrom` counts.
        let of_token = ["Secret redis", "Secret token", "ConfigMap common"];
        assert_eq!(names("TOKEN"), of_token);
        assert_eq!(names("NODE"), ["Secret redis", "ConfigMap common"]);
    }

    #[test]
    fn a_container_is_found_by_its_name() {
        let containers = containers();
        assert_eq!(
            container(&containers, Some("sidecar")).unwrap().name,
            "sidecar"
        );
        let error = container(&containers, Some("web")).err();
        assert_eq!(error.as_deref(), Some("has no container `web`"));
        assert_eq!(
            container(&[], None).err().as_deref(),
            Some("has no containers")
        );
    }
}
