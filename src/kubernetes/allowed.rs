//! Where the keys of an authentication may be sent.
//!
//! Whoever writes a ScaledObject may refer to any ClusterTriggerAuthentication. If the address came from
//! the trigger, its author could have the keys of the whole cluster sent to a server of their own.

use super::{
    Kubernetes,
    authentication::{Authentication, Provenance},
};
use crate::{
    error::{Error, Kind, Result},
    metadata::values::HostPort,
    network::Rules,
};

/// Parameters that hold a host and a port apart (KEDA's Redis scaler).
const HOST_AND_PORT: [(&str, &str); 2] = [("host", "port"), ("hosts", "ports")];

impl Kubernetes {
    /// Whether the keys may be sent to a server. Those of a TriggerAuthentication may be used by the
    /// triggers of its own namespace, whose own they are. Those of a ClusterTriggerAuthentication may be
    /// sent to the servers that it names itself, and to those that the settings list for it.
    pub fn may_send_to(&self, authentication: &Authentication, server: &HostPort) -> Result<()> {
        let origin = &authentication.origin;
        match &origin.namespace {
            Some(namespace) if *namespace == authentication.namespace => return Ok(()),
            Some(_) => {
                let namespace = &authentication.namespace;
                let what = format!("{origin} may not be used by triggers of namespace {namespace}");
                return Err(Error::new(Kind::NotAllowed, what, ""));
            }
            None => {}
        }
        let listed = self.listed_servers(authentication);
        if is_of_target(authentication)
            || names(authentication, server)
            || listed.is_some_and(|rules| rules.names(server))
        {
            return Ok(());
        }
        let name = &origin.name;
        Err(Error::new(
            Kind::NotAllowed,
            format!(
                "the keys of {origin} may not be sent to {server}, an address of the trigger's own"
            ),
            format!(
                "Have the object give the address too, or whoever runs backlog-scaler can list the \
                 server under kubernetes.clusterAuthenticationServers.{name}."
            ),
        ))
    }

    /// The servers that the settings list for a ClusterTriggerAuthentication. Also the servers that
    /// those advertise must be among them.
    pub fn listed_servers(&self, authentication: &Authentication) -> Option<&Rules> {
        let origin = &authentication.origin;
        let listed = &self.options.cluster_authentication_servers;
        listed
            .get(&origin.name)
            .filter(|_| origin.namespace.is_none())
    }
}

/// Whether all keys come from the trigger's own scale target.
fn is_of_target(authentication: &Authentication) -> bool {
    let mut from = authentication.from.values();
    from.all(|from| *from == Provenance::Environment)
}

/// Whether the object itself names the server. Values from the environment do not count: the author of
/// the scale target chooses them.
fn names(authentication: &Authentication, server: &HostPort) -> bool {
    let value = |key: &str| {
        let own = authentication.from.get(key)? != &Provenance::Environment;
        let value = authentication.keys.get(key).filter(|_| own)?;
        Some(value.expose())
    };
    let list = |text: &'_ str| -> Vec<String> {
        let parts = text.split(',').map(|part| part.trim().to_owned());
        parts.collect()
    };
    let whole = authentication.keys.keys().filter_map(|key| value(key));
    let whole = whole.flat_map(list).filter_map(|part| part.parse().ok());
    let apart = HOST_AND_PORT.into_iter().filter_map(|(host, port)| {
        let (hosts, ports) = (list(value(host)?), list(value(port)?));
        Some(hosts.into_iter().zip(ports))
    });
    let apart = apart
        .flatten()
        .filter_map(|(host, port)| HostPort::new(&host, &port).ok());
    whole
        .chain(apart)
        .any(|named: HostPort| same(&named, server))
}

fn same(a: &HostPort, b: &HostPort) -> bool {
    let host = |server: &'_ HostPort| server.host.trim_end_matches('.').to_ascii_lowercase();
    a.port == b.port && host(a) == host(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kubernetes::{
            authentication::Dependencies,
            object::{ObjectId, Resource},
            tests::without_api_server,
        },
        metadata::values::Secret,
    };

    fn authentication(
        namespace: Option<&str>,
        keys: &[(&str, &str, Provenance)],
    ) -> Authentication {
        let resource = match namespace {
            Some(_) => Resource::TriggerAuthentications,
            None => Resource::ClusterTriggerAuthentications,
        };
        Authentication {
            namespace: "shop".to_owned(),
            keys: keys
                .iter()
                .map(|(key, value, _)| (key.to_string(), Secret::from(*value)))
                .collect(),
            from: keys
                .iter()
                .map(|(key, _, from)| (key.to_string(), *from))
                .collect(),
            origin: ObjectId::new(resource, namespace, "redis").unwrap(),
            version: 0,
            depends_on: Dependencies::default(),
        }
    }

    const PASSWORD: (&str, &str, Provenance) = ("password", "hunter2", Provenance::Secret);

    #[tokio::test]
    async fn a_cluster_authentication_is_for_its_own_addresses_and_for_listed_ones() {
        let kubernetes = without_api_server("redis", &["*.redis.svc:6379"]).await;
        let allowed = |authentication: &Authentication, server: &str| {
            kubernetes.may_send_to(authentication, &server.parse().unwrap())
        };
        let own = authentication(
            None,
            &[
                PASSWORD,
                (
                    "address",
                    "redis.shop:6379, other.shop:6379",
                    Provenance::ConfigMap,
                ),
                ("host", "redis.mail", Provenance::Secret),
                ("port", "6380", Provenance::Secret),
                ("addresses", "redis.evil:6379", Provenance::Environment),
            ],
        );
        for (server, expected) in [
            ("redis.shop:6379", true),
            ("OTHER.shop.:6379", true),
            ("redis.mail:6380", true),
            ("a.redis.svc:6379", true),
            ("redis.shop:6380", false),
            ("redis.evil:6379", false),
            ("hunter2:6379", false),
        ] {
            assert_eq!(allowed(&own, server).is_ok(), expected, "{server}");
        }
        let error = allowed(&own, "redis.evil:6379").unwrap_err();
        assert_eq!(error.kind(), Kind::NotAllowed);
        assert_eq!(
            error.to_string(),
            "the keys of ClusterTriggerAuthentication redis may not be sent to redis.evil:6379, an \
             address of the trigger's own. Have the object give the address too, or whoever runs \
             backlog-scaler can list the server under kubernetes.clusterAuthenticationServers.redis."
        );
    }

    #[tokio::test]
    async fn keys_of_the_trigger_s_own_namespace_may_go_anywhere() {
        let kubernetes = without_api_server("other", &[]).await;
        let server: HostPort = "redis.anywhere:6379".parse().unwrap();
        let own = authentication(Some("shop"), &[PASSWORD]);
        assert!(kubernetes.may_send_to(&own, &server).is_ok());
        let of_another = authentication(Some("mail"), &[PASSWORD]);
        assert!(kubernetes.may_send_to(&of_another, &server).is_err());
        let of_target = [("password", "x", Provenance::Environment)];
        let of_target = authentication(None, &of_target);
        assert!(kubernetes.may_send_to(&of_target, &server).is_ok());
    }
}
