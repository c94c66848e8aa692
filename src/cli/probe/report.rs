//! What probe found, in the shape of `--output json`. Every field is always there; what is not
//! known is null.

use serde::Serialize;

use super::{
    manifest::{Combination, MetricType, Object, Scaled, Trigger, is_external},
    replicas::{Overall, Share, wanted},
};
use crate::{check::codes, keda::client::TriggerResult};

/// The whole result.
#[derive(Debug, Serialize)]
pub struct Report {
    pub objects: Vec<ObjectReport>,
}

/// A ScaledObject or ScaledJob.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReport {
    /// `ScaledObject` or `ScaledJob`.
    pub kind: &'static str,
    pub namespace: String,
    pub name: String,
    pub min_replicas: u32,
    pub max_replicas: u32,
    pub idle_replicas: Option<u32>,
    /// What all triggers together want: replicas, or jobs.
    pub replicas: Option<u32>,
    /// A trigger whose wish is not known may want more than `replicas`.
    pub replicas_at_least: bool,
    /// Why `replicas` is null although every trigger has a value.
    pub replicas_note: Option<&'static str>,
    pub triggers: Vec<TriggerReport>,
}

/// How a trigger fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// The sample is fresh.
    Ok,
    /// The sample is stale, as the backend cannot be read now.
    Stale,
    /// There is no value.
    Error,
    /// A type that KEDA evaluates without an external scaler.
    NotOurs,
}

/// One trigger.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TriggerReport {
    /// From 0.
    pub index: usize,
    pub name: Option<String>,
    /// As in the manifest: `external`, `cpu`.
    pub r#type: String,
    pub backend: Option<String>,
    pub status: Status,
    pub metric_name: Option<String>,
    pub metric_type: MetricType,
    pub value: Option<f64>,
    pub target: Option<f64>,
    pub active: Option<bool>,
    /// What this trigger wants.
    pub replicas: Option<u32>,
    /// Why `replicas` is null although the trigger has a value.
    pub replicas_note: Option<String>,
    pub sample_age_ms: Option<u64>,
    /// Of a stale sample, the kind of the error behind it.
    pub stale_because: Option<String>,
    /// The value of the sample, where the trigger has keys that may change it.
    pub raw_value: Option<f64>,
    /// The keys that have.
    pub shaped_by: Option<Vec<String>>,
    pub error: Option<ErrorReport>,
    /// How a trigger that KEDA evaluates itself would move over, or what does not fit a trigger that is
    /// ours.
    pub hint: Option<String>,
    /// More replicas are allowed than partitions are there to share.
    #[serde(skip)]
    pub is_above_partitions: bool,
}

/// An error as KEDA gets it.
#[derive(Debug, Serialize)]
pub struct ErrorReport {
    /// The gRPC code: `Unavailable`.
    pub code: String,
    pub message: String,
}

const BY_FORMULA: &str =
    "spec.advanced.scalingModifiers.formula makes one metric of all, which KEDA computes itself";
const BY_CALCULATION: &str = "spec.scalingStrategy.multipleScalersCalculation is not max, so the jobs of all triggers together are not the most of one";

impl Report {
    /// Whether a trigger that is ours has no value.
    pub fn has_failures(&self) -> bool {
        let mut triggers = self.objects.iter().flat_map(|object| &object.triggers);
        triggers.any(|trigger| trigger.status == Status::Error)
    }

    /// Whether a trigger has a value that its object cannot follow.
    pub fn has_warnings(&self) -> bool {
        let mut triggers = self.objects.iter().flat_map(|object| &object.triggers);
        triggers.any(|trigger| trigger.is_above_partitions)
    }
}

impl ObjectReport {
    /// Puts together what is wanted of an object and what its triggers said; `None` for those
    /// that are not ours. `backends` are the trigger types that we have.
    pub fn new(object: Object, results: Vec<Option<TriggerResult>>, backends: &[&str]) -> Self {
        let formula = object.combination == Combination::Formula;
        let shares: Vec<_> = object
            .triggers
            .iter()
            .zip(&results)
            .map(|(trigger, result)| share(trigger, result.as_ref()).filter(|_| !formula))
            .collect();
        let (each, overall) = wanted(object.scaled, object.bounds, &shares);
        let most = |result: &Option<TriggerResult>| {
            let reading = result.as_ref()?.value.as_ref().ok()?;
            reading.most_consumers
        };
        let max = object.bounds.max;
        let (overall, replicas_note) = match object.combination {
            Combination::Formula => (None, Some(BY_FORMULA)),
            Combination::Calculation if shares.len() > 1 => (None, Some(BY_CALCULATION)),
            _ => (overall, None),
        };
        let triggers = object
            .triggers
            .into_iter()
            .zip(results)
            .zip(each)
            .enumerate()
            .map(|(index, ((trigger, result), replicas))| {
                let most = most(&result).filter(|most| u64::from(max) > *most);
                let mut report = TriggerReport::new(index, trigger, result, backends);
                if let Some(most) = most {
                    report.is_above_partitions = true;
                    let (code, fix) = (codes::PARTITIONS.name, codes::PARTITIONS.fix);
                    let hint =
                        format!("maxReplicaCount {max}, and {most} partitions: {fix} [{code}]");
                    report.hint.get_or_insert(hint);
                }
                let has_value = matches!(report.status, Status::Ok | Status::Stale);
                report.replicas = replicas;
                report.replicas_note = match replicas {
                    None if has_value && formula => Some(BY_FORMULA.to_owned()),
                    None if has_value => by_value(&report),
                    _ => None,
                };
                report
            });
        ObjectReport {
            kind: match object.scaled {
                Scaled::Object => "ScaledObject",
                Scaled::Job => "ScaledJob",
            },
            namespace: object.namespace,
            name: object.name,
            min_replicas: object.bounds.min,
            max_replicas: object.bounds.max,
            idle_replicas: object.bounds.idle,
            replicas: overall.map(|Overall { count, .. }| count),
            replicas_at_least: overall.is_some_and(|overall| overall.at_least),
            replicas_note,
            triggers: triggers.collect(),
        }
    }
}

fn share(trigger: &Trigger, result: Option<&TriggerResult>) -> Option<Share> {
    let TriggerResult { metric, value } = result?;
    let reading = value.as_ref().ok()?;
    let target = metric.as_ref()?.target;
    (trigger.metric_type == MetricType::AverageValue).then_some(Share {
        value: reading.value,
        target,
        active: reading.active,
    })
}

impl TriggerReport {
    fn new(
        index: usize,
        trigger: Trigger,
        result: Option<TriggerResult>,
        backends: &[&str],
    ) -> Self {
        let key = |key: &str| trigger.metadata.get(key).filter(|name| !name.is_empty());
        let hint = hint(&trigger, backends);
        let mut report = TriggerReport {
            index,
            name: trigger.name,
            backend: key("backend").or_else(|| key("backendFromEnv")).cloned(),
            status: Status::NotOurs,
            metric_name: None,
            metric_type: trigger.metric_type,
            value: None,
            target: None,
            active: None,
            replicas: None,
            replicas_note: None,
            sample_age_ms: None,
            stale_because: None,
            raw_value: None,
            shaped_by: None,
            error: None,
            hint,
            is_above_partitions: false,
            r#type: trigger.trigger_type,
        };
        let Some(TriggerResult { metric, value }) = result else {
            return report;
        };
        if let Some(metric) = metric {
            report.metric_name = Some(metric.name);
            report.target = Some(metric.target);
        }
        match value {
            Ok(reading) => {
                report.status = match reading.stale {
                    Some(_) => Status::Stale,
                    None => Status::Ok,
                };
                report.value = Some(reading.value);
                report.active = Some(reading.active);
                report.sample_age_ms = reading
                    .age
                    .and_then(|age| u64::try_from(age.as_millis()).ok());
                report.stale_because = reading.stale;
                report.raw_value = reading.raw_value;
                report.shaped_by = reading.shaped_by;
            }
            Err(error) => {
                report.status = Status::Error;
                report.hint = report.hint.or_else(|| unresolved(&error.message));
                report.error = Some(ErrorReport {
                    code: format!("{:?}", error.code),
                    message: error.message,
                });
            }
        }
        report
    }
}

/// What the HPA makes of `metricType: Value`.
fn by_value(report: &TriggerReport) -> Option<String> {
    let factor = report.value? / report.target?;
    Some(format!(
        "with metricType Value the HPA multiplies the current number of replicas, which probe does \
         not know, by value / target, here {factor:.2}, and rounds up"
    ))
}

fn hint(trigger: &Trigger, backends: &[&str]) -> Option<String> {
    let trigger_type = trigger.trigger_type.as_str();
    if is_external(trigger_type) {
        return misfit(trigger);
    }
    let moves = backends.contains(&trigger_type);
    moves.then(|| {
        format!("KEDA reads this one itself; `backlog-scaler migrate` moves it over, with `type: external`, `scalerAddress` and `backend: {trigger_type}`")
    })
}

/// What to do about a name that does not resolve. The words are those of Rust's standard library.
fn unresolved(message: &str) -> Option<String> {
    message
        .contains("failed to lookup address information")
        .then(|| {
            "the name does not resolve where the trigger was evaluated. Names of Services resolve only \
             within their cluster: have a server there evaluate it, with `kubectl port-forward` and \
             --address, or run probe in the server's pod, with `kubectl exec`"
                .to_owned()
        })
}

/// What of the metadata does not fit the metric type.
fn misfit(trigger: &Trigger) -> Option<String> {
    let given = |key: &str| trigger.metadata.get(key).map(|value| value.trim());
    if trigger.metric_type != MetricType::Value {
        let signal = given("signal").filter(|signal| matches!(*signal, "age" | "drainTime"))?;
        return Some(format!(
            "`signal: {signal}` reports seconds: set `metricType: Value`, with which the HPA scales \
             by value / target; without it, it takes ceil(value / target) replicas, whatever runs now"
        ));
    }
    let replicas = ["scaleDownBelow", "minimumWhileInFlight"];
    let key = replicas.into_iter().find(|key| given(key).is_some())?;
    Some(format!(
        "`{key}` reckons with replicas of the target each, so it needs `metricType: AverageValue`"
    ))
}
