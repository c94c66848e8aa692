//! The ScaledObjects of an example, as the simulation takes them.

use std::{fs, path::PathBuf, time::Duration};

use backlog_scaler::simulation::{
    Behavior, Fallback, FallbackBehavior, Policy, ScaledObject, ScalingRules,
};
use serde_json::Value;

/// A file of an example.
pub fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// Every object of a file.
pub fn objects(file: &str) -> Vec<Value> {
    let text = fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The objects of a kind.
pub fn of_kind(file: &str, kind: &str) -> Vec<Value> {
    let mut objects = objects(file);
    objects.retain(|object| object["kind"] == kind);
    assert!(!objects.is_empty(), "{file} has no {kind}");
    objects
}

/// The number of a key, which may be a text.
pub fn number(value: &Value) -> u64 {
    let text = value.as_str().and_then(|text| text.parse().ok());
    text.or(value.as_u64())
        .unwrap_or_else(|| panic!("{value} is no number"))
}

/// What decides how an object scales.
pub fn scaled_object(object: &Value) -> ScaledObject {
    let spec = &object["spec"];
    let behavior = &spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"];
    let fallback = &spec["fallback"];
    assert_eq!(fallback["behavior"], "currentReplicasIfHigher");
    ScaledObject {
        min_replica_count: number(&spec["minReplicaCount"]) as u32,
        max_replica_count: number(&spec["maxReplicaCount"]) as u32,
        behavior: Some(Behavior {
            scale_up: rules(&behavior["scaleUp"], ScalingRules::scale_up()),
            scale_down: rules(&behavior["scaleDown"], ScalingRules::scale_down()),
        }),
        fallback: Some(Fallback {
            failure_threshold: number(&fallback["failureThreshold"]) as u32,
            replicas: number(&fallback["replicas"]) as u32,
            behavior: FallbackBehavior::CurrentReplicasIfHigher,
        }),
        ..ScaledObject::default()
    }
}

fn rules(rules: &Value, default: ScalingRules) -> ScalingRules {
    let policy = |policy: &Value| {
        let (value, period) = (number(&policy["value"]), number(&policy["periodSeconds"]));
        let period = Duration::from_secs(period);
        match policy["type"].as_str() {
            Some("Percent") => Policy::percent(value as u32, period),
            Some("Pods") => Policy::pods(value as u32, period),
            other => panic!("{other:?} is no type of a policy"),
        }
    };
    let policies = rules["policies"].as_array().expect("policies");
    ScalingRules {
        stabilization_window: Some(Duration::from_secs(number(
            &rules["stabilizationWindowSeconds"],
        ))),
        policies: policies.iter().map(policy).collect(),
        ..default
    }
}

/// The value of an environment variable of the only container of a Deployment.
pub fn variable(deployment: &Value, name: &str) -> String {
    let env = &deployment["spec"]["template"]["spec"]["containers"][0]["env"];
    let all = env.as_array().expect("an environment");
    let found = all.iter().find(|variable| variable["name"] == name);
    let value = found.and_then(|variable| variable["value"].as_str());
    value.unwrap_or_else(|| panic!("no {name}")).to_owned()
}

/// CPUs and GiB that the only container of a Deployment requests.
pub fn requests(deployment: &Value) -> (f64, f64) {
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let requests = &container["resources"]["requests"];
    (quantity(&requests["cpu"]), quantity(&requests["memory"]))
}

/// One of Kubernetes' quantities: `250m` of a CPU, memory in GiB.
pub fn quantity(value: &Value) -> f64 {
    let text = value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no quantity"));
    let (number, unit) = match text.find(|c: char| c.is_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let number: f64 = number.parse().unwrap_or_else(|_| panic!("{text}"));
    match unit {
        "" | "Gi" => number,
        "m" => number / 1000.0,
        "Mi" => number / 1024.0,
        _ => panic!("{text} has another unit"),
    }
}
