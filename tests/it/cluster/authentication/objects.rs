//! The objects of these scenarios.

use serde_json::{Value, json};

use super::sent;
use crate::cluster::objects::pod;

pub fn secret(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data})
}

pub fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

pub fn authentication(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "TriggerAuthentication",
        "metadata": {"name": name},
        "spec": spec,
    })
}

pub fn secret_key(parameter: &str, name: &str, key: &str) -> Value {
    json!({"parameter": parameter, "name": name, "key": key})
}

pub fn trigger(metadata: &[(&str, &str)], reference: Option<Value>) -> Value {
    let mut trigger = json!({"type": "external", "metadata": sent(metadata)});
    if let Some(reference) = reference {
        trigger["authenticationRef"] = reference;
    }
    trigger
}

/// KEDA leaves a paused object alone: nothing listens at its scalerAddress.
pub fn scaled_object(triggers: Vec<Value>) -> Value {
    json!({
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "worker", "annotations": {"autoscaling.keda.sh/paused": "true"}},
        "spec": {"scaleTargetRef": {"name": "worker"}, "triggers": triggers},
    })
}

pub fn deployment(env: Value, env_from: Value) -> Value {
    let mut pod = pod();
    pod["containers"][0]["env"] = env;
    pod["containers"][0]["envFrom"] = env_from;
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "worker"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "worker"}},
            "template": {"metadata": {"labels": {"app": "worker"}}, "spec": pod},
        },
    })
}

/// With the same name as the ScaledObject, and its environment in itself.
pub fn scaled_job(env: Value, triggers: Vec<Value>) -> Value {
    let mut pod = pod();
    pod["restartPolicy"] = "Never".into();
    pod["containers"][0]["env"] = env;
    json!({
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledJob",
        "metadata": {"name": "worker", "annotations": {"autoscaling.keda.sh/paused": "true"}},
        "spec": {"jobTargetRef": {"template": {"spec": pod}}, "triggers": triggers},
    })
}
