//! The Kubernetes API as it is written in the settings.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::invalid;
use crate::{
    error::Result,
    kubernetes::{self, Options},
    network::Rules,
};

/// The Kubernetes API: TriggerAuthentications and replicas are read there, and events written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct KubernetesSettings {
    /// Whether the `authenticationRef` of a trigger is looked up in the Kubernetes API, and the replicas
    /// of its scale target for `scaleDownBelow`.
    pub enabled: bool,
    /// A kubeconfig file. Left out, the ServiceAccount of this pod.
    pub kubeconfig: Option<PathBuf>,
    /// The context in that file. Left out, its current one.
    pub context: Option<String>,
    /// The namespaces of the triggers, each with a Role for this server. Left out, all, which needs
    /// a ClusterRole.
    pub namespaces: Vec<String>,
    /// KEDA's own namespace, which has the Secrets of ClusterTriggerAuthentications.
    pub keda_namespace: String,
    /// By the name of a ClusterTriggerAuthentication, the hosts and networks that its keys may be sent
    /// to, beside the addresses that it holds itself. Without an entry, triggers cannot choose.
    pub cluster_authentication_servers: BTreeMap<String, Vec<String>>,
    /// Whether events are written for a ScaledObject or ScaledJob when one of its triggers is refused or
    /// cannot be read, and when it is well again: `kubectl describe` shows them.
    pub events: bool,
}

impl Default for KubernetesSettings {
    fn default() -> Self {
        let options = Options::default();
        KubernetesSettings {
            enabled: false,
            kubeconfig: options.kubeconfig,
            context: options.context,
            namespaces: options.namespaces,
            keda_namespace: options.keda_namespace,
            cluster_authentication_servers: BTreeMap::new(),
            events: options.events,
        }
    }
}

impl KubernetesSettings {
    /// The options, checked; `None`: switched off.
    pub fn options(&self) -> Result<Option<Options>> {
        let path = |key: &str| format!("kubernetes.{key}");
        let names = self.namespaces.iter().map(|name| ("namespaces", name));
        for (key, name) in names.chain([("kedaNamespace", &self.keda_namespace)]) {
            if !kubernetes::is_name(name) {
                return Err(invalid(
                    &path(key),
                    &format!("`{name}` is not a valid name of a namespace"),
                ));
            }
        }
        if self.context.is_some() && self.kubeconfig.is_none() {
            return Err(invalid(&path("context"), "needs kubernetes.kubeconfig"));
        }
        let servers = self.cluster_authentication_servers.iter();
        let servers = servers.map(|(name, listed)| {
            let key = path(&format!("clusterAuthenticationServers.{name}"));
            match kubernetes::is_name(name) {
                true => Rules::listed(listed)
                    .map(|rules| (name.clone(), rules))
                    .map_err(|reason| invalid(&key, &reason)),
                false => Err(invalid(
                    &key,
                    "is not a valid name of a ClusterTriggerAuthentication",
                )),
            }
        });
        let cluster_authentication_servers = servers.collect::<Result<_>>()?;
        Ok(self.enabled.then(|| Options {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            namespaces: self.namespaces.clone(),
            keda_namespace: self.keda_namespace.clone(),
            cluster_authentication_servers,
            events: self.events,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(yaml: &str) -> Result<Option<Options>, String> {
        let settings: KubernetesSettings =
            serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
        settings.options().map_err(|error| error.to_string())
    }

    #[test]
    fn it_is_off_unless_it_is_switched_on() {
        assert!(options("{}").unwrap().is_none());
        let on = options("{enabled: true, namespaces: [shop]}")
            .unwrap()
            .unwrap();
        assert_eq!(
            (on.namespaces, on.keda_namespace),
            (vec!["shop".to_owned()], "keda".to_owned())
        );
    }

    #[test]
    fn a_bad_value_is_named_with_its_path_even_while_it_is_off() {
        for (yaml, expected) in [
            (
                "{namespaces: [Shop]}",
                "kubernetes.namespaces: `Shop` is not a valid name of a namespace",
            ),
            (
                "{kedaNamespace: ''}",
                "kubernetes.kedaNamespace: `` is not a valid name of a namespace",
            ),
            (
                "{context: test}",
                "kubernetes.context: needs kubernetes.kubeconfig",
            ),
            (
                "{clusterAuthenticationServers: {redis: ['http://x']}}",
                "kubernetes.clusterAuthenticationServers.redis: has `http://x`, which must be",
            ),
            ("{namespace: shop}", "unknown field `namespace`"),
        ] {
            let error = options(yaml).expect_err(yaml);
            assert!(error.contains(expected), "{error}");
        }
    }
}
