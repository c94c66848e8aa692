//! The TriggerAuthentications and ClusterTriggerAuthentications among the manifests.

use std::collections::BTreeMap;

use crate::{
    kubernetes::References,
    manifests::{Found, NodeRef},
};

/// What a trigger's `authenticationRef` names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// `None`: a ClusterTriggerAuthentication.
    pub namespace: Option<String>,
    pub name: String,
}

impl Reference {
    /// The reference of a trigger of this namespace.
    pub fn of(trigger: NodeRef<'_>, namespace: &str) -> Option<Self> {
        let reference = trigger.get("authenticationRef")?;
        let name = reference.text_of("name")?.to_owned();
        let is_cluster = reference.text_of("kind") == Some(CLUSTER);
        let namespace = (!is_cluster).then(|| namespace.to_owned());
        Some(Reference { namespace, name })
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "TriggerAuthentication {namespace}/{}", self.name),
            None => write!(f, "ClusterTriggerAuthentication {}", self.name),
        }
    }
}

const CLUSTER: &str = "ClusterTriggerAuthentication";

/// Where a parameter of an authentication comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Secret {
        name: String,
        key: String,
    },
    ConfigMap {
        name: String,
        key: String,
    },
    /// A variable of the scale target's container.
    Variable(String),
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Authentication {
    pub parameters: Vec<(String, Place)>,
    /// Fields that only KEDA's operator can follow.
    pub unsupported: Vec<&'static str>,
}

impl Authentication {
    /// Whether it has a parameter.
    pub fn has(&self, parameter: &str) -> bool {
        self.parameters.iter().any(|(name, _)| name == parameter)
    }
}

/// All of them, by what a trigger would refer to.
#[derive(Default)]
pub struct Authentications(BTreeMap<Reference, Result<Authentication, &'static str>>);

impl Authentications {
    /// Adds those of a file.
    pub fn read(&mut self, found: &Found<'_>) {
        let kedas = found
            .skipped
            .iter()
            .filter(|other| other.version.starts_with("keda.sh/"));
        for other in kedas {
            let is_cluster = match other.kind.as_str() {
                CLUSTER => true,
                "TriggerAuthentication" => false,
                _ => continue,
            };
            let metadata = other.node.get("metadata");
            let text = |key: &str| metadata.and_then(|metadata| metadata.text_of(key));
            let Some(name) = text("name") else { continue };
            let namespace = text("namespace").unwrap_or("default").to_owned();
            let reference = Reference {
                namespace: (!is_cluster).then_some(namespace),
                name: name.to_owned(),
            };
            let parsed = match other.node.value() {
                Ok(value) => References::parse(&value),
                Err(_) => Err("it is not valid YAML"),
            };
            let parsed = parsed.map(|references| Authentication {
                unsupported: references.unsupported.clone(),
                parameters: parameters(references),
            });
            self.0.insert(reference, parsed);
        }
    }

    /// One of them; `None`: it is not among the files.
    pub fn get(&self, reference: &Reference) -> Option<&Result<Authentication, &'static str>> {
        self.0.get(reference)
    }
}

fn parameters(references: References) -> Vec<(String, Place)> {
    let secrets = references.secrets.into_iter().map(|entry| {
        let (name, key) = (entry.name, entry.key);
        (entry.parameter, Place::Secret { name, key })
    });
    let maps = references.config_maps.into_iter().map(|entry| {
        let (name, key) = (entry.name, entry.key);
        (entry.parameter, Place::ConfigMap { name, key })
    });
    let variables = references.environment.into_iter();
    let variables = variables.map(|entry| (entry.parameter, Place::Variable(entry.name)));
    secrets.chain(maps).chain(variables).collect()
}
