//! Names of a cluster, seen from a laptop.

use std::collections::BTreeMap;

use clap::Args;
use tokio::net::lookup_host;

use super::{
    manifest::{Object, is_external},
    report::{Report, Status},
};
use crate::{
    metadata::values::HostPort,
    network::{HostMap, Mapping},
};

/// Which servers are reached elsewhere.
#[derive(Args, Default)]
pub struct Map {
    /// Connect to ADDRESS for a server HOST or HOST:PORT, such as a port-forward. May be repeated.
    #[arg(long = "map", value_name = "HOST=ADDRESS", conflicts_with = "address")]
    mappings: Vec<Mapping>,
}

impl Map {
    /// As the engine takes it.
    pub fn hosts(&self) -> HostMap {
        HostMap::new(self.mappings.iter().cloned())
    }
}

/// Name and namespace of a Service, if a host is the DNS name of one: `redis.shop.svc`, perhaps with the
/// cluster's domain behind and a pod's name before it.
pub fn service_of(host: &str) -> Option<(String, String)> {
    let host = host.trim_end_matches('.');
    let inner = host.strip_suffix(".cluster.local").unwrap_or(host);
    let mut labels = inner.strip_suffix(".svc")?.rsplit('.');
    let (namespace, name) = (labels.next()?, labels.next()?);
    let given = !namespace.is_empty() && !name.is_empty();
    given.then(|| (name.to_owned(), namespace.to_owned()))
}

/// Adds to triggers without a value how to reach their server from here, if its name is one of a cluster
/// and does not resolve.
pub async fn hint(report: &mut Report, objects: &[Object], map: &Map) {
    let hosts = map.hosts();
    for (found, object) in report.objects.iter_mut().zip(objects) {
        for (found, trigger) in found.triggers.iter_mut().zip(&object.triggers) {
            if found.status != Status::Error || !is_external(&trigger.trigger_type) {
                continue;
            }
            if let Some(hint) = from_here(&trigger.metadata, &hosts).await {
                // Says more than that a name does not resolve.
                found.hint = Some(hint);
            }
        }
    }
}

/// How to reach the server of a trigger from here, if its name is one of a cluster and does not resolve.
pub async fn from_here(metadata: &BTreeMap<String, String>, hosts: &HostMap) -> Option<String> {
    // KEDA's own key says nothing of the backend.
    let values = metadata.iter().filter(|(key, _)| *key != "scalerAddress");
    let host = metadata.get("host").zip(metadata.get("port"));
    let host = host.and_then(|(host, port)| HostPort::new(host, port).ok());
    let servers = values.flat_map(|(_, value)| value.split(','));
    let servers = servers.filter_map(|text| text.trim().parse::<HostPort>().ok());
    for server in host.into_iter().chain(servers) {
        if let Some(hint) = for_server(&server, hosts).await {
            return Some(hint);
        }
    }
    None
}

async fn for_server(server: &HostPort, hosts: &HostMap) -> Option<String> {
    let (name, namespace) = service_of(&server.host)?;
    if hosts.of(server) != *server {
        return None;
    }
    let found = lookup_host((server.host.as_str(), server.port)).await;
    if found.is_ok_and(|mut found| found.next().is_some()) {
        return None;
    }
    let port = server.port;
    // Beside those that are in use on a developer's machine.
    let local = if port < 50_000 { port + 10_000 } else { port };
    Some(format!(
        "{} is a name within a cluster. From here: `kubectl -n {namespace} port-forward service/{name} \
         {local}:{port}`, and `--map {server}=127.0.0.1:{local}`",
        server.host
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_service_is_known() {
        let shop = Some(("redis".to_owned(), "shop".to_owned()));
        for host in [
            "redis.shop.svc",
            "redis.shop.svc.",
            "redis.shop.svc.cluster.local",
            "redis-0.redis.shop.svc.cluster.local",
        ] {
            assert_eq!(service_of(host), shop, "{host}");
        }
        for host in [
            "redis",
            "redis.shop",
            "svc",
            "shop.svc",
            ".svc",
            "redis.example.com",
        ] {
            assert_eq!(service_of(host), None, "{host}");
        }
    }
}
