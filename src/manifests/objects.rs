//! The documents of a file → its ScaledObjects and ScaledJobs, with everything that is wrong with their
//! structure.

use serde_json::Value;

use super::{
    crd::{Manifest, Spec},
    document::{Document, File},
    object::{Bounds, Cause, Combination, Object, Problem, Scaled, Skipped, Trigger, Unread},
    tree::NodeRef,
};
use crate::metadata::{problem::without_text, schema::nearest};

/// What a file holds.
#[derive(Default)]
pub struct Found<'a> {
    pub objects: Vec<Object<'a>>,
    /// Objects with a problem in their fields, which are in `problems` as well.
    pub unread: Vec<Unread<'a>>,
    pub skipped: Vec<Skipped<'a>>,
    pub problems: Vec<Problem>,
}

/// The types that KEDA evaluates with an external scaler.
pub fn is_external(trigger_type: &str) -> bool {
    matches!(trigger_type, "external" | "external-push")
}

/// `autoscaling.keda.sh/paused`, `…/paused-replicas`, `…/paused-scale-in`, ….
const PAUSED: &str = "autoscaling.keda.sh/paused";

impl<'a> Found<'a> {
    /// Reads every document of a file.
    pub fn of(file: &'a File) -> Self {
        let mut found = Found::default();
        for Document { place, content } in file.documents() {
            match content {
                Ok(tree) => {
                    let mut items = tree.len();
                    found.document(place, tree.root(), LISTS, &mut items);
                }
                Err(unreadable) => {
                    let line = file.position(unreadable.at).line;
                    let reason = format!("line {line}: {}", unreadable.reason);
                    found.problem(place, unreadable.at, "", reason, Cause::Syntax);
                }
            }
        }
        found
    }

    fn problem(&mut self, place: &str, at: usize, path: &str, reason: String, cause: Cause) {
        self.problems.push(Problem {
            place: place.to_owned(),
            at,
            path: path.to_owned(),
            reason,
            cause,
        });
    }

    /// `lists` bounds how deep lists are within each other, and `items` how many items there are: more
    /// than the document has values are aliases of aliases.
    fn document(&mut self, place: &str, node: NodeRef<'a>, lists: usize, items: &mut usize) {
        let kind = node.text_of("kind");
        let version = node.text_of("apiVersion").unwrap_or_default();
        match kind {
            Some(kind) if kind.ends_with("List") => {
                let found = node.get("items").into_iter().flat_map(NodeRef::items);
                for (i, item) in found.enumerate() {
                    let (Some(lists), Some(left)) = (lists.checked_sub(1), items.checked_sub(1))
                    else {
                        let reason = "has too many lists within lists".to_owned();
                        let at = item.span().start;
                        return self.problem(place, at, "items", reason, Cause::Kind);
                    };
                    *items = left;
                    self.document(&format!("{place}, items[{i}]"), item, lists, items);
                }
            }
            Some("ScaledObject") if is_kedas(version) => self.object(place, node, Scaled::Object),
            Some("ScaledJob") if is_kedas(version) => self.object(place, node, Scaled::Job),
            Some(kind) => match misspelt(kind, version) {
                Some((field, reason)) => {
                    let at = node.get(field).unwrap_or(node).span().start;
                    self.problem(place, at, field, reason, Cause::Kind);
                }
                None => self.skipped.push(Skipped {
                    place: place.to_owned(),
                    node,
                    kind: kind.to_owned(),
                    version: version.to_owned(),
                }),
            },
            None => {
                let reason = format!("has no `kind`; {EXPECTED}");
                self.problem(place, node.span().start, "", reason, Cause::NoKind);
            }
        }
    }

    fn object(&mut self, place: &str, node: NodeRef<'a>, scaled: Scaled) {
        let content = match node.value() {
            Ok(content) => content,
            Err(unreadable) => {
                self.problem(place, unreadable.at, "", unreadable.reason, Cause::Syntax);
                return;
            }
        };
        match serde_path_to_error::deserialize(content) {
            Ok(manifest) => self.manifest(place, node, scaled, manifest),
            Err(error) => {
                let at = node_at(node, error.path()).span().start;
                let (path, reason) = (error.path().to_string(), reason(error.inner()));
                self.problem(place, at, &path, reason, Cause::Field);
                self.unread.push(Unread { node, scaled });
            }
        }
    }

    fn manifest(&mut self, place: &str, node: NodeRef<'a>, scaled: Scaled, manifest: Manifest) {
        let Manifest { metadata, spec } = manifest;
        let bounds = Bounds {
            min: spec.min_replica_count.map_or(0, |count| count.0),
            max: spec.max_replica_count.map_or(100, |count| count.0),
            idle: spec.idle_replica_count.map(|count| count.0),
        };
        let in_spec = |field: &str| {
            let spec = node.get("spec").unwrap_or(node);
            spec.get(field).unwrap_or(spec).span().start
        };
        if let Some((field, reason)) = check(bounds) {
            let path = format!("spec.{field}");
            self.problem(place, in_spec(field), &path, reason, Cause::Field);
        }
        if spec.triggers.is_empty() {
            let reason = "must have at least one trigger".to_owned();
            self.problem(
                place,
                in_spec("triggers"),
                "spec.triggers",
                reason,
                Cause::Field,
            );
        }
        let annotations = metadata.annotations.unwrap_or_default();
        let combination = combination(&spec);
        let triggers = node.get("spec").and_then(|spec| spec.get("triggers"));
        let nodes = triggers.into_iter().flat_map(NodeRef::items);
        let triggers = nodes.zip(spec.triggers).map(|(node, item)| Trigger {
            node,
            name: item.name,
            trigger_type: item.trigger_type,
            metric_type: item.metric_type,
            metadata: item.metadata,
            has_authentication: item.authentication_ref.is_some(),
        });
        self.objects.push(Object {
            place: place.to_owned(),
            node,
            scaled,
            namespace: metadata.namespace.0,
            name: metadata.name.0,
            bounds,
            combination,
            paused: annotations.keys().any(|key| key.starts_with(PAUSED)),
            triggers: triggers.collect(),
        });
    }
}

/// kubectl writes one.
const LISTS: usize = 4;

const EXPECTED: &str = "expected is a ScaledObject or ScaledJob of keda.sh/v1alpha1";

fn is_kedas(version: &str) -> bool {
    version.starts_with("keda.sh/")
}

/// What is wrong with a kind or version that is nearly one of KEDA's, and which field it is.
fn misspelt(kind: &str, version: &str) -> Option<(&'static str, String)> {
    let kinds = [
        "ScaledObject",
        "ScaledJob",
        "TriggerAuthentication",
        "ClusterTriggerAuthentication",
    ];
    if kinds.contains(&kind) && is_kedas(version) {
        return None;
    }
    if kinds.contains(&kind) {
        // KEDA 1 had keda.k8s.io.
        let reason = "must be keda.sh/v1alpha1 for this kind".to_owned();
        return Some(("apiVersion", reason));
    }
    // Kinds of KEDA that are no mistake, and near to none of the others.
    let near = nearest(kind, kinds)?;
    let is_slip = is_kedas(version) || version.is_empty() || kind.eq_ignore_ascii_case(near);
    is_slip.then(|| {
        let reason = format!("`{kind}` is not one of KEDA's kinds; did you mean `{near}`?");
        ("kind", reason)
    })
}

/// The node at a path, or the innermost one around it.
fn node_at<'a>(root: NodeRef<'a>, path: &serde_path_to_error::Path) -> NodeRef<'a> {
    use serde_path_to_error::Segment;
    let mut node = root;
    for segment in path.iter() {
        let next = match segment {
            Segment::Map { key } => node.get(key),
            Segment::Seq { index } => node.items().nth(*index),
            _ => None,
        };
        let Some(next) = next else { break };
        node = next;
    }
    node
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

/// KEDA's own rules (`CheckReplicaCountBoundsAreValid`).
fn check(Bounds { min, max, idle }: Bounds) -> Option<(&'static str, String)> {
    if min > max {
        let reason = format!("{min} must not be above maxReplicaCount, which is {max}");
        return Some(("minReplicaCount", reason));
    }
    let idle = idle.filter(|idle| *idle >= min)?;
    let reason = format!("{idle} must be below minReplicaCount, which is {min}");
    Some(("idleReplicaCount", reason))
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
