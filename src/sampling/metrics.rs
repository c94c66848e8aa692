//! Metrics per trigger, collected from the engine when `/metrics` is scraped: a trigger that is
//! evicted takes its series with it, and the cardinality is bounded by how many triggers are kept.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};
use tokio::time::Instant;

use super::{
    backend::Reading, engine::Engine, evaluation::Evaluation, trigger::Trigger, trigger_cache::Kept,
};
use crate::{
    error::{Error, Kind},
    telemetry::LabelText,
};

/// Not `namespace`, which Prometheus gives to every target it finds in Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    scaled_object_namespace: LabelText,
    scaled_object: LabelText,
    metric: String,
    /// The trigger type, under the name of the key that users write it in.
    backend: &'static str,
    /// Distinguishes triggers of one ScaledObject that measure the same.
    trigger: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    scaled_object_namespace: LabelText,
    scaled_object: LabelText,
    metric: String,
    backend: &'static str,
    trigger: String,
    kind: &'static str,
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
        let series = series(engine.triggers());
        for gauge in GAUGES {
            gauge.encode(&mut encoder, &series)?;
        }
        encode_errors(&mut encoder, &series)
    }
}

/// One trigger's series.
struct Series {
    labels: Labels,
    state: Result<State, Error>,
    used: Instant,
}

/// What is known of a trigger that was not refused.
struct State {
    trigger: Arc<Trigger>,
    /// The evaluation of the last good sample.
    last: Option<Evaluation>,
}

/// The triggers by their labels. Refused triggers of one ScaledObject share theirs.
fn series(kept: Vec<Kept>) -> Vec<Series> {
    let mut seen = HashSet::new();
    let series = kept.into_iter().map(|kept| {
        let trigger = kept.trigger.as_ref().ok();
        let labels = Labels {
            scaled_object_namespace: LabelText(kept.namespace),
            scaled_object: LabelText(kept.name),
            metric: trigger.map_or(String::new(), |t| t.metric_name.clone()),
            backend: trigger.map_or("", |t| t.trigger_type),
            trigger: trigger.map_or(String::new(), |t| format!("{:08x}", t.fingerprint)),
        };
        Series {
            labels,
            state: kept.trigger.map(|trigger| State {
                last: trigger.last(),
                trigger,
            }),
            used: kept.used,
        }
    });
    series
        .filter(|series| seen.insert(series.labels.clone()))
        .collect()
}

/// A gauge that every trigger has, once it has a value.
struct Gauge {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    value: fn(&Series) -> Option<f64>,
}

const GAUGES: [Gauge; 8] = [
    Gauge {
        name: "trigger_up",
        help: "Whether the last call got a sample that is not stale",
        unit: None,
        value: |series| {
            let up = series.state.as_ref().map(|s| s.trigger.outcomes.up());
            Some(flag(up.unwrap_or(false)))
        },
    },
    Gauge {
        name: "trigger_target",
        help: "The wanted backlog per replica",
        unit: None,
        value: |series| Some(series.state.as_ref().ok()?.trigger.target),
    },
    Gauge {
        name: "trigger_value",
        help: "The metric's value: how much work is waiting",
        unit: None,
        value: |series| Some(series.reading()?.value),
    },
    Gauge {
        name: "trigger_raw_value",
        help: "The value before activityHold, scaleDownBelow or onOutage, for triggers with these keys",
        unit: None,
        value: |series| series.last()?.shaped.as_ref()?.raw_value,
    },
    Gauge {
        name: "trigger_active",
        help: "Whether the value is above the activation threshold, or activityHold holds it active",
        unit: None,
        value: |series| Some(flag(series.reading()?.active)),
    },
    Gauge {
        name: "trigger_sample_age",
        help: "Time since the request of the last good sample was sent",
        unit: Some(Unit::Seconds),
        value: |series| Some(series.last()?.age.as_secs_f64()),
    },
    Gauge {
        name: "trigger_last_success_timestamp",
        help: "When the request of the last good sample was sent, in Unix time",
        unit: Some(Unit::Seconds),
        value: |series| Some(timestamp(series.last()?.age)),
    },
    Gauge {
        name: "trigger_last_request_timestamp",
        help: "When the trigger was requested last, in Unix time",
        unit: Some(Unit::Seconds),
        value: |series| Some(timestamp(series.used.elapsed())),
    },
];

impl Series {
    fn last(&self) -> Option<&Evaluation> {
        self.state.as_ref().ok()?.last.as_ref()
    }

    /// What KEDA gets.
    fn reading(&self) -> Option<Reading> {
        let replacement = self.state.as_ref().ok()?.trigger.replacement();
        replacement.or_else(|| Some(self.last()?.reading))
    }

    /// The errors of its calls, by kind. A refused trigger has one, which is why it is refused.
    fn errors(&self) -> Vec<(Kind, u64)> {
        match &self.state {
            Ok(state) => state.trigger.outcomes.errors().collect(),
            Err(error) => vec![(error.kind(), 1)],
        }
    }
}

impl Gauge {
    fn encode(&self, encoder: &mut DescriptorEncoder, all: &[Series]) -> fmt::Result {
        let values = all.iter();
        let values = values.filter_map(|series| Some((&series.labels, (self.value)(series)?)));
        let mut values = values.peekable();
        // A family without a sample is noise, and an error to some readers.
        if values.peek().is_none() {
            return Ok(());
        }
        let (unit, of_type) = (self.unit.as_ref(), MetricType::Gauge);
        let mut family = encoder.encode_descriptor(self.name, self.help, unit, of_type)?;
        for (labels, value) in values {
            ConstGauge::new(value).encode(family.encode_family(labels)?)?;
        }
        Ok(())
    }
}

fn encode_errors(encoder: &mut DescriptorEncoder, all: &[Series]) -> fmt::Result {
    if all.iter().all(|series| series.errors().is_empty()) {
        return Ok(());
    }
    let help = "Calls that met an error, by its kind; a stale sample may have been used";
    let of_type = MetricType::Counter;
    let mut family = encoder.encode_descriptor("trigger_errors", help, None, of_type)?;
    for series in all {
        let labels = series.labels.clone();
        for (kind, count) in series.errors() {
            let labels = ErrorLabels {
                scaled_object_namespace: labels.scaled_object_namespace.clone(),
                scaled_object: labels.scaled_object.clone(),
                metric: labels.metric.clone(),
                backend: labels.backend,
                trigger: labels.trigger.clone(),
                kind: kind.label(),
            };
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

/// The Unix time so long ago, in seconds.
fn timestamp(ago: Duration) -> f64 {
    let then = SystemTime::now().checked_sub(ago);
    let since = then.and_then(|then| then.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.unwrap_or_default().as_secs_f64()
}
