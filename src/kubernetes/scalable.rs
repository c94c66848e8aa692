//! The parts of ScaledObjects and ScaledJobs that are kept: their external triggers, and where their
//! environment is. No `Debug`: the metadata of a trigger may hold secrets.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use serde_json::Value;

use super::{
    object::{Resource, WorkloadType},
    pod_template::{Container, PodTemplate},
};

/// The metadata of all triggers of one object may have this many bytes; so many are in no manifest that
/// a person writes.
const LARGEST: usize = 256 * 1024;

/// A ScaledObject or ScaledJob.
#[derive(Clone, PartialEq, Eq)]
pub struct Scalable {
    /// Of type `external` and `external-push`; others never reach us.
    pub triggers: Vec<Trigger>,
    pub environment: EnvironmentSource,
    /// The container whose environment `…FromEnv` keys are resolved from; left out, the first one.
    pub container: Option<String>,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Its place among all triggers of the object.
    pub index: usize,
    pub metadata: BTreeMap<String, String>,
    pub reference: Option<Reference>,
}

/// A trigger's `authenticationRef`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
pub struct Reference {
    pub name: String,
    /// `TriggerAuthentication`, which is also meant if it is empty, or `ClusterTriggerAuthentication`.
    #[serde(default)]
    pub kind: String,
}

/// Where the containers of a scale target are.
#[derive(Clone, PartialEq, Eq)]
pub enum EnvironmentSource {
    /// Of a ScaledJob: in itself.
    Inline(Arc<Vec<Container>>),
    /// Of a ScaledObject: in an object of its namespace.
    Workload { of: Arc<WorkloadType>, name: String },
    /// KEDA has not found the target's type yet.
    Unknown,
}

impl Scalable {
    /// The parts of an object. The error says what is wrong, without values.
    pub fn parse(resource: &Resource, object: &Value) -> Result<Self, &'static str> {
        let spec = Spec::deserialize(&object["spec"]).map_err(|_| "its spec cannot be parsed")?;
        let external = |kind: &str| matches!(kind, "external" | "external-push");
        let triggers = spec.triggers.into_iter().enumerate();
        let triggers: Vec<Trigger> = triggers
            .filter(|(_, trigger)| external(&trigger.r#type))
            .map(|(index, trigger)| Trigger {
                index,
                metadata: trigger.metadata.unwrap_or_default(),
                reference: trigger.authentication_ref.filter(|r| !r.name.is_empty()),
            })
            .collect();
        let entries = triggers.iter().flat_map(|trigger| &trigger.metadata);
        if entries
            .map(|(key, value)| key.len() + value.len())
            .sum::<usize>()
            > LARGEST
        {
            return Err("the metadata of its triggers have more than 256 KiB");
        }
        let target = spec.scale_target_ref.unwrap_or_default();
        let (environment, container) = match resource {
            Resource::ScaledJobs => {
                let job = spec.job_target_ref.unwrap_or_default();
                let containers = Arc::new(job.template.containers());
                let container = spec.env_source_container_name;
                (EnvironmentSource::Inline(containers), container)
            }
            _ => {
                let status = Status::deserialize(&object["status"]).unwrap_or_default();
                let of = target.workload_type(status.scale_target_gvkr);
                let environment = match of {
                    Some(of) => EnvironmentSource::Workload {
                        of: Arc::new(of),
                        name: target.name,
                    },
                    None => EnvironmentSource::Unknown,
                };
                (environment, target.env_source_container_name)
            }
        };
        Ok(Scalable {
            triggers,
            environment,
            container: container.filter(|name| !name.is_empty()),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    triggers: Vec<WrittenTrigger>,
    scale_target_ref: Option<ScaleTarget>,
    job_target_ref: Option<JobTarget>,
    env_source_container_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenTrigger {
    r#type: String,
    metadata: Option<BTreeMap<String, String>>,
    authentication_ref: Option<Reference>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScaleTarget {
    name: String,
    kind: Option<String>,
    env_source_container_name: Option<String>,
}

#[derive(Default, Deserialize)]
struct JobTarget {
    #[serde(default)]
    template: PodTemplate,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    #[serde(rename = "scaleTargetGVKR")]
    scale_target_gvkr: Option<Gvkr>,
}

/// KEDA's own finding (`GroupVersionKindResource` in gvkr_types.go).
#[derive(Deserialize)]
struct Gvkr {
    #[serde(default)]
    group: String,
    version: String,
    kind: String,
    resource: String,
}

impl ScaleTarget {
    /// KEDA's finding; before there is one, a Deployment or StatefulSet is known by its kind.
    fn workload_type(&self, found: Option<Gvkr>) -> Option<WorkloadType> {
        if let Some(found) = found {
            return Some(WorkloadType {
                group: found.group,
                version: found.version,
                kind: found.kind,
                plural: found.resource,
            });
        }
        let (kind, plural) = match self.kind.as_deref() {
            None | Some("" | "Deployment") => ("Deployment", "deployments"),
            Some("StatefulSet") => ("StatefulSet", "statefulsets"),
            Some(_) => return None,
        };
        Some(WorkloadType {
            group: "apps".to_owned(),
            version: "v1".to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(resource: &Resource, object: Value) -> Scalable {
        let parsed = Scalable::parse(resource, &object);
        parsed.unwrap_or_else(|reason| panic!("{reason}"))
    }

    #[test]
    fn only_external_triggers_are_kept() {
        let object = json!({"spec": {
            "scaleTargetRef": {"name": "worker", "envSourceContainerName": "app"},
            "pollingInterval": 5,
            "triggers": [
                {"type": "cpu", "metadata": {"value": "50"}},
                {"type": "external", "metadata": {"backend": "redis"},
                 "authenticationRef": {"name": "redis"}},
                {"type": "external-push", "metadata": {"backend": "kafka"}},
            ],
        }});
        let parsed = parse(&Resource::ScaledObjects, object);
        let references = parsed.triggers.iter().map(|t| t.reference.as_ref());
        let references: Vec<_> = references.map(|r| r.map(|r| r.name.as_str())).collect();
        assert_eq!(references, [Some("redis"), None]);
        let places = parsed.triggers.iter().map(|trigger| trigger.index);
        assert_eq!(Vec::from_iter(places), [1, 2]);
        assert_eq!(parsed.container.as_deref(), Some("app"));
        let EnvironmentSource::Workload { of, name } = &parsed.environment else {
            panic!("a ScaledObject has a target");
        };
        assert_eq!(
            (of.plural.as_str(), name.as_str()),
            ("deployments", "worker")
        );
    }

    #[test]
    fn the_type_of_the_target_is_what_keda_has_found() {
        let spec = json!({"scaleTargetRef": {"name": "w", "kind": "Rollout"}, "triggers": []});
        let before = parse(&Resource::ScaledObjects, json!({"spec": spec}));
        assert!(matches!(before.environment, EnvironmentSource::Unknown));
        let status = json!({"scaleTargetGVKR": {
            "group": "argoproj.io", "version": "v1alpha1", "kind": "Rollout", "resource": "rollouts",
        }});
        let object = json!({"spec": spec, "status": status});
        let EnvironmentSource::Workload { of, .. } =
            parse(&Resource::ScaledObjects, object).environment
        else {
            panic!("is found");
        };
        assert_eq!(
            (of.group.as_str(), of.plural.as_str()),
            ("argoproj.io", "rollouts")
        );
    }

    #[test]
    fn what_cannot_be_parsed_is_an_error_without_its_values() {
        let trigger = json!({"type": "external", "metadata": {"password": ["hunter2"]}});
        let object = json!({"spec": {"triggers": [trigger]}});
        let error = Scalable::parse(&Resource::ScaledJobs, &object).err();
        assert_eq!(error, Some("its spec cannot be parsed"));
    }
}
