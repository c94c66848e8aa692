//! Metrics per trigger, collected from the engine when `/metrics` is scraped: a trigger that is
//! evicted takes its series with it, and the cardinality is bounded by how many triggers are kept.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Weak},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::gauge::ConstGauge,
    registry::Unit,
};

use super::{engine::Engine, trigger::Trigger};
use crate::telemetry::LabelText;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    namespace: LabelText,
    scaled_object: LabelText,
    metric: String,
    /// The trigger type, under the name of the key that users write it in.
    backend: &'static str,
}

/// Reads the engine's triggers.
#[derive(Debug)]
pub struct TriggerCollector(Weak<Engine>);

impl TriggerCollector {
    /// Of this engine, as long as it lives.
    pub fn new(engine: &Arc<Engine>) -> Self {
        TriggerCollector(Arc::downgrade(engine))
    }
}

impl Collector for TriggerCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let Some(engine) = self.0.upgrade() else {
            return Ok(());
        };
        let triggers = labelled(&engine);
        let last = Trigger::last;
        gauge(
            &mut encoder,
            ("trigger_target", "The wanted backlog per replica", None),
            &triggers,
            |t| Some(t.target),
        )?;
        gauge(
            &mut encoder,
            (
                "trigger_value",
                "The metric's value: how much work is waiting",
                None,
            ),
            &triggers,
            |t| last(t).map(|evaluation| evaluation.reading.value),
        )?;
        gauge(
            &mut encoder,
            (
                "trigger_active",
                "Whether the value is above the activation threshold",
                None,
            ),
            &triggers,
            |t| last(t).map(|evaluation| f64::from(u8::from(evaluation.reading.active))),
        )?;
        gauge(
            &mut encoder,
            (
                "trigger_sample_age",
                "How old the last good sample is",
                Some(Unit::Seconds),
            ),
            &triggers,
            |t| last(t).map(|evaluation| evaluation.age.as_secs_f64()),
        )
    }
}

/// The triggers by their labels. Two triggers of one ScaledObject that differ in thresholds alone
/// share their labels: the one used last is shown.
fn labelled(engine: &Engine) -> Vec<(Labels, Arc<Trigger>)> {
    let mut seen = HashSet::new();
    let triggers = engine.triggers().into_iter();
    triggers
        .filter_map(|(namespace, scaled_object, trigger)| {
            let labels = Labels {
                namespace: LabelText(namespace),
                scaled_object: LabelText(scaled_object),
                metric: trigger.metric_name.clone(),
                backend: trigger.trigger_type,
            };
            seen.insert(labels.clone()).then_some((labels, trigger))
        })
        .collect()
}

fn gauge(
    encoder: &mut DescriptorEncoder,
    (name, help, unit): (&str, &str, Option<Unit>),
    triggers: &[(Labels, Arc<Trigger>)],
    value: impl Fn(&Trigger) -> Option<f64>,
) -> Result<(), fmt::Error> {
    let metric_type = ConstGauge::<f64>::new(0.0).metric_type();
    let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), metric_type)?;
    for (labels, trigger) in triggers {
        if let Some(value) = value(trigger) {
            ConstGauge::new(value).encode(family.encode_family(labels)?)?;
        }
    }
    Ok(())
}
