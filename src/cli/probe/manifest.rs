//! A file → the ScaledObjects and ScaledJobs to probe, with everything that is wrong with it and
//! notes for its author.

use std::collections::BTreeMap;

use serde_json::Value;

pub use super::crd::MetricType;
use super::{
    crd::{Manifest, Spec},
    documents::{Document, split},
    metadata::{Environment, Resolver, Variable},
    replicas::{Bounds, Scaled},
};
use crate::{
    error::{Error, one_line},
    metadata::problem::without_text,
};

/// A ScaledObject or ScaledJob.
pub struct Object {
    pub scaled: Scaled,
    pub namespace: String,
    pub name: String,
    pub bounds: Bounds,
    pub combination: Combination,
    pub triggers: Vec<Trigger>,
}

/// One of its triggers. No `Debug`: the metadata may hold secrets.
pub struct Trigger {
    pub name: Option<String>,
    pub trigger_type: String,
    pub metric_type: MetricType,
    /// As KEDA sends it: texts, with `…FromEnv` resolved.
    pub metadata: BTreeMap<String, String>,
    /// Whether it has an `authenticationRef`.
    pub is_authenticated: bool,
    /// Why the metadata are not known.
    pub failed: Option<Error>,
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

/// What a file holds, with notes for its author.
pub struct Manifests {
    pub objects: Vec<Object>,
    pub notes: Vec<String>,
}

/// Reads a file's text; `env` gives the value of an environment variable. `Err` is everything
/// that is wrong with it, each with the place.
pub fn read(
    file: &str,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Manifests, Vec<String>> {
    let get = |name: &str| match env(name) {
        Some(value) => Variable::Value(value),
        None => Variable::Unset,
    };
    let env = Environment {
        get: &get,
        unset: NOT_SET_HERE,
    };
    let mut reader = Reader::new(&env, Some(NOT_IN_A_FILE));
    for Document { place, content } in split(file, text) {
        match content {
            Ok(content) => reader.document(&place, content),
            Err(reason) => reader.problems.push(format!("{place}: {reason}")),
        }
    }
    if reader.objects.is_empty() && reader.problems.is_empty() {
        let problem = format!("{file}: holds no ScaledObject or ScaledJob");
        reader.problems.push(problem);
    }
    reader.end()
}

/// Reads one object of the API. `place` is its kind and its name; `authentications` is a note for
/// triggers with an `authenticationRef`.
pub fn of_object(
    place: &str,
    object: Value,
    env: &Environment<'_>,
    authentications: Option<&'static str>,
) -> Result<Manifests, Vec<String>> {
    let mut reader = Reader::new(env, authentications);
    reader.document(place, object);
    reader.end()
}

const NOT_SET_HERE: &str = "the variable that it names is not set here, so the key is left out, as \
    KEDA does; KEDA looks in the environment of the scaled container, probe in its own";

const NOT_IN_A_FILE: &str = "its parameters are not in the manifest: a server with kubernetes.enabled \
    reads them from the cluster, as does `probe --cluster`";

struct Reader<'a> {
    env: &'a Environment<'a>,
    authentications: Option<&'static str>,
    objects: Vec<Object>,
    notes: Vec<String>,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(env: &'a Environment<'a>, authentications: Option<&'static str>) -> Self {
        Reader {
            env,
            authentications,
            objects: Vec::new(),
            notes: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn end(self) -> Result<Manifests, Vec<String>> {
        let lines = |texts: Vec<String>| texts.into_iter().map(one_line).collect();
        match self.problems.is_empty() {
            true => Ok(Manifests {
                objects: self.objects,
                notes: lines(self.notes),
            }),
            false => Err(lines(self.problems)),
        }
    }

    fn document(&mut self, place: &str, mut content: Value) {
        let field = |name: &str| content.get(name).and_then(Value::as_str);
        let (kind, version) = (field("kind"), field("apiVersion").unwrap_or_default());
        let kedas = version.starts_with("keda.sh/");
        let scaled = match kind {
            Some("ScaledObject") if kedas => Scaled::Object,
            Some("ScaledJob") if kedas => Scaled::Job,
            Some(kind) if kind.ends_with("List") => {
                let items = content.get_mut("items").and_then(Value::as_array_mut);
                for (i, item) in items.into_iter().flatten().enumerate() {
                    self.document(&format!("{place}, items[{i}]"), item.take());
                }
                return;
            }
            Some(kind) => {
                self.notes.push(format!(
                    "{place}: skipped a {kind} of apiVersion {version:?}; probed are ScaledObjects and ScaledJobs of keda.sh/v1alpha1"
                ));
                return;
            }
            None => {
                self.problems.push(format!("{place}: has no `kind`; expected is a ScaledObject or ScaledJob of keda.sh/v1alpha1"));
                return;
            }
        };
        match serde_path_to_error::deserialize(content) {
            Ok(manifest) => self.object(place, scaled, manifest),
            Err(error) => {
                let (path, reason) = (error.path(), reason(error.inner()));
                self.problems.push(format!("{place}: {path}: {reason}"));
            }
        }
    }

    fn object(&mut self, place: &str, scaled: Scaled, manifest: Manifest) {
        let Manifest { metadata, spec } = manifest;
        let id = format!("{}/{}", metadata.namespace.0, metadata.name.0);
        let bounds = Bounds {
            min: spec.min_replica_count.map_or(0, |count| count.0),
            max: spec.max_replica_count.map_or(100, |count| count.0),
            idle: spec.idle_replica_count.map(|count| count.0),
        };
        let mut problems: Vec<String> = check(bounds).into_iter().collect();
        if spec.triggers.is_empty() {
            problems.push("spec.triggers: must have at least one trigger".to_owned());
        }
        let annotations = metadata.annotations.unwrap_or_default();
        if annotations.keys().any(|key| key.starts_with(PAUSED)) {
            let note = "has an annotation that pauses it: KEDA does not scale it by these values";
            self.notes.push(format!("{id}: {note}"));
        }
        let combination = combination(&spec);
        let mut triggers = Vec::new();
        for (i, item) in spec.triggers.into_iter().enumerate() {
            let mut resolver = Resolver {
                env: self.env,
                path: format!("spec.triggers[{i}].metadata"),
                of: format!("{id}, trigger {i}"),
                notes: &mut self.notes,
                problems: &mut problems,
                failed: None,
            };
            let is_ours = is_external(&item.trigger_type);
            let is_authenticated = is_ours && item.authentication_ref.is_some();
            if let Some(note) = self.authentications.filter(|_| is_authenticated) {
                resolver.note(&format!("authenticationRef: {note}"));
            }
            let metadata = match is_ours {
                true => resolver.resolve(item.metadata),
                false => BTreeMap::new(),
            };
            triggers.push(Trigger {
                name: item.name,
                metadata,
                is_authenticated,
                failed: resolver.failed,
                trigger_type: item.trigger_type,
                metric_type: item.metric_type.unwrap_or_default(),
            });
        }
        let at_place = |problem| format!("{place}: {problem}");
        self.problems.extend(problems.into_iter().map(at_place));
        self.objects.push(Object {
            scaled,
            namespace: metadata.namespace.0,
            name: metadata.name.0,
            bounds,
            combination,
            triggers,
        });
    }
}

/// What is wrong with a field, without the text that it holds.
fn reason(error: &serde_json::Error) -> String {
    let text = without_text(&error.to_string());
    let variant = "unknown variant";
    match text.rsplit_once(", expected ") {
        Some((found, expected)) if found.starts_with(variant) => {
            format!("{variant}, expected {expected}")
        }
        _ => text,
    }
}

/// The types that KEDA evaluates with an external scaler.
pub fn is_external(trigger_type: &str) -> bool {
    matches!(trigger_type, "external" | "external-push")
}

/// `autoscaling.keda.sh/paused`, `…/paused-replicas`, `…/paused-scale-in`, ….
const PAUSED: &str = "autoscaling.keda.sh/paused";

/// KEDA's own rules (`CheckReplicaCountBoundsAreValid`).
fn check(Bounds { min, max, idle }: Bounds) -> Option<String> {
    if min > max {
        return Some(format!(
            "spec.minReplicaCount: {min} must not be above maxReplicaCount, which is {max}"
        ));
    }
    let idle = idle.filter(|idle| *idle >= min)?;
    Some(format!(
        "spec.idleReplicaCount: {idle} must be below minReplicaCount, which is {min}"
    ))
}

fn combination(spec: &Spec) -> Combination {
    let text = |section: &Option<Value>, pointer: &str| {
        let value = section.as_ref().and_then(|value| value.pointer(pointer));
        value.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let formula = text(&spec.advanced, "/scalingModifiers/formula");
    let calculation = text(&spec.scaling_strategy, "/multipleScalersCalculation");
    match (formula.as_str(), calculation.as_str()) {
        ("", "" | "max") => Combination::Largest,
        ("", _) => Combination::Calculation,
        _ => Combination::Formula,
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
