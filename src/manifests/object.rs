//! What a manifest is, beside its text: a ScaledObject or ScaledJob, something else, or a problem.

use serde_json::Value;

use super::{crd::MetricType, tree::NodeRef};

/// A ScaledObject or ScaledJob.
pub struct Object<'a> {
    /// Its document: `jobs.yaml, document 2 (line 14)`.
    pub place: String,
    pub node: NodeRef<'a>,
    pub scaled: Scaled,
    pub namespace: String,
    pub name: String,
    pub bounds: Bounds,
    pub combination: Combination,
    /// An annotation pauses it: KEDA does not scale it by its triggers.
    pub paused: bool,
    pub triggers: Vec<Trigger<'a>>,
}

impl Object<'_> {
    /// Its namespace; `other` where it names none, as kubectl applies it.
    pub fn namespace_or(&self, other: Option<&str>) -> String {
        let metadata = self.node.get("metadata");
        match metadata.and_then(|metadata| metadata.get("namespace")) {
            Some(_) => self.namespace.clone(),
            None => other.unwrap_or(&self.namespace).to_owned(),
        }
    }
}

/// One of its triggers. No `Debug`: the metadata may hold secrets.
pub struct Trigger<'a> {
    pub node: NodeRef<'a>,
    pub name: Option<String>,
    pub trigger_type: String,
    pub metric_type: Option<MetricType>,
    /// As it is written: its values may be no texts.
    pub metadata: Value,
    pub has_authentication: bool,
}

/// A document that is something else.
pub struct Skipped<'a> {
    pub place: String,
    pub node: NodeRef<'a>,
    pub kind: String,
    pub version: String,
}

/// A ScaledObject or ScaledJob with a field that cannot be read.
pub struct Unread<'a> {
    pub node: NodeRef<'a>,
    pub scaled: Scaled,
}

/// Something that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `jobs.yaml, document 2 (line 14)`.
    pub place: String,
    /// The byte of the file that it is about.
    pub at: usize,
    /// The field, as `spec.triggers[0].type`; empty: the document as such.
    pub path: String,
    pub reason: String,
    pub cause: Cause,
}

/// What kind of thing is wrong with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It is no YAML.
    Syntax,
    /// Its kind or version is misspelt.
    Kind,
    /// It is no manifest at all.
    NoKind,
    /// A field is missing, or has a value that it cannot have.
    Field,
}

/// What is scaled, as KEDA treats the two differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaled {
    /// A ScaledObject: an HPA scales its target.
    Object,
    /// A ScaledJob: KEDA creates jobs itself.
    Job,
}

/// `minReplicaCount`, `maxReplicaCount` and `idleReplicaCount`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub min: u32,
    pub max: u32,
    pub idle: Option<u32>,
}

/// How the triggers of an object become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combination {
    /// The largest wins.
    Largest,
    /// `spec.advanced.scalingModifiers.formula` makes a metric of its own.
    Formula,
    /// `spec.scalingStrategy.multipleScalersCalculation` of a ScaledJob.
    Calculation,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Problem {
            place,
            path,
            reason,
            ..
        } = self;
        match path.is_empty() {
            true => write!(f, "{place}: {reason}"),
            false => write!(f, "{place}: {path}: {reason}"),
        }
    }
}
