//! The replicas that one external metric leads to: `GetExternalPerPodMetricReplicas` and
//! `GetExternalMetricReplicas` of Kubernetes' `pkg/controller/podautoscaler/replica_calculator.go`.

use super::Scale;

/// The target of a trigger, by its `metricType`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MetricTarget {
    /// `AverageValue`, KEDA's default: the value that each replica may have.
    AverageValue(f64),
    /// `Value`: the value that is wanted, whatever the number of replicas.
    Value(f64),
}

impl MetricTarget {
    /// The number without its type.
    pub fn number(self) -> f64 {
        match self {
            MetricTarget::AverageValue(number) | MetricTarget::Value(number) => number,
        }
    }
}

/// A number in thousandths, in which KEDA passes values and targets to the HPA controller.
///
/// KEDA 2.21 rounds to the nearest one, and makes 0 of what is negative or not finite
/// (`quantityFromFloat64` in `pkg/scalers/scaler.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::simulation) struct Milli(pub i64);

impl Milli {
    pub fn of(number: f64) -> Self {
        match number.is_finite() && number > 0.0 {
            // The cast saturates.
            true => Milli((number * 1000.0).round_ties_even() as i64),
            false => Milli(0),
        }
    }
}

/// How far a metric may be off its target, as a part of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tolerances {
    pub scale_up: f64,
    pub scale_down: f64,
}

impl Tolerances {
    fn is_within(self, usage_ratio: f64) -> bool {
        (1.0 - self.scale_down..=1.0 + self.scale_up).contains(&usage_ratio)
    }
}

/// The replicas that the metric leads to: those that there are, if it is within the tolerance.
pub(super) fn replicas(
    target: MetricTarget,
    usage: Milli,
    scale: Scale,
    tolerances: Tolerances,
) -> u32 {
    let usage = usage.0 as f64;
    let milli = Milli::of(target.number()).0 as f64;
    match target {
        MetricTarget::AverageValue(_) => {
            // Without replicas the ratio is infinite or no number: it is not within.
            match tolerances.is_within(usage / (milli * f64::from(scale.replicas))) {
                true => scale.replicas,
                false => count(usage / milli),
            }
        }
        MetricTarget::Value(_) if scale.replicas == 0 => count(usage / milli),
        // It multiplies the pods that are ready, not the replicas: while new ones start, the same
        // value leads to fewer.
        MetricTarget::Value(_) => match tolerances.is_within(usage / milli) {
            true => scale.replicas,
            false => count(usage / milli * f64::from(scale.ready_pods)),
        },
    }
}

/// Kubernetes counts replicas in an int32.
const MOST: f64 = i32::MAX as f64;

fn count(replicas: f64) -> u32 {
    replicas.ceil().min(MOST) as u32
}
