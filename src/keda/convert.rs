//! Between the proto's messages and our own types.

use super::proto::{
    GetMetricSpecResponse, GetMetricsResponse, MetricSpec, MetricValue, ScaledObjectRef,
};
use crate::{
    error::Error,
    metadata::{
        TriggerRef,
        problem::{Problem, Problems},
    },
    sampling::Spec,
};

impl From<ScaledObjectRef> for TriggerRef {
    fn from(message: ScaledObjectRef) -> Self {
        TriggerRef {
            namespace: message.namespace,
            name: message.name,
            metadata: message.scaler_metadata,
        }
    }
}

impl From<TriggerRef> for ScaledObjectRef {
    fn from(trigger: TriggerRef) -> Self {
        ScaledObjectRef {
            namespace: trigger.namespace,
            name: trigger.name,
            scaler_metadata: trigger.metadata,
        }
    }
}

/// The trigger of a request that must name one.
pub fn required(message: Option<ScaledObjectRef>) -> Result<TriggerRef, Error> {
    match message {
        Some(message) => Ok(message.into()),
        None => Err(Problems::from(Problem::key("scaledObjectRef", "is required")).into()),
    }
}

/// The one metric spec of a trigger. Old and new fields are both filled: KEDA before 2.17 reads
/// the integer.
#[allow(deprecated)]
pub fn spec(spec: Spec) -> GetMetricSpecResponse {
    GetMetricSpecResponse {
        metric_specs: vec![MetricSpec {
            metric_name: spec.metric_name,
            target_size: round_up(spec.target),
            target_size_float: spec.target,
        }],
    }
}

/// The one value of a trigger, under the name in the request.
#[allow(deprecated)]
pub fn value(metric_name: String, value: f64) -> GetMetricsResponse {
    GetMetricsResponse {
        metric_values: vec![MetricValue {
            metric_name,
            metric_value: round_up(value),
            metric_value_float: value,
        }],
    }
}

/// Up, so that 0.4 waiting is not 0. The cast saturates.
fn round_up(value: f64) -> i64 {
    value.ceil() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(deprecated)]
    fn the_integer_is_rounded_up() {
        let response = value("m".into(), 0.4).metric_values.remove(0);
        assert_eq!(
            (response.metric_value, response.metric_value_float),
            (1, 0.4)
        );
        assert_eq!(round_up(3.0), 3);
        assert_eq!(round_up(0.0), 0);
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// KEDA before 2.17 reads the integer alone, and later ones read it where the float is 0.
        #[test]
        #[allow(deprecated)]
        fn both_numbers_of_a_value_say_the_same(
            number in prop_oneof![
                0.0..1e6_f64,
                (0..=1_u64 << 53).prop_map(|count| count as f64),
                prop::num::f64::POSITIVE | prop::num::f64::ZERO,
            ],
        ) {
            let value = value("m".into(), number).metric_values.remove(0);
            prop_assert_eq!(value.metric_value_float, number);
            prop_assert_eq!(value.metric_value > 0, number > 0.0, "a positive value is never 0");
            let integer = value.metric_value as f64;
            if number < i64::MAX as f64 {
                prop_assert!(integer >= number && integer - number < 1.0, "{integer} for {number}");
            } else {
                prop_assert_eq!(value.metric_value, i64::MAX);
            }
        }

        #[test]
        #[allow(deprecated)]
        fn no_float_becomes_a_panic_or_a_negative_backlog(number in any::<f64>()) {
            let value = value("m".into(), number).metric_values.remove(0);
            prop_assert!(value.metric_value >= 0 || number < 0.0);
        }
    }
}
