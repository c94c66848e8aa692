//! Names of objects in the Kubernetes API, and where they are.

use std::{fmt, sync::Arc};

use kube::core::ApiResource;

use crate::error::{Error, Kind, Result};

/// The API group and version of KEDA's objects.
const KEDA_GROUP: &str = "keda.sh";
const KEDA_VERSION: &str = "v1alpha1";

/// The API group and version of events.
const EVENTS_GROUP: &str = "events.k8s.io";
const EVENTS_VERSION: &str = "v1";

/// The API group and version of HorizontalPodAutoscalers, as KEDA creates them.
const AUTOSCALING_GROUP: &str = "autoscaling";
const AUTOSCALING_VERSION: &str = "v2";

/// A kind of object that is read, or written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    ScaledObjects,
    ScaledJobs,
    TriggerAuthentications,
    ClusterTriggerAuthentications,
    Secrets,
    ConfigMaps,
    /// What `kubectl describe` shows below an object.
    Events,
    /// What KEDA creates for a ScaledObject.
    HorizontalPodAutoscalers,
    /// What a ScaledObject scales: a Deployment, or whatever has a pod template.
    Workloads(Arc<WorkloadType>),
}

/// The type of a scale target, as KEDA writes it into the status of a ScaledObject.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadType {
    pub group: String,
    pub version: String,
    pub kind: String,
    /// The plural, as it is in paths and in RBAC rules.
    pub plural: String,
}

impl Resource {
    /// The label of metrics, from a closed set.
    pub fn label(&self) -> &'static str {
        match self {
            Resource::Workloads(_) => "workloads",
            Resource::ScaledObjects => "scaledobjects",
            Resource::ScaledJobs => "scaledjobs",
            Resource::TriggerAuthentications => "triggerauthentications",
            Resource::ClusterTriggerAuthentications => "clustertriggerauthentications",
            Resource::Secrets => "secrets",
            Resource::ConfigMaps => "configmaps",
            Resource::Events => "events",
            Resource::HorizontalPodAutoscalers => "horizontalpodautoscalers",
        }
    }

    /// The kind as users write it.
    pub fn kind(&self) -> &str {
        match self {
            Resource::Workloads(workload) => &workload.kind,
            Resource::ScaledObjects => "ScaledObject",
            Resource::ScaledJobs => "ScaledJob",
            Resource::TriggerAuthentications => "TriggerAuthentication",
            Resource::ClusterTriggerAuthentications => "ClusterTriggerAuthentication",
            Resource::Secrets => "Secret",
            Resource::ConfigMaps => "ConfigMap",
            Resource::Events => "Event",
            Resource::HorizontalPodAutoscalers => "HorizontalPodAutoscaler",
        }
    }

    /// The plural, as it is in paths and in RBAC rules.
    pub fn plural(&self) -> &str {
        match self {
            Resource::Workloads(workload) => &workload.plural,
            other => other.label(),
        }
    }

    /// The API group; empty for the core group.
    pub fn group(&self) -> &str {
        match self {
            Resource::Workloads(workload) => &workload.group,
            Resource::Secrets | Resource::ConfigMaps => "",
            Resource::Events => EVENTS_GROUP,
            Resource::HorizontalPodAutoscalers => AUTOSCALING_GROUP,
            _ => KEDA_GROUP,
        }
    }

    fn version(&self) -> &str {
        match self {
            Resource::Workloads(workload) => &workload.version,
            Resource::Secrets | Resource::ConfigMaps => "v1",
            Resource::Events => EVENTS_VERSION,
            Resource::HorizontalPodAutoscalers => AUTOSCALING_VERSION,
            _ => KEDA_VERSION,
        }
    }

    /// For kube's watcher.
    pub fn api_resource(&self) -> ApiResource {
        ApiResource {
            group: self.group().to_owned(),
            version: self.version().to_owned(),
            api_version: self.api_version(),
            kind: self.kind().to_owned(),
            plural: self.plural().to_owned(),
        }
    }

    /// The group with its version, as in `apiVersion`.
    pub fn api_version(&self) -> String {
        match self.group() {
            "" => self.version().to_owned(),
            group => format!("{group}/{}", self.version()),
        }
    }

    /// The path of the collection of a namespace, or of the cluster.
    fn path(&self, namespace: Option<&str>) -> String {
        let root = match self.group() {
            "" => "/api",
            _ => "/apis",
        };
        let (version, plural) = (self.api_version(), self.plural());
        match namespace {
            Some(namespace) => format!("{root}/{version}/namespaces/{namespace}/{plural}"),
            None => format!("{root}/{version}/{plural}"),
        }
    }

    /// The path of a page of a `list`, from the `continue` token of the one before.
    pub fn page_path(&self, namespace: Option<&str>, limit: usize, from: Option<&str>) -> String {
        let from = from.map(|token| format!("&continue={token}"));
        let path = self.path(namespace);
        format!("{path}?limit={limit}{}", from.unwrap_or_default())
    }

    /// The plural with its group, as `kubectl` takes it: `deployments.apps`.
    pub fn qualified(&self) -> String {
        match self.group() {
            "" => self.plural().to_owned(),
            group => format!("{}.{group}", self.plural()),
        }
    }
}

/// One object: its kind, its namespace and its name, all fit to be part of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    pub resource: Resource,
    /// `None`: an object of the cluster.
    pub namespace: Option<String>,
    pub name: String,
}

impl ObjectId {
    /// An error: a name that cannot be one. A reference such as `../../kube-system/secrets/x` must not
    /// become the path of another object: whoever writes it has fewer rights than this server.
    pub fn new(resource: Resource, namespace: Option<&str>, name: &str) -> Result<Self> {
        let mut parts = vec![name, resource.plural(), resource.version()];
        parts.extend(namespace);
        if !resource.group().is_empty() {
            parts.push(resource.group());
        }
        if let Some(bad) = parts.into_iter().find(|part| !is_name(part)) {
            return Err(Error::new(
                Kind::Invalid,
                format!("`{bad}` is not a valid name of a {}", resource.kind()),
                "Names have lower-case letters, digits, `-` and `.`, and at most 253 characters.",
            ));
        }
        Ok(ObjectId {
            resource,
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        })
    }

    /// The path of the collection that the object is in, and of a `create`.
    pub fn collection(&self) -> String {
        self.resource.path(self.namespace.as_deref())
    }

    /// The path of a `get` and of a `patch`.
    pub fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.name)
    }

    /// The path of a `watch` of this object alone, from a resource version; without one, from its
    /// present state. A Role with `resourceNames` allows it for such a field selector.
    pub fn watch_path(&self, resource_version: Option<&str>, timeout_seconds: u64) -> String {
        let from = resource_version.map(|version| format!("&resourceVersion={version}"));
        format!(
            "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={timeout_seconds}\
             &fieldSelector=metadata.name%3D{}{}",
            self.collection(),
            self.name,
            from.unwrap_or_default()
        )
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.resource.kind();
        match &self.namespace {
            Some(namespace) => write!(f, "{kind} {namespace}/{}", self.name),
            None => write!(f, "{kind} {}", self.name),
        }
    }
}

/// RFC 1123's subdomains, which all names here are (`IsDNS1123Subdomain` in apimachinery).
pub fn is_name(text: &str) -> bool {
    let good = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(good)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_the_path_of_its_kind() {
        let secret = ObjectId::new(Resource::Secrets, Some("shop"), "redis").unwrap();
        assert_eq!(secret.path(), "/api/v1/namespaces/shop/secrets/redis");
        assert_eq!(secret.to_string(), "Secret shop/redis");
        let cluster = Resource::ClusterTriggerAuthentications;
        let cluster = ObjectId::new(cluster, None, "redis").unwrap();
        let path = "/apis/keda.sh/v1alpha1/clustertriggerauthentications/redis";
        assert_eq!(cluster.path(), path);
        assert_eq!(
            secret.watch_path(Some("7"), 290),
            "/api/v1/namespaces/shop/secrets?watch=true&allowWatchBookmarks=true\
             &timeoutSeconds=290&fieldSelector=metadata.name%3Dredis&resourceVersion=7"
        );
    }

    #[test]
    fn a_reference_cannot_lead_to_another_path() {
        for bad in [
            "",
            "..",
            "../../kube-system/secrets/admin",
            "redis?watch=true",
            "redis%2Fx",
            "Redis",
            "redis,metadata.name!=x",
            "-redis",
        ] {
            let error = ObjectId::new(Resource::Secrets, Some("shop"), bad);
            let error = error.expect_err(bad).to_string();
            assert!(error.contains("is not a valid name of a Secret"), "{error}");
            assert!(ObjectId::new(Resource::Secrets, Some(bad), "redis").is_err());
        }
    }
}
