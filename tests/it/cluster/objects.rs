//! A scenario's namespace, and the objects in it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::control_plane::ControlPlane;

/// KWOK's node. There is no scheduler: pods name it themselves.
pub const NODE: &str = "node-1";

/// A namespace that is deleted when it is dropped, so that KEDA polls no more for it.
pub struct Namespace {
    pub cluster: Arc<ControlPlane>,
    pub name: String,
}

impl Namespace {
    pub fn new(cluster: Arc<ControlPlane>, name: &str) -> Self {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        cluster.kubectl.apply(&object.to_string());
        Namespace {
            cluster,
            name: name.to_owned(),
        }
    }

    /// Creates a Deployment without replicas, and the ScaledObject of the same name for it.
    pub fn scale(&self, name: &str, scaled_object: ScaledObject) {
        self.scale_all([(name.to_owned(), scaled_object)]);
    }

    pub fn scale_all(&self, all: impl IntoIterator<Item = (String, ScaledObject)>) {
        let objects = all.into_iter().flat_map(|(name, scaled_object)| {
            [
                self.deployment(&name),
                scaled_object.object(&self.name, &name),
            ]
        });
        let list = json!({"apiVersion": "v1", "kind": "List", "items": Vec::from_iter(objects)});
        self.cluster.kubectl.create(&list.to_string());
    }

    /// Creates a Deployment without replicas.
    pub fn deploy(&self, name: &str) {
        let deployment = self.deployment(name);
        self.cluster.kubectl.create(&deployment.to_string());
    }

    fn deployment(&self, name: &str) -> Value {
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": self.name},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": pod(),
                },
            },
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let delete = ["delete", "namespace", &self.name, "--wait=false"];
        if let Err(error) = self.cluster.kubectl.attempt(&delete, "") {
            eprintln!("namespace {} is not deleted: {error}", self.name);
        }
    }
}

/// What KWOK plays.
pub fn pod() -> Value {
    json!({
        "nodeName": NODE,
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "worker", "image": "registry.example/worker"}],
    })
}

/// The part of a ScaledObject that differs between scenarios.
pub struct ScaledObject {
    spec: Value,
}

impl ScaledObject {
    /// Polled every 5 s, 0 to 10 replicas, back to 0 after 10 s without work.
    pub fn new(trigger: Value) -> Self {
        ScaledObject {
            spec: json!({
                "pollingInterval": 5,
                "cooldownPeriod": 10,
                "minReplicaCount": 0,
                "maxReplicaCount": 10,
                "triggers": [trigger],
            }),
        }
    }

    pub fn and(mut self, trigger: Value) -> Self {
        let triggers = self.spec["triggers"].as_array_mut().expect("a list");
        triggers.push(trigger);
        self
    }

    /// Another value of a key of the spec.
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.spec[key] = value;
        self
    }

    fn object(self, namespace: &str, name: &str) -> Value {
        let mut spec = self.spec;
        spec["scaleTargetRef"] = json!({"name": name});
        json!({
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        })
    }
}

/// A trigger of type `external`; all metadata are texts.
pub fn external<const N: usize>(scaler: &str, metadata: [(&str, &str); N]) -> Value {
    let mut metadata: serde_json::Map<String, Value> = metadata
        .map(|(key, value)| (key.to_owned(), value.into()))
        .into_iter()
        .collect();
    metadata.insert("scalerAddress".to_owned(), scaler.into());
    json!({"type": "external", "metadata": metadata})
}

/// The same trigger with a stream.
pub fn external_push(mut trigger: Value) -> Value {
    trigger["type"] = "external-push".into();
    trigger
}

/// A list of which five items are one replica's work.
pub fn list(scaler: &str, redis: &str, name: &str) -> Value {
    let keys = [
        ("backend", "redis"),
        ("address", redis),
        ("listName", name),
        ("listLength", "5"),
    ];
    external(scaler, keys)
}
