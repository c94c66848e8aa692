//! The settings of a ScaledObject from its manifest: KEDA's and Kubernetes' names, and their
//! defaults.

use std::time::Duration;

use serde::{Deserialize, de::Error as _};
use serde_json::Value;

use super::{
    Behavior, Fallback, FallbackBehavior, Policy, PolicyType, ScaledObject, ScalingRules,
    SelectPolicy,
};

/// The `spec` of a ScaledObject, as far as it decides how it scales.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    polling_interval: Option<u32>,
    cooldown_period: Option<u32>,
    initial_cooldown_period: Option<u32>,
    min_replica_count: Option<u32>,
    max_replica_count: Option<u32>,
    idle_replica_count: Option<u32>,
    fallback: Option<FallbackSpec>,
    advanced: Option<Advanced>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FallbackSpec {
    failure_threshold: u32,
    replicas: u32,
    behavior: Option<BehaviorName>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum BehaviorName {
    Static,
    CurrentReplicas,
    CurrentReplicasIfHigher,
    CurrentReplicasIfLower,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Advanced {
    horizontal_pod_autoscaler_config: Option<HpaConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HpaConfig {
    behavior: Option<BehaviorSpec>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BehaviorSpec {
    scale_up: Option<Rules>,
    scale_down: Option<Rules>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rules {
    stabilization_window_seconds: Option<u32>,
    policies: Option<Vec<PolicySpec>>,
    select_policy: Option<SelectName>,
    tolerance: Option<Quantity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PolicySpec {
    r#type: PolicyName,
    value: u32,
    period_seconds: u32,
}

#[derive(Deserialize)]
enum PolicyName {
    Pods,
    Percent,
}

#[derive(Deserialize)]
enum SelectName {
    Max,
    Min,
    Disabled,
}

/// A number as Kubernetes writes it: `0.05`, `"0.05"` or `"50m"`.
struct Quantity(f64);

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let text = match &value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let (digits, unit) = match text.strip_suffix('m') {
            Some(digits) => (digits, 0.001),
            None => (text.as_str(), 1.0),
        };
        let number = digits.parse::<f64>().ok();
        let number = number.filter(|number| number.is_finite() && *number >= 0.0);
        let number = number.ok_or_else(|| D::Error::custom("expected a number, as 0.1 or 100m"))?;
        Ok(Quantity(number * unit))
    }
}

impl ScaledObject {
    /// Of the `spec` of a manifest. The error says which field is wrong: `fallback.replicas: …`.
    pub fn of_spec(spec: &Value) -> Result<Self, String> {
        let spec: Spec = serde_path_to_error::deserialize(spec)
            .map_err(|error| format!("{}: {}", error.path(), error.inner()))?;
        let default = ScaledObject::default();
        let seconds = |given: Option<u32>, default| given.map_or(default, seconds);
        let config = spec
            .advanced
            .and_then(|advanced| advanced.horizontal_pod_autoscaler_config);
        Ok(ScaledObject {
            polling_interval: seconds(spec.polling_interval, default.polling_interval),
            cooldown_period: seconds(spec.cooldown_period, default.cooldown_period),
            initial_cooldown_period: seconds(
                spec.initial_cooldown_period,
                default.initial_cooldown_period,
            ),
            min_replica_count: spec.min_replica_count.unwrap_or(default.min_replica_count),
            max_replica_count: spec.max_replica_count.unwrap_or(default.max_replica_count),
            idle_replica_count: spec.idle_replica_count,
            fallback: spec.fallback.map(FallbackSpec::fallback),
            behavior: config
                .and_then(|config| config.behavior)
                .map(|behavior| Behavior {
                    scale_up: Rules::or(behavior.scale_up, ScalingRules::scale_up()),
                    scale_down: Rules::or(behavior.scale_down, ScalingRules::scale_down()),
                }),
        })
    }
}

impl FallbackSpec {
    fn fallback(self) -> Fallback {
        Fallback {
            failure_threshold: self.failure_threshold,
            replicas: self.replicas,
            behavior: match self.behavior {
                None | Some(BehaviorName::Static) => FallbackBehavior::Static,
                Some(BehaviorName::CurrentReplicas) => FallbackBehavior::CurrentReplicas,
                Some(BehaviorName::CurrentReplicasIfHigher) => {
                    FallbackBehavior::CurrentReplicasIfHigher
                }
                Some(BehaviorName::CurrentReplicasIfLower) => {
                    FallbackBehavior::CurrentReplicasIfLower
                }
            },
        }
    }
}

impl Rules {
    /// What is left out is Kubernetes' default.
    fn or(rules: Option<Self>, default: ScalingRules) -> ScalingRules {
        let Some(rules) = rules else {
            return default;
        };
        let policies = rules.policies.filter(|policies| !policies.is_empty());
        ScalingRules {
            stabilization_window: rules.stabilization_window_seconds.map(seconds),
            policies: match policies {
                Some(policies) => policies.into_iter().map(PolicySpec::policy).collect(),
                None => default.policies,
            },
            select_policy: match rules.select_policy {
                None | Some(SelectName::Max) => SelectPolicy::Max,
                Some(SelectName::Min) => SelectPolicy::Min,
                Some(SelectName::Disabled) => SelectPolicy::Disabled,
            },
            tolerance: rules.tolerance.map(|tolerance| tolerance.0),
        }
    }
}

impl PolicySpec {
    fn policy(self) -> Policy {
        Policy {
            policy_type: match self.r#type {
                PolicyName::Pods => PolicyType::Pods,
                PolicyName::Percent => PolicyType::Percent,
            },
            value: self.value,
            period: seconds(self.period_seconds),
        }
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_out_is_the_default_of_keda_and_kubernetes() {
        let empty = ScaledObject::of_spec(&json!({"triggers": []})).unwrap();
        assert_eq!(empty, ScaledObject::default());
        let config = json!({"behavior": {"scaleDown": {"policies": []}}});
        let spec = json!({"advanced": {"horizontalPodAutoscalerConfig": config}});
        let object = ScaledObject::of_spec(&spec).unwrap();
        assert_eq!(object.behavior, Some(Behavior::default()));
    }

    #[test]
    fn what_is_given_counts() {
        let rules = |window: u32, kind: &str, value: u32, select: &str| {
            json!({
                "stabilizationWindowSeconds": window,
                "policies": [{"type": kind, "value": value, "periodSeconds": 60}],
                "selectPolicy": select,
                "tolerance": "50m",
            })
        };
        let behavior = json!({
            "scaleUp": rules(60, "Percent", 100, "Min"),
            "scaleDown": rules(300, "Pods", 2, "Disabled"),
        });
        let spec = json!({
            "pollingInterval": 5, "cooldownPeriod": 60, "initialCooldownPeriod": 10,
            "minReplicaCount": 3, "maxReplicaCount": 20, "idleReplicaCount": 0,
            "fallback": {"failureThreshold": 4, "replicas": 6, "behavior": "currentReplicasIfHigher"},
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}},
        });
        let one_minute = seconds(60);
        let rules = |window, policy, select_policy| ScalingRules {
            stabilization_window: Some(window),
            policies: vec![policy],
            select_policy,
            tolerance: Some(0.05),
        };
        let object = ScaledObject {
            polling_interval: seconds(5),
            cooldown_period: one_minute,
            initial_cooldown_period: seconds(10),
            min_replica_count: 3,
            max_replica_count: 20,
            idle_replica_count: Some(0),
            fallback: Some(Fallback {
                failure_threshold: 4,
                replicas: 6,
                behavior: FallbackBehavior::CurrentReplicasIfHigher,
            }),
            behavior: Some(Behavior {
                scale_up: rules(
                    one_minute,
                    Policy::percent(100, one_minute),
                    SelectPolicy::Min,
                ),
                scale_down: rules(
                    seconds(300),
                    Policy::pods(2, one_minute),
                    SelectPolicy::Disabled,
                ),
            }),
        };
        assert_eq!(ScaledObject::of_spec(&spec), Ok(object));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (spec, field) in [
            (json!({"minReplicaCount": -1}), "minReplicaCount: "),
            (
                json!({"fallback": {"replicas": 1}}),
                "fallback: missing field `failureThreshold`",
            ),
            (
                json!({"advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleUp": {"tolerance": "x"}}}}}),
                "advanced.horizontalPodAutoscalerConfig.behavior.scaleUp.tolerance: expected a number",
            ),
        ] {
            let error = ScaledObject::of_spec(&spec).unwrap_err();
            assert!(error.starts_with(field), "{error}");
        }
    }
}
