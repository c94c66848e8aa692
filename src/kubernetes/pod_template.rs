//! A pod template, as far as its environment goes. No `Debug`: values may be secrets.

use std::fmt;

use serde::Deserialize;

use super::object::Resource;
use crate::metadata::values::Secret;

/// A pod template, as far as its environment goes. KEDA takes any object that has one at
/// `spec.template` (`podSpecable`).
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PodTemplate {
    spec: PodSpec,
}

#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct PodSpec {
    containers: Vec<Container>,
}

impl PodTemplate {
    /// Its containers, in order.
    pub fn containers(self) -> Vec<Container> {
        self.spec.containers
    }
}

/// The environment of a container. No `Debug`: values may be secrets.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    #[serde(default)]
    pub name: String,
    env: Option<Vec<Variable>>,
    env_from: Option<Vec<EnvFrom>>,
}

#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Variable {
    pub name: String,
    pub value: Option<Secret>,
    pub value_from: Option<ValueFrom>,
}

#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValueFrom {
    secret_key_ref: Option<KeyRef>,
    config_map_key_ref: Option<KeyRef>,
}

#[derive(Clone, PartialEq, Eq, Deserialize)]
struct KeyRef {
    #[serde(default)]
    name: String,
    key: String,
    #[serde(default)]
    optional: Option<bool>,
}

#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvFrom {
    pub prefix: Option<String>,
    config_map_ref: Option<MapRef>,
    secret_ref: Option<MapRef>,
}

#[derive(Clone, PartialEq, Eq, Deserialize)]
struct MapRef {
    #[serde(default)]
    name: String,
    #[serde(default)]
    optional: Option<bool>,
}

/// A Secret or ConfigMap of the trigger's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MapId {
    pub resource: Resource,
    pub name: String,
}

impl fmt::Display for MapId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.resource.kind(), self.name)
    }
}

impl Container {
    pub fn env(&self) -> &[Variable] {
        self.env.as_deref().unwrap_or_default()
    }

    pub fn env_from(&self) -> &[EnvFrom] {
        self.env_from.as_deref().unwrap_or_default()
    }
}

impl EnvFrom {
    /// KEDA looks at the ConfigMap first.
    pub fn id(&self) -> Option<MapId> {
        let config_map = self.config_map_ref.as_ref();
        let map = config_map.map(|map| (Resource::ConfigMaps, map));
        let map = map.or(self.secret_ref.as_ref().map(|map| (Resource::Secrets, map)));
        map.map(|(resource, map)| MapId {
            resource,
            name: map.name.clone(),
        })
    }

    pub fn is_optional(&self) -> bool {
        let map = self.config_map_ref.as_ref().or(self.secret_ref.as_ref());
        map.and_then(|map| map.optional).unwrap_or_default()
    }
}

impl Variable {
    /// Whether a missing key, or a source that KEDA skips, leaves it without a value.
    pub fn may_be_unset(&self) -> bool {
        let literal = self.value.as_ref().map_or("", Secret::expose);
        let source = self.value_from.as_ref().filter(|_| literal.is_empty());
        source.is_some_and(|source| source.key_ref().is_none_or(|(.., optional)| optional))
    }

    /// The names of `$(NAME)` in its value.
    pub fn references(&self) -> Vec<String> {
        let value = self.value.as_ref().map_or("", Secret::expose);
        let names = value.split("$(").skip(1);
        names
            .filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
            .collect()
    }
}

impl ValueFrom {
    /// The Secret or ConfigMap, its key, and whether that may be missing.
    pub fn key_ref(&self) -> Option<(MapId, &str, bool)> {
        let secret = self.secret_key_ref.as_ref();
        let reference = secret.map(|key| (Resource::Secrets, key));
        let config_map = self.config_map_key_ref.as_ref();
        let reference = reference.or(config_map.map(|key| (Resource::ConfigMaps, key)));
        reference.map(|(resource, key)| {
            let (name, is_optional) = (key.name.clone(), key.optional.unwrap_or_default());
            (MapId { resource, name }, key.key.as_str(), is_optional)
        })
    }
}
