//! A ScaledObject or ScaledJob of a manifest → what is simulated of it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    check,
    error::{Error, Kind, Result},
    manifests::{self, File, Found, MetricType, is_external},
    metadata::{
        CommonKeys, TriggerRef, parse::Metadata, schema::KeySet, signal::Signal, values::Target,
    },
    sampling::{Engine, Reading},
    simulation::{
        MetricTarget, QueueState, Report as Measurement, Scalable, ScaledJob, ScaledObject,
        ShapedTrigger, Trigger, drain_time, oldest_age,
    },
};

/// A ScaledObject or ScaledJob to simulate.
pub struct Scaled {
    /// `shop/orders`.
    pub name: String,
    pub object: Scalable,
    pub triggers: Vec<Simulated>,
}

/// What a file holds.
pub struct Read {
    pub objects: Vec<Scaled>,
    pub notes: Vec<String>,
}

/// Reads the ScaledObjects and ScaledJobs of a file that are chosen by their names, as `shop/orders`. An
/// error: something in it is wrong, or there is none.
pub fn read_some(
    file: &File,
    engine: &Engine,
    only: &[usize],
    is_chosen: impl Fn(&str) -> bool,
) -> Result<Read> {
    let found = Found::of(file);
    if let Some(problem) = found.problems.first() {
        return Err(invalid(problem.to_string()));
    }
    let (mut notes, mut names) = (Vec::new(), Vec::new());
    let mut objects = Vec::new();
    for object in &found.objects {
        let id = format!("{}/{}", object.namespace, object.name);
        if !is_chosen(&id) {
            names.push(id);
            continue;
        }
        let has_metric_type = |trigger: &manifests::Trigger<'_>| trigger.metric_type.is_some();
        if object.scaled == manifests::Scaled::Job && object.triggers.iter().any(has_metric_type) {
            // `reconcileScaledJob` in controllers/keda/scaledjob_controller.go.
            let what = format!("{id}: KEDA refuses metricType in the triggers of a ScaledJob");
            let next = "Leave it out: the value is that of AverageValue.";
            return Err(Error::new(Kind::Invalid, what, next));
        }
        let spec = object.node.get("spec").map(|spec| spec.value());
        let spec = spec
            .transpose()
            .map_err(|error| invalid(format!("{id}: {}", error.reason)))?;
        let spec = spec.unwrap_or_default();
        let settings = match object.scaled {
            manifests::Scaled::Object => ScaledObject::of_spec(&spec).map(Scalable::Object),
            manifests::Scaled::Job => ScaledJob::of_spec(&spec).map(Scalable::Job),
        };
        let settings = settings.map_err(|error| invalid(format!("{id}: spec.{error}")))?;
        if spec.pointer(PENDING).is_some() {
            notes.push(format!(
                "{id}: pendingPodConditions is not simulated; a job is pending until --startup is over"
            ));
        }
        let mut reader = Triggers {
            engine,
            id: &id,
            namespace: &object.namespace,
            name: &object.name,
            notes: &mut notes,
        };
        let triggers = reader.read(&object.triggers, only)?;
        objects.push(Scaled {
            name: id,
            object: settings,
            triggers,
        });
    }
    if objects.is_empty() && !names.is_empty() {
        let what = format!("{}: holds {}", file.name(), names.join(", "));
        return Err(Error::new(Kind::Invalid, what, "Choose one with --object."));
    }
    match objects.is_empty() {
        true => Err(invalid(format!(
            "{}: holds no ScaledObject or ScaledJob",
            file.name()
        ))),
        false => Ok(Read { objects, notes }),
    }
}

/// A field of a ScaledJob.
const PENDING: &str = "/scalingStrategy/pendingPodConditions";

fn invalid(what: String) -> Error {
    Error::new(Kind::Invalid, what, "")
}

/// Reads the triggers of one object.
struct Triggers<'a> {
    engine: &'a Engine,
    id: &'a str,
    namespace: &'a str,
    name: &'a str,
    notes: &'a mut Vec<String>,
}

/// A trigger with its target.
pub type Simulated = (MetricTarget, ShapedTrigger<Measured>);

impl Triggers<'_> {
    fn read(&mut self, all: &[manifests::Trigger<'_>], only: &[usize]) -> Result<Vec<Simulated>> {
        let id = self.id;
        if let Some(index) = only.iter().find(|index| **index >= all.len()) {
            let what = format!("--trigger {index}: {id} has {} triggers", all.len());
            return Err(Error::new(Kind::Invalid, what, "They are counted from 0."));
        }
        let mut simulated = Vec::new();
        for (index, trigger) in all.iter().enumerate() {
            if !only.is_empty() && !only.contains(&index) {
                continue;
            }
            if !is_external(&trigger.trigger_type) {
                let kind = &trigger.trigger_type;
                self.notes.push(format!(
                    "{id}, trigger {index}: type {kind} is not simulated, and may want more replicas"
                ));
                continue;
            }
            simulated.push(self.trigger(index, trigger)?);
        }
        match simulated.len() {
            0 => Err(invalid(format!(
                "{id}: has no trigger that can be simulated"
            ))),
            1 => Ok(simulated),
            _ => {
                self.notes.push(format!(
                    "{id}: all its triggers measure the same simulated queue; --trigger chooses some"
                ));
                Ok(simulated)
            }
        }
    }

    fn trigger(&self, index: usize, trigger: &manifests::Trigger<'_>) -> Result<Simulated> {
        let of = format!("{}, trigger {index}", self.id);
        let located = |error: String| invalid(format!("{of}: {error}"));
        let metadata = texts(&trigger.metadata).map_err(&located)?;
        let spec = self
            .engine
            .spec(&TriggerRef {
                namespace: self.namespace.to_owned(),
                name: self.name.to_owned(),
                metadata: metadata.clone(),
            })
            .map_err(|error| Error::new(error.kind(), format!("{of}: {error}"), ""))?;
        let keys = KeySet::of::<CommonKeys>();
        // The other keys are known to the backend: the engine has accepted them.
        let (given, _) = Metadata::new(&metadata, &[&keys]);
        let common: CommonKeys = given
            .parse(&keys)
            .map_err(|problems| located(problems.to_string()))?;
        let target = match trigger.metric_type.unwrap_or_default() {
            MetricType::AverageValue => MetricTarget::AverageValue(spec.target),
            MetricType::Value => MetricTarget::Value(spec.target),
            MetricType::Utilization => {
                let next = "Use AverageValue or Value.";
                let what = format!("{of}: KEDA refuses metricType Utilization of such a trigger");
                return Err(Error::new(Kind::Invalid, what, next));
            }
        };
        let measured = Measured::of(&metadata, &common);
        let shaped = ShapedTrigger::new(&common, Target(spec.target as u64), measured);
        let shaped = shaped.map_err(|problem| located(problem.to_string()))?;
        Ok((target, shaped))
    }
}

/// As KEDA sends it. What a variable has is not known here, and of no matter: credentials and
/// addresses.
fn texts(metadata: &Value) -> Result<BTreeMap<String, String>, String> {
    let Value::Object(entries) = metadata else {
        return Err("metadata: must be a map of texts".to_owned());
    };
    let mut texts = BTreeMap::new();
    for (key, value) in entries {
        let text = match value {
            Value::Null => continue,
            Value::String(_) if key.ends_with("FromEnv") => {
                check::stand_in(key.trim_end_matches("FromEnv"))
            }
            Value::String(text) => text.clone(),
            Value::Array(_) | Value::Object(_) => {
                return Err(format!(
                    "metadata.{key}: must be a text, not a list or a map"
                ));
            }
            value => value.to_string(),
        };
        texts.insert(key.clone(), text);
    }
    Ok(texts)
}

/// What a trigger measures of the simulated queue.
pub struct Measured {
    signal: Signal,
    /// Active above so many items.
    activation: u64,
    /// Active above so many seconds, where that decides.
    activation_seconds: Option<u64>,
    /// The backlog includes what workers have in hand.
    includes_in_hand: bool,
}

impl Measured {
    fn of(metadata: &BTreeMap<String, String>, common: &CommonKeys) -> Self {
        // `activationListLength`, `activationLagThreshold`, …: one for each backend.
        let activation = metadata
            .iter()
            .find(|(key, _)| key.starts_with("activation") && *key != "activationSeconds");
        let activation = activation.and_then(|(_, value)| value.trim().parse().ok());
        Measured {
            signal: common.signal,
            activation: activation.unwrap_or(0),
            activation_seconds: common.activation_seconds.map(|seconds| seconds.0),
            includes_in_hand: includes_in_hand(metadata, &common.backend),
        }
    }
}

/// Whether what a trigger counts has what workers have taken: consumers of Kafka commit what they have
/// finished, and in Redis what is taken may be in a list of its own.
fn includes_in_hand(metadata: &BTreeMap<String, String>, backend: &str) -> bool {
    let is = |key: &str, value: &str| {
        let given = metadata.get(key).map(|given| given.trim());
        given.is_some_and(|given| given.eq_ignore_ascii_case(value))
    };
    backend.ends_with("kafka")
        || metadata.contains_key("processingLists")
        || is("layout", "bullmq")
        || is("layout", "rq")
        || is("layout", "celery") && is("sharedKeys", "true")
}

impl Trigger for Measured {
    fn evaluate(&mut self, queue: &QueueState) -> Result<Measurement> {
        let in_hand = match self.includes_in_hand {
            true => queue.in_flight,
            false => 0,
        };
        let backlog = queue.backlog + in_hand;
        let is_active = backlog > self.activation;
        let mut reading = match self.signal {
            Signal::Backlog => Reading {
                value: backlog as f64,
                active: is_active,
            },
            Signal::Age => oldest_age()(queue)?,
            Signal::DrainTime => drain_time()(queue)?,
        };
        reading.active = match self.activation_seconds {
            Some(above) => reading.value > above as f64,
            None => is_active,
        };
        Ok(reading.into())
    }
}
