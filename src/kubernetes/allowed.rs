//! Where the keys of an authentication may be sent.
//!
//! Whoever writes a ScaledObject may refer to any ClusterTriggerAuthentication. If the address came from
//! the trigger, its author could have the keys of the whole cluster sent to a server of their own; if the
//! protection of the connection did, they could read the keys on their way.

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
            None => authentication.check_own()?,
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

    /// The servers that the settings list for a ClusterTriggerAuthentication. What they advertise in turn
    /// is trusted as they are: brokers, nodes, the master that the object names.
    fn listed_servers(&self, authentication: &Authentication) -> Option<&Rules> {
        let origin = &authentication.origin;
        let listed = &self.options.cluster_authentication_servers;
        listed
            .get(&origin.name)
            .filter(|_| origin.namespace.is_none())
    }
}

/// Keys that decide how the other keys are protected on their way, or who names the server that gets
/// them. Sentinels often let everybody add a master, so that its name is as good as an address.
const PROTECTION: [&str; 7] = [
    "tls",
    "tlsSkipVerify",
    "ca",
    "tlsServerName",
    "sasl",
    "oauthTokenEndpointUri",
    "sentinelMaster",
];

impl Authentication {
    /// Whether a key of the trigger's own may be used beside these keys. Beside those of a
    /// ClusterTriggerAuthentication it may not weaken what protects them: who gives `tls: enable` with a
    /// password relies on it, and a certificate authority of the trigger's author could impersonate any
    /// server.
    pub fn may_be_joined(&self, key: &str, value: &str) -> Result<()> {
        if self.origin.namespace.is_some() || is_of_target(self) || !PROTECTION.contains(&key) {
            return Ok(());
        }
        let is_safe = match own(self, key) {
            Some(given) if given.trim() == value => true,
            given => match key {
                "tls" => value == "enable",
                "tlsSkipVerify" => value == "false",
                // Without TLS nothing is protected either way.
                "sasl" => given.is_none(),
                _ => false,
            },
        };
        if is_safe {
            return Ok(());
        }
        let origin = &self.origin;
        Err(Error::new(
            Kind::NotAllowed,
            format!(
                "`{key}` of the trigger's own may not decide how the keys of {origin} are sent"
            ),
            format!("Have the object give `{key}`, from its Secret or a ConfigMap."),
        ))
    }

    /// The same for keys from the environment of the scale target.
    fn check_own(&self) -> Result<()> {
        let mut from = self.from.iter();
        from.try_for_each(|(key, from)| match (from, self.keys.get(key)) {
            (Provenance::Environment, Some(value)) => {
                self.may_be_joined(key, value.expose().trim())
            }
            _ => Ok(()),
        })
    }
}

/// The value of a key that the object gives. The environment does not count: the author of the scale
/// target chooses it.
fn own<'a>(authentication: &'a Authentication, key: &str) -> Option<&'a str> {
    let is_own = authentication.from.get(key)? != &Provenance::Environment;
    let value = authentication.keys.get(key).filter(|_| is_own)?;
    Some(value.expose())
}

/// The server of a URL, such as a token endpoint.
fn server_of_url(text: &str) -> Option<HostPort> {
    let url: http::Uri = text.parse().ok()?;
    let port = match (url.port_u16(), url.scheme_str()?) {
        (Some(port), _) => port,
        (None, "https") => 443,
        (None, "http") => 80,
        _ => return None,
    };
    HostPort::new(url.host()?, &port.to_string()).ok()
}

/// Whether all keys come from the trigger's own scale target.
fn is_of_target(authentication: &Authentication) -> bool {
    let mut from = authentication.from.values();
    from.all(|from| *from == Provenance::Environment)
}

/// Whether the object itself names the server.
fn names(authentication: &Authentication, server: &HostPort) -> bool {
    let value = |key: &str| own(authentication, key);
    let list = |text: &'_ str| -> Vec<String> {
        let parts = text.split(',').map(|part| part.trim().to_owned());
        parts.collect()
    };
    let whole = authentication.keys.keys().filter_map(|key| value(key));
    let server_of = |part: String| part.parse().ok().or_else(|| server_of_url(&part));
    let whole = whole.flat_map(list).filter_map(server_of);
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
mod tests;
