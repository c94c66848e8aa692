//! The address and credentials of a Temporal namespace, and the keys that declare them.

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use super::cloud::{GivenCredentials, check_cloud};
use crate::metadata::{
    problem::{Problem, Problems},
    tls::{Tls, TlsKeys},
    values::{HostPort, Secret, Switch, whole_number, without_login},
};
use crate::sampling::ConnectionKeys;

/// The backend. Its trait is implemented in the folder's `mod.rs`.
pub struct Temporal;

/// A namespace of a Temporal service: address and credentials.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Connection {
    pub endpoint: HostPort,
    pub namespace: String,
    pub api_key: Option<Secret>,
    pub tls: Option<Tls>,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// How many requests a second the namespace gets at most.
    pub requests_per_second: u32,
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "temporal {} at {}", self.namespace, self.endpoint)
    }
}

/// Address and credentials of a Temporal namespace.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceKeys {
    /// The frontend as `host:port`.
    #[schemars(extend("x-environment-first" = true))]
    endpoint: String,
    /// The Temporal namespace. In Temporal Cloud, with the account: `orders.a1b2c`.
    #[serde(default = "default_namespace")]
    #[schemars(extend("x-environment-first" = true))]
    namespace: String,
    /// The API key (a bearer token). Enables TLS, unless `tls: disable` is set.
    api_key: Option<Secret>,
    /// How long one attempt to connect may take, in seconds.
    #[serde(default)]
    min_connect_timeout: ConnectSeconds,
    /// The most queue reads per second in this namespace, over all triggers of the connection. A server with default limits handles about 240 a second on one matching host,
    /// and shares that limit with its workers.
    #[serde(default)]
    requests_per_second: RequestsPerSecond,
}

fn default_namespace() -> String {
    "default".to_owned()
}

/// The longest `minConnectTimeout`: no call waits longer than that.
pub const LONGEST_CONNECT: u64 = 60;

/// A time in seconds, as KEDA writes `minConnectTimeout`.
#[derive(Clone, Copy, Debug)]
struct ConnectSeconds(u64);

whole_number!(ConnectSeconds: 1..=LONGEST_CONNECT, "a whole number of seconds from 1 to 60");

impl Default for ConnectSeconds {
    /// KEDA's default of `minConnectTimeout`.
    fn default() -> Self {
        ConnectSeconds(5)
    }
}

/// A rate of requests.
#[derive(Clone, Copy, Debug)]
struct RequestsPerSecond(u32);

whole_number!(RequestsPerSecond: 1..=10_000, "a whole number from 1 to 10000");

impl Default for RequestsPerSecond {
    /// What one matching host with default limits (`matching.rps` 1200, of which an uncached read
    /// costs 5, and 12 if it has to load the queue) handles while a scaler reads everything for the
    /// first time, with the burst that it allows left to the workers. Measured: see the README.
    fn default() -> Self {
        RequestsPerSecond(170)
    }
}

impl ConnectionKeys<Temporal> for NamespaceKeys {
    fn check(self, mut tls: TlsKeys) -> Result<Connection, Problems> {
        let mut problems = Problems::default();
        problems.keep(check_namespace(&self.namespace));
        problems.keep(check_api_key(self.api_key.as_ref()));
        let endpoint = problems.keep(parse_endpoint(&self.endpoint));
        if let Some(endpoint) = &endpoint {
            let credentials = GivenCredentials {
                api_key: self.api_key.is_some(),
                cert: tls.cert.is_some(),
            };
            let checked = check_cloud(endpoint, &self.namespace, credentials, tls.tls);
            problems.keep(checked);
        }
        // As in KEDA: credentials switch TLS on, unless `tls` is given.
        if tls.tls.is_none() && (self.api_key.is_some() || tls.cert.is_some() || tls.key.is_some())
        {
            tls.tls = Some(Switch::Enable);
        }
        match (endpoint, problems.keep(tls.check(false))) {
            (Some(endpoint), Some(tls)) if problems.0.is_empty() => Ok(Connection {
                endpoint,
                namespace: self.namespace,
                api_key: self.api_key,
                tls,
                connect_timeout: Duration::from_secs(self.min_connect_timeout.0),
                requests_per_second: self.requests_per_second.0,
            }),
            _ => Err(problems),
        }
    }
}

fn parse_endpoint(text: &str) -> Result<HostPort, Problem> {
    const EXAMPLE: &str = "temporal-frontend.temporal:7233";
    let bad = |reason: String| Problem::value("endpoint", without_login(text), reason);
    let hint = || format!("it must be host:port, such as {EXAMPLE}");
    if text.starts_with("dns:") {
        return Err(bad(format!("has a scheme; {}", hint())));
    }
    if text.contains('/') && !text.contains("://") {
        return Err(bad(format!("has a path; {}", hint())));
    }
    HostPort::parse(text, EXAMPLE).map_err(bad)
}

/// The server checks whether it knows the name; this keeps the `temporal-namespace` header and log
/// lines well formed.
fn check_namespace(namespace: &str) -> Result<(), Problem> {
    let good = |c: char| c.is_ascii_graphic();
    match !namespace.is_empty() && namespace.chars().all(good) {
        true => Ok(()),
        false => {
            let reason = "must be the name of a Temporal namespace: ASCII, without spaces";
            Err(Problem::value("namespace", namespace, reason))
        }
    }
}

fn check_api_key(api_key: Option<&Secret>) -> Result<(), Problem> {
    let good = |key: &Secret| key.expose().bytes().all(|b| b.is_ascii_graphic());
    match api_key.is_none_or(good) {
        true => Ok(()),
        false => Err(Problem::key(
            "apiKey",
            "has a space, a line break or another character that no API key has; it is not shown",
        )),
    }
}

#[cfg(test)]
mod tests;
