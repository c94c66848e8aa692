//! The settings of a ScaledJob from its manifest.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::{MultipleScalersCalculation, ScaledJob, ScalingStrategy};

/// The `spec` of a ScaledJob, as far as it decides how many jobs it creates.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    polling_interval: Option<u32>,
    min_replica_count: Option<u32>,
    max_replica_count: Option<u32>,
    #[serde(default)]
    scaling_strategy: StrategySpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StrategySpec {
    strategy: Option<StrategyName>,
    custom_scaling_queue_length_deduction: Option<i32>,
    custom_scaling_running_job_percentage: Option<String>,
    multiple_scalers_calculation: Option<CalculationName>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum StrategyName {
    Default,
    Custom,
    Accurate,
    Eager,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum CalculationName {
    Max,
    Min,
    Avg,
    Sum,
}

impl ScaledJob {
    /// Of the `spec` of a manifest. The error says which field is wrong: `scalingStrategy.strategy: …`.
    pub fn of_spec(spec: &Value) -> Result<Self, String> {
        let spec: Spec = serde_path_to_error::deserialize(spec)
            .map_err(|error| format!("{}: {}", error.path(), error.inner()))?;
        let default = ScaledJob::default();
        let polling_interval = spec.polling_interval.map(u64::from);
        Ok(ScaledJob {
            polling_interval: polling_interval
                .map_or(default.polling_interval, Duration::from_secs),
            min_replica_count: spec.min_replica_count.unwrap_or(default.min_replica_count),
            max_replica_count: spec.max_replica_count,
            calculation: match spec.scaling_strategy.multiple_scalers_calculation {
                None | Some(CalculationName::Max) => MultipleScalersCalculation::Max,
                Some(CalculationName::Min) => MultipleScalersCalculation::Min,
                Some(CalculationName::Avg) => MultipleScalersCalculation::Avg,
                Some(CalculationName::Sum) => MultipleScalersCalculation::Sum,
            },
            strategy: spec.scaling_strategy.strategy(),
        })
    }
}

impl StrategySpec {
    /// `NewScalingStrategy`.
    fn strategy(&self) -> ScalingStrategy {
        match self.strategy {
            None | Some(StrategyName::Default) => ScalingStrategy::Default,
            Some(StrategyName::Accurate) => ScalingStrategy::Accurate,
            Some(StrategyName::Eager) => ScalingStrategy::Eager,
            Some(StrategyName::Custom) => {
                let percentage = self.custom_scaling_running_job_percentage.as_deref();
                match percentage.unwrap_or_default().parse() {
                    Ok(running_job_percentage) => ScalingStrategy::Custom {
                        queue_length_deduction: self
                            .custom_scaling_queue_length_deduction
                            .unwrap_or(0),
                        running_job_percentage,
                    },
                    // KEDA takes the default one then, and says so at its log level debug.
                    Err(_) => ScalingStrategy::Default,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_out_is_the_default_of_keda() {
        let empty = ScaledJob::of_spec(&json!({"triggers": []})).unwrap();
        assert_eq!(empty, ScaledJob::default());
    }

    #[test]
    fn what_is_given_counts() {
        let spec = json!({
            "pollingInterval": 5, "minReplicaCount": 1, "maxReplicaCount": 20,
            "scalingStrategy": {
                "strategy": "custom",
                "customScalingQueueLengthDeduction": -2,
                "customScalingRunningJobPercentage": "0.5",
                "multipleScalersCalculation": "sum",
                "pendingPodConditions": ["Ready"],
            },
        });
        let scaled_job = ScaledJob {
            polling_interval: Duration::from_secs(5),
            min_replica_count: 1,
            max_replica_count: Some(20),
            strategy: ScalingStrategy::Custom {
                queue_length_deduction: -2,
                running_job_percentage: 0.5,
            },
            calculation: MultipleScalersCalculation::Sum,
        };
        assert_eq!(ScaledJob::of_spec(&spec), Ok(scaled_job));
    }

    /// `TestNewNewScalingStrategy` and `TestCustomScalingStrategy` of
    /// pkg/scaling/executor/scale_jobs_test.go.
    #[test]
    fn strategies_have_names() {
        let custom = |queue_length_deduction| ScalingStrategy::Custom {
            queue_length_deduction,
            running_job_percentage: 0.5,
        };
        for (strategy, then) in [
            (json!({}), ScalingStrategy::Default),
            (json!({"strategy": "default"}), ScalingStrategy::Default),
            (json!({"strategy": "accurate"}), ScalingStrategy::Accurate),
            (json!({"strategy": "eager"}), ScalingStrategy::Eager),
            (json!({"strategy": "custom"}), ScalingStrategy::Default),
            (
                json!({"strategy": "custom", "customScalingRunningJobPercentage": ""}),
                ScalingStrategy::Default,
            ),
            (
                json!({"strategy": "custom", "customScalingRunningJobPercentage": "0.5"}),
                custom(0),
            ),
            (
                json!({"strategy": "custom", "customScalingRunningJobPercentage": "0.5",
                    "customScalingQueueLengthDeduction": 10}),
                custom(10),
            ),
        ] {
            let spec = json!({"scalingStrategy": strategy});
            assert_eq!(ScaledJob::of_spec(&spec).unwrap().strategy, then, "{spec}");
        }
        let wrong = json!({"scalingStrategy": {"strategy": "fast"}});
        let error = ScaledJob::of_spec(&wrong).unwrap_err();
        assert!(error.starts_with("scalingStrategy.strategy: "), "{error}");
    }
}
