//! The `spec` of a ScaledObject, as the simulation has it.

use std::time::Duration;

use backlog_scaler::simulation::{
    Behavior, Fallback, FallbackBehavior, Policy, PolicyType, ScaledObject, ScalingRules,
    SelectPolicy,
};
use serde::Deserialize;
use serde_json::Value;

use super::Result;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    polling_interval: Option<u64>,
    cooldown_period: Option<u64>,
    initial_cooldown_period: Option<u64>,
    min_replica_count: Option<u32>,
    max_replica_count: Option<u32>,
    idle_replica_count: Option<u32>,
    fallback: Option<FallbackSpec>,
    #[serde(default)]
    advanced: Advanced,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FallbackSpec {
    failure_threshold: u32,
    replicas: u32,
    #[serde(default)]
    behavior: FallbackName,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum FallbackName {
    #[default]
    Static,
    CurrentReplicas,
    CurrentReplicasIfHigher,
    CurrentReplicasIfLower,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Advanced {
    #[serde(default)]
    horizontal_pod_autoscaler_config: HpaConfig,
}

#[derive(Default, Deserialize)]
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
    stabilization_window_seconds: Option<u64>,
    select_policy: Option<SelectName>,
    policies: Option<Vec<PolicySpec>>,
    tolerance: Option<f64>,
}

#[derive(Clone, Copy, Deserialize)]
enum SelectName {
    Max,
    Min,
    Disabled,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PolicySpec {
    #[serde(rename = "type")]
    policy_type: PolicyName,
    value: u32,
    period_seconds: u64,
}

#[derive(Clone, Copy, Deserialize)]
enum PolicyName {
    Pods,
    Percent,
}

/// The settings of a ScaledObject; what is left out has KEDA's default.
pub fn read(spec: &Value) -> Result<ScaledObject> {
    let spec: Spec = serde_json::from_value(spec.clone()).map_err(|error| error.to_string())?;
    let default = ScaledObject::default();
    let seconds = |given: Option<u64>, default| given.map_or(default, Duration::from_secs);
    let scaled_object = ScaledObject {
        polling_interval: seconds(spec.polling_interval, default.polling_interval),
        cooldown_period: seconds(spec.cooldown_period, default.cooldown_period),
        initial_cooldown_period: seconds(
            spec.initial_cooldown_period,
            default.initial_cooldown_period,
        ),
        min_replica_count: spec.min_replica_count.unwrap_or(default.min_replica_count),
        max_replica_count: spec.max_replica_count.unwrap_or(default.max_replica_count),
        idle_replica_count: spec.idle_replica_count,
        fallback: spec.fallback.map(fallback),
        behavior: spec
            .advanced
            .horizontal_pod_autoscaler_config
            .behavior
            .map(behavior),
    };
    scaled_object.check().map_err(|error| error.to_string())?;
    Ok(scaled_object)
}

fn fallback(spec: FallbackSpec) -> Fallback {
    Fallback {
        failure_threshold: spec.failure_threshold,
        replicas: spec.replicas,
        behavior: match spec.behavior {
            FallbackName::Static => FallbackBehavior::Static,
            FallbackName::CurrentReplicas => FallbackBehavior::CurrentReplicas,
            FallbackName::CurrentReplicasIfHigher => FallbackBehavior::CurrentReplicasIfHigher,
            FallbackName::CurrentReplicasIfLower => FallbackBehavior::CurrentReplicasIfLower,
        },
    }
}

fn behavior(spec: BehaviorSpec) -> Behavior {
    Behavior {
        scale_up: rules(spec.scale_up, ScalingRules::scale_up()),
        scale_down: rules(spec.scale_down, ScalingRules::scale_down()),
    }
}

/// What is left out is Kubernetes' default of this direction.
fn rules(given: Option<Rules>, default: ScalingRules) -> ScalingRules {
    let Some(given) = given else {
        return default;
    };
    let policies = given.policies.map(|all| all.into_iter().map(policy));
    ScalingRules {
        stabilization_window: given.stabilization_window_seconds.map(Duration::from_secs),
        policies: policies.map_or(default.policies, Iterator::collect),
        select_policy: match given.select_policy {
            None | Some(SelectName::Max) => SelectPolicy::Max,
            Some(SelectName::Min) => SelectPolicy::Min,
            Some(SelectName::Disabled) => SelectPolicy::Disabled,
        },
        tolerance: given.tolerance,
    }
}

fn policy(spec: PolicySpec) -> Policy {
    Policy {
        policy_type: match spec.policy_type {
            PolicyName::Pods => PolicyType::Pods,
            PolicyName::Percent => PolicyType::Percent,
        },
        value: spec.value,
        period: Duration::from_secs(spec.period_seconds),
    }
}
