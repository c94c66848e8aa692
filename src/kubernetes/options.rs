//! What the settings say of the Kubernetes API.

use std::{collections::BTreeMap, path::PathBuf};

use crate::network::Rules;

/// How to reach the API server, and what may be done with what is read there.
#[derive(Clone, Debug)]
pub struct Options {
    /// `None`: the ServiceAccount of this pod.
    pub kubeconfig: Option<PathBuf>,
    /// `None`: the current context of the kubeconfig.
    pub context: Option<String>,
    /// The namespaces of triggers. Empty: all.
    pub namespaces: Vec<String>,
    /// KEDA's own namespace, which has the Secrets of ClusterTriggerAuthentications.
    pub keda_namespace: String,
    /// The servers that the keys of a ClusterTriggerAuthentication may be sent to, by its name, beside
    /// those that it names itself.
    pub cluster_authentication_servers: BTreeMap<String, Rules>,
    /// Whether events are written for ScaledObjects and ScaledJobs.
    pub events: bool,
}

/// KEDA's Helm chart and its manifests install into this namespace.
pub const KEDA_NAMESPACE: &str = "keda";

impl Default for Options {
    fn default() -> Self {
        Options {
            kubeconfig: None,
            context: None,
            namespaces: Vec::new(),
            keda_namespace: KEDA_NAMESPACE.to_owned(),
            cluster_authentication_servers: BTreeMap::new(),
            events: true,
        }
    }
}
