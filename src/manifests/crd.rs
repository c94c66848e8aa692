//! The fields of ScaledObject and ScaledJob that we read, as they are written
//! (`apis/keda/v1alpha1` of KEDA). Other fields are KEDA's to judge.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
#[serde(expecting = "a map with metadata and spec")]
pub struct Manifest {
    pub metadata: ObjectMeta,
    pub spec: Spec,
}

#[derive(Deserialize)]
#[serde(expecting = "a map with a name")]
pub struct ObjectMeta {
    pub name: Name,
    #[serde(default)]
    pub namespace: Name,
    pub annotations: Option<BTreeMap<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a map with triggers")]
pub struct Spec {
    pub min_replica_count: Option<Count>,
    pub max_replica_count: Option<Count>,
    pub idle_replica_count: Option<Count>,
    pub triggers: Vec<TriggerItem>,
    pub advanced: Option<Value>,
    pub scaling_strategy: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a map with type and metadata")]
pub struct TriggerItem {
    #[serde(rename = "type")]
    pub trigger_type: String,
    pub name: Option<String>,
    pub metric_type: Option<MetricType>,
    // Looked at by hand, as the library's own error would show a value that may be a secret.
    #[serde(default)]
    pub metadata: Value,
    pub authentication_ref: Option<Value>,
}

/// KEDA's `metricType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum MetricType {
    #[default]
    AverageValue,
    Value,
    Utilization,
}

/// A name in Kubernetes; as a namespace it may be left out.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub struct Name(pub String);

impl Default for Name {
    fn default() -> Self {
        Name("default".to_owned())
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
        match !text.is_empty() && text.len() <= 253 && text.bytes().all(allowed) {
            true => Ok(Name(text)),
            false => Err(format!(
                "{text:?} must be a name in Kubernetes: lower-case letters, digits, `-` and `.`"
            )),
        }
    }
}

/// A number of replicas or jobs, as Kubernetes counts them: an int32 that is not negative.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "Value")]
pub struct Count(pub u32);

impl TryFrom<Value> for Count {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number
            .filter(|number| *number <= i32::MAX as u32)
            .map(Count)
            .ok_or_else(|| {
                let shown = shown(&value);
                format!("{shown} must be a whole number from 0, without quotes")
            })
    }
}

/// A number, as it is or in quotes. Nothing else: by a slip of indentation a field can hold what
/// comes after it, with its secrets.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if text.parse::<f64>().is_err() => "a text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
        value => value.to_string(),
    }
}
