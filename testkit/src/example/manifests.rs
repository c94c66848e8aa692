//! What of an example's manifests matters here: its ScaledObjects, and the Deployments that they scale.

use std::{collections::BTreeMap, path::Path, time::Duration};

use backlog_scaler::simulation;
use serde_json::Value;

use super::{Result, local::Local};

/// The ScaledObjects of a directory.
pub struct System {
    /// Each with its Deployment.
    pub objects: Vec<Object>,
    /// What is left out here.
    pub notes: Vec<String>,
}

/// A ScaledObject.
pub struct Object {
    pub namespace: String,
    pub name: String,
    /// The settings that decide how it scales.
    pub settings: simulation::ScaledObject,
    /// Its triggers of types `external` and `external-push`.
    pub triggers: Vec<Trigger>,
    pub deployment: Deployment,
}

/// A trigger as KEDA would send it.
pub struct Trigger {
    pub metadata: BTreeMap<String, String>,
    /// `metricType: Value`.
    pub is_value: bool,
}

/// What is started as a worker.
#[derive(Clone)]
pub struct Deployment {
    pub name: String,
    /// `command` and `args` of its container.
    pub command: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub readiness: Option<Readiness>,
    pub termination_grace_period: Duration,
}

/// An HTTP readiness probe whose port comes from a variable, so that several workers fit on one
/// machine. Workers without one count as ready once they run.
#[derive(Clone)]
pub struct Readiness {
    /// The variable that holds the port.
    pub variable: String,
    pub path: String,
}

impl System {
    /// Reads the resources that `kustomization.yaml` lists, with the real server's address.
    pub fn read(directory: &Path, local: &Local, server: &str) -> Result<Self> {
        let resources = Resources::read(directory, local, server)?;
        let mut notes = Vec::new();
        let mut objects = Vec::new();
        for object in resources.of_kind("ScaledObject") {
            objects.push(resources.object(object, &mut notes)?);
        }
        match objects.is_empty() {
            true => Err(format!("{}: no ScaledObject", directory.display())),
            false => Ok(System { objects, notes }),
        }
    }
}

struct Resources {
    namespace: String,
    all: Vec<Value>,
}

impl Resources {
    fn read(directory: &Path, local: &Local, server: &str) -> Result<Self> {
        let kustomization = documents(&directory.join("kustomization.yaml"), |text| text)?;
        let kustomization = kustomization.first().ok_or("kustomization.yaml is empty")?;
        let files = kustomization["resources"].as_array();
        let mut all = Vec::new();
        for file in files.into_iter().flatten().filter_map(Value::as_str) {
            let with_addresses = |text: String| local.with_addresses(&text, server);
            all.extend(documents(&directory.join(file), with_addresses)?);
        }
        let namespace = kustomization["namespace"].as_str().unwrap_or("default");
        Ok(Resources {
            namespace: namespace.to_owned(),
            all,
        })
    }

    fn of_kind(&self, kind: &'static str) -> impl Iterator<Item = &Value> {
        self.all.iter().filter(move |object| object["kind"] == kind)
    }

    fn named(&self, kind: &'static str, name: &str) -> Result<&Value> {
        let found = self
            .of_kind(kind)
            .find(|object| object["metadata"]["name"] == name);
        found.ok_or_else(|| format!("no {kind} {name} in the directory"))
    }

    fn object(&self, object: &Value, notes: &mut Vec<String>) -> Result<Object> {
        let name = text(object, "/metadata/name")?;
        let target = text(object, "/spec/scaleTargetRef/name")?;
        let deployment = self.deployment(self.named("Deployment", &target)?)?;
        let mut triggers = Vec::new();
        let all = object["spec"]["triggers"].as_array();
        for trigger in all.into_iter().flatten() {
            match trigger["type"].as_str().unwrap_or_default() {
                "external" | "external-push" => {
                    triggers.push(read_trigger(trigger, &deployment.env))
                }
                other => notes.push(format!(
                    "{name}: its trigger `{other}` is left out; the metrics that it needs are a cluster's"
                )),
            }
        }
        let settings = simulation::ScaledObject::of_spec(&object["spec"]);
        let settings = settings.map_err(|error| format!("{name}: spec.{error}"))?;
        Ok(Object {
            namespace: self.namespace.clone(),
            settings,
            name,
            triggers,
            deployment,
        })
    }

    fn deployment(&self, object: &Value) -> Result<Deployment> {
        let name = text(object, "/metadata/name")?;
        let pod = &object["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let list = |name: &str| {
            let all = container[name].as_array();
            all.into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let command = [list("command"), list("args")].concat();
        if command.is_empty() {
            return Err(format!(
                "Deployment {name}: its container needs a `command`"
            ));
        }
        let env = self.env(container, &name)?;
        let grace = pod["terminationGracePeriodSeconds"].as_u64();
        Ok(Deployment {
            command,
            readiness: readiness(container, &env),
            env,
            // Kubernetes' default.
            termination_grace_period: Duration::from_secs(grace.unwrap_or(30)),
            name,
        })
    }

    /// `envFrom` ConfigMaps of the directory, then `env` with values; of fields only the pod's name.
    fn env(&self, container: &Value, deployment: &str) -> Result<BTreeMap<String, String>> {
        let mut env = BTreeMap::new();
        for from in container["envFrom"].as_array().into_iter().flatten() {
            let name = text(from, "/configMapRef/name")?;
            let data = self.named("ConfigMap", &name)?["data"].as_object();
            for (key, value) in data.into_iter().flatten() {
                let value = value.as_str().unwrap_or_default();
                env.insert(key.clone(), value.to_owned());
            }
        }
        for variable in container["env"].as_array().into_iter().flatten() {
            let name = text(variable, "/name")?;
            let value = match variable.pointer("/valueFrom/fieldRef/fieldPath") {
                Some(_) => format!("{deployment}-local"),
                None => text(variable, "/value").map_err(|_| {
                    format!("Deployment {deployment}: variable {name} has no plain value")
                })?,
            };
            env.insert(name, value);
        }
        Ok(env)
    }
}

fn readiness(container: &Value, env: &BTreeMap<String, String>) -> Option<Readiness> {
    let get = container.pointer("/readinessProbe/httpGet")?;
    let port = match &get["port"] {
        Value::String(name) => {
            let ports = container["ports"].as_array()?.iter();
            let mut ports = ports.filter(|port| port["name"] == *name);
            ports.next()?["containerPort"].to_string()
        }
        port => port.to_string(),
    };
    let (variable, _) = env.iter().find(|(_, value)| **value == port)?;
    Some(Readiness {
        variable: variable.clone(),
        path: get["path"].as_str().unwrap_or("/").to_owned(),
    })
}

/// A `…FromEnv` key carries the variable of the Deployment under its own name, as KEDA sends it.
fn read_trigger(trigger: &Value, env: &BTreeMap<String, String>) -> Trigger {
    let entries = trigger["metadata"].as_object();
    let entries = entries.into_iter().flatten().filter_map(|(key, value)| {
        let value = value.as_str()?;
        let value = match key.ends_with("FromEnv") {
            true => env.get(value)?,
            false => value,
        };
        Some((key.clone(), value.to_owned()))
    });
    Trigger {
        metadata: entries.collect(),
        is_value: trigger["metricType"] == "Value",
    }
}

fn text(object: &Value, pointer: &str) -> Result<String> {
    let value = object.pointer(pointer).and_then(Value::as_str);
    value
        .map(str::to_owned)
        .ok_or_else(|| format!("{} {pointer} is missing", object["kind"]))
}

/// The documents of a YAML file.
fn documents(file: &Path, change: impl Fn(String) -> String) -> Result<Vec<Value>> {
    let place = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| place(&error))?;
    let text = format!("\n{}", change(text));
    let parts = text.split("\n---");
    let mut all = Vec::new();
    for part in parts {
        let value: Value = serde_saphyr::from_str(part).map_err(|error| place(&error))?;
        if !value.is_null() {
            all.push(value);
        }
    }
    Ok(all)
}
